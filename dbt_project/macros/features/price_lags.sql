{# The last 60 bars themselves: prices over the row's close, volumes over its volume, each session a column. #}
{% macro price_lag_features(field, sessions) -%}
    {%- set features = [] -%}
    {%- for k in range(sessions - 1, -1, -1) -%}
        {%- if field == 'vwap' -%}
            {%- set value = '((' ~ lagged('high', k) ~ ' + ' ~ lagged('low', k) ~ ' + ' ~ lagged('close', k) ~ ') / 3)' -%}
        {%- else -%}
            {%- set value = lagged(field, k) -%}
        {%- endif -%}
        {%- set letter = {'open': 'O', 'high': 'H', 'low': 'D', 'close': 'C', 'vwap': '(H + D + C)', 'volume': 'volume'}[field] -%}
        {%- do features.append(feature(
            name=field ~ '_lag_' ~ k, family='price_lags', window=1, unit='ratio', lookback=k, alias=field | upper ~ k,
            formula=letter ~ '[t-' ~ k ~ ']' ~ (' / (volume[t] + 1e-12)' if field == 'volume' else (' / 3 / C[t]' if field == 'vwap' else ' / C[t]')),
            sources=('high, low, close' if field == 'vwap' else ('close' if field == 'close' else ('volume' if field == 'volume' else field ~ ', close')))
                ~ (', split_coefficient' if field == 'volume' else ', dividend_amount, split_coefficient'),
            sql=value ~ (' / (volume + 1e-12)' if field == 'volume' else ' / close')
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
