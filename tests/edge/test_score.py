"""Scoring one session from a bundle."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.scoring_home import AMBER, LATEST, RUN, TUESDAY, WEDNESDAY, write_run, write_warehouse
from trademl.config.home import Home
from trademl.edge.score import open_bundle, rank_pct, score
from trademl.errors import ArtifactError, DataGateError, ModelError, ParityError, SnapshotError
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def bundle(home: Home) -> Path:
    return write_run(home)


@pytest.fixture
def con(home: Home) -> Iterator[duckdb.DuckDBPyConnection]:
    write_warehouse(home)
    with open_snapshot(layout_of(home)) as snapshot:
        yield snapshot.con


def test_scores_are_the_models_of_the_universe_in_order_of_name(con: duckdb.DuckDBPyConnection, bundle: Path) -> None:
    """yhat = alpha + 2 beta for the four names in the universe; a name outside it has no score."""
    scores = score(con, bundle, WEDNESDAY)
    assert scores.entities == ("A", "B", "C", "D")
    assert scores.yhat.tolist() == [0.5, 0.25, 0.25, -0.5]
    assert (scores.bundle.run_id, scores.bundle.label, scores.bundle.horizon) == (RUN, "fwd_5d", 5)


def test_probabilities_are_calibrated_and_never_certain(con: duckdb.DuckDBPyConnection, bundle: Path) -> None:
    """prob_up = yhat + 0.5, held within [0.01, 0.99]."""
    assert score(con, bundle, WEDNESDAY).prob_up.tolist() == [0.99, 0.75, 0.75, 0.01]


def test_ties_share_their_average_rank(con: duckdb.DuckDBPyConnection, bundle: Path) -> None:
    """rank_pct of 4 names of which two tie in the middle: 1, (2 + 3) / 2 / 4 twice, and 1 / 4."""
    assert score(con, bundle, WEDNESDAY).rank_pct.tolist() == [1.0, 0.625, 0.625, 0.25]


def test_spread_depends_on_the_prediction_and_the_regime_of_the_date(
    con: duckdb.DuckDBPyConnection, bundle: Path
) -> None:
    """In regime mid scores above 0 have 0.4 and others 0.3; in an unknown regime the row of all regimes answers."""
    known = score(con, bundle, WEDNESDAY)
    assert (known.regime, known.yhat_std.tolist()) == ("mid", [0.4, 0.4, 0.4, 0.3])
    unknown = score(con, bundle, TUESDAY)
    assert (unknown.regime, unknown.yhat_std.tolist()) == (None, [0.8, 0.8, 0.8, 0.8])


def test_a_session_that_is_not_green_is_refused(con: duckdb.DuckDBPyConnection, bundle: Path) -> None:
    """AMBER blocks scoring; the message has the date, the grade, the limit and the reasons."""
    with pytest.raises(DataGateError, match=r"2024-01-04: equity_bars is AMBER with 75.0% .*GREEN \(absent 1: D\)"):
        score(con, bundle, AMBER)


def test_a_day_without_trading_is_refused(con: duckdb.DuckDBPyConnection, bundle: Path) -> None:
    """A Saturday is not scored with Friday's features."""
    with pytest.raises(DataGateError, match=r"2024-01-06 \(Saturday\) is not a session"):
        score(con, bundle, date(2024, 1, 6))


def test_a_session_that_nothing_landed_for_is_refused(con: duckdb.DuckDBPyConnection, bundle: Path) -> None:
    """A session in the calendar after the last graded one is refused, and the last one is named."""
    with pytest.raises(DataGateError, match="does not grade equity_bars on 2024-01-08; it ends on 2024-01-05"):
        score(con, bundle, date(2024, 1, 8))


def test_yesterdays_features_are_never_scored_under_todays_date(home: Home, bundle: Path) -> None:
    """A GREEN session without features of its own is refused though the day before has some."""
    write_warehouse(home, f"delete from gold.equities_features where date = '{LATEST}'")
    with (
        open_snapshot(layout_of(home)) as snapshot,
        pytest.raises(DataGateError, match="no row in the universe on 2024-01-05; its last session is 2024-01-04"),
    ):
        score(snapshot.con, bundle, LATEST)


def test_missing_values_reach_the_model_as_nan_and_a_nan_score_is_refused(home: Home, bundle: Path) -> None:
    """A NULL feature is NaN in the matrix; a linear model then has no score for that name, which stops everything."""
    write_warehouse(home, "update gold.equities_features set beta = null where symbol = 'C'")
    with (
        open_snapshot(layout_of(home)) as snapshot,
        pytest.raises(ModelError, match="1 of 4 scores are not numbers, C among them"),
    ):
        score(snapshot.con, bundle, WEDNESDAY)


def test_a_missing_feature_column_is_named(home: Home, bundle: Path) -> None:
    """A features table without a column of the model is an error that names it."""
    write_warehouse(home, "alter table gold.equities_features drop column beta")
    with (
        open_snapshot(layout_of(home)) as snapshot,
        pytest.raises(ModelError, match=f"lacks 1 of the 2 features of {RUN}: beta"),
    ):
        score(snapshot.con, bundle, WEDNESDAY)


def test_columns_are_taken_by_name_whatever_their_place(home: Home) -> None:
    """A model of (beta, alpha) reads beta first, though the table has alpha first: yhat = beta + 2 alpha."""
    folder = write_run(home, features=("beta", "alpha"))
    write_warehouse(home)
    with open_snapshot(layout_of(home)) as snapshot:
        assert score(snapshot.con, folder, WEDNESDAY).yhat.tolist() == [0.25, 0.875, 0.5, -1.0]


def test_a_feature_list_in_another_order_is_refused(home: Home) -> None:
    """The list of the bundle and the graph's own must agree in order, not only as sets."""
    with pytest.raises(ArtifactError, match=r"feature_list.json of .* is not the list of features, in order"):
        open_bundle(write_run(home, listed=("beta", "alpha")))


def test_an_altered_bundle_is_refused(bundle: Path) -> None:
    """One changed byte in a calibrator stops scoring and names the file."""
    path = bundle / "checkpoints" / "calibrator.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(ArtifactError, match=r"checkpoints/calibrator.json was altered"):
        open_bundle(bundle)


def test_an_unfinished_run_is_refused(bundle: Path) -> None:
    """A folder without its manifest is no bundle."""
    (bundle / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="the run did not finish"):
        open_bundle(bundle)


def test_a_machine_that_scores_differently_is_refused(home: Home) -> None:
    """The golden vector (1, 2) must score 1 + 2 * 2 = 5 here, bit for bit, before anything else is scored."""
    with pytest.raises(ParityError, match="1 of 1 golden rows score differently"):
        open_bundle(write_run(home, golden_score=float(np.nextafter(np.float32(5), np.float32(6)))))


def test_a_snapshot_without_regimes_is_refused(home: Home, bundle: Path) -> None:
    """A missing table is an error that says to build, not an unknown regime."""
    write_warehouse(home, "drop table gold.equities_regime")
    with (
        open_snapshot(layout_of(home)) as snapshot,
        pytest.raises(SnapshotError, match="equities_regime"),
    ):
        score(snapshot.con, bundle, WEDNESDAY)


@given(st.lists(st.sampled_from([-1.5, -0.25, 0.0, 0.25, 2.0, 3.5]), min_size=1, max_size=30))
def test_rank_pct_is_the_share_below_plus_half_of_the_ties(values: list[float]) -> None:
    """A value's rank is the number below it plus the mean place among its equals, over all values."""
    n = len(values)
    expected = [
        (sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2) / n
        for value in values
    ]
    np.testing.assert_array_equal(rank_pct(np.array(values)), np.array(expected))


def test_scoring_needs_the_base_install_only(home: Home, bundle: Path) -> None:
    """Scoring works in a process where no package of an extra can be imported."""
    write_warehouse(home)
    code = """
import json, sys
from pathlib import Path
for name in ("pandas", "pyarrow", "scipy", "sklearn", "lightgbm", "onnx", "dbt", "mlflow", "matplotlib", "tqdm"):
    sys.modules[name] = None
from datetime import date
from trademl.edge.daily import daily_report
from trademl.edge.score import score
from trademl.lake.layout import Layout
from trademl.lake.snapshot import open_snapshot
with open_snapshot(Layout(Path(sys.argv[1]))) as snapshot:
    print(json.dumps(score(snapshot.con, Path(sys.argv[2]), date(2024, 1, 3)).yhat.tolist()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.lake), str(bundle)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0.5, 0.25, 0.25, -0.5]
