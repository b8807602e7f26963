{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name | trim if custom_schema_name else target.schema }}
{%- endmacro %}

{# brz_, slv_, gld_, prd_, ops_ and mrt_ say the layer of a file; the schema says it to a SQL user, so the alias drops it. #}
{% macro generate_alias_name(custom_alias_name=none, node=none) -%}
    {%- if custom_alias_name -%}
        {{ custom_alias_name | trim }}
    {%- elif node.resource_type == 'model' -%}
        {{ node.name.split('_')[1:] | join('_') }}
    {%- else -%}
        {{ node.name }}
    {%- endif -%}
{%- endmacro %}
