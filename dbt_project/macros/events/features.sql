{#
    Features of a price at a level, from bars that had ended at t1. One definition for events of the past and for what a viewport scores now.

    `candidates` is a relation with symbol, t0, level_kind_name, level_key, level_units, direction_sign, attempt_index, prior_touches and
    bars_since_last. Distances are in ATR, and in the level's frame: positive lies ahead in the direction of approach, beyond the level.
#}
{% macro event_other_level(column, kind) -%}
    case when level_kind_name <> '{{ kind }}' then {{ column }} end
{%- endmacro %}

{# How far another level is from this one, in ATR; NULL where there is none, or it is this one. #}
{% macro event_level_gaps() -%}
    {%- set gaps = [] -%}
    {%- for kind, column in event_single_levels() -%}
        {%- do gaps.append('abs(' ~ event_other_level(column, kind) ~ ' - level_units) / atr') -%}
    {%- endfor -%}
    {%- do gaps.append("abs(" ~ event_other_level('cast(round(level_units / cast(round_step as double)) as bigint) * round_step', 'ROUND') ~ ' - level_units) / atr') -%}
    {{ return(gaps) }}
{%- endmacro %}

{# name, SQL and what it is, with its source. Order is that of the columns. #}
{% macro event_bar_features() -%}
    {%- set first = 'prior_touches = 0' -%}
    {%- set moved = 'case when direction_sign = 1 then bars_up else bars_down end' -%}
    {%- set run = 'case when direction_sign = 1 then close - low_of_ten else high_of_ten - close end' -%}
    {%- set features = [
        ['approach_velocity', 'case when ' ~ first ~ ' then 0 else direction_sign * velocity / atr end'],
        ['approach_bars', 'case when ' ~ first ~ ' then 0 else ' ~ moved ~ ' end'],
        ['approach_distance', 'case when ' ~ first ~ ' then 0 else (' ~ run ~ ') / atr end'],
        ['approach_volume_ratio', 'case when ' ~ first ~ ' then 0 else volume_ratio end'],
    ] -%}
    {%- for name in ['pmh', 'pml', 'orh', 'orl', 'pdh', 'pdl', 'pdc', 'session_high', 'session_low'] -%}
        {%- do features.append(['dist_' ~ name, 'direction_sign * (' ~ name ~ ' - close) / atr']) -%}
    {%- endfor -%}
    {%- do features.extend([
        ['distance', 'abs(close - level_units) / atr'],
        ['distance_signed', 'direction_sign * (close - level_units) / atr'],
        ['sma_200_distance', 'direction_sign * (close - sma_200) / atr'],
        ['sma_400_distance', 'direction_sign * (close - sma_400) / atr'],
        ['sma_slope_short', 'direction_sign * sma_slope_short / atr'],
        ['sma_slope_long', 'direction_sign * sma_slope_long / atr'],
        ['sma_spread', 'direction_sign * (sma_200 - sma_400) / atr'],
        ['mean_reversion_200', 'direction_sign * (sma_200 - close) / nullif(sqrt(variance_200), 0)'],
        ['mean_reversion_400', 'direction_sign * (sma_400 - close) / nullif(sqrt(variance_400), 0)'],
    ]) -%}
    {%- set near = [] -%}
    {%- set score = [] -%}
    {%- for gap in event_level_gaps() -%}
        {%- set within = 'coalesce(' ~ gap ~ ' <= ' ~ var('events_confluence_atr') ~ ', false)' -%}
        {%- do near.append('cast(' ~ within ~ ' as integer)') -%}
        {%- do score.append('case when ' ~ within ~ ' then 1 - ' ~ gap ~ ' / ' ~ var('events_confluence_atr') ~ ' else 0 end') -%}
    {%- endfor -%}
    {%- set nearest = 'least(' ~ event_level_gaps() | join(', ') ~ ')' -%}
    {%- do features.extend([
        ['confluence_count', near | join(' + ')],
        ['confluence_score', score | join(' + ')],
        ['confluence_min_distance', 'case when ' ~ nearest ~ ' <= ' ~ var('events_confluence_atr') ~ ' then ' ~ nearest ~ ' else 0 end'],
        ['bars_since_open', 'minute_of_session // bar_minutes'],
        ['is_first_15m', 'cast(minute_of_session < 15 as integer)'],
        ['atr', 'atr / close * 1e4'],
        ['level_price_pct', '(level_units - close) / cast(close as double) * 100'],
        ['direction_sign', 'direction_sign'],
        ['attempt_index', 'attempt_index'],
        ['attempt_bars_since_last', 'bars_since_last'],
        ['prior_touches', 'prior_touches'],
    ]) -%}
    {%- for kind in event_level_kinds() -%}
        {%- do features.append(['level_kind_' ~ kind | lower, "cast(level_kind_name = '" ~ kind ~ "' as integer)"]) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# Rows of `candidates` with these features; `keys` are the columns that pass through. #}
{% macro event_features_from_bars(candidates, keys) -%}
    select
        {%- for key in keys %}
        {{ key }},
        {%- endfor %}
        {%- for name, sql in event_bar_features() %}
        cast({{ sql }} as float) as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            candidates.*,
            bars.* exclude (symbol, date, bar_number, bar_minutes, ts, ends_at),
            bars.bar_minutes
        from {{ candidates }} as candidates
        inner join {{ ref('slv_event_bars') }} as bars on candidates.symbol = bars.symbol and candidates.t0 = bars.ts
    ) as placed
{%- endmacro %}
