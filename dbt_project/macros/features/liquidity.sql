{# Average daily dollar volume in millions of USD over the bars present in the window, and its natural logarithm (in USD) as size. #}
{% macro liquidity_features() -%}
    {{ return([
        feature(
            name='adv_20d', family='liquidity', window=20, unit='USD millions', lookback=19, quantum='1e-9',
            formula='mean(close * volume, 20) / 1e6', sources='close, volume',
            sql='case when ' ~ has_history(19) ~ ' then cast(dollar_volume_20 as double) / present_20 / 1e6 end'
        ),
        feature(
            name='size_log_adv_20d', family='liquidity', window=20, unit='log USD', lookback=19, quantum='1e-12',
            formula='ln(mean(close * volume, 20))', sources='close, volume',
            sql='case when ' ~ has_history(19) ~ ' and dollar_volume_20 > 0 then ln(cast(dollar_volume_20 as double) / present_20) end'
        )
    ]) }}
{%- endmacro %}
