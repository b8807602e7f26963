"""Runs side by side."""

import shutil
from datetime import date, datetime, timedelta

import numpy as np
import pytest

from tests.oracles import statistics as oracle
from tests.reports.conftest import Trained
from tests.training.market import small_config
from trademl.config.reading import load_section
from trademl.errors import ArtifactError, ConfigError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.reports.predictions import find_run
from trademl.reports.runs import (
    Comparison,
    RunSummary,
    SortKey,
    compare,
    daily_rank_ic,
    flat,
    list_runs,
    paired,
    plot,
    sort_value,
    summarise,
)
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.training.run import read_metrics
from trademl.warehouse.read import read_snapshot


def earn(trained: Trained, run_id: str, returns: list[float]) -> None:
    write_rows(
        layout_of(trained.home),
        "ops.trial_returns",
        [
            {
                "run_id": run_id,
                "sleeve": "equities",
                "label": "fwd_5d",
                "kind": "trial",
                "strategy": "long_short",
                "date": date(2020, 1, 1) + timedelta(days=number),
                "gross_return": value,
                "net_return": value,
                "turnover": 0.25,
                "recorded_at": datetime(2026, 3, 2),
            }
            for number, value in enumerate(returns)
        ],
    )
    snapshot_batches(layout_of(trained.home))


def another(trained: Trained, **fields: object) -> str:
    """Train a second run beside the first one and return its name."""
    model = {"kind": "ridge", "penalty": 1.0}
    config = load_section(small_config(trained.home, **{"model": model, **fields}), EquitiesConfig)
    return train(trained.home, config, mlflow=False).run_id


def summary_of(trained: Trained) -> RunSummary:
    with read_snapshot(trained.home) as snapshot:
        (one,) = summarise(trained.home, [find_run(snapshot.con, trained.home, trained.run_id)])
    return one


def compared(trained: Trained, *run_ids: str) -> Comparison:
    with read_snapshot(trained.home) as snapshot:
        return compare(snapshot.con, trained.home, run_ids)


def listed(trained: Trained, **chosen: object) -> tuple[list[str], tuple[str, ...]]:
    with read_snapshot(trained.home) as snapshot:
        found, lost = list_runs(snapshot.con, trained.home, **chosen)  # type: ignore[arg-type]
    return [one.run.run_id for one in found], lost


def test_a_run_without_returns_says_so_with_no_number(trained_once: Trained) -> None:
    """The measures are those of metrics.json; Sharpe ratio and drawdown are absent, not 0."""
    one = summary_of(trained_once)
    stored = read_metrics(one.run.folder)
    assert one.metrics["rank_ic"] == stored["summary"]["rank_ic"]["mean"]
    assert one.spread == pytest.approx(stored["summary"]["rank_ic"]["std"], rel=1e-12)
    assert (one.model, one.task, len(one.rank_ic)) == ("lightgbm", "demeaned regression", 3)
    assert one.fit_seconds > 0
    assert one.returns is None
    assert "annualised_sharpe" not in one.numbers()
    assert np.isnan(sort_value(one, "sharpe"))


def test_returns_of_the_run_are_measured(trained: Trained) -> None:
    """Drawdown and profit factor of four days, by hand: 1.5, 0.75, 1.5, 1.5 is a loss of half from the peak."""
    earn(trained, trained.run_id, [0.5, -0.5, 1.0, 0.0])
    numbers = summary_of(trained).numbers()
    assert (numbers["max_drawdown"], numbers["profit_factor"], numbers["turnover"]) == (0.5, 3.0, 0.25)
    assert numbers["annualised_sharpe"] == pytest.approx(0.25 / np.std([0.5, -0.5, 1, 0], ddof=1) * 252**0.5)


def test_a_date_has_the_mean_of_its_paths(trained_once: Trained) -> None:
    """metrics/ic_by_date.csv has a row per path and date; paths without a coefficient do not count."""
    one = summary_of(trained_once).run
    lines = one.folder.place("metrics/ic_by_date.csv").read_text().splitlines()
    place = lines[0].split(",").index("rank_ic")
    day = lines[40].split(",")[1]
    own = [float(line.split(",")[place]) for line in lines[1:] if line.split(",")[1] == day and line.split(",")[place]]
    assert len(own) == 3
    assert daily_rank_ic(one)[day] == pytest.approx(sum(own) / 3, rel=1e-12)


def test_the_paired_difference_equals_the_full_weight_matrix(trained_once: Trained) -> None:
    """Mean, t and share are those of the difference on common dates, with four lags for labels of five sessions."""
    one = summary_of(trained_once)
    rng = np.random.default_rng(3)
    days = [str(date(2020, 1, 1) + timedelta(days=at)) for at in range(60)]
    own = dict(zip(days, rng.normal(0.1, 0.1, 60).tolist(), strict=True))
    other = dict(zip(days[10:], rng.normal(0.0, 0.1, 50).tolist(), strict=True)) | {"2031-01-01": 9.0}
    found = paired(one, one, own, other)
    apart = [own[day] - other[day] for day in days[10:]]
    assert found.dates == 50
    assert found.mean == pytest.approx(sum(apart) / 50, rel=1e-12)
    assert found.t_stat == pytest.approx(oracle.newey_west_t(apart, 4), rel=1e-9)
    assert found.share_better == sum(value > 0 for value in apart) / 50
    assert found.correlation == pytest.approx(
        oracle.pearson([own[d] for d in days[10:]], [other[d] for d in days[10:]])
    )
    nothing = paired(one, one, own, {})
    assert nothing.dates == 0
    assert np.isnan(nothing.t_stat)


def test_only_fields_that_differ_are_shown(trained: Trained) -> None:
    """Two families differ in their model section; label, validation and data are the same and are not listed."""
    other = another(trained)
    found = compared(trained, trained.run_id, other)
    assert found.differences["model.kind"] == ("lightgbm", "ridge")
    assert found.differences["model.penalty"] == ("-", "1.0")
    assert all(name.startswith(("model.", "versions.")) for name in found.differences)
    assert found.numbers["rank_ic"] == tuple(one.metrics["rank_ic"] for one in found.runs)
    # The mean over the paths is what the runs themselves state.
    assert np.mean(found.paths, axis=0) == pytest.approx(found.numbers["rank_ic"])
    (pair,) = found.paired
    assert (pair.run_id, pair.against) == (other, trained.run_id)
    # Where every path has every date, the mean of the differences is the difference of the means.
    first, second = found.numbers["rank_ic"]
    assert pair.mean == pytest.approx(second - first, abs=2e-3)
    assert plot(found)[:8] == b"\x89PNG\r\n\x1a\n"
    assert plot(found) == plot(found)


def test_runs_on_other_labels_are_not_paired(trained: Trained) -> None:
    """Rank IC with two labels are two things: measures stand side by side, without a difference."""
    other = another(trained, label="ret_1d")
    found = compared(trained, trained.run_id, other)
    assert found.paired == ()
    assert found.differences["label"] == ("horizon", "ret_1d")


@pytest.mark.parametrize("chosen", [("a",), ("a", "a"), ()])
def test_a_comparison_needs_two_different_runs(trained_once: Trained, chosen: tuple[str, ...]) -> None:
    """One run, none, or one twice is refused."""
    with pytest.raises(ConfigError, match="cannot compare"):
        compared(trained_once, *chosen)


def test_an_unknown_run_is_named(trained_once: Trained) -> None:
    """The error lists what there is."""
    with pytest.raises(ArtifactError, match="no registered run 'nothing'"):
        compared(trained_once, trained_once.run_id, "nothing")


def test_runs_are_listed_by_sleeve_label_and_worth(trained: Trained) -> None:
    """Newest first; best first by a number, and a run without it comes last."""
    first, other = trained.run_id, another(trained, label="ret_1d")
    assert listed(trained) == ([other, first], ())
    assert listed(trained, label="fwd_5d") == ([first], ())
    assert listed(trained, sleeve="traders") == ([], ())
    earn(trained, first, [0.01, -0.02, 0.03])
    keys: dict[SortKey, list[str]] = {"sharpe": [first, other], "drawdown": [first, other]}
    for key, expected in keys.items():
        assert listed(trained, sort=key) == (expected, ())
    with read_snapshot(trained.home) as snapshot:
        by_worth, _ = list_runs(snapshot.con, trained.home, sort="rank_ic")
        by_time, _ = list_runs(snapshot.con, trained.home, sort="seconds")
    assert by_worth[0].metrics["rank_ic"] >= by_worth[1].metrics["rank_ic"]
    assert by_time[0].fit_seconds <= by_time[1].fit_seconds


def test_a_run_without_its_folder_does_not_hide_the_others(trained: Trained) -> None:
    """A folder that is gone is a line of its own, and every other run is listed."""
    other = another(trained)
    shutil.rmtree(trained.folder)
    found, lost = listed(trained)
    assert found == [other]
    assert len(lost) == 1
    assert lost[0].startswith(f"{trained.run_id}: no run folder")


def test_nested_configuration_becomes_dotted_names() -> None:
    """Lists become words, nothing becomes null, and an empty section keeps its name."""
    nested = {"a": {"b": {"c": 1}}, "d": (), "e": None, "monotone": {}, "f": True}
    assert flat(nested) == {"a.b.c": "1", "d": "none", "e": "null", "monotone": "{}", "f": "True"}
