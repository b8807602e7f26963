"""The leaks that benchmarks/planted_leaks.py plants, each with the check that must name it.

A leak changes a private copy of the snapshot (SQL), the matrix on its way to the fit, or the splits. Plants are careful:
whoever leaks tomorrow's price into a feature also ranks it anew, so that no side effect gives it away.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.rng import stream
from trademl.training.dataset import TrainingData
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.spans import LabelSpans
from trademl.validation.splits import Split

LABEL = "fwd_5d"
FEATURES = "gold.equities_features"
LABELS = "gold.equities_labels"
TRAINING = "gold.equities_training"
FOLDS, TEST_FOLDS, EMBARGO = 8, 2, 10

Con = duckdb.DuckDBPyConnection


@dataclass(frozen=True)
class Leak:
    """One way to leak, and the check that must refuse it.

    Attributes:
        tables: relations of the snapshot that become tables of the copy, for ``sql`` to change.
        sql: statements that plant it.
        columns: features that the run uses besides the ranks.
        matrix: changes what is fitted.
        splits: makes the splits instead of the product's splitter.
    """

    name: str
    check: str
    tables: tuple[str, ...] = ()
    sql: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    matrix: Callable[[TrainingData], TrainingData] | None = None
    splits: Callable[[TrainingData], list[Split]] | None = None


def own(con: Con, tables: Sequence[str]) -> None:
    """Turn views of the private snapshot into tables, those that others need last."""
    for name in tables:
        con.execute(f"create table main_copy as from {name}")
        con.execute(f"drop view {name}")
        con.execute(f"create table {name} as from main_copy")
        con.execute("drop table main_copy")


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
    """Return statements that add a column ``vendor_score`` to features and training, made from (symbol, date, value)."""
    return (
        f"create table scores as select symbol, date, ({expression})::float as vendor_score from ("
        f"select *, hash(symbol, date) % 1000003 / 1000003.0 as noise, row_number() over (order by date, value) as place "
        f"from {TRAINING} where label = '{LABEL}')",
        f"create table copied as select f.*, s.vendor_score from {FEATURES} as f left join scores as s using (symbol, date)",
        f"drop table {FEATURES}",
        f"create table {FEATURES} as from copied",
        f"create table trained as select t.*, s.vendor_score from {TRAINING} as t left join scores as s using (symbol, date)",
        f"drop table {TRAINING}",
        f"create table {TRAINING} as from trained",
    )


LAST = "(select max(date) from silver.equity_bars)"
NORMAL = "sqrt(-2 * ln(noise + 1e-9)) * cos(6.283185 * ((noise * 7919) % 1))"
SURVIVORS = f"(select symbol from silver.equity_bars where date = {LAST})"
OF_LABEL = f"label = '{LABEL}'"

LABEL_LEAKS = (
    Leak(
        "label shifted by one session",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = n.value from {LABELS} as n where l.{OF_LABEL} and n.{OF_LABEL} "
            "and n.symbol = l.symbol and n.session_index = l.session_index + 1 and n.value is not null and l.value is not null",
        ),
    ),
    Leak(
        "label of a longer horizon under the short one's end",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = n.value from {LABELS} as n where l.{OF_LABEL} and n.label = 'fwd_20d' "
            "and n.symbol = l.symbol and n.date = l.date and n.value is not null and l.value is not null",
        ),
    ),
    Leak(
        "label entered at the decision's close, not the next open",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = (1 + l.value) * n.open / b.close - 1 from silver.equity_bars as b, "
            f"silver.equity_bars as n where l.{OF_LABEL} and l.value is not null and b.symbol = l.symbol and b.date = l.date "
            "and n.symbol = l.symbol and n.session_index = l.session_index + 1",
        ),
    ),
    Leak(
        "labels of two symbols mixed",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = n.value from {LABELS} as n where l.{OF_LABEL} and n.{OF_LABEL} "
            "and l.symbol in ('S002', 'S003') and n.symbol in ('S002', 'S003') and n.symbol <> l.symbol "
            "and n.date = l.date and n.value is not null and l.value is not null",
        ),
    ),
    Leak(
        "label end declared two sessions early",
        "label_end_differs",
        (LABELS,),
        (
            f"update {LABELS} as l set end_index = l.end_index - 2, label_end_date = c.date from silver.calendar as c "
            f"where l.{OF_LABEL} and c.session_index = l.end_index - 2",
        ),
    ),
    Leak(
        "pending outcomes filled with a guess",
        "pending_outcome_used",
        (LABELS,),
        (
            f"update {LABELS} set value = 0.0, outcome = 'resolved', label_end_date = {LAST}, uniqueness_weight = 0.2, "
            f"end_index = (select max(session_index) from silver.equity_bars) where {OF_LABEL} and outcome = 'pending'",
        ),
    ),
    Leak(
        "delisted outcomes dropped",
        "outcome_missing",
        (LABELS,),
        (f"delete from {LABELS} where outcome = 'delisted'",),
    ),
    Leak(
        "the losers of each date dropped",
        "outcome_missing",
        (LABELS,),
        (f"delete from {LABELS} where {OF_LABEL} and value < -0.15",),
    ),
    Leak(
        "weights that grow with the outcome",
        "weight_differs",
        (LABELS,),
        (f"update {LABELS} set uniqueness_weight = uniqueness_weight * (1 + abs(value)) where {OF_LABEL}",),
    ),
    Leak(
        "weights that count resolved labels only",
        "weight_differs",
        (LABELS,),
        (
            f"create table resolved as select symbol, session_index as t, end_index as e from {LABELS} "
            f"where {OF_LABEL} and value is not null",
            f"""
            update {LABELS} as l set uniqueness_weight = w.weight from (
                select symbol, t, avg(1 / n) as weight from (
                    select r.symbol, r.t, r.s, count(*) as n
                    from (select *, unnest(range(t + 1, e + 1)) as s from resolved) as r
                    inner join resolved as o on r.symbol = o.symbol and o.t < r.s and o.e >= r.s
                    group by r.symbol, r.t, r.s
                ) group by symbol, t
            ) as w where l.{OF_LABEL} and l.symbol = w.symbol and l.session_index = w.t
            """,
        ),
    ),
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
            ) as n where n.symbol = f.symbol and n.date = f.date and f.adv_20d is not null and abs(n.adv / f.adv_20d - 1) > 1e-5
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
            f"from {FEATURES} as f, silver.calendar as c where c.session_index = t.session_index + 1 and f.date = c.date "
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
            f"update {FEATURES} as f set momentum_20d_rank = n.r from (select symbol, date, rank() over d / count(*) over "
            f"(partition by date) as r from {FEATURES} where momentum_20d is not null window d as (partition by date "
            "order by momentum_20d)) as n where n.symbol = f.symbol and n.date = f.date and f.in_universe",
        ),
    ),
    Leak(
        "regimes from the terciles of the whole sample",
        "regime_differs",
        ("gold.equities_regime",),
        (
            "update gold.equities_regime as g set regime = ['low', 'mid', 'high'][n.third] from (select date, ntile(3) over "
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

ROW_LEAKS = (
    Leak(
        "known times claimed a day early",
        "known_at_before_source",
        (FEATURES,),
        (f"update {FEATURES} set known_at = known_at - interval 1 day",),
    ),
    Leak(
        "features known after the decision",
        "known_after_decision",
        (TRAINING,),
        (f"update {TRAINING} set known_at = known_at + interval 1 hour where symbol = 'S005'",),
    ),
    Leak(
        "survivorship: gold keeps symbols that still trade",
        "universe_differs_from_membership",
        (FEATURES, LABELS),
        (
            f"delete from {FEATURES} where symbol not in {SURVIVORS}",
            f"delete from {LABELS} where symbol not in {SURVIVORS}",
        ),
    ),
    Leak(
        "survivorship: the dead are gone from silver too",
        "universe_differs_from_membership",
        (FEATURES, LABELS, "silver.equity_bars", "silver.universe_members"),
        tuple(
            f"delete from {table} where symbol not in {SURVIVORS}"
            for table in (FEATURES, LABELS, "silver.universe_members", "silver.equity_bars")
        ),
    ),
    Leak(
        "today's members applied to the past",
        "universe_differs_from_membership",
        (FEATURES, "silver.universe_members"),
        (
            f"create table today as select symbol from silver.universe_members where date = {LAST}",
            "delete from silver.universe_members",
            "insert into silver.universe_members select symbol, date from silver.equity_bars semi join today using (symbol)",
            f"update {FEATURES} set in_universe = symbol in (from today) and momentum_60d is not null",
        ),
    ),
    Leak(
        "rows of dead symbols left out of the features",
        "bar_without_features",
        (FEATURES,),
        (f"delete from {FEATURES} where symbol not in {SURVIVORS}",),
    ),
    Leak(
        "rows there twice",
        "row_duplicated",
        (TRAINING,),
        (f"insert into {TRAINING} select * from {TRAINING} where {OF_LABEL} and symbol = 'S007'",),
    ),
    Leak(
        "a copy of each fold's rows in the next fold",
        "label_differs_from_prices",
        (FEATURES, LABELS),
        (
            f"create table copies as select l.* replace (c.date as date, c.session_index as session_index, e.date as label_end_date, "
            f"e.session_index as end_index) from {LABELS} as l, silver.calendar as c, silver.calendar as e where l.{OF_LABEL} "
            "and l.symbol = 'S004' and c.session_index = l.session_index + 40 and e.session_index = l.end_index + 40 "
            f"and e.date <= {LAST}",
            f"delete from {LABELS} as l where l.{OF_LABEL} and l.symbol = 'S004' and l.date in (select date from copies)",
            f"insert into {LABELS} from copies",
        ),
    ),
    Leak(
        "rows from after the last session",
        "row_after_as_of",
        (TRAINING,),
        (
            f"insert into {TRAINING} select t.* replace (c.date as date, e.date as label_end_date) from {TRAINING} as t, "
            f"silver.calendar as c, silver.calendar as e where t.{OF_LABEL} and c.session_index = t.session_index + 30 "
            f"and e.session_index = t.session_index + 35 and c.date > {LAST}",
        ),
    ),
)


def standardised(data: TrainingData) -> TrainingData:
    """Scale the matrix with the mean and deviation of all rows, test rows among them."""
    scaled = ((data.X - np.nanmean(data.X, axis=0)) / np.nanstd(data.X, axis=0)).astype(np.float32)
    return replace(data, X=scaled)


def imputed(data: TrainingData) -> TrainingData:
    """Hide some cells and fill them with the mean of all rows."""
    X = data.X.copy()
    hidden = stream(3, "imputed").random(X.shape) < 0.02
    return replace(data, X=np.where(hidden, np.nanmean(X, axis=0), X).astype(np.float32))


def shuffled_labels(data: TrainingData) -> TrainingData:
    """Give each date's rows the labels of the same date in order of their size: the target in the order of rows."""
    value = data.value.copy()
    for day in np.unique(data.dates):
        of_day = data.dates == day
        value[of_day] = np.sort(value[of_day])
    return replace(data, value=value)


MATRIX_LEAKS = (
    Leak("preprocessing fitted on test folds: scaling", "matrix_differs_from_gold", matrix=standardised),
    Leak("preprocessing fitted on test folds: imputation", "matrix_differs_from_gold", matrix=imputed),
    Leak("labels sorted against the rows", "matrix_differs_from_gold", matrix=shuffled_labels),
    Leak(
        "target less the mean of the whole sample",
        "target_differs_from_label",
        matrix=lambda data: replace(data, target=data.value - data.value.mean()),
    ),
    Leak(
        "winners weighted up in the fit",
        "matrix_weight_differs",
        matrix=lambda data: replace(data, weight=data.weight * (1 + (data.value > 0))),
    ),
)


def cpcv(data: TrainingData, spans: LabelSpans | None = None, embargo: int = EMBARGO) -> list[Split]:
    """Return the product's splits, of other spans or with another embargo if given."""
    return list(CombinatorialPurgedCV(FOLDS, TEST_FOLDS, embargo).split(spans or data.spans))


def unpurged(data: TrainingData) -> list[Split]:
    """Take labels to end on their decision: nothing is purged."""
    return cpcv(data, LabelSpans(data.spans.start, data.spans.start, data.spans.entity), EMBARGO + 5)


def early_ends(data: TrainingData) -> list[Split]:
    """Take labels to end a session before they do."""
    return cpcv(data, LabelSpans(data.spans.start, data.spans.end - 1, data.spans.entity), EMBARGO + 1)


def by_row_count(data: TrainingData) -> list[Split]:
    """Purge and embargo by a number of rows on both sides, as if the panel were one series."""
    order, n, found = np.arange(len(data)), len(data), []
    blocks: list[NDArray[Any]] = np.array_split(order, FOLDS)
    for first in range(FOLDS):
        for second in range(first + 1, FOLDS):
            keep = np.ones(n, dtype=bool)
            for block in (blocks[first], blocks[second]):
                keep[max(block[0] - 5, 0) : block[-1] + 1 + EMBARGO] = False
            test = np.concatenate([blocks[first], blocks[second]])
            found.append(Split(len(found), order[keep].astype(np.int64), test.astype(np.int64), (first, second)))
    return found


def shuffled(data: TrainingData) -> list[Split]:
    """Draw folds row by row: rows of one date on both sides."""
    fold = stream(5, "shuffled").integers(0, FOLDS, len(data))
    return [Split(k, np.flatnonzero(fold != k), np.flatnonzero(fold == k), (k,)) for k in range(FOLDS)]


def in_both_roles(data: TrainingData) -> list[Split]:
    """Train on a few of the rows that are tested."""
    splits = cpcv(data)
    return [splits[0]._replace(train=np.union1d(splits[0].train, splits[0].test[:3])), *splits[1:]]


def hard_rows_untested(data: TrainingData) -> list[Split]:
    """Never test the rows with the largest moves."""
    easy = np.abs(data.value) < np.quantile(np.abs(data.value), 0.99)
    return [split._replace(test=split.test[easy[split.test]]) for split in cpcv(data)]


SPLIT_LEAKS = (
    Leak("no purge", "overlap_any_entity", splits=unpurged),
    Leak("purge by labels that end a session early", "overlap_any_entity", splits=early_ends),
    Leak("purge by a number of rows", "overlap_any_entity", splits=by_row_count),
    Leak("folds drawn row by row, dates on both sides", "overlap_any_entity", splits=shuffled),
    Leak("no embargo", "embargo_after_test", splits=lambda data: cpcv(data, embargo=0)),
    Leak("embargo one session short", "embargo_after_test", splits=lambda data: cpcv(data, embargo=EMBARGO - 1)),
    Leak("rows both trained on and tested", "train_and_test", splits=in_both_roles),
    Leak("hard rows never tested", "tested_in_no_path", splits=hard_rows_untested),
)

LEAKS = (*LABEL_LEAKS, *FEATURE_LEAKS, *ROW_LEAKS, *MATRIX_LEAKS, *SPLIT_LEAKS)
