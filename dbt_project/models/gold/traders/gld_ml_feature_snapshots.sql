{{ config(
    materialized='trader_table',
    meta={
        'date_column': 'snapshot_date',
        'blocks': 'addresses',
        'input_schema': 'work',
        'input': 'trader_panel',
        'input_date': 'date'
    }
) }}

{#- Bits of sums over 90 days: a day has at most 1e7 fills. #}
{%- set packs = [
    [('n_trades', 31), ('n_trades_with_wins', 31)],
    [('n_wins', 31), ('n_long', 31)],
    [('n_trades_with_side', 31), ('n_closed', 31)],
    [('n_active', 8), ('n_profitable', 8), ('n_with_volume', 8)]
] %}
{%- set measures = {
    'n_trades_with_wins': 'case when n_wins is null then 0 else n_trades end',
    'n_wins': 'coalesce(n_wins, 0)',
    'n_long': 'coalesce(n_long, 0)',
    'n_trades_with_side': 'case when n_long is null then 0 else n_trades end',
    'n_active': 'case when idle_days = 0 then 1 else 0 end',
    'n_profitable': 'case when net_pnl > 0 then 1 else 0 end',
    'n_with_volume': 'case when volume is null then 0 else 1 end'
} %}

with panel as (
    select * from {{ ref('slv_trader_panel') }}
    where {{ trader_in_block('address', 'varchar') }}
),

-- How far the cumulative PnL lies below its highest value of the 90 days before; the record begins with 0.
fallen as (
    select
        *,
        cast(row_number() over so_far as integer) as age,
        greatest(
            max(total_pnl) over last_91,
            case when row_number() over so_far <= 90 then first_value(total_pnl - net_pnl) over so_far end
        ) - total_pnl as fall
    from panel
    window
        last_91 as (
            partition by address, starts_at, spell order by date rows between 90 preceding and current row
        ),
        so_far as (
            partition by address, starts_at, spell order by date rows between unbounded preceding and current row
        )
),

-- Counts share windows: each window costs a pass.
summed as (
    select
        address,
        starts_at,
        ends_before,
        date,
        least(age, 90) as n_days,
        idle_days,
        sum(net_pnl) over last_7 as pnl_7,
        sum(net_pnl) over last_30 as pnl_30,
        sum(net_pnl) over last_90 as pnl_90,
        sum(cast(net_pnl as hugeint) * net_pnl) over last_90 as squares_90,
        max(fall) over last_90 as fall_90,
        sum(greatest(net_pnl, 0)) over last_90 as gains_90,
        sum(volume) over last_90 as volume_90,
        sum(case when concentration is not null then volume end) over last_90 as placed_volume_90,
        sum(cast(round(concentration * volume) as bigint)) over last_90 as concentrated_volume_90,
        sum(held_seconds) over last_90 as held_90,
        {%- for parts in packs %}
        sum(
            {{ packed(parts, measures) | indent(12) }}
        ) over last_90 as pack_{{ loop.index }},
        {%- endfor %}
        max(known_at) over so_far as known_at
    from fallen
    window
        last_7 as (partition by address, starts_at, spell order by date rows between 6 preceding and current row),
        last_30 as (partition by address, starts_at, spell order by date rows between 29 preceding and current row),
        last_90 as (partition by address, starts_at, spell order by date rows between 89 preceding and current row),
        so_far as (
            partition by address, starts_at, spell order by date rows between unbounded preceding and current row
        )
),

unpacked as (
    select
        *,
        {%- for parts in packs %}
        {%- set pack = 'pack_' ~ loop.index %}
        {%- for name, bits in parts %}
        {{ unpacked(pack, parts, name) }} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}{{ ',' if not loop.last }}
        {%- endfor %}
    from summed
    where date >= {{ traders_from('snapshot_date') }} and date >= starts_at and date < ends_before
),

counted as (
    select
        *,
        gains_90 - pnl_90 as losses_90
    from unpacked
),

-- No account equity is published, so the capital in use stands in for it: the mean volume of a day with fills.
scaled as (
    select
        *,
        cast(
            greatest(
                coalesce(volume_90 / nullif(cast(n_with_volume as double), 0), 0),
                {{ usd_fixed(var('trader_capital_floor_usd')) }}
            ) as double
        ) as capital,
        sqrt({{ fixed_variance('n_days', 'cast(pnl_90 as hugeint)', 'cast(squares_90 as hugeint)') }}) as deviation
    from counted
)

select
    address,
    {%- for n in [7, 30, 90] %}
    {{ trader_value('(cast(pnl_' ~ n ~ ' as double) / capital)', 12, '1e6') }} as roi_{{ n }}d,
    {%- endfor %}
    {%- for n in [7, 30, 90] %}
    {{ usd('pnl_' ~ n) }} as pnl_{{ n }}d,
    {%- endfor %}
    {{ trader_value('n_wins / nullif(cast(n_trades_with_wins as double), 0)', 12) }} as win_rate,
    case
        when gains_90 > 0 and (losses_90 < 10000 or gains_90 > 1000000 * losses_90) then cast('infinity' as double)
        else {{ trader_value('cast(gains_90 as double) / nullif(cast(losses_90 as double), 0)', 12) }}
    end as profit_factor,
    {{ trader_value(
        '(sqrt(365e0) * (cast(pnl_90 as double) / n_days) / nullif(deviation, 0))', 12, '1e3'
    ) }} as pseudo_sharpe,
    {{ trader_value('(cast(fall_90 as double) / capital)', 12, '1e6') }} as max_drawdown,
    cast(n_trades as double) as trade_count,
    {{ trader_value('cast(pnl_90 as double) / 1e6 / nullif(cast(n_trades as double), 0)', 9) }} as avg_trade_pnl,
    {{ trader_value('deviation / 1e6', 9) }} as pnl_volatility,
    {{ trader_value('cast(held_90 as double) / 3600 / nullif(cast(n_closed as double), 0)', 9) }} as avg_hold_hours,
    {{ trader_value('n_long / nullif(cast(n_trades_with_side as double), 0)', 12) }} as long_ratio,
    {{ trader_value(
        'cast(concentrated_volume_90 as double) / nullif(cast(placed_volume_90 as double), 0)', 12
    ) }} as coin_concentration,
    {{ trader_value('n_profitable / nullif(cast(n_active as double), 0)', 12) }} as consistency,
    {{ trader_value('exp(-idle_days / 30e0)', 12) }} as recency_decay,
    date as snapshot_date,
    known_at
from scaled
order by date, address
