{#
    The features of gold.equities_risk in column order: the symbol's own, which have twins, then the market's. Close-to-close volatility
    over 20 and 60 sessions and beta over 60 are columns of gold.equities_features: a feature has one definition.
#}
{% macro risk_features() -%}
    {{ return(checked_features(
        realised_volatility_features([5, 10, 120])
        + range_volatility_features([5, 10, 20, 60, 120])
        + volatility_dynamics_features([[5, 60], [20, 120]], 60)
        + illiquidity_features([20, 60])
        + turnover_features([1, 5, 20], 120, 60)
        + beta_features(120)
        + idiosyncratic_features([60, 120])
        + calendar_effect_features()
        + market_regime_features(),
        risk_columns()
    )) }}
{%- endmacro %}

{# Twins: every feature of a symbol has the first three; those of one kind whose tails or common drivers matter most have the others too. #}
{% macro risk_twins() -%}
    {%- set chosen = [
        'yang_zhang_volatility_20d', 'volatility_ratio_20d_120d', 'amihud_illiquidity_20d', 'abnormal_turnover_20d_120d',
        'idiosyncratic_volatility_60d', 'sector_idiosyncratic_volatility_60d'
    ] -%}
    {{ return({'_dm': 'all', '_rank': 'all', '_sn': 'all', '_wz': chosen, '_gauss': chosen, '_fn': chosen}) }}
{%- endmacro %}

{# What `_fn` takes out: size, market beta and momentum, as gold.equities_features defines them. #}
{% macro risk_factors() -%}
    {%- set factors = [] -%}
    {%- for name in ['size_log_adv_20d', 'beta_60d', 'momentum_126d'] -%}
        {%- do factors.extend(equities_features() | selectattr('name', 'equalto', name) | list) -%}
    {%- endfor -%}
    {{ return(factors) }}
{%- endmacro %}

{# The columns that the expressions may read. #}
{% macro risk_columns() -%}
    {%- set columns = risk_given_columns() -%}
    {%- for step in risk_feature_columns() -%}{%- do columns.extend(step.keys()) -%}{%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{#
    The first date whose state of the market new rows can change, or the session `sessions` before it: that of the other tables, and the day on
    which the first new value of a series was known.
#}
{% macro risk_sessions_from(sessions) -%}
    {%- set days = ['1900-01-01'] -%}
    {%- if execute and is_incremental() -%}
        {%- set days = [first_replaced_date() | string] -%}
        {%- for file in fresh_batches('series') -%}
            {%- set first_known = "select cast(min(cast(known_at as date)) as varchar) from read_parquet('" ~ file ~ "')" -%}
            {%- do days.extend(run_query(first_known).columns[0].values()) -%}
        {%- endfor -%}
    {%- endif -%}
    cast('{{ sessions_before(days | select | min, sessions) if execute else '1900-01-01' }}' as date)
{%- endmacro %}

{# Whether this build may read the batch: one that lands while it runs waits for the next. #}
{% macro is_noted(batch_id, dataset) -%}
    {{ batch_id }} in (select seen.batch_id from meta.batches as seen where seen.dataset = '{{ dataset }}')
{%- endmacro %}
