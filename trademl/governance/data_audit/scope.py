"""What an audit of the data looks at: a sleeve's rows, the record that they came from, and the settings behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import yaml

from trademl.errors import ConfigError, DataGateError, SnapshotError
from trademl.governance.audit import WHOLE_RUN, AuditRow
from trademl.governance.data_audit.sources import by_table
from trademl.lake.manifest import read_manifest
from trademl.lake.names import identifier, quoted
from trademl.lake.reading import Snapshot

PREFIX = "data_audit_"
"""Of every temporary table that an audit makes."""

OPTIONAL = ("outcome", "regime", "time_decay_weight", "uniqueness_weight", "sample_weight")
"""Columns of the training table that are audited where it has them."""

_SAMPLED_ROWS = 10_000
_DAYS_AT_LEAST, _DAYS_AT_MOST = 24, 150


class Sleeve(Protocol):
    """The names that an audit needs of a sleeve; :class:`trademl.training.config.SleeveTables` has them."""

    @property
    def training(self) -> str:
        """The training table: entity, date, label, value, label_end_date, known_at, features."""

    @property
    def entity(self) -> str:
        """Its entity column."""

    @property
    def features_table(self) -> str:
        """One row per entity and date, with ``in_universe`` and the features."""

    @property
    def features_date(self) -> str:
        """Its date column."""

    @property
    def calendar(self) -> str:
        """The sleeve's sessions: date, session_index, decision_at."""


@dataclass(frozen=True)
class Rules:
    """The warehouse's settings that a recomputation shares: ``vars`` of dbt_project.yml, by the same names."""

    delisted_after_sessions: int = 10
    longest_lookback: int = 130
    universe_min_price: float = 1.0
    universe_min_adv_usd: float = 1_000_000.0
    universe_min_history: int = 60
    jump_threshold: float = 0.4
    split_mismatch_threshold: float = 0.25
    time_decay_half_life_days: float = 730.0
    time_decay_epoch: date = date(2000, 1, 1)
    barrier_take_profit: float = 2.0
    barrier_stop: float = 1.0
    barrier_sessions: int = 10

    @classmethod
    def read(cls, project: Path) -> "Rules":
        """Read them from a dbt_project.yml; a setting that it lacks has the default.

        Raises:
            ConfigError: the file cannot be read, or a setting is not a number (or date).
        """
        try:
            document = yaml.safe_load(project.read_text(encoding="utf-8"))
            given: Mapping[str, Any] = (document or {}).get("vars") or {}
            defaults = {item.name: getattr(cls(), item.name) for item in fields(cls)}
            chosen: dict[str, Any] = {
                name: date.fromisoformat(str(value)) if name == "time_decay_epoch" else type(defaults[name])(value)
                for name, value in given.items()
                if name in defaults
            }
        except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"the settings in {project} cannot be read: {error}",
                remedy="restore the `vars` of dbt_project.yml; docs/warehouse.md lists them",
            ) from error
        return cls(**chosen)


@dataclass(frozen=True)
class PriceTables:
    """The record behind a sleeve of daily bars: what labels, features and universe are recomputed from.

    Attributes:
        bars, calendar, members, market: tables of the snapshot. ``bars`` holds the latest version of each bar.
        labels, regime: gold tables that the training table joins.
        landed_bars, landed_members: every version as it landed (a relation that may follow FROM), with ``known_at`` and
            ``ingested_at``. None: rows near a late version are not judged, and membership is taken from ``members``.
        rules: the warehouse's settings.
    """

    bars: str = "silver.equity_bars"
    calendar: str = "silver.calendar"
    members: str = "silver.universe_members"
    market: str = "silver.equity_market"
    labels: str = "gold.equities_labels"
    regime: str = "gold.equities_regime"
    landed_bars: str | None = None
    landed_members: str | None = None
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Bounds:
    """What no honest daily feature does.

    Attributes:
        target_ic: mean over dates of |rank IC| from which a feature counts as the target itself. In a cross-section of
            ten, noise has 0.27, of fifty 0.11.
        plausible_ic: |mean rank IC| above which a feature knows too much: published daily and monthly signals of stocks
            have 0.01 to 0.05, rarely 0.1.
        plausible_t: and its t-statistic over dates whose labels do not overlap, so that luck is no explanation.
        min_dates: fewest such dates for ``plausible_ic``; ``min_target_dates``: for ``target_ic``.
        min_rows: smallest cross-section that is looked at.
        max_dates: most dates that are read.
    """

    target_ic: float = 0.5
    plausible_ic: float = 0.15
    plausible_t: float = 4.0
    min_dates: int = 60
    min_target_dates: int = 10
    min_rows: int = 10
    max_dates: int = 120


def price_tables(snapshot: Snapshot, rules: Rules | None = None) -> PriceTables:
    """Return the tables of the equities sleeve in ``snapshot``, with the landed rows that its build could read.

    Raises:
        SnapshotError: the lake has no such raw datasets.
    """
    return PriceTables(
        landed_bars=_landed(snapshot, "equity_bars", "(select max(ingested_at) from silver.equity_bars)"),
        landed_members=_landed(snapshot, "membership", f"timestamp '{_built(snapshot)}'"),
        rules=rules or Rules(),
    )


def _landed(snapshot: Snapshot, dataset: str, until: str) -> str | None:
    """Return a relation of the landed rows of ``dataset``, less those that came after the build."""
    files = sorted(snapshot.layout.raw(dataset).glob("*/rows.parquet"))
    if not files:
        return None
    paths = ", ".join(quoted(str(path)) for path in files)
    known = snapshot.manifest.as_known_at
    also = f" and known_at <= timestamp '{known}'" if known else ""
    return f"(select * from read_parquet([{paths}], union_by_name = true) where ingested_at <= {until}{also})"


def _built(snapshot: Snapshot) -> datetime:
    """Return a time by which the build behind the snapshot was done: its first manifest that is still kept."""
    first = snapshot.manifest.created
    for path in sorted(snapshot.layout.manifests.glob("[0-9]*.json")):
        try:
            manifest = read_manifest(snapshot.layout, int(path.stem))
        except SnapshotError:
            # Removed since it was listed: it was not the oldest that counts.
            continue
        if manifest.build_id == snapshot.manifest.build_id:
            first = min(first, manifest.created)
    return first.replace(tzinfo=None)


@dataclass(frozen=True)
class Scope:
    """One audit under way: its connection, its temporary tables, and the rows that it is about. ``sources``: table and
    column of each feature that is not in the sleeve's own feature table.

    Temporary tables, each named with :data:`PREFIX`:

    ``codes``: an integer ``entity`` for each ``name``; every other table says entity and means the integer.
    ``rows``: the training rows of the label: entity, date, t (session ordinal), decision_at, value, label_end_date,
    end_index, known_at, and those of :data:`OPTIONAL` that there are. ``days``: a sample of the sessions they span,
    with or without rows: date, t, decision_at.
    """

    con: duckdb.DuckDBPyConnection
    sleeve: Sleeve
    label: str
    features: tuple[str, ...]
    prices: PriceTables | None
    run_id: str
    recorded_at: datetime
    first: date
    last: date
    excluded: tuple[date, ...]
    calendar: str
    sources: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def core_features(self) -> tuple[str, ...]:
        """The run's features that do not lie in another table than the sleeve's own."""
        return tuple(name for name in self.features if name not in self.sources)

    @property
    def other_tables(self) -> dict[str, dict[str, str]]:
        """Further feature tables: of each, the run's features that lie in it, with their columns."""
        return by_table(self.sources, self.features)

    @property
    def entity(self) -> str:
        """The entity column, quoted."""
        return identifier(self.sleeve.entity)

    def table(self, name: str) -> str:
        """Return the name of a temporary table."""
        return PREFIX + name

    def make(self, name: str, query: str) -> str:
        """Create a temporary table from a SELECT and return its name."""
        self.con.execute(f"create or replace temp table {self.table(name)} as {query}")
        return self.table(name)

    def all(self, query: str) -> list[tuple[Any, ...]]:
        """Return every row of a query."""
        return self.con.execute(query).fetchall()

    def one(self, query: str) -> tuple[Any, ...]:
        """Return the only row of a query of counts; what was counted over nothing is 0."""
        return tuple(0 if value is None else value for value in self.all(query)[0])

    def found(self, check: str, violations: Any, compared: Any, detail: str) -> AuditRow:
        """Return the result of a check of the whole run."""
        counted = int(violations or 0)
        return AuditRow(self.run_id, WHOLE_RUN, check, counted, int(compared or 0), detail, self.recorded_at)

    def columns(self, relation: str) -> dict[str, str]:
        """Return the columns of a relation with their types."""
        return {name: kind for name, kind, *_ in self.all(f"describe select * from {relation}")}

    def in_dates(self, column: str) -> str:
        """Return the condition that ``column`` is one of the audited dates."""
        text = f"{column} between date '{self.first}' and date '{self.last}'"
        if self.excluded:
            text += f" and {column} not in ({', '.join(f'{chr(39)}{day}{chr(39)}' for day in self.excluded)})"
        return text


def open_scope(
    con: duckdb.DuckDBPyConnection,
    sleeve: Sleeve,
    label: str,
    features: Sequence[str],
    *,
    prices: PriceTables | None,
    run_id: str,
    recorded_at: datetime,
    first: date | None,
    last: date | None,
    excluded: Sequence[date],
    sources: Mapping[str, tuple[str, str]] | None = None,
) -> Scope:
    """Note the rows of ``label`` and choose the sampled sessions; :func:`close_scope` drops both.

    Raises:
        DataGateError: no row has the label in these dates.
    """
    calendar = prices.calendar if prices else sleeve.calendar
    asked = f"label = {quoted(label)} and value is not null and label_end_date is not null"
    bounds = con.execute(
        f"select min(date), max(date) from {sleeve.training} where {asked} "
        "and date between coalesce($first, date '0001-01-01') and coalesce($last, date '9999-12-31')",
        {"first": first, "last": last},
    ).fetchall()[0]
    if bounds[0] is None:
        raise DataGateError(
            f"{sleeve.training} has no resolved {label} from {first or 'the first'} to {last or 'the last'} date",
            remedy="audit a label and dates that the training table has",
        )
    scope = Scope(
        con,
        sleeve,
        label,
        tuple(features),
        prices,
        run_id,
        recorded_at,
        first=bounds[0],
        last=bounds[1],
        excluded=tuple(excluded),
        calendar=calendar,
        sources=dict(sources or {}),
    )
    chosen = f"(select * from {sleeve.training} where {asked} and {scope.in_dates('date')})"
    bars = prices.landed_bars or prices.bars if prices else None
    names = [f"select {scope.entity} as name from {chosen}", *([f"select symbol from {bars}"] if bars else [])]
    scope.make(
        "codes",
        "select name, (row_number() over (order by name))::integer as entity from "
        f"(select distinct name from ({' union all '.join(names)}))",
    )
    # What other checks ask of a row is kept here: a training table is a view, and each look at it is a join.
    present = scope.columns(sleeve.training)
    more = "".join(f", training.{name}" for name in OPTIONAL if name in present)
    scope.make(
        "rows",
        f"""
        select
            codes.entity,
            training.date,
            decided.session_index as t,
            decided.decision_at,
            training.value,
            training.label_end_date,
            ended.session_index as end_index,
            training.known_at
            {more}
        from {chosen} as training
        inner join {scope.table("codes")} as codes on training.{scope.entity} = codes.name
        left join {calendar} as decided on training.date = decided.date
        left join {calendar} as ended on training.label_end_date = ended.date
        """,
    )
    _sample(scope)
    return scope


def close_scope(con: duckdb.DuckDBPyConnection) -> None:
    """Drop the temporary tables of an audit."""
    named = con.execute(
        "select table_name from duckdb_tables() where temporary and starts_with(table_name, $prefix)",
        {"prefix": PREFIX},
    ).fetchall()
    for (name,) in named:
        con.execute(f"drop table {identifier(name)}")


def _sample(scope: Scope) -> None:
    """Choose sessions evenly from first to last, both among them, more of them where the cross-section is small."""
    rows, sessions = scope.one(f"select count(*), count(distinct date) from {scope.table('rows')}")
    wanted = int(max(_DAYS_AT_LEAST, min(_DAYS_AT_MOST, _SAMPLED_ROWS * sessions // max(rows, 1))))
    scope.make(
        "days",
        f"""
        with numbered as (
            select date, session_index as t, decision_at, row_number() over (order by date) - 1 as place,
                count(*) over () as n
            from {scope.calendar}
            where {scope.in_dates("date")}
        )
        select date, t, decision_at from numbered
        where n <= {wanted} or place in (0, n - 1)
            or place * ({wanted} - 1) // (n - 1) <> (place - 1) * ({wanted} - 1) // (n - 1)
        """,
    )
