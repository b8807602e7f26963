{#
    Features of trades, quotes, books and chains at a level: nothing is read that happened at t1 or later. `candidates` is a relation with
    symbol, date, t1, level_price, direction_sign and `key`, which names its rows: touches of the past, or what a viewport scores now.

    A feed counts from its first row of the session on: before that, and without it, its features are NULL and its flag is false.
#}
{% macro event_microstructure(candidates, key='event_id') -%}
with micro_moments as (
    select distinct
        symbol,
        date,
        t1
    from {{ candidates }}
),

-- Rows are found by the windows that they lie in, counted from the epoch.
micro_buckets as (
    select
        symbol,
        date,
        t1,
        unnest(range(
            (epoch_us(t1) - {{ micro_microseconds() * var('events_micro_long_windows') }}) // {{ micro_microseconds() }},
            (epoch_us(t1) - 1) // {{ micro_microseconds() }} + 1
        )) as bucket
    from micro_moments
),

{{ micro_feed('trades', 'trades', 'side, price, size', 'is_price_forming') }},

{{ micro_feed('quotes', 'quotes', 'bid, bid_size, ask, ask_size, bid_change, ask_change', 'true') }},

micro_tape as (
    {{ tape_of_moments('micro_trades_near') }}
),

micro_runs as (
    {{ tape_runs('micro_trades_near') }}
),

micro_sweeps as (
    {{ tape_sweeps('micro_runs') }}
),

micro_barrier as (
    {{ barrier_of_moments('micro_quotes_near') }}
),

micro_fuel as (
    {{ fuel_of_candidates(candidates, key) }}
),

micro_joined as (
    select
        candidates.{{ key }},
        candidates.direction_sign,
        tape_feeds.feed is not null as has_trades,
        coalesce(quote_feeds.feed = 'quotes', false) as has_quotes,
        coalesce(quote_feeds.feed = 'book', false) as has_book,
        fuel.gross_all is not null as has_chain,
        {%- for column in ['trades_1', 'trades_2', 'trades_long'] %}
        case when tape_feeds.feed is not null then coalesce(tape.{{ column }}, 0) end as {{ column }},
        {%- endfor %}
        {%- for column in ['swept_up', 'swept_down'] %}
        case when tape_feeds.feed is not null then coalesce(sweeps.{{ column }}, 0) end as {{ column }},
        {%- endfor %}
        tape.* exclude (symbol, t1, trades_1, trades_2, trades_long),
        barrier.* exclude (symbol, t1, is_book),
        fuel.* exclude ({{ key }})
    from {{ candidates }} as candidates
    left join micro_trades_feed as tape_feeds on candidates.symbol = tape_feeds.symbol and candidates.t1 = tape_feeds.t1
    left join micro_quotes_feed as quote_feeds on candidates.symbol = quote_feeds.symbol and candidates.t1 = quote_feeds.t1
    left join micro_tape as tape on candidates.symbol = tape.symbol and candidates.t1 = tape.t1
    left join micro_sweeps as sweeps on candidates.symbol = sweeps.symbol and candidates.t1 = sweeps.t1
    left join micro_barrier as barrier on candidates.symbol = barrier.symbol and candidates.t1 = barrier.t1
    left join micro_fuel as fuel on candidates.{{ key }} = fuel.{{ key }}
)

select
    {{ key }},
    {%- for name, sql in event_microstructure_features() %}
    cast({{ sql }} as float) as {{ name }},
    {%- endfor %}
    has_trades,
    has_quotes,
    has_book,
    has_chain
from micro_joined
{%- endmacro %}

{# name and SQL of every column, in the order of the table. #}
{% macro event_microstructure_features() -%}
    {%- set net = '(' ~ tape_pressure() ~ ' + ' ~ liquidity_pressure() ~ ' - ' ~ barrier_net() ~ ') / 3' -%}
    {{ return(barrier_features() + tape_features() + [['net_break_pressure', net]] + fuel_features()) }}
{%- endmacro %}

{% macro micro_microseconds() -%}
    {{ return(var('events_micro_seconds') * 1000000) }}
{%- endmacro %}

{#
    The feed that a moment reads, the consolidated one where it has begun and else the book, and its rows of the long window: micro_window is
    1 for the last window before t1, 2 for the one before it.
#}
{% macro micro_feed(name, preferred, columns, condition) -%}
micro_{{ name }}_begun as (
    select
        symbol,
        date,
        feed,
        min(ts) as begins_at
    from {{ ref('slv_intraday_' ~ name) }}
    where {{ condition }}
    group by symbol, date, feed
),

micro_{{ name }}_feed as (
    select
        moments.symbol,
        moments.date,
        moments.t1,
        max_by(feeds.feed, feeds.feed = '{{ preferred }}') as feed
    from micro_moments as moments
    inner join micro_{{ name }}_begun as feeds
        on moments.symbol = feeds.symbol and moments.date = feeds.date and moments.t1 > feeds.begins_at
    group by moments.symbol, moments.date, moments.t1
),

micro_{{ name }}_near as (
    select
        feeds.symbol,
        feeds.t1,
        feeds.feed = 'book' as is_book,
        {%- for column in columns.split(', ') %}
        ticks.{{ column }},
        {%- endfor %}
        ticks.tick,
        ticks.ts,
        (epoch_us(feeds.t1) - epoch_us(ticks.ts) - 1) // {{ micro_microseconds() }} + 1 as micro_window
    from micro_buckets as buckets
    inner join micro_{{ name }}_feed as feeds on buckets.symbol = feeds.symbol and buckets.t1 = feeds.t1
    inner join {{ ref('slv_intraday_' ~ name) }} as ticks
        on
            feeds.symbol = ticks.symbol
            and feeds.date = ticks.date
            and feeds.feed = ticks.feed
            and buckets.bucket = epoch_us(ticks.ts) // {{ micro_microseconds() }}
    where
        {{ condition }}
        and ticks.ts < feeds.t1
        and epoch_us(ticks.ts) >= epoch_us(feeds.t1) - {{ micro_microseconds() * var('events_micro_long_windows') }}
)
{%- endmacro %}
