"""Gold as one matrix: the rows of a label, read through Arrow into a single float32 array, with their label spans.

The table is read a year at a time and each batch is copied straight to its place, so the peak is the matrix itself plus
one year of it. Rows are ordered by date, then entity; everything downstream names a row by its position.
"""

import difflib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.config.feature_sets import FeatureSet
from trademl.errors import ConfigError, DataGateError
from trademl.lake.names import identifier, qualified, quoted
from trademl.training.config import REGIMES, SleeveTables, TrainingConfig
from trademl.training.feature_columns import FeatureColumn, choose_columns, other_tables, require_rows
from trademl.validation.spans import LabelSpans

_BATCH_ROWS = 65_536
_HASH_ROWS = 65_536
_UNKNOWN = -1

OUTCOMES: dict[str, int] = {"stop": -1, "timeout": 0, "take_profit": 1}
"""What a triple-barrier label met first -> its class."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The rows of one label. Arrays have one element per row, in order of date, then entity.

    Attributes:
        X: features, float32, C-order, shape (n_rows, n_features), NaN where missing.
        target: what the model fits; NaN where the row takes no part in fitting (the middle of top/bottom).
        value: the label as gold holds it, such as a simple return.
        weight: sample weight, mean 1 over the rows that are fitted.
        fitted: rows that the configuration trains on; the others are predicted only.
        spans: decision and label end in session ordinals, and the entity's code.
        entities: name of each entity code.
        dates, label_end: as datetime64[D].
        regime: code of :data:`REGIMES`, -1 when unknown.
        feature_names: columns of ``X``, in order.
        label, horizon: the label's name and its sessions.
        data_hash: sha256 over names, matrix, targets, weights, spans, entities and dates.
        columns: where each of the features was read; empty for data that were not read from a snapshot.
    """

    X: NDArray[np.float32]
    target: NDArray[np.float64]
    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    fitted: NDArray[np.bool_]
    spans: LabelSpans
    entities: tuple[str, ...]
    dates: NDArray[np.datetime64]
    label_end: NDArray[np.datetime64]
    regime: NDArray[np.int64]
    feature_names: tuple[str, ...]
    label: str
    horizon: int
    data_hash: str
    columns: tuple[FeatureColumn, ...] = ()

    def __len__(self) -> int:
        return len(self.target)


def resolve_label(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, config: TrainingConfig) -> str:
    """Return the configuration's label after checking that the training table has it.

    Raises:
        ConfigError: it has not, and the message lists what there is; or the task needs barriers and it has none, or
            needs labels of 0 and 1.
        DataGateError: the table is empty.
    """
    label = sleeve.label_name(config)
    available = [row[0] for row in con.execute(f"select distinct label from {sleeve.training} order by 1").fetchall()]
    if not available:
        raise DataGateError(f"{sleeve.training} has no rows", remedy=f"{sleeve.landing}, then `trademl build`")
    if label in available:
        _check_outcomes(con, sleeve, config, label)
    else:
        asked = f"`label={config.label}`" + (f" with `k={config.k}`" if config.label == "horizon" else "")
        raise ConfigError(
            f"{asked} is the label {label!r}, which {sleeve.training} does not have",
            remedy=f"labels are {', '.join(available)}; give one by name with --label",
        )
    return label


def _check_outcomes(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, config: TrainingConfig, label: str) -> None:
    if config.task == "binary":
        _check_binary(con, sleeve, label)
    if config.task != "three_class":
        return
    met = con.execute(
        f"select label, bool_or(outcome in ({', '.join(map(quoted, OUTCOMES))})) from {sleeve.training} group by label"
    ).fetchall()
    if not dict(met)[label]:
        barriers = sorted(name for name, has in met if has)
        raise ConfigError(
            f"`task=three_class` with the label {label!r}, which has no barriers to meet",
            remedy=f"use --label {barriers[0] if barriers else 'tb'}, or --task regression",
        )


def _check_binary(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, label: str) -> None:
    other = con.execute(
        f"select count(*), min(value), max(value) from {sleeve.training} where label = ? and value not in (0, 1)",
        [label],
    ).fetchall()[0]
    if other[0]:
        raise ConfigError(
            f"`task=binary` with the label {label!r}, of which {other[0]} values from {other[1]:g} to {other[2]:g} are "
            "neither 0 nor 1",
            remedy="use --task regression, or a label of events that happen or do not",
        )


def session_range(
    con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, config: TrainingConfig, label: str
) -> tuple[date, date]:
    """Return the first and last session that the rows use: from the first decision to the last label end.

    A ``start`` or ``end`` of the configuration counts even where it has no rows; without ``end`` the range goes to the
    last graded session, because a hole at the end leaves no resolved labels that would show it.

    Raises:
        DataGateError: no row has this label in these dates.
    """
    where = _where(config, label, ())
    rows = con.execute(
        f"select min(date), max(label_end_date), (select max(date) from {sleeve.coverage_table} where dataset = ?) "
        f"from {sleeve.training} where {where}",
        [sleeve.coverage],
    ).fetchall()
    first, last, graded = rows[0]
    if first is None:
        raise _no_rows(sleeve, config, label)
    return min(first, config.start or first), max(day for day in (last, config.end or graded, last) if day is not None)


def load_training(
    con: duckdb.DuckDBPyConnection,
    sleeve: SleeveTables,
    config: TrainingConfig,
    label: str,
    excluded: Sequence[date] = (),
    feature_set: FeatureSet | None = None,
) -> TrainingData:
    """Read the rows of ``label`` into memory.

    Args:
        con: a snapshot's connection.
        sleeve: where the rows lie.
        config: which rows, features, target and weights.
        label: a label of the table, see :func:`resolve_label`.
        excluded: decision dates to leave out, as the data gate says.
        feature_set: the set that the configuration names, if it names one.

    Raises:
        ConfigError: a feature or a symbol does not exist, or a feature table is not built.
        DataGateError: no row is left, a date is not in the calendar, or a feature table lacks rows.
    """
    features = choose_columns(con, sleeve, config, feature_set)
    names = tuple(column.name for column in features)
    chosen = _where(config, label, excluded, symbols=sleeve.entity)
    years = con.execute(
        f"select year(date), count(*) from {sleeve.training} where {chosen} group by 1 order by 1"
    ).fetchall()
    n_rows = sum(count for _, count in years)
    if not n_rows:
        raise _no_rows(sleeve, config, label)
    _check_symbols(con, sleeve, config, label)
    entities = tuple(
        row[0]
        for row in con.execute(
            f"select distinct {identifier(sleeve.entity)} from {sleeve.training} where {chosen} order by 1"
        ).fetchall()
    )
    X = np.empty((n_rows, len(names)), dtype=np.float32)
    columns = {name: np.empty(n_rows, dtype=kind) for name, kind in _KEYS.items()}
    at = 0
    for year, _ in years:
        sql = _year_sql(sleeve, config, label, excluded, features, year)
        at = _fill(con, sql, entities, names, X, columns, at)
    if at != n_rows:
        require_rows(con, sleeve, features, chosen)
        raise DataGateError(
            f"{sleeve.training} has {n_rows} rows of {label}, of which {at} have their dates in {sleeve.calendar}",
            remedy="run `trademl build --full-refresh`",
        )
    target = columns["target"]
    fitted = np.isfinite(target)
    if config.regime:
        fitted &= np.isin(columns["regime"], [REGIMES.index(name) for name in config.regime])
    weight = columns["weight"]
    total = float(weight[fitted].sum())
    if not total > 0:
        raise DataGateError(
            f"none of {n_rows} rows of {label} can be fitted: task {config.task}, regime {config.regime or 'all'}",
            remedy="choose other regimes with --regime, a larger tail_fraction or a wider date range",
        )
    weight *= fitted.sum() / total
    spans = LabelSpans(columns["start"], columns["stop"], columns["entity"])
    for array in (X, target, columns["value"], weight):
        array.flags.writeable = False
    return TrainingData(
        X=X,
        target=target,
        value=columns["value"],
        weight=weight,
        fitted=fitted,
        spans=spans,
        entities=entities,
        dates=columns["date"],
        label_end=columns["label_end_date"],
        regime=columns["regime"],
        feature_names=names,
        label=label,
        horizon=sleeve.sessions_of(label),
        data_hash=_hash(label, names, entities, X, columns, fitted),
        columns=features,
    )


def spans_sql(
    sleeve: SleeveTables,
    config: TrainingConfig,
    label: str,
    excluded: Sequence[date] = (),
    columns: Sequence[FeatureColumn] = (),
) -> str:
    """Return a SELECT in brackets of each row's label span and known times, for the leakage audit.

    It reads the warehouse again: what the splitter was given plays no part. ``row_id`` counts in the order of
    :func:`load_training`. A row is known when the last of the tables that ``columns`` lie in knows it.
    """
    chosen = _where(config, label, excluded, symbols=sleeve.entity)
    entity = identifier(sleeve.entity)
    tables = list(other_tables(columns, sleeve))
    known = "".join(f", features_{number}.known_at" for number in range(len(tables)))
    joins = "".join(
        f"left join {qualified(table)} as features_{number} "
        f"on samples.date = features_{number}.date and samples.{entity} = features_{number}.{entity}\n        "
        for number, table in enumerate(tables)
    )
    return f"""(
        select
            row_number() over (order by samples.date, samples.{entity}) - 1 as row_id,
            samples.{entity} as entity,
            decided.session_index as start_ordinal,
            ended.session_index as end_ordinal,
            {f"greatest(samples.known_at{known}) as known_at" if known else "samples.known_at"},
            decided.decision_at
        from (select * from {sleeve.training} where {chosen}) as samples
        {joins}left join {sleeve.calendar} as decided on samples.date = decided.date
        left join {sleeve.calendar} as ended on samples.label_end_date = ended.date
    )"""


_KEYS: dict[str, str] = {
    "date": "datetime64[D]",
    "label_end_date": "datetime64[D]",
    "entity": "int64",
    "value": "float64",
    "target": "float64",
    "weight": "float64",
    "regime": "int64",
    "start": "int64",
    "stop": "int64",
}
"""Columns read beside the features, and their type in memory."""


def _year_sql(
    sleeve: SleeveTables,
    config: TrainingConfig,
    label: str,
    excluded: Sequence[date],
    columns: Sequence[FeatureColumn],
    year: int,
) -> str:
    entity = identifier(sleeve.entity)
    within = f"date between date '{year}-01-01' and date '{year}-12-31'"
    alias, joins = {sleeve.features_table: "samples"}, ""
    for number, (table, read) in enumerate(other_tables(columns, sleeve).items()):
        alias[table] = f"features_{number}"
        listed = ", ".join(identifier(column.column) for column in read)
        joins += (
            f"inner join (select date, {entity}, {listed} from {qualified(table)} where {within}) as {alias[table]} "
            f"on samples.date = {alias[table]}.date and samples.{entity} = {alias[table]}.{entity}\n        "
        )
    features = ", ".join(f"{alias[column.table]}.{identifier(column.column)}" for column in columns)
    weight = "1.0::double" if config.weight == "none" else f"samples.{identifier(config.weight)}"
    regimes = " ".join(f"when {quoted(name)} then {code}" for code, name in enumerate(REGIMES))
    return f"""
        with samples as (
            select * from {sleeve.training}
            where {_where(config, label, excluded)} and {within}
        ),

        -- The cross-section of a date is every row of the label, whatever symbols are trained on. Summed in a fixed
        -- order, so that the mean has the same bits whatever the number of threads.
        moments as (
            select date, avg(value order by {entity}) as mean, count(*) as members from samples group by date
        ),

        placed as (
            select date, {entity}, ({_TARGETS[_target_kind(config)]}) as target
            from (
                select
                    samples.date, samples.{entity}, samples.value, moments.mean, moments.members,
                    {"samples.outcome," if config.task == "three_class" else ""}
                    rank() over (partition by samples.date order by samples.value)
                        + (count(*) over (partition by samples.date, samples.value) - 1) / 2.0 as position,
                    {config.tail_fraction!r}::double as tail
                from samples
                inner join moments on samples.date = moments.date
            )
        ),

        codes as (select unnest($entities) as name, generate_subscripts($entities, 1) - 1 as code)

        select
            samples.date,
            samples.label_end_date,
            codes.code::bigint as entity,
            samples.value::double as value,
            placed.target::double as target,
            {weight}::double as weight,
            (case samples.regime {regimes} else {_UNKNOWN} end)::bigint as regime,
            decided.session_index::bigint as start,
            ended.session_index::bigint as stop,
            {features}
        from samples
        inner join placed on samples.date = placed.date and samples.{entity} = placed.{entity}
        inner join codes on samples.{entity} = codes.name
        {joins}inner join {sleeve.calendar} as decided on samples.date = decided.date
        inner join {sleeve.calendar} as ended on samples.label_end_date = ended.date
        order by samples.date, samples.{entity}
    """


_TARGETS: dict[str, str] = {
    "raw": "value",
    "demeaned": "value - mean",
    "rank": "position / members - (members + 1) / (2.0 * members)",
    # The middle of a row's place in (0, 1): symmetric, so top and bottom have equally many rows without ties.
    "top_bottom": "case when (position - 0.5) / members > 1 - tail then 1.0 "
    "when (position - 0.5) / members < tail then 0.0 end",
    "three_class": "case outcome "
    + " ".join(f"when {quoted(name)} then {code}.0" for name, code in OUTCOMES.items())
    + " end",
    "binary": "value",
}


def _target_kind(config: TrainingConfig) -> str:
    return config.target if config.task == "regression" else config.task


def _fill(
    con: duckdb.DuckDBPyConnection,
    sql: str,
    entities: Sequence[str],
    names: Sequence[str],
    X: NDArray[np.float32],
    columns: dict[str, NDArray[np.generic]],
    at: int,
) -> int:
    """Copy the rows of ``sql`` to position ``at`` and onwards; return the position after them."""
    # A sleeve may have a hundred thousand entities: as literals of the statement they take seconds to parse.
    for batch in con.sql(sql, params={"entities": list(entities)}).to_arrow_reader(_BATCH_ROWS):
        stop = at + batch.num_rows
        if stop > len(X):
            raise DataGateError(
                f"there are more than the {len(X)} training rows: a feature table or the calendar has a row twice",
                remedy="run `trademl build --full-refresh`; its tests of the grain name the table",
            )
        for number, name in enumerate([*_KEYS, *names]):
            values = batch.column(number).to_numpy(zero_copy_only=False)
            if name in columns and number < len(_KEYS):
                columns[name][at:stop] = values
            else:
                X[at:stop, number - len(_KEYS)] = values
        at = stop
    return at


def _where(config: TrainingConfig, label: str, excluded: Iterable[date], symbols: str | None = None) -> str:
    """Return the condition on a row; ``symbols`` names the entity column where the choice of symbols counts too."""
    conditions = [f"label = {quoted(label)}", "value is not null", "label_end_date is not null"]
    if config.start:
        conditions.append(f"date >= date '{config.start}'")
    if config.end:
        conditions.append(f"date <= date '{config.end}'")
    left_out = ", ".join(f"date '{day}'" for day in excluded)
    if left_out:
        conditions.append(f"date not in ({left_out})")
    if symbols and config.symbols:
        conditions.append(f"{identifier(symbols)} in ({', '.join(quoted(name) for name in config.symbols)})")
    return " and ".join(conditions)


def _check_symbols(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, config: TrainingConfig, label: str) -> None:
    if not config.symbols:
        return
    present = {
        row[0]
        for row in con.execute(
            f"select distinct {identifier(sleeve.entity)} from {sleeve.training} where {_where(config, label, ())}"
        ).fetchall()
    }
    unknown = [name for name in config.symbols if name not in present]
    if unknown:
        near = difflib.get_close_matches(unknown[0], sorted(present), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"symbols: {', '.join(unknown)} have no row of {label} in these dates{hint}",
            remedy=f"choose among the {len(present)} symbols of {sleeve.training}, or other dates",
        )


def _no_rows(sleeve: SleeveTables, config: TrainingConfig, label: str) -> DataGateError:
    dates = f"from {config.start or 'the first'} to {config.end or 'the last'} date"
    whose = f" of {', '.join(config.symbols[:5])}" if config.symbols else ""
    return DataGateError(
        f"{sleeve.training} has no resolved {label}{whose} {dates}",
        remedy=f'widen --start, --end and --symbols, or ingest more and `trademl build`; `trademl sql "select label, '
        f'min(date), max(date), count(*) from {sleeve.training} group by 1"` shows what there is',
    )


def _hash(
    label: str,
    names: Sequence[str],
    entities: Sequence[str],
    X: NDArray[np.float32],
    columns: dict[str, NDArray[np.generic]],
    fitted: NDArray[np.bool_],
) -> str:
    digest = hashlib.sha256("\n".join((label, *names, "", *entities, "")).encode())
    for start in range(0, len(X), _HASH_ROWS):
        digest.update(X[start : start + _HASH_ROWS].data)
    for name, array in columns.items():
        digest.update(name.encode())
        # A day number has the same bytes on every platform; datetime64 offers no buffer.
        digest.update((array.astype(np.int64) if array.dtype.kind == "M" else array).tobytes())
    digest.update(fitted.tobytes())
    return digest.hexdigest()
