{#
    Fuel: what dealers in options must trade when price moves, from the chain at the end of an earlier session (silver.option_strikes).
    They are taken to be long the calls and short the puts that are open, as in published gamma exposures: an assumption, not a fact.
#}

{#
    Dollars of the underlying that hedging a contract's open interest takes when price moves by 1 %: gamma (Black and Scholes 1973, no rates
    and dividends) x open interest x 100 shares x price^2 x 1 %. Whole cents: sums are exact.
#}
{% macro gamma_usd_units() -%}
    cast(round(open_interest * 100 * underlying_price * underlying_price * 0.01 * {{ black_scholes_gamma() }} * 1e2) as hugeint)
{%- endmacro %}

{# 0.3989422804014327 is 1 / sqrt(2 pi). #}
{% macro black_scholes_gamma() -%}
    0.3989422804014327 * exp(-0.5 * d1 * d1) / (underlying_price * volatility * sqrt(years))
{%- endmacro %}

{# The gamma of a candidate's chain: of all its strikes, and of those within events_fuel_band of the level. #}
{% macro fuel_of_candidates(candidates, key) -%}
    {%- set near = 'abs(strikes.strike / candidates.level_price - 1) <= ' ~ var('events_fuel_band') -%}
    select
        candidates.{{ key }},
        sum(strikes.call_gamma_cents - strikes.put_gamma_cents) as net_all,
        sum(strikes.call_gamma_cents + strikes.put_gamma_cents) as gross_all,
        coalesce(sum(strikes.call_gamma_cents - strikes.put_gamma_cents) filter (where {{ near }}), 0) as net_near,
        coalesce(sum(strikes.call_gamma_cents + strikes.put_gamma_cents) filter (where {{ near }}), 0) as gross_near
    from {{ candidates }} as candidates
    inner join {{ ref('slv_option_strikes') }} as strikes
        on candidates.symbol = strikes.symbol and candidates.date = strikes.date
    group by candidates.{{ key }}
{%- endmacro %}

{# Positive where hedging pushes a break on: dealers who are short gamma buy what rises. #}
{% macro dealer_pressure() -%}
    -net_near / cast(nullif(gross_near, 0) as double)
{%- endmacro %}

{# name and SQL, over a candidate joined with fuel_of_candidates. #}
{% macro fuel_features() -%}
    {%- set threshold = var('events_fuel_threshold') -%}
    {{ return([
        ['fuel_effect', 'case when ' ~ dealer_pressure() ~ ' > ' ~ threshold ~ ' then 1 when ' ~ dealer_pressure()
            ~ ' < -' ~ threshold ~ ' then -1 when gross_near > 0 then 0 end'],
        ['gamma_exposure', 'cast(net_near as double) / 1e8'],
        ['gamma_pressure', '-net_all / cast(nullif(gross_all, 0) as double)'],
        ['dealer_pressure', dealer_pressure()],
        ['reversion_pressure', 'greatest(net_near, 0) / cast(nullif(gross_all, 0) as double)']
    ]) }}
{%- endmacro %}
