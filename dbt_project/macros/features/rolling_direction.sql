{# How often and by how much the close rose and fell from one session to the next within the window. #}
{% macro rolling_direction_features(operator, windows) -%}
    {%- set all_moves = '(move_size_sum_# + 1e-12)' -%}
    {%- set moved = 'case when moves_sum_# > 0 then ' -%}
    {%- set kinds = {
        'up_share': ['CNTP', 'share of sessions with C[t] > C[t-1]', 'ups_sum_# / least(age, #)', true],
        'down_share': ['CNTN', 'share of sessions with C[t] < C[t-1]', 'downs_sum_# / least(age, #)', true],
        'up_less_down': ['CNTD', 'up share - down share', '(ups_sum_# - downs_sum_#) / least(age, #)', true],
        'gain_share': ['SUMP', 'sum of rises / (sum of rises and falls + 1e-12)', moved ~ '(move_size_sum_# + move_sum_#) / 2 / ' ~ all_moves ~ ' end', true],
        'loss_share': ['SUMN', 'sum of falls / (sum of rises and falls + 1e-12)', moved ~ '(move_size_sum_# - move_sum_#) / 2 / ' ~ all_moves ~ ' end', true],
        'gain_less_loss': ['SUMD', 'gain share - loss share', moved ~ 'move_sum_# / ' ~ all_moves ~ ' end', true]
    } -%}
    {{ return(rolling_features('rolling_direction', operator, kinds[operator], windows, 'fraction', 'close')) }}
{%- endmacro %}
