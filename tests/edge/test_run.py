"""Scoring on a device: everything or nothing, from one release, with the base install alone."""

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.edge.device_home import (
    AMBER,
    FEATURES_STEP,
    LATEST,
    NOW,
    REGIME_STEP,
    SYMBOLS,
    WEDNESDAY,
    served,
    usual,
    write_release,
)
from tests.edge.scoring_home import RUN, write_run, write_warehouse
from trademl.config.home import Home
from trademl.edge.features import Step, compute_features
from trademl.edge.journal import read_journal
from trademl.edge.run import score_release
from trademl.errors import ArtifactError, ReleaseError, TripwireError
from trademl.lake.layout import layout_of
from trademl.lake.manifest import current_seq, flip_current
from trademl.lake.reading import open_snapshot
from trademl.warehouse.query import list_tables, run_query

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("pandas", "pyarrow", "scipy", "sklearn", "lightgbm", "xgboost", "catboost", "onnx", "mlflow", "dbt", "tqdm")


def test_predictions_report_and_journal_hold_the_same_session(home: Home) -> None:
    """25 symbols are scored: rows of preds, a report in two forms and a journal, all of the release's own session."""
    write_release(home)
    result = score_release(home, now=lambda: NOW)
    assert (result.as_of, result.run_id, result.release, result.rows) == (LATEST, RUN, 1, SYMBOLS)
    assert result.written
    assert served(home)[:1] == ["journal/equities/2024-01-05_00000001.parquet"]
    assert served(home)[-2:] == ["reports/equities_2024-01-05.json", "reports/equities_2024-01-05.md"]
    assert result.json_path.read_text() == json.dumps(result.report, indent=2, ensure_ascii=False) + "\n"
    best = result.report["picks"][0]
    assert (best["symbol"], best["yhat"], best["prob_up"]) == ("S24", 24 / 64, 24 / 64 + 0.5)
    assert result.report["model"] == {"run_id": RUN, "status": "champion"}
    assert (result.report["coverage"]["status"], result.report["regime"]) == ("GREEN", "mid")
    journal = read_journal(result.journal)
    assert journal.symbols == tuple(usual())
    assert journal.X.tolist() == [[place / 64, 0.0] for place in range(SYMBOLS)]
    assert journal.yhat.tolist() == [place / 64 for place in range(SYMBOLS)]


def test_the_devices_own_predictions_can_be_queried(home: Home) -> None:
    """After scoring, a new snapshot shows the rows, also to guarded SQL, and no manifest was written."""
    write_release(home)
    score_release(home, now=lambda: NOW)
    layout = layout_of(home)
    with open_snapshot(layout) as snapshot:
        rows = run_query(snapshot, "select count(*), max(yhat), min(dt) from preds.equities").rows
        listed = {row[0]: row for row in list_tables(snapshot)}
    assert rows == [(SYMBOLS, 24 / 64, LATEST)]
    assert listed["preds.equities"][1:3] == ("batches", None)
    assert [path.name for path in layout.manifests.iterdir()] == ["00000001.json"]
    assert current_seq(layout) == 1


def test_scoring_twice_changes_nothing(home: Home) -> None:
    """The second run adds no file and leaves every byte as it is."""
    write_release(home)
    score_release(home, now=lambda: NOW)
    before = {name: (home.lake / name).read_bytes() for name in served(home)}
    again = score_release(home, now=lambda: NOW + timedelta(minutes=5))
    assert not again.written
    assert {name: (home.lake / name).read_bytes() for name in served(home)} == before


def test_the_next_release_reports_how_ranks_moved(home: Home) -> None:
    """Ranks are compared with what this device scored before: S00 climbs from the last place to the first."""
    write_release(home, as_of=WEDNESDAY)
    score_release(home, now=lambda: NOW)
    write_release(home, 2, bars={LATEST: {**usual(), "S00": (0.5, 0.0)}})
    report = score_release(home, now=lambda: NOW).report
    assert report["previous_date"] == "2024-01-03"
    assert {pick["symbol"]: pick["rank_change"] for pick in report["picks"]}["S00"] == SYMBOLS - 1


def test_an_earlier_session_of_the_release_is_scored_under_its_own_date(home: Home) -> None:
    """--as-of an earlier session computes that session's features, and its files carry that date."""
    write_release(home, bars={LATEST: usual(), WEDNESDAY: {**usual(), "S24": (-0.25, 0.0)}})
    result = score_release(home, WEDNESDAY, now=lambda: NOW)
    assert result.report["as_of"] == "2024-01-03"
    assert result.report["picks"][-1]["symbol"] == "S24"
    assert result.json_path.name == "equities_2024-01-03.json"


@pytest.mark.parametrize(
    "day, told",
    [
        (AMBER, "equity_bars is AMBER"),
        (date(2024, 1, 6), "not a session"),
        (date(2024, 1, 8), "does not grade equity_bars on 2024-01-08"),
        (WEDNESDAY, "its bars end on 2024-01-05"),
    ],
)
def test_a_session_that_cannot_be_served_leaves_nothing(home: Home, day: date, told: str) -> None:
    """AMBER, a Saturday, a session after the release, a session without bars: exit code 5 and not one file."""
    write_release(home, bars={LATEST: usual(), AMBER: usual()})
    with pytest.raises(TripwireError, match=told) as caught:
        score_release(home, day, now=lambda: NOW)
    assert caught.value.exit_code == 5
    assert served(home) == []


def test_a_feature_that_is_computed_differently_here_is_named(home: Home) -> None:
    """The device's statement doubles beta where the server's did not: parity fails by the feature's name."""
    skewed = Step(FEATURES_STEP.relation, FEATURES_STEP.sql.replace("close::float", "1::float"), False)
    write_release(home, steps=(skewed, REGIME_STEP), golden_steps=(FEATURES_STEP, REGIME_STEP))
    with pytest.raises(TripwireError, match=r"computes 2024-01-05 differently: 1 of 2 features differ: beta"):
        score_release(home, now=lambda: NOW)
    assert served(home) == []


def test_a_graph_that_scores_its_golden_rows_differently_serves_nothing(home: Home) -> None:
    """A golden score that this machine does not reproduce is a tripwire, not a model error."""
    write_run(home, golden_score=5.25, registered=False)
    write_release(home)
    with pytest.raises(TripwireError, match="1 of 1 golden rows score differently"):
        score_release(home, now=lambda: NOW)
    assert served(home) == []


def test_an_altered_model_is_refused(home: Home) -> None:
    """A model whose bytes are not those of its name is refused before it is opened."""
    release = write_release(home)
    path = layout_of(home).asset(release.assets["model/calibrator.json"].sha256)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    with pytest.raises(ArtifactError, match=r"model/calibrator.json of release 1 was altered"):
        score_release(home, now=lambda: NOW)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"model/calibrator.json of release 1 cannot be read"):
        score_release(home, now=lambda: NOW)
    assert served(home) == []


def test_a_lake_without_a_release_says_to_pull(home: Home) -> None:
    """An empty lake, a server's lake, and a manifest whose release is gone: each is refused with its own message."""
    with pytest.raises(ReleaseError, match="no release in"):
        score_release(home, now=lambda: NOW)
    write_release(home)
    layout = layout_of(home)
    document = layout.release(1).read_bytes()
    layout.release(1).unlink()
    with pytest.raises(ReleaseError, match="release 1 has no document"):
        score_release(home, now=lambda: NOW)
    layout.release(1).write_bytes(document.replace(b'"build_id":"b-1"', b'"build_id":"b-2"'))
    with pytest.raises(ReleaseError, match=r"snapshot 1 is not what .* says"):
        score_release(home, now=lambda: NOW)


def test_a_servers_lake_is_scored_by_the_server(home: Home) -> None:
    """On a lake with a build the command names the other one."""
    write_warehouse(home)
    with pytest.raises(ReleaseError, match=r"(?s)is of a build, not of a release.*trademl score equities"):
        score_release(home, now=lambda: NOW)


def test_current_is_read_once(home: Home) -> None:
    """A pointer that moves while features are computed changes nothing: all of the result is of the first release."""
    write_release(home, 1, bars={LATEST: usual()})
    write_release(home, 2, bars={LATEST: {**usual(), "S00": (0.5, 0.0)}})
    layout = layout_of(home)
    flip_current(layout, 1)

    def moved(con: duckdb.DuckDBPyConnection, *arguments: object) -> object:
        flip_current(layout, 2)
        return compute_features(con, *arguments)  # type: ignore[arg-type]

    result = score_release(home, now=lambda: NOW, compute=moved)  # type: ignore[arg-type]
    assert (result.release, result.report["picks"][-1]["symbol"]) == (1, "S00")


KILLED = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from trademl.config.home import Home
from trademl.edge import run

steps = ["write_journal", "write_rows", "show_batches", "daily_report", "write_report"]
def dies(*_, **__):
    os._exit(9)
setattr(run, sys.argv[2], dies)
run.score_release(Home(Path(sys.argv[1])), now=lambda: datetime(2024, 1, 5, 22, tzinfo=UTC))
"""


@pytest.mark.fault
@pytest.mark.parametrize("step", ["write_journal", "write_rows", "show_batches", "daily_report", "write_report"])
def test_a_killed_run_is_completed_by_the_same_command(home: Home, step: str) -> None:
    """Killed before any of the five steps that write or read back, the next run leaves each file once and whole."""
    write_release(home)
    done = subprocess.run([sys.executable, "-c", KILLED, str(home.root), step], cwd=REPOSITORY, check=False)
    assert done.returncode == 9
    score_release(home, now=lambda: NOW)
    with open_snapshot(layout_of(home)) as snapshot:
        assert snapshot.con.execute("select count(*) from preds.equities").fetchall() == [(SYMBOLS,)]
    assert [Path(name).suffix for name in served(home)] == [".parquet", ".parquet", ".json", ".md"]


def test_nothing_that_trains_is_loaded_on_a_device(home: Home) -> None:
    """Scoring loads no pandas, scikit-learn, booster, mlflow or dbt, and works where none is installed."""
    write_release(home)
    code = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
from datetime import UTC, datetime
from pathlib import Path
import trademl.cli.edge
from trademl.config.home import Home
from trademl.edge.run import score_release
print(score_release(Home(Path(sys.argv[1])), now=lambda: datetime(2024, 1, 5, 22, tzinfo=UTC)).rows)
print(sorted(name for name in sys.argv[2:] if sys.modules.get(name) is not None))
"""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root), *HEAVY],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(SYMBOLS), "[]"]
