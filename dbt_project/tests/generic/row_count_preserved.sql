{# As many rows as the relation it was made from, where `condition` holds there. #}
{% test row_count_preserved(model, source, condition='true') %}
with counts as (
    select
        (select count(*) from {{ model }}) as here,
        (select count(*) from {{ source }} where {{ condition }}) as there
)

select * from counts
where here <> there
{% endtest %}
