{# An identity that every row must satisfy; NULL counts as a failure. #}
{% test holds(model, expression) %}
select *
from {{ model }}
where not coalesce({{ expression }}, false)
{% endtest %}
