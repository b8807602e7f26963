{#
    The state of the market as known at the decision; the same for every symbol of a date, so without twins.

    x is the newest value of VIX that was known, at most four sessions old. Where it stands among its own last 252 sessions, today's
    included, is its regime: 0 where at most a third of them are as low or lower, 1 where at most two thirds are, else 2. NULL with fewer
    than 232 of them; nothing later than t is looked at.

    f is the log return of a Fama-French factor (the series MKT_RF, SMB, HML, RMW and CMA, in percent, as Kenneth French publishes them).
    Its window is the 60 sessions that end with the newest value that was known, which is at most 69 sessions old; NULL with fewer than 48
    values. What is published a month late is used a month late.

    Lookbacks are 0: a row reads its own session of silver.equity_risk_sessions, which has looked back as far as the windows say.
#}
{% macro market_regime_features() -%}
    {%- set features = [] -%}
    {%- do features.extend([
        feature(
            name='vix_level', family='market_regime', window=1, unit='annualised percent', lookback=0,
            formula='x[t]', sources='VIX', sql='vix'
        ),
        feature(
            name='vix_change_1d', family='market_regime', window=1, unit='log change', lookback=0,
            formula='ln(x[t] / x[t-1])', sources='VIX', sql=from_fixed('log_vix - log_vix_1')
        ),
        feature(
            name='vix_change_5d', family='market_regime', window=5, unit='log change', lookback=0,
            formula='ln(x[t] / x[t-5])', sources='VIX', sql=from_fixed('log_vix - log_vix_5')
        ),
        feature(
            name='vix_zscore_252d', family='market_regime', window=252, unit='standard deviations', lookback=0,
            formula='(ln x[t] - mean(ln x, 252)) / sd(ln x, 252)', sources='VIX',
            sql='case when vix_count_252 >= 232 then ' ~ rolling_zscore('log_vix', 'vix_count_252', 'vix_sum_252', 'vix_squares_252') ~ ' end'
        ),
        feature(
            name='vix_percentile_252d', family='market_regime', window=252, unit='fraction', lookback=0,
            formula='share of x[t-251..t] that is at most x[t]', sources='VIX',
            sql='case when vix_count_252 >= 232 and vix is not null then cast(vix_not_above_252 as double) / vix_count_252 end'
        ),
        feature(
            name='vix_regime_252d', family='market_regime', window=252, unit='none', lookback=0,
            formula='0, 1 or 2: third of x[t-251..t] that x[t] lies in', sources='VIX',
            sql='case when vix_count_252 >= 232 and vix is not null then ' ~ third_of('vix_not_above_252', 'vix_count_252') ~ ' end'
        )
    ]) -%}
    {%- for factor, series in fama_french_factors().items() -%}
        {%- set column = 'factor_' ~ factor -%}
        {%- do features.extend([
            feature(
                name=column ~ '_return_60d', family='market_regime', window=60, unit='return', lookback=0,
                formula='exp(sum(f, 60)) - 1 of ' ~ series, sources=series,
                sql='case when ' ~ column ~ '_count_60 >= ' ~ four_fifths(60) ~ ' then exp(' ~ from_fixed(column ~ '_sum_60') ~ ') - 1 end'
            ),
            feature(
                name=column ~ '_volatility_60d', family='market_regime', window=60, unit='annualised', lookback=0,
                formula='sqrt(252) sd(f, 60) of ' ~ series, sources=series,
                sql='case when ' ~ column ~ '_count_60 >= ' ~ four_fifths(60) ~ ' then sqrt(252 * '
                    ~ fixed_variance(column ~ '_count_60', column ~ '_sum_60', column ~ '_squares_60') ~ ') / 1e12 end'
            ),
            feature(
                name=column ~ '_regime_252d', family='market_regime', window=252, unit='none', lookback=0,
                formula='0, 1 or 2: third of the sum(f, 60) of ' ~ series ~ ' over t-251..t that the one of t lies in', sources=series,
                sql='case when ' ~ column ~ '_known_252 >= 232 and ' ~ column ~ '_count_60 >= ' ~ four_fifths(60) ~ ' then '
                    ~ third_of(column ~ '_not_above_252', column ~ '_known_252') ~ ' end'
            )
        ]) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# The factors by the names of their columns, and the series that they are landed as. #}
{% macro fama_french_factors() -%}
    {{ return({'market': 'MKT_RF', 'size': 'SMB', 'value': 'HML', 'profitability': 'RMW', 'investment': 'CMA'}) }}
{%- endmacro %}

{# As gold.equities_regime grades: 0 where at most a third are not above, 1 where at most two thirds are, else 2. #}
{% macro third_of(not_above, count) -%}
    case when {{ not_above }} * 3 <= {{ count }} then 0 when {{ not_above }} * 3 <= {{ count }} * 2 then 1 else 2 end
{%- endmacro %}
