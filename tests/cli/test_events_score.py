"""``trademl events score``, ``ensemble`` and ``serve``."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.sleeves.events.viewport_doubles import BAR_END, models, publish, target
from trademl.cli.main import main
from trademl.config.home import Home
from trademl.errors import ModelError
from trademl.sleeves.events.service.app import Service
from trademl.sleeves.events.viewport.config import load_config, places
from trademl.sleeves.events.viewport.document import TARGET_FIELDS
from trademl.sleeves.events.viewport.ensemble import Ensemble
from trademl.warehouse.read import read_snapshot


@pytest.fixture
def levels(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with two bars of SPY and two levels near the second, and stand-ins for its models."""
    rows = [target("PDH"), target("PDC", price=99.75)]
    publish(home, rows, [("SPY", BAR_END - timedelta(minutes=1)), ("SPY", BAR_END)])
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    monkeypatch.setattr("trademl.sleeves.events.viewport.models.load_models", lambda *given, **named: models())
    return home


def said(*arguments: str, code: int = 0) -> str:
    """Run a command and return what it says."""
    result = CliRunner().invoke(main, ["events", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_score_writes_json_and_rows(levels: Home) -> None:
    """JSON with the seed's fields on standard output; four rows in preds.events, however often it is run."""
    for _ in range(2):
        found = json.loads(said("score", "--symbol", "SPY", "--at", "2025-12-31T15:00:30Z", "--json"))
    assert [tuple(one) for one in found["viewport"]["targets"]] == [TARGET_FIELDS] * 2
    assert [one["level_id"] for one in found["viewport"]["targets"]] == ["SPY PDH", "SPY PDC"]
    assert found["feasibility"]["SPY PDC"][0]["rule"] == "level_crossed"
    with read_snapshot(levels) as snapshot:
        rows = snapshot.con.execute(
            "select event_id, horizon, utility_score, refused_by from preds.events order by event_id, horizon"
        ).fetchall()
    assert [(row[0].rpartition(":")[2], row[1], row[3]) for row in rows] == [
        ("SPY PDC", 60, "level_crossed"), ("SPY PDC", 120, "level_crossed"), ("SPY PDH", 60, ""), ("SPY PDH", 120, "")
    ]  # fmt: skip
    assert rows[3][2] == found["viewport"]["targets"][0]["utility_score"] > 0


def test_score_shows_a_table(levels: Home) -> None:
    """A row a target with its gate, the reasons below, pinned ones marked; --dry-run writes nothing."""
    told = said("score", "--symbol", "SPY", "--pin", "SPY PDC", "--dry-run")
    assert "SPY  bar ended 2025-12-31 15:00:00 UTC, 2 targets, viewport-doubles" in told
    assert "SPY PDC *" in told
    assert "feasible" in told
    assert "SPY PDC: level_crossed: price is 1.5 ATR beyond the level already" in told
    with read_snapshot(levels) as snapshot:
        assert snapshot.con.execute("select count(*) from preds.events").fetchall() == [(0,)]
    assert "no level is near" in said("score", "--symbol", "SPY", "--at", "2025-12-31T14:59:30Z")


@pytest.mark.parametrize(
    "arguments, code, says",
    [
        (["score"], 2, "Missing option '--symbol'"),
        (["score", "--symbol", "SPY", "--at", "noon"], 2, "no instant"),
        (["score", "--symbol", "TSLA"], 3, "no targets of 'TSLA'"),
        (["score", "--symbol", "SPY", "--at", "2024-01-01"], 3, "targets are of 2025-12-31 to 2025-12-31"),
        (["score", "--symbol", "SPY", "--config", "nowhere.yml"], 2, "no configuration file nowhere.yml"),
        (["serve"], 2, "VIEWPORT_SCORING_ENABLED is not true"),
        (["serve", "--host", "0.0.0.0"], 2, "would serve other machines"),
    ],
)
def test_refusals_are_messages(arguments: list[str], code: int, says: str, levels: Home) -> None:
    """Exit codes and sentences, no traceback."""
    assert levels.root.is_dir()
    assert says in said(*arguments, code=code)


def test_models_that_are_not_there_are_said(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trained heads the remedy is the command that trains them."""
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    told = said("score", "--symbol", "SPY", code=1)
    assert "no stage_a of the ablation full" in told
    assert "trademl train events --stage stage_a --ablation full" in told


def test_serve_runs_until_interrupted(levels: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the flag set the service starts where it was told, and says its address and models."""
    began: list[Any] = []

    async def run(self: Service, host: str, port: int, *, ready: Any) -> None:
        began.append((host, port, self.desk.record))
        ready("http://127.0.0.1:8808")

    monkeypatch.setattr(Service, "run", run)
    monkeypatch.setenv("VIEWPORT_SCORING_ENABLED", "true")
    told = said("serve", "--record")
    assert began == [("127.0.0.1", 8808, True)]
    assert "serving     http://127.0.0.1:8808 and ws://127.0.0.1:8808/ws" in told
    assert "models      viewport-doubles, snapshot" in told


def test_ensemble_shows_its_evidence(levels: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates, rows, and a table of each quantity: every source, equal weights, the ensemble and the base rate."""
    scores = {"brier": 0.2, "log_loss": 0.6, "ece": 0.02, "auc": None}
    evidence = {
        "fitted_dates": ["2025-10-02", "2025-12-03"],
        "judged_dates": ["2025-12-04", "2025-12-31"],
        "quantities": {
            "tradeable_2": {"rows_fitted": 10, "rows_judged": 5, "judged": {"stage_a": scores, "ensemble": scores}}
        },
    }

    def fit(home: Home, config: Any, *, told: Any) -> Any:
        told("tradeable_2: stage_a 1.000")
        return Ensemble({}, evidence), places(home, config, {})

    monkeypatch.setattr("trademl.sleeves.events.viewport.ensemble_fit.fit_ensemble", fit)
    told = said("ensemble")
    assert "fitted on   2025-10-02 to 2025-12-03" in told
    assert "tradeable_2: 10 rows fitted, 5 judged" in told
    assert "ensemble  0.200     0.600  0.020    -" in told
    assert str(places(levels, load_config(levels), {}).ensemble) in told


def test_the_ensemble_needs_models(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without heads there is nothing to pool."""
    monkeypatch.setenv("TRADEML_HOME", str(home.root))
    monkeypatch.setenv("VIEWPORT_MODEL_DIR", str(tmp_path))
    assert "no stage_a" in said("ensemble", code=ModelError.exit_code)
