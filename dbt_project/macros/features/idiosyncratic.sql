{#
    What the market, or the sector, does not explain: the residual standard deviation of the regression of r on an intercept and the
    benchmark's return, n - 2 degrees of freedom, annualised by sqrt(252); after Ang, Hodrick, Xing and Zhang (2006), with one factor and
    log returns.

    The market is m, the equal-weighted universe. The sector's return s is the mean r of the universe members of the sector that the symbol
    had on the session, the symbol among them, as known then. A sector with fewer than two members has none on that session; sessions
    without s are left out.
#}
{% macro idiosyncratic_features(windows) -%}
    {%- set features = [] -%}
    {%- set sources = 'close, dividend_amount, split_coefficient' -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='idiosyncratic_volatility_' ~ n ~ 'd', family='idiosyncratic', window=n, unit='annualised', lookback=n, quantum='1e-12',
            formula='sqrt(252 / (c - 2) sum(e^2, ' ~ n ~ ')), e = r - a - b m by least squares, c = sessions counted',
            sources=sources,
            sql='case when ' ~ has_history(n) ~ ' and market_count_' ~ n ~ ' = ' ~ n ~ ' then ' ~ residual_volatility(
                n, '(log_index - log_index_' ~ n ~ ')::hugeint', 'return_squares_' ~ n, 'market_sum_' ~ n, 'market_squares_' ~ n,
                'market_products_' ~ n
            ) ~ ' end'
        )) -%}
    {%- endfor -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='sector_beta_' ~ n ~ 'd', family='idiosyncratic', window=n, unit='ratio', lookback=n, quantum='1e-12',
            formula='cov(r, s, ' ~ n ~ ') / var(s, ' ~ n ~ '), s = mean r over the universe members of the sector',
            sources=sources ~ ', sector',
            sql='case when ' ~ has_sector(n) ~ ' then ' ~ regression_slope(
                'sector_count_' ~ n, 'sector_own_sum_' ~ n, 'sector_sum_' ~ n, 'sector_squares_' ~ n, 'sector_products_' ~ n
            ) ~ ' end'
        )) -%}
    {%- endfor -%}
    {%- for n in windows -%}
        {%- do features.append(feature(
            name='sector_idiosyncratic_volatility_' ~ n ~ 'd', family='idiosyncratic', window=n, unit='annualised', lookback=n, quantum='1e-12',
            formula='sqrt(252 / (c - 2) sum(e^2, ' ~ n ~ ')), e = r - a - b s by least squares, c = sessions counted',
            sources=sources ~ ', sector',
            sql='case when ' ~ has_sector(n) ~ ' then ' ~ residual_volatility(
                'sector_count_' ~ n, 'sector_own_sum_' ~ n, 'sector_own_squares_' ~ n, 'sector_sum_' ~ n, 'sector_squares_' ~ n,
                'sector_products_' ~ n
            ) ~ ' end'
        )) -%}
    {%- endfor -%}
    {{ return(features) }}
{%- endmacro %}

{# History enough, and a return of the sector on four fifths of the window's sessions. #}
{% macro has_sector(n) -%}
    {{ has_history(n) }} and sector_count_{{ n }} >= {{ four_fifths(n) }}
{%- endmacro %}

{# n sum(xy) - sum(x) sum(y), from exact sums. #}
{% macro scaled_covariance(n, x_sum, y_sum, products) -%}
    cast({{ n }} * {{ products }} - {{ y_sum }} * {{ x_sum }} as double)
{%- endmacro %}

{# Of y on x; NULL where x does not vary. #}
{% macro regression_slope(n, y_sum, x_sum, x_squares, products) -%}
    {{ scaled_covariance(n, x_sum, y_sum, products) }} / nullif({{ scaled_covariance(n, x_sum, x_sum, x_squares) }}, 0)
{%- endmacro %}

{# The deviation of y from its regression on x; NULL where x does not vary. #}
{% macro residual_volatility(n, y_sum, y_squares, x_sum, x_squares, products) -%}
    {%- set covariance = scaled_covariance(n, x_sum, y_sum, products) -%}
    {%- set x_variance = 'nullif(' ~ scaled_covariance(n, x_sum, x_sum, x_squares) ~ ', 0)' -%}
    {%- set left = scaled_covariance(n, y_sum, y_sum, y_squares) ~ ' - ' ~ covariance ~ ' * ' ~ covariance ~ ' / ' ~ x_variance -%}
    sqrt(252 * greatest({{ left }}, 0 * {{ x_variance }}) / (1.0 * {{ n }} * ({{ n }} - 2))) / 1e12
{%- endmacro %}
