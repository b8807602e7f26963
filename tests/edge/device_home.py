"""A device whose lake holds a release, as a pull would leave it, with statements and a model worked out by hand.

The features are ``alpha`` (a bar's open) and ``beta`` (its close), the model of :mod:`tests.edge.scoring_home` is
``yhat = alpha + 2 beta``. Symbols are S00, S01, ...; unless told otherwise ``alpha`` of the i-th is ``i / 64``.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tests.edge.scoring_home import RUN, write_run
from trademl.config.home import Home
from trademl.edge.bundle import ASSETS
from trademl.edge.features import FeatureSql, Step
from trademl.edge.golden import GOLDEN, SQL, golden_values
from trademl.edge.guard import REFERENCE
from trademl.lake.export import write_object
from trademl.lake.files import sha256_file, write_atomic
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import flip_current, write_manifest
from trademl.lake.release import Asset, Part, Release, ReleaseModel, ReleaseTable
from trademl.validation.drift import reference_bins

TUESDAY, WEDNESDAY, AMBER, LATEST = (date(2024, 1, day) for day in (2, 3, 4, 5))
SESSIONS = (TUESDAY, WEDNESDAY, AMBER, LATEST, date(2024, 1, 8))
NOW = datetime(2024, 1, 5, 22, 0, tzinfo=UTC)
SYMBOLS = 25

FEATURES_STEP = Step(
    "gold.equities_features",
    "select symbol, date, true as in_universe, open::float as alpha, close::float as beta, "
    "(open * 100)::float as gamma from work.equity_bar_versions where date = getvariable('first_session')",
    False,
)
REGIME_STEP = Step("gold.equities_regime", "select date, regime from silver.equity_market", False)

Bars = Mapping[str, tuple[float, float]]


def usual(symbols: int = SYMBOLS) -> dict[str, tuple[float, float]]:
    """Return alpha and beta by symbol."""
    return {f"S{place:02d}": (place / 64, 0.0) for place in range(symbols)}


def write_release(
    home: Home,
    seq: int = 1,
    *,
    as_of: date = LATEST,
    bars: Mapping[date, Bars] | None = None,
    created: datetime = NOW,
    expires_after: timedelta = timedelta(days=5),
    steps: Sequence[Step] = (FEATURES_STEP, REGIME_STEP),
    golden_steps: Sequence[Step] | None = None,
    reference: Any = None,
    sessions: Sequence[date] = SESSIONS,
    assets: Mapping[str, bytes] | None = None,
) -> Release:
    """Fill the lake of ``home`` with release ``seq`` and point CURRENT at it.

    ``golden_steps`` are what the server computed its golden values with, ``steps`` what the device is given.
    """
    layout = layout_of(home)
    listed = bars or {as_of: usual()}
    folder = home.models_artifacts / "equities" / RUN
    if not folder.exists():
        write_run(home, registered=False)
    with duckdb.connect() as con:
        con.execute("attach ':memory:' as warehouse; use warehouse; create schema silver")
        con.execute(
            "create table silver.equity_bar_window (symbol varchar, sector varchar, is_member boolean, open double, "
            "close double, is_latest boolean, date date)"
        )
        con.executemany(
            "insert into silver.equity_bar_window values (?, 'tech', true, ?, ?, true, ?)",
            [[symbol, *values, day] for day, rows in listed.items() for symbol, values in rows.items()],
        )
        con.execute("create table silver.calendar (date date, session_index integer)")
        con.executemany("insert into silver.calendar values (?, ?)", [[day, n] for n, day in enumerate(sessions)])
        con.execute(
            "create table silver.coverage as select 'equity_bars' as dataset, date, 25 as expected, 25 as present, "
            "1.0::double as coverage_ratio, 0.5::double as universe_coverage, "
            f"if(date = '{AMBER}', 'AMBER', 'GREEN') as status, if(date = '{AMBER}', 'absent 1: S24', '') as reasons "
            f"from silver.calendar where date <= '{as_of}'"
        )
        con.execute("create table silver.equity_market as select date, 'mid' as regime from silver.calendar")
        tables = {
            f"silver.{name}": _table(con, layout, name, grain)
            for name, grain in (
                ("equity_bar_window", ("date", "symbol")),
                ("calendar", ("date",)),
                ("coverage", ("dataset", "date")),
                ("equity_market", ("date",)),
            )
        }
        used = {step.relation: step for step in (golden_steps or steps)}
        con.execute("create schema gold; create schema work")
        con.execute("create view work.equity_bar_versions as from silver.equity_bar_window")
        con.execute(f"set variable first_session = date '{as_of}'")
        rows = con.execute(
            f"select symbol, alpha, beta from ({used['gold.equities_features'].sql}) order by symbol"
        ).fetchall()
    X = np.array([row[1:] for row in rows], dtype=np.float32)
    golden = golden_values(
        as_of,
        [row[0] for row in rows],
        ("alpha", "beta"),
        X,
        "mid",
        (X[:, 0] + np.float32(2) * X[:, 1]).astype(np.float64),
    )
    documents = {
        SQL: FeatureSql(lookback=0, whole=True, steps=tuple(steps)).to_json(),
        GOLDEN: json.dumps(golden).encode(),
        REFERENCE: json.dumps(reference or {"sessions": 0, "features": {}, "prediction": None}).encode(),
        **{asset: (folder / name).read_bytes() for name, asset in ASSETS.items()},
        **(assets or {}),
    }
    release = Release(
        seq=seq,
        created=created,
        expires=created + expires_after,
        as_of=as_of,
        git_revision="unknown",
        build_id="b-1",
        definition_hash="d",
        duckdb_version=duckdb.__version__,
        versions={},
        sleeve="equities",
        model=ReleaseModel(run_id=RUN, label="fwd_5d", horizon=5, status="champion"),
        tables=tables,
        assets={name: _asset(layout, data) for name, data in documents.items()},
        coverage={},
    )
    write_atomic(layout.release(seq), release.to_bytes())
    write_manifest(layout, release.to_manifest())
    flip_current(layout, seq)
    return release


def reference_of(columns: Mapping[str, Sequence[float]], prediction: Sequence[float], worst: float = 0.0) -> Any:
    """Return a reference of drift made from plain values."""

    def bins(values: Sequence[float]) -> dict[str, Any]:
        edges, shares = reference_bins(np.array(values, dtype=np.float64))
        return {"edges": edges, "shares": shares, "worst": worst}

    return {
        "sessions": 1,
        "features": {name: bins(values) for name, values in columns.items()},
        "prediction": bins(prediction),
    }


def served(home: Home) -> list[str]:
    """Return every file of predictions, reports and journals, relative to the lake."""
    folders = [home.lake / name for name in ("preds", "reports", "journal")]
    return sorted(
        path.relative_to(home.lake).as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()
    )


def _table(con: duckdb.DuckDBPyConnection, layout: Layout, name: str, grain: tuple[str, ...]) -> ReleaseTable:
    columns = {row[0]: row[1] for row in con.execute(f"describe silver.{name}").fetchall()}
    entry = write_object(con, layout, f"select * from silver.{name} order by {', '.join(grain)}")
    return ReleaseTable(columns=columns, grain=grain, files=(Part("all", entry.sha256, entry.bytes, entry.rows),))


def _asset(layout: Layout, data: bytes) -> Asset:
    place = layout.objects / "new"
    write_atomic(place, data)
    digest = sha256_file(place)
    place.rename(layout.asset(digest))
    return Asset(digest, len(data))


def limits(home: Home, **values: Any) -> Path:
    """Write configs/lake.yml with these limits of scoring."""
    path = home.configs / "lake.yml"
    path.write_text("scoring:\n" + "".join(f"  {name}: {value}\n" for name, value in values.items()), encoding="utf-8")
    return path
