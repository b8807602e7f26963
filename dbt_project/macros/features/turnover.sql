{#
    Turnover is volume over shares outstanding, which no bar tells. The number of shares hardly moves within half a year but by splits, which V has
    taken out, so differences and deviations of V = ln(split-consistent volume) are those of log turnover: detrended log turnover in the sense of
    Campbell, Grossman and Wang (1993), and its variability after Chordia, Subrahmanyam and Anshuman (2001).
#}
{% macro turnover_features(short_windows, long, n) -%}
    {%- set features = [] -%}
    {%- for short in short_windows -%}
        {%- set enough = 'volume_count_' ~ long ~ ' >= ' ~ four_fifths(long)
            ~ (' and volume_count_' ~ short ~ ' >= ' ~ four_fifths(short) if short > 1 else '') -%}
        {%- set total = 'volume_sum_' ~ short if short > 1 else 'cast(log_volume as hugeint)' -%}
        {%- set count = 'volume_count_' ~ short if short > 1 else '1' -%}
        {%- do features.append(feature(
            name='abnormal_turnover_' ~ short ~ 'd_' ~ long ~ 'd', family='turnover', window=long, unit='log ratio', lookback=long - 1,
            quantum='1e-12',
            formula=('mean(V, ' ~ short ~ ')' if short > 1 else 'V[t]') ~ ' - mean(V, ' ~ long ~ ')', sources='volume, split_coefficient',
            sql='case when ' ~ has_history(long - 1) ~ ' and ' ~ enough ~ ' then cast(volume_count_' ~ long ~ ' * ' ~ total ~ ' - ' ~ count
                ~ ' * volume_sum_' ~ long ~ ' as double) / (' ~ count ~ ' * volume_count_' ~ long ~ ') / 1e12 end'
        )) -%}
    {%- endfor -%}
    {%- do features.append(feature(
        name='turnover_volatility_' ~ n ~ 'd', family='turnover', window=n, unit='log volume', lookback=n - 1, quantum='1e-12',
        formula='sd(V, ' ~ n ~ ')', sources='volume, split_coefficient',
        sql='case when ' ~ has_history(n - 1) ~ ' and volume_count_' ~ n ~ ' >= ' ~ four_fifths(n) ~ ' then sqrt('
            ~ fixed_variance('volume_count_' ~ n, 'volume_sum_' ~ n, 'volume_squares_' ~ n) ~ ') / 1e12 end'
    )) -%}
    {{ return(features) }}
{%- endmacro %}
