"""Skew replay: what a device served against what the server computes, bit for bit and by name."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.device_home import write_release
from tests.edge.scoring_home import AMBER, NOW, RUN, WEDNESDAY, write_run, write_warehouse
from trademl.config.home import Home
from trademl.edge.journal import Journal, write_journal
from trademl.errors import ArtifactError, DataGateError, SnapshotError
from trademl.lake.layout import layout_of
from trademl.sleeves.equities_skew import FeatureSkew, compare, replay_journals
from trademl.warehouse.query import run_query
from trademl.warehouse.read import read_snapshot

# Wednesday in tests/edge/scoring_home.py: alpha, beta and alpha + 2 beta of the four names of the universe.
SERVER = {"A": (0.0, 0.25), "B": (0.5, -0.125), "C": (0.25, 0.0), "D": (-0.5, 0.0)}
NAN = float("nan")


@pytest.fixture
def server(home: Home) -> Home:
    write_run(home)
    write_warehouse(home)
    return home


def serve(
    home: Home,
    rows: dict[str, tuple[float, float]],
    scores: list[float] | None = None,
    *,
    day: date = WEDNESDAY,
    run: str = RUN,
    release: int = 1,
    names: tuple[str, ...] = ("alpha", "beta"),
) -> Path:
    """Write the journal of a device that scored ``rows``."""
    X = np.array(list(rows.values()), dtype=np.float32)
    yhat = np.array(scores) if scores else (X[:, 0] + np.float32(2) * X[:, 1]).astype(np.float64)
    journal = Journal("equities", day, run, release, datetime(2024, 1, 5, 22), tuple(rows), names, X, yhat)
    return write_journal(layout_of(home), journal)


def skew(home: Home) -> list[tuple[object, ...]]:
    with read_snapshot(home) as snapshot:
        return run_query(
            snapshot, "select feature, mismatches, missing, extra, round(smape, 6) from ops.skew order by feature"
        ).rows


def test_equal_vectors_leave_zeros_as_evidence(server: Home) -> None:
    """A device that served what gold has: three rows of zeros, and nothing named."""
    serve(server, SERVER)
    (report,) = replay_journals(server, now=lambda: NOW)
    assert report.skewed == ()
    assert (report.as_of, report.run_id, report.release, report.rows) == (WEDNESDAY, RUN, 1, 4)
    assert skew(server) == [("alpha", 0, 0, 0, 0.0), ("beta", 0, 0, 0, 0.0), ("yhat", 0, 0, 0, 0.0)]


def test_a_changed_statement_is_reported_by_the_features_name(server: Home) -> None:
    """beta doubled on the device: two symbols differ (0 doubled is 0), sMAPE (2/3 + 2/3 + 0 + 0) / 4; yhat follows."""
    serve(server, {symbol: (alpha, 2 * beta) for symbol, (alpha, beta) in SERVER.items()})
    (report,) = replay_journals(server, now=lambda: NOW)
    assert [feature.feature for feature in report.skewed] == ["beta", "yhat"]
    assert skew(server)[1] == ("beta", 2, 0, 0, round(1 / 3, 6))


def test_missing_and_extra_values_are_counted_by_symbol(server: Home) -> None:
    """The device has no C, no alpha of B, and an E that the server has not."""
    rows = {"A": SERVER["A"], "B": (NAN, -0.125), "D": SERVER["D"], "E": (1.0, NAN)}
    serve(server, rows, [0.5, 0.25, -0.5, 1.0])
    replay_journals(server, now=lambda: NOW)
    assert skew(server) == [("alpha", 0, 2, 1, 0.0), ("beta", 0, 1, 0, 0.0), ("yhat", 0, 1, 1, 0.0)]


def test_a_score_that_differs_alone_is_found(server: Home) -> None:
    """The same features, and one score off by the last bit: the engine, not the SQL."""
    serve(server, SERVER, [np.nextafter(0.5, 1), 0.25, 0.25, -0.5])
    (report,) = replay_journals(server, now=lambda: NOW)
    assert [(one.feature, one.mismatches) for one in report.skewed] == [("yhat", 1)]
    assert 0 < report.skewed[0].smape < 1e-15


def test_a_correction_on_the_server_shows_as_well(server: Home) -> None:
    """Gold that changed after the device served is not what was served."""
    serve(server, SERVER)
    write_warehouse(server, "update gold.equities_features set alpha = 0.375 where symbol = 'C'")
    (report,) = replay_journals(server, now=lambda: NOW)
    assert [one.feature for one in report.skewed] == ["alpha", "yhat"]


def test_of_two_releases_of_a_day_the_later_one_is_recorded(server: Home) -> None:
    """Both journals are reported; ops.skew, one row per session, model and feature, has the later release."""
    serve(server, {**SERVER, "A": (1.0, 1.0)}, release=1)
    serve(server, SERVER, release=2)
    reports = replay_journals(server, now=lambda: NOW)
    assert [(report.release, bool(report.skewed)) for report in reports] == [(1, True), (2, False)]
    assert [row[1] for row in skew(server)] == [0, 0, 0]


def test_a_journal_from_elsewhere_is_given_by_its_path(server: Home, tmp_path: Path) -> None:
    """The file as it was copied from a device, outside the home."""
    path = serve(server, SERVER)
    copied = tmp_path / path.name
    path.rename(copied)
    assert len(replay_journals(server, copied, now=lambda: NOW)) == 1
    with pytest.raises(ArtifactError, match="no journal in"):
        replay_journals(server, now=lambda: NOW)


def test_journals_that_cannot_be_replayed_are_refused(server: Home) -> None:
    """A model that is not registered, a session without gold, and other features: each with its own message."""
    with pytest.raises(ArtifactError, match="not a registered run"):
        replay_journals(server, serve(server, SERVER, run="equities-fwd_5d-ffffffffffff"), now=lambda: NOW)
    with pytest.raises(DataGateError, match="no row in the universe on 2023-01-03"):
        replay_journals(server, serve(server, SERVER, day=date(2023, 1, 3)), now=lambda: NOW)
    with pytest.raises(ArtifactError, match="has 2 features, which are not, in order, the 2 of"):
        replay_journals(server, serve(server, SERVER, day=AMBER, names=("beta", "alpha")), now=lambda: NOW)
    assert skew(server) == []


def test_a_device_cannot_replay_itself(home: Home) -> None:
    """Without gold of its own a lake has nothing to compare with."""
    write_release(home)
    with pytest.raises(SnapshotError, match="no gold of its own"):
        replay_journals(home)


def slow_compare(ours: dict[str, float], theirs: dict[str, float]) -> tuple[int, int, int, float]:
    """The definition, a symbol at a time."""
    mismatches = missing = extra = 0
    shares = []
    for symbol in {*ours, *theirs}:
        a, b = ours.get(symbol, NAN), theirs.get(symbol, NAN)
        if np.isnan(a) and np.isnan(b):
            continue
        missing += int(np.isnan(a))
        extra += int(np.isnan(b))
        if not np.isnan(a) and not np.isnan(b):
            mismatches += int(np.float64(a).tobytes() != np.float64(b).tobytes())
            shares.append(0.0 if a == b else 2 * abs(a - b) / (abs(a) + abs(b)))
    return mismatches, missing, extra, float(np.mean(shares)) if shares else 0.0


cells = st.dictionaries(
    st.sampled_from("ABCDEF"), st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 2.5, NAN]), min_size=0, max_size=6
)


@given(cells, cells)
def test_comparing_equals_its_definition(ours: dict[str, float], theirs: dict[str, float]) -> None:
    """Counts and sMAPE equal a loop over symbols."""
    found = compare("f", list(ours), np.array(list(ours.values())), list(theirs), np.array(list(theirs.values())))
    mismatches, missing, extra, smape = slow_compare(ours, theirs)
    assert (found.mismatches, found.missing, found.extra) == (mismatches, missing, extra)
    assert found.smape == pytest.approx(smape)


def test_infinities_are_as_far_apart_as_can_be() -> None:
    """Equal infinities agree; unlike ones, or one beside a number, have sMAPE 2."""
    served, computed = np.array([np.inf, np.inf, -np.inf, np.inf]), np.array([np.inf, 1.0, np.inf, np.inf])
    names = ["a", "b", "c", "d"]
    assert compare("f", names, served, names, computed) == FeatureSkew("f", 2, 0, 0, 1.0)
