"""Who scores: the run asked for, the champion, the fallback, or the frozen scorer."""

import json
from datetime import date

import duckdb
import numpy as np
import pytest

from tests.edge.scoring_home import AMBER, NOW, RESIDUALS, RUN, WEDNESDAY, write_graph, write_run, write_warehouse
from tests.governance.promotable import clock, decision
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError, DataGateError, ModelError, ParityError
from trademl.governance.promotion import promote
from trademl.governance.router import frozen_scorer, frozen_scores, turn_kill_switch
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot, snapshot_batches
from trademl.models.golden import write_golden
from trademl.sleeves.equities_scoring import ScoringResult, score_equities

OTHER, THIRD = (f"equities-fwd_5d-{digit * 12}" for digit in "45")
FROZEN = (
    "momentum_20d_rank", "momentum_60d_rank", "momentum_126d_rank", "realised_volatility_60d_rank",
    "zscore_price_20d_rank", "beta_60d_rank",
)  # fmt: skip
FROZEN_FEATURES = tuple(f"alter table gold.equities_features add column {name} float" for name in FROZEN) + (
    *(f"update gold.equities_features set {name} = alpha + {n} / 10" for n, name in enumerate(FROZEN, start=1)),
    f"update gold.equities_features set {FROZEN[1]} = null where symbol = 'C'",
)


@pytest.fixture
def ready(home: Home) -> Home:
    """A published warehouse with what the frozen scorer reads, and two registered runs, RUN the older."""
    write_run(home)
    write_run(home, OTHER, recorded=NOW)
    write_warehouse(home, *FROZEN_FEATURES)
    return home


def crown(home: Home, run: str, champion: str | None = None) -> None:
    promote(home, decision(run, champion=champion), mlflow=False, now=clock())


def score(home: Home, day: date = WEDNESDAY, run: str | None = None) -> ScoringResult:
    return score_equities(home, day, run, now=lambda: NOW)


def fall_back(home: Home, weights: dict[str, float]) -> None:
    path = home.configs / "router.yml"
    path.write_text(path.read_text().replace("fallback: {}", f"fallback: {json.dumps(weights)}"))


def break_run(home: Home, run: str) -> None:
    (home.models_artifacts / "equities" / run / "checkpoints" / "golden.json").unlink()


def rows(home: Home, model: str) -> list[tuple[object, ...]]:
    with open_snapshot(layout_of(home)) as snapshot:
        return snapshot.con.execute(
            "select ticker, yhat, yhat_std, prob_up, rank_pct from preds.equities where model_id = ? order by ticker",
            [model],
        ).fetchall()


def test_without_a_champion_the_latest_registered_run_scores(ready: Home) -> None:
    """Nothing promoted: the run registered last scores, and is called a challenger."""
    result = score(ready)
    assert (result.run_id, result.origin) == (OTHER, "latest")
    assert result.model_status == "challenger, not promoted"


def test_the_champion_scores_though_a_later_run_exists(ready: Home) -> None:
    """A later registration changes nothing: the champion scores, and the report calls it so."""
    crown(ready, RUN)
    result = score(ready)
    assert (result.run_id, result.origin, result.model_status) == (RUN, "champion", "champion")
    assert result.report["model"] == {"run_id": RUN, "status": "champion"}
    crown(ready, OTHER, RUN)
    assert score(ready).run_id == OTHER


def test_a_named_run_scores_whoever_is_champion(ready: Home) -> None:
    """--run is obeyed; the report says how that run stands."""
    crown(ready, RUN)
    named = score(ready, run=OTHER)
    assert (named.run_id, named.origin, named.model_status) == (OTHER, "asked", "challenger, not promoted")
    assert score(ready, run=RUN).model_status == "champion"


def test_a_named_run_scores_even_when_the_router_is_broken(ready: Home) -> None:
    """Naming the run is the way out when governance cannot answer; the report then says that it does not know."""
    (ready.configs / "router.yml").write_text("equities: [")
    with pytest.raises(ConfigError):
        score(ready)
    assert score(ready, run=RUN).model_status.startswith("standing unknown")


def test_the_kill_switch_routes_to_the_frozen_scorer_and_back(ready: Home) -> None:
    """Switched there, legacy's own scores are published under its name; switched back, the champion's are again."""
    crown(ready, RUN)
    before = score(ready)
    own = rows(ready, RUN)
    turn_kill_switch(ready, "equities", "on")
    killed = score(ready)
    assert (killed.run_id, killed.origin) == ("legacy-equities-v1", "legacy")
    assert killed.model_status == "frozen scorer: the kill switch is on"
    alpha = {"A": 0.0, "B": 0.5, "C": 0.25, "D": -0.5}
    X = np.array([[alpha[name] + n / 10 for n in range(1, 7)] for name in "ABCD"], dtype=np.float32)
    X[2, 1] = np.nan
    expected = frozen_scores(frozen_scorer("equities"), X)
    found = rows(ready, "legacy-equities-v1")
    assert [row[0] for row in found] == ["A", "B", "C", "D"]
    assert [row[1] for row in found] == expected.yhat.tolist()
    assert [row[2] for row in found] == expected.yhat_std.tolist()
    assert [row[3] for row in found] == expected.prob_up.tolist()
    turn_kill_switch(ready, "equities", "off")
    back = score(ready)
    assert (back.run_id, back.origin, back.written) == (RUN, "champion", False)
    assert back.report["picks"] == before.report["picks"]
    assert rows(ready, RUN) == own


def test_the_frozen_scorer_answers_when_everything_else_is_gone(ready: Home) -> None:
    """With the switch on neither run folders nor a sound record of decisions are needed."""
    crown(ready, RUN)
    for run in (RUN, OTHER):
        break_run(ready, run)
    turn_kill_switch(ready, "equities", "on")
    assert score(ready).rows == 4


def test_bad_data_stops_the_frozen_scorer_too(ready: Home) -> None:
    """The kill switch is no way round the data gate."""
    turn_kill_switch(ready, "equities", "on")
    with pytest.raises(DataGateError, match="AMBER"):
        score(ready, AMBER)


def test_the_frozen_scorer_needs_its_features(home: Home) -> None:
    """A warehouse that no longer has what v1 reads is an error that names the column."""
    write_run(home)
    write_warehouse(home)
    turn_kill_switch(home, "equities", "on")
    with pytest.raises(ModelError, match=r"lacks what legacy-equities-v1 reads(.|\n)*momentum_20d_rank"):
        score(home)


def test_an_empty_universe_is_refused_by_the_frozen_scorer(home: Home) -> None:
    """A session without members has nothing to score."""
    write_run(home)
    write_warehouse(home, *FROZEN_FEATURES, "update gold.equities_features set in_universe = false")
    turn_kill_switch(home, "equities", "on")
    with pytest.raises(DataGateError, match="no row in the universe"):
        score(home)


def test_a_champion_that_cannot_score_stops_scoring(ready: Home) -> None:
    """Without a fallback nobody steps in for a damaged champion: no silent substitute."""
    crown(ready, RUN)
    break_run(ready, RUN)
    with pytest.raises(ArtifactError, match="does not verify"):
        score(ready)
    assert not (ready.lake / "reports").exists()


def write_third(home: Home, *, target: str = "demeaned") -> None:
    """Write and publish a registered run whose model is 4 alpha: another run's folder with three files replaced."""
    folder = RunFolder(write_run(home, THIRD, recorded=NOW))
    facts = json.loads(folder.place("config/scoring.json").read_text())
    (folder.path / "manifest.json").unlink()
    with folder.writing("checkpoints/model.onnx") as place:
        write_graph(place, weights=(4.0, 0.0))
    golden = np.array([[1, 2]], dtype=np.float32)
    write_golden(folder.place("checkpoints/golden.json"), ("alpha", "beta"), golden, np.array([4.0]))
    folder.add_json("config/scoring.json", facts if target == "demeaned" else {**facts, "target": target})
    folder.finish(created=NOW, data_hash="d", config={}, revision="unknown", versions={})
    snapshot_batches(layout_of(home))


def test_the_fallback_is_the_weighted_average(ready: Home) -> None:
    """A quarter of alpha + 2 beta and three quarters of 4 alpha, by hand: scores, spreads, probabilities and ranks."""
    write_third(ready)
    crown(ready, OTHER)
    break_run(ready, OTHER)
    fall_back(ready, {RUN: 0.25, THIRD: 0.75})
    result = score(ready)
    assert result.origin == "fallback"
    assert result.run_id.startswith("equities-fallback-")
    assert result.model_status == f"fallback, the weighted average of {RUN} (0.25), {THIRD} (0.75)"
    assert any(f"the champion {OTHER} cannot score" in note for note in result.notes)
    # RUN scores A 0.5, B 0.25, C 0.25, D -0.5; THIRD A 0, B 2, C 1, D -2. Spreads (mid): 0.4 above 0, 0.3 to 0.
    # Probabilities are yhat + 0.5 within [0.01, 0.99].
    assert rows(ready, result.run_id) == [
        ("A", 0.125, pytest.approx(0.25 * 0.4 + 0.75 * spread_at_zero()), pytest.approx(0.25 * 0.99 + 0.75 * 0.5), 0.5),
        ("B", 1.5625, pytest.approx(0.4), pytest.approx(0.25 * 0.75 + 0.75 * 0.99), 1.0),
        ("C", 0.8125, pytest.approx(0.4), pytest.approx(0.25 * 0.75 + 0.75 * 0.99), 0.75),
        ("D", -1.625, pytest.approx(0.3), pytest.approx(0.01), 0.25),
    ]
    assert score(ready).written is False


def spread_at_zero() -> float:
    """Spread of a score of exactly 0 in regime mid, from the table itself: which bin an edge belongs to is its rule."""
    return float(RESIDUALS.lookup(np.array([0.0]), RESIDUALS.code("mid"))[0])


def test_runs_of_different_targets_are_not_averaged(ready: Home) -> None:
    """Scores in different units have no mean: the fallback is refused, with what differs."""
    write_third(ready, target="rank")
    crown(ready, OTHER)
    break_run(ready, OTHER)
    fall_back(ready, {RUN: 0.25, THIRD: 0.75})
    with pytest.raises(ConfigError, match="differ in target"):
        score(ready)


def test_a_fallback_that_cannot_score_either_is_an_error(ready: Home) -> None:
    """The average is of all its runs or of none."""
    crown(ready, OTHER)
    for run in (RUN, OTHER):
        break_run(ready, run)
    fall_back(ready, {RUN: 1.0})
    with pytest.raises(ArtifactError, match=RUN):
        score(ready)


def test_bad_data_never_reaches_the_fallback(ready: Home) -> None:
    """The data gate's refusal is final: another model would see the same data."""
    crown(ready, OTHER)
    fall_back(ready, {RUN: 1.0})
    with pytest.raises(DataGateError, match="AMBER"):
        score(ready, AMBER)


def test_a_champion_whose_scores_differ_here_falls_back(ready: Home) -> None:
    """A machine that scores the champion's golden vectors differently uses the fallback, not the champion."""
    write_run(ready, THIRD, golden_score=4.0, recorded=NOW)
    crown(ready, THIRD)
    with pytest.raises(ParityError):
        score(ready)
    fall_back(ready, {RUN: 1.0})
    assert score(ready).origin == "fallback"


def test_a_fallback_run_must_be_registered(ready: Home) -> None:
    """A name that no run has is refused with those that exist."""
    crown(ready, OTHER)
    break_run(ready, OTHER)
    fall_back(ready, {"equities-typo": 1.0})
    with pytest.raises(ArtifactError, match="is not a registered run"):
        score(ready)


def test_predictions_name_who_made_them(ready: Home) -> None:
    """Champion, frozen scorer and fallback never share a row: the model id tells them apart."""
    crown(ready, RUN)
    score(ready)
    turn_kill_switch(ready, "equities", "on")
    score(ready)
    files = [str(path) for path in layout_of(ready).batch_files("preds.equities")]
    counts = duckdb.execute(
        "select model_id, count(*), count(distinct ticker) from read_parquet($1) group by all order by 1", [files]
    ).fetchall()
    assert counts == [(RUN, 4, 4), ("legacy-equities-v1", 4, 4)]
