{# A row's date lies no later than the last landed bar's. #}
{% test no_future_rows(model, date_column='date') %}
select *
from {{ model }}
where {{ date_column }} > (select max(bars.date) from {{ ref('slv_equity_bar_versions') }} as bars)
{% endtest %}
