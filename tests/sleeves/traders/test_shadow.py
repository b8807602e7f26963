"""Shadow mode of the traders: who scores, where it is written, and that it can harm nothing."""

import logging
import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest

from tests.sleeves.traders.conftest import small_config
from tests.sleeves.traders.wallets import address
from trademl.config.home import Home
from trademl.governance import router
from trademl.sleeves.traders import shadow
from trademl.sleeves.traders.scoring import score_traders
from trademl.sleeves.traders.shadow import detect_model, shadow_beside, shadow_traders
from trademl.sleeves.traders.stack import predict_stacked_scores
from trademl.sleeves.traders.train import train
from trademl.training.run import RunResult
from trademl.warehouse.read import read_snapshot

LAST = date(2025, 4, 10)


def shadows(home: Home) -> list[tuple[object, ...]]:
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(
            "select sleeve, entity, dt, horizon, model_id, label, yhat, yhat_std, prob_up, rank_pct from preds.shadow "
            "order by yhat desc"
        ).fetchall()


def test_the_stacked_pipeline_of_the_last_run_is_found_first(
    trained: tuple[Home, RunResult], converted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its scores go to preds.shadow alone, with spread and probability, and the five highest to the log."""
    home, result = trained
    shutil.copytree(converted, home.models_artifacts / "traders_stack")
    with caplog.at_level(logging.INFO, logger="trademl"):
        found = shadow_traders(home)
    assert (found.kind, found.model_id, found.as_of, len(found.predictions)) == ("stacked", result.run_id, LAST, 12)
    rows = shadows(home)
    assert {row[:6] for row in rows} == {
        ("traders", address(number), LAST, 7, result.run_id, "fwd_7d") for number in range(2, 14)
    }
    assert all(row[7] is not None and row[8] is not None for row in rows)
    direct = {row["address"]: row["ml_predicted_pnl"] for row in predict_stacked_scores(result.path, LAST, home=home)}
    assert dict(found.predictions) == direct == {row[1]: row[6] for row in rows}
    top = [record.getMessage() for record in caplog.records if "top 5" in record.getMessage()]
    assert len(top) == 1
    assert all(name[:10] in top[0] for name, _ in found.predictions[:5])
    assert top[0].count("0x") == 5
    with read_snapshot(home) as snapshot:
        assert snapshot.con.execute("select count(*) from preds.traders").fetchall() == [(0,)]
    assert shadow_traders(home, LAST).predictions == found.predictions
    assert len(shadows(home)) == 12


def test_a_converted_pipeline_is_found_next(wallets: Home, converted: Path) -> None:
    """Without a run; what it does not state is NULL, and its name is its content's."""
    shutil.copytree(converted, wallets.models_artifacts / "traders_stack")
    found = shadow_traders(wallets, LAST)
    assert (found.kind, len(found.predictions)) == ("stacked", 14)
    assert found.model_id.startswith("traders-converted-")
    assert all(row[7] is None and row[8] is None for row in shadows(wallets))


def test_a_run_without_a_pipeline_is_passed_over(wallets: Home, converted: Path) -> None:
    """The run registered last is a plain ridge: the converted pipeline scores."""
    train(wallets, small_config(model={"kind": "ridge"}), mlflow=False)
    shutil.copytree(converted, wallets.models_artifacts / "traders_stack")
    assert shadow_traders(wallets, LAST).model_id.startswith("traders-converted-")


def test_a_named_folder_is_the_only_one_looked_at(wallets: Home, converted: Path, tmp_path: Path) -> None:
    """--model names the pipeline; an empty folder there means the frozen model."""
    with read_snapshot(wallets) as snapshot:
        assert detect_model(wallets, snapshot.con, converted).kind == "stacked"
        assert detect_model(wallets, snapshot.con, tmp_path / "empty").kind == "v1"


def test_without_a_stack_the_frozen_v1_model_scores(wallets: Home) -> None:
    """It reads the 18 snapshot features of the date; an infinite profit factor counts as its cap."""
    found = shadow_traders(wallets, LAST)
    assert (found.kind, found.model_id, len(found.predictions)) == ("v1", "legacy-traders-v1", 14)
    rows = shadows(wallets)
    assert {(row[3], row[5]) for row in rows} == {(7, "fwd_7d")}
    assert all(row[7] is not None and row[8] is not None for row in rows)


def test_without_any_model_nobody_scores(wallets: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack, no frozen model: nothing is written and nothing is wrong."""
    monkeypatch.setattr(router, "FROZEN", {})
    found = shadow_traders(wallets, LAST)
    assert (found.kind, found.predictions) == ("none", ())
    assert shadows(wallets) == []


def test_a_failure_is_logged_and_harmless(
    trained: tuple[Home, RunResult], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged pipeline, a failing database or a bug: a warning and a note; what matters is published all the same."""
    home, result = trained
    before = score_traders(home, LAST).scores.yhat.tolist()
    (result_ridge := home.models_artifacts / "traders" / result.run_id / "checkpoints/scaler.json").unlink()
    notes = shadow_beside(home, LAST)
    assert len(notes) == 1
    assert "ML shadow mode failed" in notes[0]
    assert "scaler.json is missing" in notes[0]
    assert [record.levelname for record in caplog.records if "shadow mode failed" in record.getMessage()] == ["WARNING"]
    for error in (duckdb.Error("broken"), ZeroDivisionError("x"), OSError("disk")):
        monkeypatch.setattr(shadow, "detect_model", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert "ML shadow mode failed" in shadow_beside(home, LAST)[0]
    assert shadows(home) == []
    with read_snapshot(home) as snapshot:
        kept = snapshot.con.execute("select yhat from preds.traders order by address").fetchall()
    assert [value for (value,) in kept] == before
    assert not result_ridge.exists()


def test_an_interrupt_still_stops(wallets: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harmless does not mean unstoppable."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shadow, "detect_model", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shadow_beside(wallets, LAST)


def test_success_leaves_no_note(wallets: Home, converted: Path) -> None:
    """Beside something that matters it says nothing when it works."""
    assert shadow_beside(wallets, LAST, converted) == ()
    assert len(shadows(wallets)) == 14
