{# No two rows share the grain of `config.meta.grain`. #}
{% test unique_grain(model, columns) %}
select
    {{ columns | join(', ') }},
    count(*) as copies
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
