{#
    Gaussian ranks: the standard normal quantile of (rank - 1/2) / n, with average ranks of ties and n the number of values that are not NULL.

    The normal quantile is algorithm AS 241, routine PPND16 (Wichura 1988, "The Percentage Points of the Normal Distribution", Applied
    Statistics 37, 477-484): three ratios of polynomials of degree 7, relative error about 1e-16. Plain arithmetic, ln and sqrt: no extension.
    It is computed in two steps, so that the text stays short: the argument of the polynomials first, as a column of a CTE.
#}

{# From q = p - 1/2 and tail = min(p, 1 - p). The tail is an argument of its own because 1 - p has lost the digits of a small p. #}
{% macro normal_quantile_argument(q, tail) -%}
    case when abs({{ q }}) <= 0.425e0 then 0.180625e0 - {{ q }} * {{ q }} else sqrt(-ln({{ tail }})) end
{%- endmacro %}

{# From q and the argument r, two columns. #}
{% macro normal_quantile(q, r) -%}
    {%- set centre = [
        [
            '2.5090809287301226727e3', '3.3430575583588128105e4', '6.7265770927008700853e4', '4.5921953931549871457e4',
            '1.3731693765509461125e4', '1.9715909503065514427e3', '1.3314166789178437745e2', '3.3871328727963666080e0'
        ],
        [
            '5.2264952788528545610e3', '2.8729085735721942674e4', '3.9307895800092710610e4', '2.1213794301586595867e4',
            '5.3941960214247511077e3', '6.8718700749205790830e2', '4.2313330701600911252e1', '1e0'
        ]
    ] -%}
    {%- set middle = [
        [
            '7.74545014278341407640e-4', '2.27238449892691845833e-2', '2.41780725177450611770e-1', '1.27045825245236838258e0',
            '3.64784832476320460504e0', '5.76949722146069140550e0', '4.63033784615654529590e0', '1.42343711074968357734e0'
        ],
        [
            '1.05075007164441684324e-9', '5.47593808499534494600e-4', '1.51986665636164571966e-2', '1.48103976427480074590e-1',
            '6.89767334985100004550e-1', '1.67638483018380384940e0', '2.05319162663775882187e0', '1e0'
        ]
    ] -%}
    {%- set tail = [
        [
            '2.01033439929228813265e-7', '2.71155556874348757815e-5', '1.24266094738807843860e-3', '2.65321895265761230930e-2',
            '2.96560571828504891230e-1', '1.78482653991729133580e0', '5.46378491116411436990e0', '6.65790464350110377720e0'
        ],
        [
            '2.04426310338993978564e-15', '1.42151175831644588870e-7', '1.84631831751005468180e-5', '7.86869131145613259100e-4',
            '1.48753612908506148525e-2', '1.36929880922735805310e-1', '5.99832206555887937690e-1', '1e0'
        ]
    ] -%}
    {%- set below = 'case when ' ~ q ~ ' < 0 then -1e0 else 1e0 end' -%}
    case
        when abs({{ q }}) <= 0.425e0
            then {{ q }} * {{ polynomial(centre[0], r) }} / {{ polynomial(centre[1], r) }}
        when {{ r }} <= 5e0
            then {{ below }} * {{ polynomial(middle[0], '(' ~ r ~ ' - 1.6e0)') }} / {{ polynomial(middle[1], '(' ~ r ~ ' - 1.6e0)') }}
        else {{ below }} * {{ polynomial(tail[0], '(' ~ r ~ ' - 5e0)') }} / {{ polynomial(tail[1], '(' ~ r ~ ' - 5e0)') }}
    end
{%- endmacro %}

{# By Horner's rule; the coefficient of the highest power first. #}
{% macro polynomial(coefficients, variable) -%}
    {%- set text = namespace(value=coefficients[0]) -%}
    {%- for coefficient in coefficients[1:] -%}
        {%- set text.value = '(' ~ text.value ~ ' * ' ~ variable ~ ' + ' ~ coefficient ~ ')' -%}
    {%- endfor -%}
    {{ text.value }}
{%- endmacro %}

{#
    Columns q_x and r_x, the two steps' first, from the CTEs of cs_rank (macros/cross_section.sql). Twice the rank is a whole number and q one
    quotient of whole numbers, so the Gaussian ranks of x and of -x are each other's negatives bit for bit.
#}
{% macro cs_gaussian_rank_arguments(column, ends, scale) -%}
    {%- set name = column.split('.')[-1] -%}
    {%- set n = scale ~ '.n_' ~ name -%}
    {%- set ranks = ends ~ '.' ~ name ~ '_first + round(' ~ ends ~ '.' ~ name ~ '_share * ' ~ scale ~ '.n_rows)' -%}
    {%- set q = '((' ~ ranks ~ ' - 1 - ' ~ n ~ ') / (2e0 * nullif(' ~ n ~ ', 0)))' -%}
    {%- set tail = '((' ~ n ~ ' - abs(' ~ ranks ~ ' - 1 - ' ~ n ~ ')) / (2e0 * nullif(' ~ n ~ ', 0)))' -%}
    case when {{ column }} is not null then {{ q }} end as q_{{ name }},
    case when {{ column }} is not null then {{ normal_quantile_argument(q, tail) }} end as r_{{ name }}
{%- endmacro %}

{# `arguments` names the CTE of cs_gaussian_rank_arguments. One value alone, and the middle of an odd number, is 0; NULL stays NULL. #}
{% macro cs_gaussian_rank(column, arguments) -%}
    {%- set name = column.split('.')[-1] -%}
    {{ normal_quantile(arguments ~ '.q_' ~ name, arguments ~ '.r_' ~ name) }}
{%- endmacro %}
