{# Nothing in the row was learnt after the decision of its session. #}
{% test known_by(model, date_column='date') %}
select rows_checked.*
from {{ model }} as rows_checked
inner join {{ ref('slv_calendar') }} as sessions on rows_checked.{{ date_column }} = sessions.date
where rows_checked.known_at > sessions.decision_at
{% endtest %}
