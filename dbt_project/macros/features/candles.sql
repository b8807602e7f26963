{# The shape of the session's own bar: body, range and shadows, over the open and over the range. #}
{% macro candle_features() -%}
    {%- set parts = {
        'body': ['close - open', 'KMID', 'C - O'],
        'range': ['high - low', 'KLEN', 'H - D'],
        'upper_shadow': ['high - greatest(open, close)', 'KUP', 'H - max(O, C)'],
        'lower_shadow': ['least(open, close) - low', 'KLOW', 'min(O, C) - D'],
        'shift': ['2 * close - high - low', 'KSFT', '2 C - H - D']
    } -%}
    {%- set features = [] -%}
    {%- for name, part, over in [
        ('candle_body', 'body', 'O'), ('candle_range', 'range', 'O'), ('candle_body_of_range', 'body', 'H - D + 1e-12'),
        ('candle_upper_shadow', 'upper_shadow', 'O'), ('candle_upper_shadow_of_range', 'upper_shadow', 'H - D + 1e-12'),
        ('candle_lower_shadow', 'lower_shadow', 'O'), ('candle_lower_shadow_of_range', 'lower_shadow', 'H - D + 1e-12'),
        ('candle_shift', 'shift', 'O'), ('candle_shift_of_range', 'shift', 'H - D + 1e-12')
    ] -%}
        {%- set sql, alias, formula = parts[part] -%}
        {%- do features.append(feature(
            name=name, family='candles', window=1, unit='ratio', lookback=0, alias=alias ~ ('' if over == 'O' else '2'),
            formula='(' ~ formula ~ ') / ' ~ ('O' if over == 'O' else '(' ~ over ~ ')'), sources='open, high, low, close',
            sql='(' ~ sql ~ ') / ' ~ ('open' if over == 'O' else '(high - low + 1e-12)')
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
