{#
    Amihud (2002), equation 1: the mean of |return| over dollar volume, here per million USD. Sessions with a bar, volume and a return count; the
    return is the simple total return, the dollars are those traded at the raw close. A session's ratio is a whole number of 1e-15.
#}
{% macro illiquidity_features(windows) -%}
    {%- set features = [] -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='amihud_illiquidity_' ~ n ~ 'd', family='illiquidity', window=n, unit='return per USD million', lookback=n, quantum='1e-12',
            formula='mean(1e6 |exp(r) - 1| / (close * volume), ' ~ n ~ ')', sources='close, volume, dividend_amount, split_coefficient',
            sql='case when ' ~ has_history(n) ~ ' and illiquidity_count_' ~ n ~ ' >= ' ~ four_fifths(n) ~ ' then cast(illiquidity_sum_' ~ n
                ~ ' as double) / illiquidity_count_' ~ n ~ ' / 1e15 end'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}
