"""Retrieval on a home: build the index of its resolved events, and find the past touches most like one event."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from trademl.artifacts.provenance import hash_json
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ConfigError, DataGateError
from trademl.lake.manifest import Manifest
from trademl.lake.names import identifier
from trademl.lake.reading import Snapshot
from trademl.sleeves.events.feature_columns import select_features
from trademl.sleeves.events.names import check_ablation, check_stage
from trademl.sleeves.events.retrieval.index import METADATA, RetrievalIndex, SearchSettings
from trademl.sleeves.events.retrieval.summary import LABELS, RetrievalSummary
from trademl.sleeves.events.train import EVENTS
from trademl.training.config import DataGateConfig
from trademl.training.gate import check_gate
from trademl.warehouse.read import read_snapshot

FEATURES = "gold.events_features"
EVENT_LABELS = "gold.events_labels"
CONFIG = Path("events") / "retrieval.yml"


@dataclass(frozen=True)
class BuiltIndex:
    """An index that was written.

    Attributes:
        path: its ``index.json``.
        rows: events held. unresolved: events whose outcome is not known yet, left out. features: columns of a vector.
        not_green: sessions that failed the data gate, left out.
        first, last: sessions of the first and last event.
    """

    path: Path
    rows: int
    unresolved: int
    features: int
    first: date
    last: date
    not_green: int


@dataclass(frozen=True, eq=False)
class Similar:
    """One event and its neighbours.

    Attributes:
        event: identity and labels of the event, as gold has them.
        filters: what the neighbours have in common with it.
        rows_before: events of the index that were resolved before its t1.
        summary: what the neighbours came to.
    """

    event: dict[str, Any]
    filters: dict[str, str]
    rows_before: int
    summary: RetrievalSummary


def search_settings(home: Home, threads: int | None = None) -> SearchSettings:
    """Read configs/events/retrieval.yml of the home, with other ``threads`` if given; without the file, the defaults.

    Raises:
        ConfigError: a field is unknown or has a wrong value.
    """
    path = home.configs / CONFIG
    settings = load_section(path, SearchSettings) if path.is_file() else SearchSettings()
    return settings if threads is None else settings.model_copy(update={"threads": threads})


def index_folder(home: Home, stage: str, ablation: str) -> Path:
    """Return where the index of a stage and an ablation lies.

    Raises:
        ConfigError: there is no such stage or ablation.
    """
    return home.models_artifacts / f"retrieval_index_{check_stage(stage)}_{check_ablation(ablation)}"


def build_index(
    home: Home,
    stage: str,
    ablation: str,
    *,
    k_neighbors: int,
    until: date | None = None,
    exclude_not_green: bool = False,
    settings: SearchSettings | None = None,
) -> BuiltIndex:
    """Index every event of the snapshot whose outcome is known; the same snapshot gives the same bytes.

    Args:
        home: the home.
        stage, ablation: choose the features.
        k_neighbors: how many neighbours whoever reads the index asks for.
        until: leave out events of this session and later ones.
        exclude_not_green: leave out events of sessions that fail the data gate instead of refusing.
        settings: of the search; None means those of the home.

    Raises:
        DataGateError: there is no resolved event, or sessions lack bars.
        SnapshotError: no build has finished yet.
    """
    folder = index_folder(home, stage, ablation)
    if k_neighbors < 1:
        raise ConfigError(f"--k-neighbors {k_neighbors}: at least 1 is needed", remedy="give 1 or more; 50 is usual")
    with read_snapshot(home) as snapshot:
        chosen = feature_columns(snapshot, stage, ablation)
        events = read_events(snapshot, chosen, until)
        left_out = _not_green(snapshot, events, exclude_not_green)
        if left_out:
            events = events.filter(pc.invert(pc.is_in(events.column("date"), pa.array(left_out, pa.date32()))))
        index = RetrievalIndex(chosen, METADATA, settings=settings or search_settings(home))
        index.stage, index.ablation, index.k_neighbors = stage, ablation, k_neighbors
        if not events.num_rows or not events.num_rows - events.column("resolved_at").null_count:
            raise DataGateError(
                f"none of {events.num_rows} events has a known outcome",
                remedy="land intraday bars and run `trademl build`, or give a later --until",
            )
        index.fit(events)
        about = {
            "as_of": str(snapshot.manifest.as_of),
            "until": str(until or ""),
            "build": snapshot.manifest.build_id,
            "excluded_dates": " ".join(map(str, left_out)),
        }
        path = index.save(folder, data_hash=data_hash(snapshot.manifest), about=about)
        built = BuiltIndex(path, index.rows, index.unresolved, len(chosen), *index.store.span(), len(left_out))
        index.close()
    return built


def similar_events(
    home: Home,
    event_id: str,
    stage: str,
    ablation: str,
    *,
    k: int | None = None,
    filter_on: Sequence[str] = METADATA,
    settings: SearchSettings | None = None,
) -> Similar:
    """Return the past events most like one event, as they could have been found at its t1.

    Neighbours were resolved strictly before t1, and means and scales are measured on such events only.

    Args:
        home: the home, with an index of this stage and ablation.
        event_id: of an event of gold.events_features, in the index or not.
        stage, ablation: which index.
        k: neighbours; None means what the index was made for.
        filter_on: what neighbours must have in common with the event.
        settings: of the search; None means those of the home.

    Raises:
        ArtifactError: there is no index, or it is altered.
        ConfigError: there is no such event, or no event was resolved before it.
    """
    index = RetrievalIndex.load(index_folder(home, stage, ablation), settings=settings or search_settings(home))
    index.check_filters(filter_on)
    with read_snapshot(home) as snapshot:
        vector, event = read_event(snapshot, event_id, index.feature_cols)
    moment = int(event["ts_ns"])
    rows_before = index.store.count(f"resolved_ns < {moment}")
    if not rows_before:
        raise ConfigError(
            f"no event of the index was resolved before {event['t1']}, the t1 of {event_id}",
            remedy="ask about a later event",
        )
    filters = {name: str(event[name]) for name in filter_on}
    summary = index.as_of(moment).query(vector, filters, k or index.k_neighbors, before=moment)
    return Similar(event, filters, rows_before, summary)


def feature_columns(snapshot: Snapshot, stage: str, ablation: str) -> list[str]:
    """Return the measures of a stage and an ablation: distances are taken of them.

    The columns that say which kind of level it is are not among them: a kind is a filter, not a distance.

    Raises:
        DataGateError: the snapshot has no events.
    """
    try:
        names = [row[0] for row in snapshot.con.execute(f"describe {FEATURES}").fetchall()]
    except duckdb.CatalogException as error:
        raise DataGateError("the snapshot has no events", remedy="run `trademl build`") from error
    return select_features(names, stage, ablation).numeric


def read_events(snapshot: Snapshot, features: Sequence[str], until: date | None = None) -> Any:
    """Return events, their features and labels as an Arrow table."""
    identity = ", ".join(f"f.{name}" for name in ("event_id", "ts_ns", "date", "symbol", *METADATA))
    columns = ", ".join(f"f.{identifier(name)}" for name in features)
    query = f"""
        select
            {identity},
            cast(f.level_price as double) as level_price,
            {columns},
            l.* exclude (event_id, ts_ns, date, symbol)
        from {FEATURES} as f
        join {EVENT_LABELS} as l on f.event_id = l.event_id
    """
    if until is not None:
        return snapshot.con.sql(query + " where f.date < $until", params={"until": until}).to_arrow_table()
    return snapshot.con.sql(query).to_arrow_table()


def read_event(snapshot: Snapshot, event_id: str, features: Sequence[str]) -> tuple[list[float], dict[str, Any]]:
    """Return an event's raw feature vector, and its identity and labels.

    Raises:
        ConfigError: there is no such event.
    """
    columns = ", ".join(f"cast(f.{identifier(name)} as double) as {identifier(name)}" for name in features)
    labels = ", ".join(f"l.{identifier(name)}" for name in LABELS)
    cursor = snapshot.con.execute(
        f"select {columns}, f.event_id, f.ts_ns, make_timestamp_ns(f.ts_ns)::timestamp as t1, f.date, f.symbol, "
        f"f.level_kind_name, cast(f.level_price as double) as level_price, f.direction, {labels} "
        f"from {FEATURES} as f left join {EVENT_LABELS} as l on f.event_id = l.event_id where f.event_id = ?",
        [event_id],
    )
    names = [item[0] for item in cursor.description or ()]
    rows = cursor.fetchall()
    if not rows:
        raise ConfigError(
            f"no event {event_id!r} in {FEATURES}",
            remedy='`trademl sql "select event_id, symbol, ts_ns from gold.events_features"` lists them',
        )
    found = dict(zip(names, rows[0], strict=True))
    vector = [float("nan") if found[name] is None else found[name] for name in features]
    return vector, {name: found[name] for name in names if name not in features}


def _not_green(snapshot: Snapshot, events: Any, exclude: bool) -> tuple[date, ...]:
    """Return the sessions to leave out: training and retrieval know the same past."""
    if not events.num_rows:
        return ()
    days = pc.min_max(events.column("date")).as_py()
    gate = DataGateConfig(exclude_not_green=exclude)
    report = check_gate(snapshot.con, EVENTS, gate, days["min"], days["max"], purpose="index", dates="--until")
    return report.excluded


def data_hash(manifest: Manifest) -> str:
    """Return a hash of the files of the two tables that an index is made of."""
    files = {
        name: [file.sha256 for file in manifest.tables[name].files]
        for name in (FEATURES, EVENT_LABELS)
        if name in manifest.tables
    }
    return hash_json(files)
