with landed as (
    select * from {{ landed('option_quotes') }}
),

known as (
    select
        symbol,
        contract,
        option_type,
        source,
        batch_id,
        file,
        line,
        strike,
        underlying_price,
        bid,
        ask,
        last,
        volume,
        open_interest,
        implied_vol,
        delta,
        gamma,
        date,
        expiration,
        known_at,
        ingested_at
    from landed
    where {{ known_by_now() }}
)

select * from known
