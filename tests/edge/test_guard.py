"""Tripwires: each fires at its limit, names itself, and leaves nothing behind."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.edge.device_home import (
    AMBER,
    LATEST,
    NOW,
    SESSIONS,
    SYMBOLS,
    WEDNESDAY,
    limits,
    reference_of,
    served,
    usual,
    write_release,
)
from trademl.config.home import Home
from trademl.edge.guard import read_reference, turnover
from trademl.edge.run import score_release
from trademl.errors import ArtifactError, TripwireError

REVERSED = {symbol: (-alpha, beta) for symbol, (alpha, beta) in usual().items()}
ALPHA = [alpha for alpha, _ in usual().values()]


def assert_refused(home: Home, told: str, now: timedelta = timedelta(0)) -> None:
    """Scoring ends with a tripwire that says ``told``, exit code 5, and no new file."""
    before = served(home)
    with pytest.raises(TripwireError, match=told) as caught:
        score_release(home, now=lambda: NOW + now)
    assert caught.value.exit_code == 5
    assert caught.value.remedy
    assert served(home) == before


def test_an_expired_release_serves_nothing(home: Home) -> None:
    """A release of five days serves a second before its end, and not at its end."""
    write_release(home)
    assert_refused(home, "release 1 of 2024-01-05 expired at 2024-01-10 22:00:00 UTC", timedelta(days=5))
    assert score_release(home, now=lambda: NOW + timedelta(days=5, seconds=-1)).rows == SYMBOLS


def test_a_clock_behind_the_publisher_serves_nothing(home: Home) -> None:
    """Ten minutes of difference are allowed, eleven are not: a wrong clock would make any release fresh."""
    write_release(home)
    assert_refused(home, r"was made at 2024-01-05 22:00:00 UTC, after .* limit: 10 minutes", timedelta(minutes=-11))
    assert score_release(home, now=lambda: NOW - timedelta(minutes=10)).rows == SYMBOLS


def test_a_fresh_signature_under_old_data_serves_nothing(home: Home) -> None:
    """Made today of a session 6 days ago, a release is stale; 5 days are allowed, any age where the limit is null."""
    for seq, distance in ((1, 6), (2, 5)):
        write_release(home, seq, created=NOW + timedelta(days=distance))
        if distance == 6:
            assert_refused(home, "ends on 2024-01-05, 6 days before 2024-01-11; limit: 5 days", timedelta(days=6))
            (home.configs / "lake.yml").write_text("max_age_days: null\n", encoding="utf-8")
            assert score_release(home, now=lambda: NOW + timedelta(days=6)).rows == SYMBOLS
            limits(home, min_rows=20)
    assert score_release(home, now=lambda: NOW + timedelta(days=5)).rows == SYMBOLS


@pytest.mark.parametrize("between, stale", [([], False), ([date(2024, 1, 10)], True)])
def test_a_long_holiday_is_no_delay(home: Home, between: list[date], stale: bool) -> None:
    """Six days later, with no session in between by a calendar that reaches so far, the release is still the newest."""
    sessions = [*SESSIONS[:4], *between, date(2024, 1, 11)]
    write_release(home, sessions=sessions, created=NOW + timedelta(days=6))
    if stale:
        assert_refused(home, "6 days before 2024-01-11", timedelta(days=6))
    else:
        assert score_release(home, now=lambda: NOW + timedelta(days=6)).rows == SYMBOLS


def test_a_session_that_is_not_green_serves_nothing(home: Home) -> None:
    """A release of an AMBER session does not exist; if one is made all the same, nothing is served."""
    write_release(home, as_of=AMBER)
    assert_refused(home, "release 1 cannot serve 2024-01-04: the data gate refuses .* AMBER")


def test_too_few_rows_serve_nothing(home: Home) -> None:
    """19 symbols are no universe of at least 20."""
    write_release(home, bars={LATEST: usual(19)})
    assert_refused(home, "19 rows, limit at least 20")
    limits(home, min_rows=19)
    assert score_release(home, now=lambda: NOW).rows == 19


def test_a_reversal_of_all_ranks_serves_nothing(home: Home) -> None:
    """Top and bottom fifth swap: turnover 1; the message names the session compared with; no row of the day is left."""
    write_release(home, as_of=WEDNESDAY)
    score_release(home, now=lambda: NOW)
    write_release(home, 2, bars={LATEST: REVERSED})
    assert_refused(home, r"since 2024-01-03 is 1\.000, limit 0\.7")
    limits(home, max_turnover=1.0)
    result = score_release(home, now=lambda: NOW)
    assert (result.measured.turnover, result.measured.compared_with) == (1.0, WEDNESDAY)


@pytest.mark.parametrize("last, compared", [(12, WEDNESDAY), (15, None)])
def test_scores_of_long_ago_are_no_yardstick(home: Home, last: int, compared: date | None) -> None:
    """Of 12 January the 3rd is the fifth session before and counts; of the 15th it is the sixth and does not."""
    limits(home, max_turnover=1.0)
    write_release(home, as_of=WEDNESDAY)
    first = score_release(home, now=lambda: NOW).measured
    assert (first.turnover, first.compared_with) == (None, None)
    days = [date(2024, 1, day) for day in (2, 3, 8, 9, 10, 11, 12, 15) if day <= last]
    later = NOW + timedelta(days=10)
    write_release(home, 2, as_of=days[-1], bars={days[-1]: REVERSED}, sessions=days, created=later)
    assert score_release(home, now=lambda: later).measured.compared_with == compared


def test_drift_of_a_feature_is_named_with_its_limit(home: Home) -> None:
    """beta is 0 for everyone, where the reference knows -1 to 1; alpha is as it was. Only beta is named."""
    spread = list(np.linspace(-1, 1, 50))
    write_release(home, reference=reference_of({"alpha": ALPHA, "beta": spread}, ALPHA))
    assert_refused(
        home, r"1 of 2 features drifted: PSI of beta \d+\.\d\d \(worst before 0\.00\); limit 0\.5 above the worst"
    )


def test_a_day_as_strange_as_the_worst_of_the_reference_is_served(home: Home) -> None:
    """The index is compared with the worst session of the reference plus the limit."""
    spread = list(np.linspace(-1, 1, 50))
    write_release(home, reference=reference_of({"alpha": ALPHA, "beta": spread}, ALPHA, worst=20.0))
    found = score_release(home, now=lambda: NOW).measured
    assert 0.5 < found.feature_drift["beta"] < 20.5
    assert found.feature_drift["alpha"] == 0.0
    assert found.prediction_drift == 0.0


def test_drift_of_a_raw_feature_behind_the_models_is_seen(home: Home) -> None:
    """gamma is no feature of the model, but the reference knows it and the device computes it."""
    write_release(home, reference=reference_of({"gamma": [100 * value + 500 for value in ALPHA]}, ALPHA))
    assert_refused(home, r"1 of 1 features drifted: PSI of gamma")


def test_drift_of_the_prediction_serves_nothing(home: Home) -> None:
    """Scores between 0 and 0.4 where the reference knows 5 to 6 trip the prediction's wire."""
    write_release(home, reference=reference_of({}, list(np.linspace(5, 6, 50))))
    assert_refused(home, r"the prediction drifted: PSI \d+\.\d\d")


def test_every_wire_that_fired_is_named(home: Home) -> None:
    """Few rows and drift of both kinds at once: one message with all three."""
    far = list(np.linspace(5, 6, 50))
    write_release(home, bars={LATEST: usual(5)}, reference=reference_of({"alpha": far}, far))
    assert_refused(home, r"5 rows.*1 of 1 features drifted.*the prediction drifted")


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"{",
        b'{"features": {}}',
        b'{"features": {"a": {"edges": [1.0], "shares": [1.0]}}, "prediction": null}',
        b'{"features": {"a": {"edges": [1.0]}}, "prediction": null}',
        b'{"features": [], "prediction": null}',
    ],
)
def test_a_damaged_reference_is_refused(raw: bytes) -> None:
    """What is no reference of drift is an error, not an absence of drift."""
    with pytest.raises(ArtifactError, match=r"drift/reference\.json is damaged"):
        read_reference(raw)


def test_turnover_by_hand() -> None:
    """Ten names, fifths of two: of the top pair one is new, of the bottom pair none: (1/2 + 0) / 2."""
    names = tuple("abcdefghij")
    before, after = np.arange(10.0), np.arange(10.0)
    after[7], after[8] = 8.0, 7.0
    assert turnover(names, after, names, before) == 0.25


def test_names_not_scored_before_count_as_new() -> None:
    """All names are new: everything turned over."""
    assert turnover(("a", "b"), np.array([1.0, 2.0]), ("c", "d"), np.array([1.0, 2.0])) == 1.0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.randoms())
def test_turnover_does_not_depend_on_the_order_of_rows(values: list[float], chance: object) -> None:
    """The same scores in another order have no turnover, also with ties."""
    names = tuple(f"N{place:02d}" for place in range(len(values)))
    order = list(range(len(values)))
    chance.shuffle(order)  # type: ignore[attr-defined]
    scores = np.array(values)
    assert turnover([names[place] for place in order], scores[order], names, scores) == 0.0
