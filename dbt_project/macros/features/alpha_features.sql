{# Alpha158 as published with Qlib (qlib/contrib/data/loader.py, Alpha158DL), in its order. #}
{% macro alpha158_features() -%}
    {%- set windows = [5, 10, 20, 30, 60] -%}
    {%- set features = namespace(all=candle_features() + price_level_features()) -%}
    {%- for operator in ['roc', 'mean', 'std'] -%}{%- set features.all = features.all + rolling_price_features(operator, windows) -%}{%- endfor -%}
    {%- for operator in ['beta', 'rsquare', 'residual'] -%}{%- set features.all = features.all + rolling_trend_features(operator, windows) -%}{%- endfor -%}
    {%- for operator in ['max', 'min', 'quantile_80', 'quantile_20', 'rank', 'range_position'] -%}
        {%- set features.all = features.all + rolling_price_features(operator, windows) -%}
    {%- endfor -%}
    {%- for operator in ['argmax', 'argmin', 'argmax_less_argmin'] -%}{%- set features.all = features.all + rolling_extreme_features(operator, windows) -%}{%- endfor -%}
    {%- for operator in ['corr_price_volume', 'corr_return_volume_change'] -%}
        {%- set features.all = features.all + rolling_correlation_features(operator, windows) -%}
    {%- endfor -%}
    {%- for operator in ['up_share', 'down_share', 'up_less_down', 'gain_share', 'loss_share', 'gain_less_loss'] -%}
        {%- set features.all = features.all + rolling_direction_features(operator, windows) -%}
    {%- endfor -%}
    {%- for operator in ['volume_mean', 'volume_std', 'weighted_volatility', 'volume_gain_share', 'volume_loss_share', 'volume_gain_less_loss'] -%}
        {%- set features.all = features.all + rolling_volume_features(operator, windows) -%}
    {%- endfor -%}
    {{ return(features.all) }}
{%- endmacro %}

{# Alpha360 as published with Qlib (Alpha360DL), in its order: oldest session first. #}
{% macro alpha360_features() -%}
    {{ return(
        price_lag_features('close', 60)
        + price_lag_features('open', 60)
        + price_lag_features('high', 60)
        + price_lag_features('low', 60)
        + price_lag_features('vwap', 60)
        + price_lag_features('volume', 60)
    ) }}
{%- endmacro %}
