{# Every raw daily equity feature, in column order. The catalogue, the model, its twins and the docs are all made from this list. #}
{% macro equities_features() -%}
    {{ return(
        momentum_features([5, 20, 60, 126])
        + calendar_features()
        + zscore_features([20, 60], [20])
        + realised_volatility_features([20, 60])
        + liquidity_features()
        + band_features(20)
        + gap_features(20)
        + drawdown_features(126)
        + beta_features(60)
        + sector_features()
    ) }}
{%- endmacro %}

{# Those with cross-sectional twins `_dm`, `_rank` and `_sn`. #}
{% macro equities_features_with_twins() -%}
    {{ return(equities_features() | selectattr('quantum') | list) }}
{%- endmacro %}
