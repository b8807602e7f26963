{# Open, high, low and typical price of the session over its close. Bars have no volume-weighted price: the typical price stands in for it. #}
{% macro price_level_features() -%}
    {%- set features = [] -%}
    {%- for field, sql, alias, formula in [
        ('open', 'open', 'OPEN0', 'O'), ('high', 'high', 'HIGH0', 'H'), ('low', 'low', 'LOW0', 'D'),
        ('vwap', '((high + low + close) / 3)', 'VWAP0', '(H + D + C) / 3')
    ] -%}
        {%- do features.append(feature(
            name=field ~ '_to_close', family='price_levels', window=1, unit='ratio', lookback=0, alias=alias,
            formula=formula ~ ' / C', sources='close' if field == 'close' else ('high, low, close' if field == 'vwap' else field ~ ', close'),
            sql=sql ~ ' / close'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
