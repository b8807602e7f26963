{#
    The sectors of the Global Industry Classification Standard (GICS): the code, the name, then other names that count as the same sector.
    Communication Services was Telecommunication Services until 2018. Other names change the features, so everything is rebuilt.
#}
{% macro gics_sectors() -%}
    {{ return({
        50: ['Communication Services', 'Telecommunication Services'],
        25: ['Consumer Discretionary'],
        30: ['Consumer Staples'],
        10: ['Energy'],
        40: ['Financials'],
        35: ['Health Care'],
        20: ['Industrials'],
        45: ['Information Technology', 'Technology'],
        15: ['Materials'],
        60: ['Real Estate'],
        55: ['Utilities']
    }) }}
{%- endmacro %}

{# The GICS code of a sector's name, whatever its case; NULL for any other name. #}
{% macro sector_code(column) -%}
    case lower({{ column }})
    {%- for code, names in gics_sectors().items() -%}
    {%- for name in names %} when '{{ name | lower }}' then {{ code }}{% endfor -%}
    {%- endfor %} end
{%- endmacro %}

{#
    One 0/1 column per sector, as known at the decision: every model and every device reads the same numbers, and none has an encoding of its own.
    NULL where no sector is known, or one that is no GICS sector: what it is not cannot be told either. No twins: `_sn` already compares within sectors.
#}
{% macro sector_features() -%}
    {%- set features = [] -%}
    {%- for code, names in gics_sectors().items() -%}
        {%- do features.append(feature(
            name='sector_is_' ~ names[0] | lower | replace(' ', '_'), family='sector', window=1, unit='none', lookback=0, quantum=none,
            formula='1 in the sector ' ~ names[0] ~ ', 0 in another', sources='sector',
            sql='cast(sector_code = ' ~ code ~ ' as integer)'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
