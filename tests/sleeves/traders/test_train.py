"""Training the traders sleeve on drawn wallets."""

import json
from datetime import date

import pytest

from tests.sleeves.traders.columns import AGGREGATED
from tests.sleeves.traders.conftest import small_config
from tests.training.market import change
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.errors import ConfigError, DataGateError, LeakageError
from trademl.governance.audit import WHOLE_RUN
from trademl.reports.predictions import read_out_of_fold
from trademl.sleeves.traders.train import TRADERS, label_name, stack_lines, train
from trademl.training.run import RunResult
from trademl.warehouse.read import read_snapshot


def test_a_run_of_the_sleeve_is_a_run_like_any_other(trained: tuple[Home, RunResult]) -> None:
    """Splits, audit, out-of-fold predictions, parity, ledger: all as for equities, over days in place of sessions."""
    home, result = trained
    assert (result.label, result.horizon, len(result.metrics["paths"])) == ("fwd_7d", 7, 1)
    assert result.metrics["summary"]["rank_ic"]["mean"] > 0.3
    manifest = RunFolder.open(result.path).verify()
    assert manifest.summary["features"] == 97
    assert json.loads((result.path / "metrics/parity.json").read_text())["mismatches"] == 0
    with read_snapshot(home) as snapshot:
        con = snapshot.con
        runs = con.execute("select sleeve, label, status from ops.runs").fetchall()
        trials = con.execute("select sleeve, status, returns_ref from ops.trials").fetchall()
        out_of_fold = con.execute(
            "select count(*), count(distinct entity), count(distinct path_id), min(dt) from preds.oof"
        ).fetchall()
        audit = con.execute("select count(*), sum(violations) from ops.leakage_audit").fetchall()
        whole = {name for (name,) in con.execute(
            f"select check_name from ops.leakage_audit where split_id = {WHOLE_RUN}").fetchall()}  # fmt: skip
    assert runs == [("traders", "fwd_7d", "registered")]
    assert trials == [("traders", "finished", None)]
    # 93 days of the 12 wallets with 16 windows.
    assert out_of_fold == [(93 * 12, 12, 1, date(2025, 1, 1))]
    assert audit[0][0] > 30
    assert audit[0][1] == 0
    assert {"row_duplicated", "feature_differs_from_source", "feature_is_target", "tested_unevenly"} <= whole
    assert result.economics == {}


def test_the_folder_holds_the_stack_as_files(trained: tuple[Home, RunResult]) -> None:
    """Base models, scaler, ridge, pipeline and one graph; and how graph and stages compare."""
    _, result = trained
    checkpoints = {path.name for path in (result.path / "checkpoints").iterdir()}
    assert {f"base_model_{n}.json" for n in range(8)} <= checkpoints
    assert {"scaler.json", "ridge.json", "pipeline.json", "model.json", "model.onnx", "golden.json"} <= checkpoints
    assert not any(name.endswith((".pkl", ".joblib")) for name in checkpoints)
    facts = json.loads((result.path / "metrics/stack.json").read_text())
    assert (facts["wallets"], facts["wallets_a_day"], facts["days"]) == (12, 12.0, 93)
    assert (facts["compared"]["largest_difference"], facts["compared"]["rank_changes"]) == (0.0, 0)
    assert sum(facts["shares"].values()) == pytest.approx(1.0)
    lines = stack_lines(result.path)
    assert lines[0] == "wallets     12, 12 on the median of 93 days"
    assert lines[2] == "merged ONNX largest difference 0 on 1116 rows, ranks identical"
    assert json.loads((result.path / "features/feature_list.json").read_text()) == AGGREGATED


def test_reports_read_the_run_over_its_own_days(trained: tuple[Home, RunResult]) -> None:
    """Weekends and holidays are days of the sleeve: every prediction has its place."""
    home, result = trained
    with read_snapshot(home) as snapshot:
        read = read_out_of_fold(snapshot.con, result.run_id)
    assert len(read.score) == 93 * 12
    assert len(set(read.dates.tolist())) == 93
    assert sorted(set(read.fold.tolist())) == [0, 1, 2, 3]


def test_the_same_command_again_finds_the_run(trained: tuple[Home, RunResult]) -> None:
    """Nothing is trained twice."""
    home, result = trained
    again = train(home, small_config(), mlflow=False)
    assert (again.run_id, again.already_trained) == (result.run_id, True)


def test_another_family_trains_and_is_no_pipeline(wallets: Home) -> None:
    """A ridge on two of the columns is a run of the sleeve; it leaves no pipeline."""
    config = small_config(model={"kind": "ridge"}, features=["roi_7d_dm_mean", "n_windows"])
    result = train(wallets, config, mlflow=False)
    assert not (result.path / "checkpoints/pipeline.json").exists()
    assert stack_lines(result.path) == []
    fewer = small_config(features=AGGREGATED[:-1])
    part = train(wallets, fewer, mlflow=False)
    assert not (part.path / "checkpoints/pipeline.json").exists()
    assert (part.path / "metrics/stack.json").exists()


def test_a_day_that_is_not_green_stops_the_run(wallets: Home) -> None:
    """The sleeve's own grades decide, by date, and the message names its table."""
    change(wallets, "update silver.trader_coverage set status = 'RED' where date = date '2025-02-02'")
    with pytest.raises(DataGateError, match=r"1 RED in silver\.trader_coverage of trader_days(.|\n)*2025-02-02 RED"):
        train(wallets, small_config(), mlflow=False)


def test_features_of_another_date_are_a_leak(wallets: Home) -> None:
    """Training rows whose features are tomorrow's are found before a fit: they are compared by address and as_of."""
    change(
        wallets,
        "update gold.traders_training as t set roi_7d_dm_mean = f.roi_7d_dm_mean from gold.traders_features as f "
        "where f.address = t.address and f.as_of = t.date + 1",
    )
    with pytest.raises(LeakageError, match="feature_differs_from_source"):
        train(wallets, small_config(), mlflow=False)


def test_what_was_known_too_late_is_a_leak(wallets: Home) -> None:
    """A row whose features were known after the end of its day may not be used."""
    change(wallets, "update gold.traders_training set known_at = known_at + interval 1 hour where date = '2025-02-02'")
    with pytest.raises(LeakageError, match="known_after_decision"):
        train(wallets, small_config(), mlflow=False)


def test_labels_are_named_by_days() -> None:
    """horizon is fwd_{k}d; any other word is a label's own name."""
    assert label_name(small_config()) == "fwd_7d"
    assert label_name(small_config(label="other")) == "other"
    assert not TRADERS.daily_bars


def test_an_unknown_label_is_refused(wallets: Home) -> None:
    """The message lists what there is."""
    with pytest.raises(ConfigError, match=r"fwd_3d(.|\n)*labels are fwd_7d"):
        train(wallets, small_config(k=3), mlflow=False)
