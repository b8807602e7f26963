{{ config(
    materialized='trader_table',
    meta={
        'date_column': 'as_of',
        'blocks': 'addresses',
        'input_schema': 'gold',
        'input': 'traders_windows',
        'input_date': 'snapshot_date'
    }
) }}

{%- set wanted = "cast('" ~ (var('trader_features_from') or '1900-01-01') ~ "' as date)" %}
{%- set first_date = 'greatest(' ~ traders_from('as_of') ~ ', ' ~ wanted ~ ')' %}

with windows as (
    select * from {{ ref('gld_traders_windows') }}
    where
        snapshot_date >= {{ first_date }} - {{ var('trader_lookback_days') }}
        and {{ trader_in_block('address', 'varchar') }}
),

{{ trader_aggregates(
    'windows', trader_window_columns(), first_date, trader_few_dates(first_date, ref('gld_traders_windows'))
) }}

select * from aggregated
order by as_of, address
