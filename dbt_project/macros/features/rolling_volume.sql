{# Volume over the window in units of the session's own, the spread of returns weighted by it, and how it rose and fell. #}
{% macro rolling_volume_features(operator, windows) -%}
    {%- set all_moves = '(volume_move_size_sum_# + 1e-12)' -%}
    {%- set moved = 'case when moves_sum_# > 0 then ' -%}
    {%- set kinds = {
        'volume_mean': ['VMA', 'mean(volume, #) / (volume[t] + 1e-12)', 'volume_sum_# / bars_sum_# / (volume + 1e-12)'],
        'volume_std': ['VSTD', 'sd(volume, #) / (volume[t] + 1e-12)', 'sqrt(' ~ window_variance('volume', 'bars') ~ ') / (volume + 1e-12)'],
        'weighted_volatility': [
            'WVMA', 'sd(w, #) / (mean(w, #) + 1e-12), w = |C[t] / C[t-1] - 1| volume[t]',
            'sqrt(' ~ window_variance('weighted', 'moves') ~ ') / (weighted_sum_# / nullif(moves_sum_#, 0) + 1e-12)', true
        ],
        'volume_gain_share': ['VSUMP', 'sum of rises of volume / (sum of rises and falls + 1e-12)', moved ~ '(volume_move_size_sum_# + volume_move_sum_#) / 2 / ' ~ all_moves ~ ' end', true],
        'volume_loss_share': ['VSUMN', 'sum of falls of volume / (sum of rises and falls + 1e-12)', moved ~ '(volume_move_size_sum_# - volume_move_sum_#) / 2 / ' ~ all_moves ~ ' end', true],
        'volume_gain_less_loss': ['VSUMD', 'volume gain share - volume loss share', moved ~ 'volume_move_sum_# / ' ~ all_moves ~ ' end', true]
    } -%}
    {%- set unit = 'ratio' if operator in ['volume_mean', 'volume_std', 'weighted_volatility'] else 'fraction' -%}
    {%- set sources = 'close, volume' if operator == 'weighted_volatility' else 'volume' -%}
    {{ return(rolling_features('rolling_volume', operator, kinds[operator], windows, unit, sources)) }}
{%- endmacro %}
