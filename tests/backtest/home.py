"""A home with random bars of twelve symbols, a run with out-of-fold predictions of two paths, and a few trials."""

from datetime import UTC, datetime
from functools import cache

import duckdb
import numpy as np

from tests.backtest.warehouse import Bar, day, fill, random_bars
from trademl.config.home import Home
from trademl.governance.ledger import record_run, record_trial
from trademl.governance.returns import baseline_names, no_signal_names
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot

RUN, OTHER = "equities-fwd_5d-0123456789ab", "equities-fwd_5d-ba9876543210"
SESSIONS, SYMBOLS, FIRST, LAST = 90, 12, 5, 85
NOW = datetime(2024, 1, 10, 22, 0, tzinfo=UTC)


@cache
def bars() -> tuple[Bar, ...]:
    """The market; symbol S1 ends on the way."""
    return tuple(random_bars(3, SESSIONS, SYMBOLS))


def prediction(path: int, session: int, code: int) -> float:
    """A number that anybody can compute again."""
    return float(np.sin(1.7 * code + 0.05 * session) + 0.1 * path)


def write_home(home: Home) -> None:
    """Write warehouse, predictions, trials and returns, and publish them."""
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        fill(con, list(bars()), SESSIONS)
        con.execute(
            "create table silver.coverage as select 'equity_bars' as dataset, date, 12 as expected, "
            "12::hugeint as present, 1.0::double as coverage_ratio, 1.0::double as universe_coverage, "
            "'GREEN' as status, '' as reasons from silver.calendar"
        )
        con.execute(
            "create schema meta; create table meta.builds(build_id varchar, invocation_id varchar, "
            "started_at timestamp, finished_at timestamp, affected_from date, definition_hash varchar, "
            "as_known_at varchar, status varchar); insert into meta.builds values ('b-1', 'i-1', "
            "timestamp '2024-01-10 21:20:00', timestamp '2024-01-10 21:21:00', null, 'd', '', 'success')"
        )
    layout = layout_of(home)
    write_rows(
        layout,
        "preds.oof",
        [
            {
                "sleeve": "equities",
                "entity": f"S{code}",
                "dt": day(session).item(),
                "horizon": 5,
                "label": "fwd_5d",
                "run_id": RUN,
                "path_id": path,
                "split_id": path,
                "yhat": prediction(path, session, code),
                "y": 0.0,
                "label_end": day(session + 5).item(),
                "scored_at": NOW.replace(tzinfo=None),
            }
            for path in (0, 1)
            for session in range(FIRST, LAST)
            for code in range(SYMBOLS)
        ],
        now=lambda: NOW,
    )
    record_run(
        layout,
        run_id=RUN,
        sleeve="equities",
        label="fwd_5d",
        status="registered",
        git_revision="unknown",
        data_hash="d",
        config_hash="c",
        path="models_artifacts/x",
        metrics={},
        started_at=NOW,
        now=lambda: NOW,
    )
    for run_id in (RUN, OTHER):
        record_trial(
            layout,
            sleeve="equities",
            label="fwd_5d",
            run_id=run_id,
            config={},
            config_hash=run_id,
            data_hash="d",
            status="finished",
            now=lambda: NOW,
        )
    take_snapshot(layout, now=lambda: NOW)


def write_returns(home: Home) -> None:
    """Record returns of the other trial, of 20 strategies without a signal and of the baselines."""
    layout = layout_of(home)
    blanks = [
        *no_signal_names("equities", "fwd_5d", RUN, 20),
        *baseline_names("equities", "fwd_5d", RUN),
    ]
    random = np.random.default_rng(11)
    for run_id, kind in ((OTHER, "trial"), *((name, "no_signal") for name in blanks)):
        write_rows(
            layout,
            "ops.trial_returns",
            [
                {
                    "run_id": run_id,
                    "sleeve": "equities",
                    "label": "fwd_5d",
                    "kind": kind,
                    "strategy": "long_short",
                    "date": day(session).item(),
                    "gross_return": value,
                    "net_return": value,
                    "turnover": 0.1,
                    "recorded_at": NOW.replace(tzinfo=None),
                }
                for session, value in enumerate(random.normal(0, 0.01, SESSIONS))
            ],
            now=lambda: NOW,
        )
