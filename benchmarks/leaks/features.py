"""Leaks of features, of their cross-sections, and of the regime."""

from benchmarks.leaks import FEATURES, LABEL, TRAINING, Leak

NORMAL = "sqrt(-2 * ln(noise + 1e-9)) * cos(6.283185 * ((noise * 7919) % 1))"
"""A standard normal number from a uniform one (Box and Muller)."""


def ranked_anew(feature: str) -> tuple[str, ...]:
    """Return statements that make the twins of a changed raw feature again."""
    return (
        f"""
        update {FEATURES} as f set {feature}_dm = n.dm, {feature}_rank = n.r, {feature}_sn = n.sn
        from (
            select symbol, date,
                coalesce(({feature} - avg({feature}) over d) / nullif(stddev_samp({feature}) over d, 0), 0) as dm,
                (rank() over (partition by date order by {feature})
                    + (count(*) over (partition by date, {feature}) - 1) / 2) / count(*) over d as r,
                coalesce(({feature} - avg({feature}) over s) / nullif(stddev_samp({feature}) over s, 0), 0) as sn
            from (select *, {feature}::double as x from {FEATURES})
            where in_universe and {feature} is not null
            window d as (partition by date), s as (partition by date, coalesce(sector, ''))
        ) as n where n.symbol = f.symbol and n.date = f.date
        """,
    )


def ahead(feature: str, sessions: int) -> str:
    """Return the statement that gives each row the feature of some sessions later."""
    return f"""
        update {FEATURES} as f set {feature} = l.{feature}
        from silver.calendar as now, silver.calendar as later, {FEATURES} as l
        where now.date = f.date and later.session_index = now.session_index + {sessions}
            and l.symbol = f.symbol and l.date = later.date and l.{feature} is not null
    """


def added(expression: str) -> tuple[str, ...]:
    """Return statements that add a column ``vendor_score`` to features and training, made from a training row."""
    return (
        f"create table scores as select symbol, date, ({expression})::float as vendor_score from ("
        "select *, hash(symbol, date) % 1000003 / 1000003.0 as noise, row_number() over (order by date, value) as "
        "place "
        f"from {TRAINING} where label = '{LABEL}')",
        f"create table copied as select f.*, s.vendor_score from {FEATURES} as f left join scores as s using "
        "(symbol, date)",
        f"drop table {FEATURES}",
        f"create table {FEATURES} as from copied",
        f"create table trained as select t.*, s.vendor_score from {TRAINING} as t left join scores as s using "
        "(symbol, date)",
        f"drop table {TRAINING}",
        f"create table {TRAINING} as from trained",
    )


FEATURE_LEAKS = (
    Leak("the target among the features", "feature_is_target", (FEATURES, TRAINING), added("value"), ("vendor_score",)),
    Leak(
        "the target disguised: a falling function of it, scaled by date",
        "feature_is_target",
        (FEATURES, TRAINING),
        added("-exp(5 * value) * (1 + day(date))"),
        ("vendor_score",),
    ),
    Leak(
        "the target in the order of the rows",
        "feature_is_target",
        (FEATURES, TRAINING),
        added("place"),
        ("vendor_score",),
    ),
    Leak(
        "the target under heavy noise",
        "feature_predicts_too_well",
        (FEATURES, TRAINING),
        added(f"value + 0.12 * {NORMAL}"),
        ("vendor_score",),
    ),
    Leak(
        "tomorrow's close in a slow vendor score",
        "feature_predicts_too_well",
        (FEATURES, TRAINING),
        (
            "create table tomorrow as select symbol, date, ln(lead(close) over w / close) as r from silver.equity_bars "
            "window w as (partition by symbol order by date)",
            *(
                statement.replace(
                    f"from {TRAINING} where", f"from {TRAINING} left join tomorrow using (symbol, date) where"
                )
                for statement in added(f"r + 0.06 * {NORMAL}")
            ),
        ),
        ("vendor_score",),
    ),
    Leak(
        "future close in momentum, ranked anew",
        "feature_not_point_in_time",
        (FEATURES,),
        (ahead("momentum_5d", 1), *ranked_anew("momentum_5d")),
    ),
    Leak(
        "centred volatility window, ranked anew",
        "feature_not_point_in_time",
        (FEATURES,),
        (ahead("realised_volatility_20d", 10), *ranked_anew("realised_volatility_20d")),
    ),
    Leak(
        "drawdown from a high yet to come, ranked anew",
        "feature_not_point_in_time",
        (FEATURES,),
        (ahead("drawdown_126d", 3), *ranked_anew("drawdown_126d")),
    ),
    Leak(
        "revised data: volumes as corrected later, ranked anew",
        "feature_not_point_in_time",
        (FEATURES,),
        (
            f"""
            update {FEATURES} as f set adv_20d = n.adv from (
                select symbol, date, (avg(round(close * volume)) over w / 1e6)::float as adv from silver.equity_bars
                window w as (partition by symbol order by session_index range between 19 preceding and current row)
            ) as n where n.symbol = f.symbol and n.date = f.date and f.adv_20d is not null
                and abs(n.adv / f.adv_20d - 1) > 1e-5
            """,
            *ranked_anew("adv_20d"),
        ),
    ),
    Leak(
        "features of the next session joined to the label",
        "feature_differs_from_source",
        (TRAINING,),
        (
            f"update {TRAINING} as t set momentum_5d_rank = f.momentum_5d_rank, gap_1d_rank = f.gap_1d_rank "
            f"from {FEATURES} as f, silver.calendar as c where c.session_index = t.session_index + 1 and f.date = "
            "c.date "
            "and f.symbol = t.symbol",
        ),
    ),
    Leak(
        "z-scores with the moments of the whole sample",
        "twin_differs_from_cross_section",
        (FEATURES,),
        (
            f"update {FEATURES} set momentum_20d_dm = (momentum_20d - (select avg(momentum_20d) from {FEATURES})) "
            f"/ (select stddev_samp(momentum_20d) from {FEATURES}) where in_universe",
        ),
        ("momentum_20d_dm",),
    ),
    Leak(
        "ranks over all dates",
        "twin_differs_from_cross_section",
        (FEATURES,),
        (
            f"update {FEATURES} as f set momentum_20d_rank = n.r from (select symbol, date, percent_rank() over "
            f"(order by momentum_20d) as r from {FEATURES} where in_universe and momentum_20d is not null) as n "
            "where n.symbol = f.symbol and n.date = f.date",
        ),
    ),
    Leak(
        "ranks over every symbol, members or not",
        "twin_differs_from_cross_section",
        (FEATURES,),
        (
            f"update {FEATURES} as f set momentum_20d_rank = n.r from (select symbol, date, rank() over d / "
            "count(*) over "
            f"(partition by date) as r from {FEATURES} where momentum_20d is not null window d as (partition by date "
            "order by momentum_20d)) as n where n.symbol = f.symbol and n.date = f.date and f.in_universe",
        ),
    ),
    Leak(
        "regimes from the terciles of the whole sample",
        "regime_differs",
        ("gold.equities_regime",),
        (
            "update gold.equities_regime as g set regime = ['low', 'mid', 'high'][n.third] from (select date, "
            "ntile(3) over "
            "(order by market_volatility) as third from gold.equities_regime where market_volatility is not null) as n "
            "where n.date = g.date and g.regime is not null",
        ),
    ),
    Leak(
        "history rewritten since the last snapshot",
        "past_changed",
        (FEATURES,),
        (f"update {FEATURES} set beta_60d = beta_60d * 1.01 where month(date) = 11",),
    ),
)
