"""Who answers for a sleeve, and the frozen scorer behind the kill switch."""

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.governance.promotable import A, B, clock, decision, write_run
from trademl.config.home import Home
from trademl.errors import ConfigError, ModelError
from trademl.governance import router
from trademl.governance.promotion import promote
from trademl.governance.router import FrozenScorer, frozen_scorer, frozen_scores, resolve, turn_kill_switch
from trademl.governance.router_config import read_router

LEGACY = Path(__file__).resolve().parents[2] / "legacy"
FEATURES = (
    "momentum_20d_rank", "momentum_60d_rank", "momentum_126d_rank", "realised_volatility_60d_rank",
    "zscore_price_20d_rank", "beta_60d_rank",
)  # fmt: skip


@pytest.fixture
def crowned(home: Home) -> Home:
    """A home whose champion is A."""
    write_run(home, A)
    promote(home, decision(A), mlflow=False, now=clock())
    return home


@pytest.fixture(scope="module")
def scorer() -> FrozenScorer:
    return frozen_scorer("equities")


def ask(*arguments: str, request: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(LEGACY / "score.py"), *arguments],
        input=request,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_champion_the_latest_run_answers(home: Home) -> None:
    """A new home has nobody promoted, and the route says so."""
    route = resolve(home, "equities")
    assert (route.answers, route.run_id, route.reason) == ("latest", None, "equities has no champion")


def test_the_champion_answers(crowned: Home) -> None:
    """After a promotion the champion answers, with its decision as the reason."""
    route = resolve(crowned, "equities")
    assert (route.answers, route.run_id) == ("champion", A)
    assert "decision equities-00001-" in route.reason


def test_a_route_follows_the_decisions_and_not_the_file(crowned: Home) -> None:
    """A router file edited by hand is brought in line before anybody is sent anywhere, and that is told."""
    path = crowned.configs / "router.yml"
    path.write_text(path.read_text().replace(A, B))
    route = resolve(crowned, "equities")
    assert route.run_id == A
    assert route.notes == (f"configs/router.yml names {A} for equities",)


def test_the_fallback_is_part_of_the_route(crowned: Home) -> None:
    """Weights of the fallback are handed on with their runs."""
    path = crowned.configs / "router.yml"
    path.write_text(path.read_text().replace("fallback: {}", f"fallback: {{{B}: 0.25, {A}: 0.75}}"))
    assert resolve(crowned, "equities").fallback == ((A, 0.75), (B, 0.25))


def test_the_kill_switch_goes_there_and_back(crowned: Home) -> None:
    """Killed, the frozen scorer answers; restored, the champion does; each is done once."""
    assert turn_kill_switch(crowned, "equities", "on")
    assert resolve(crowned, "equities").answers == "legacy"
    assert not turn_kill_switch(crowned, "equities", "on")
    assert read_router(crowned).of("equities").champion == A
    assert turn_kill_switch(crowned, "equities", "off")
    assert (resolve(crowned, "equities").answers, resolve(crowned, "equities").run_id) == ("champion", A)


def test_the_kill_switch_needs_no_decisions(crowned: Home) -> None:
    """With the switch on, lost or damaged evidence does not keep the frozen scorer from answering."""
    turn_kill_switch(crowned, "equities", "on")
    for batch in (crowned.lake / "ops" / "promotions").glob("*.parquet"):
        batch.chmod(0o644)
        batch.write_bytes(b"not parquet")
    assert resolve(crowned, "equities").answers == "legacy"


def test_a_switch_that_leads_nowhere_is_refused(home: Home) -> None:
    """A sleeve without a frozen scorer keeps its switch off."""
    with pytest.raises(ConfigError, match=r"events has no frozen scorer(.|\n)*equities"):
        turn_kill_switch(home, "events", "on")
    assert read_router(home).of("events").kill_switch == "off"


def test_the_frozen_scorer_says_what_it_is(scorer: FrozenScorer) -> None:
    """Name, label, horizon and features are those of legacy/README.md."""
    assert (scorer.name, scorer.label, scorer.horizon) == ("legacy-equities-v1", "fwd_5d", 5)
    assert scorer.features == FEATURES
    page = (LEGACY / "README.md").read_text(encoding="utf-8")
    assert scorer.name in page
    assert all(name in page for name in FEATURES)


def test_the_frozen_scorer_equals_lightgbm_bit_for_bit(scorer: FrozenScorer) -> None:
    """Its own tree walker gives what LightGBM gives, also for missing values, zeros, and exactly on thresholds."""
    import lightgbm

    booster = lightgbm.Booster(model_file=str(LEGACY / "model_v1.txt"))
    rng = np.random.default_rng(1)
    X = rng.random((2000, len(FEATURES))).astype(np.float32)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[rng.random(X.shape) < 0.02] = 0.0
    X[rng.random(X.shape) < 0.02] = 1e-36
    text = (LEGACY / "model_v1.txt").read_text()
    lines = [line.partition("=")[2] for line in text.splitlines() if line.startswith("threshold=")]
    thresholds = np.array([float(number) for line in lines for number in line.split()], dtype=np.float32)
    edges = np.stack([thresholds, np.nextafter(thresholds, np.float32(2)), np.nextafter(thresholds, np.float32(-1))])
    X = np.vstack([X, np.repeat(edges.reshape(-1, 1), len(FEATURES), axis=1), np.full((1, len(FEATURES)), np.nan)])
    scores = frozen_scores(scorer, X.astype(np.float32))
    expected = booster.predict(X, num_threads=1)
    assert (scores.yhat == expected).all()
    assert len(np.unique(expected)) > 500


def test_its_probability_rises_with_its_score(scorer: FrozenScorer) -> None:
    """Platt's curve is monotone, and within the bounds that every probability keeps."""
    X = np.random.default_rng(2).random((300, len(FEATURES))).astype(np.float32)
    scores = frozen_scores(scorer, X)
    order = np.argsort(scores.yhat)
    assert (np.diff(scores.prob_up[order]) >= 0).all()
    assert 0.01 <= scores.prob_up.min() < 0.5 < scores.prob_up.max() <= 0.99
    assert (scores.yhat_std == scores.yhat_std[0]).all()
    assert 0.0 < scores.yhat_std[0] < 0.2


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_row_is_scored_alone(scorer: FrozenScorer, seed: int) -> None:
    """A row's score depends on that row only: any order of rows gives each its own."""
    rng = np.random.default_rng(seed)
    X = rng.random((20, len(FEATURES))).astype(np.float32)
    order = rng.permutation(len(X))
    assert (frozen_scores(scorer, X[order]).yhat == frozen_scores(scorer, X).yhat[order]).all()


def test_no_rows_have_no_scores(scorer: FrozenScorer) -> None:
    """An empty request is answered with nothing."""
    assert len(frozen_scores(scorer, np.empty((0, len(FEATURES)), dtype=np.float32)).yhat) == 0


@pytest.mark.parametrize(
    "request_text, told",
    [
        ("{", "Expecting property name"),
        ("[]", "a request is"),
        (json.dumps({"features": ["a"], "rows": []}), "the features must be, in this order, momentum_20d_rank"),
        (json.dumps({"features": FEATURES, "rows": [[1, 2]]}), "row 0 must have 6 values"),
        (json.dumps({"features": FEATURES, "rows": [[1, 2, 3, 4, 5, "x"]]}), "row 0 has a value that is no number"),
        (json.dumps({"features": FEATURES, "rows": [[1, 2, 3, 4, 5, True]]}), "row 0 has a value that is no number"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(request_text: str, told: str) -> None:
    """What is wrong with a request is a line on standard error, exit code 1, and no answer."""
    done = ask(request=request_text)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_wrong_matrix_or_argument_is_refused(scorer: FrozenScorer) -> None:
    """A matrix of another width never reaches the scorer; an unknown argument is named."""
    with pytest.raises(ModelError, match=r"expects \(rows, 6\)"):
        frozen_scores(scorer, np.zeros((2, 5), dtype=np.float32))
    done = ask("--train")
    assert done.returncode == 1
    assert "unknown arguments ['--train']" in done.stderr


def test_an_altered_model_does_not_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One changed digit in the model file, and the scorer refuses: frozen means frozen."""
    (tmp_path / "legacy").mkdir()
    for name in ("score.py", "model_v1.txt"):
        (tmp_path / "legacy" / name).write_bytes((LEGACY / name).read_bytes())
    model = tmp_path / "legacy" / "model_v1.txt"
    model.write_bytes(model.read_bytes().replace(b"leaf_value=-", b"leaf_value=", 1))
    monkeypatch.setattr(router.trademl, "__file__", str(tmp_path / "trademl" / "__init__.py"))
    with pytest.raises(ModelError, match=r"the frozen scorer refused: .*has sha256(.|\n)*README"):
        frozen_scorer("equities")
    model.unlink()
    (tmp_path / "legacy" / "score.py").unlink()
    with pytest.raises(ModelError, match=r"lacks legacy/score\.py"):
        frozen_scorer("equities")


def test_the_frozen_scorer_of_the_traders_scores_as_xgboost() -> None:
    """Standard Python's walk through the trees gives XGBoost's scores to the bit, with infinities, NaN and ties."""
    from trademl.models.boosting.xgboost import XGBoostModel

    own = frozen_scorer("traders")
    assert (own.name, own.label, own.horizon, len(own.features)) == ("legacy-traders-v1", "fwd_7d", 7, 18)
    model = XGBoostModel.native(LEGACY / "xgb_trader_v1.json")
    assert model.feature_names == own.features
    assert model.trees is not None
    X = np.random.default_rng(3).normal(scale=3.0, size=(300, 18)).astype(np.float32)
    for at, tree in enumerate(model.trees):
        X[at % 300, tree.feature] = tree.threshold.astype(np.float32)
    X[100:120, 7], X[120:140, 3], X[140:160, 6] = np.inf, -np.inf, np.nan
    found = frozen_scores(own, X)
    assert np.array_equal(found.yhat, model.score(X))
    assert (found.prob_up >= 0.01).all()
    assert (found.prob_up <= 0.99).all()
    assert (found.yhat_std > 0).all()


def test_a_scorer_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen scorer that does not answer in time is an error, not a wait for ever."""
    monkeypatch.setattr(router, "FROZEN_SECONDS", 0.0001)
    with pytest.raises(ModelError, match="did not answer"):
        frozen_scorer("equities")


def test_the_frozen_files_are_those_that_were_frozen() -> None:
    """legacy/ takes no commit: its files have the hashes that its README states."""
    page = (LEGACY / "README.md").read_text(encoding="utf-8")
    for name in ("score.py", "model_v1.txt", "score_traders.py", "xgb_trader_v1.json"):
        assert hashlib.sha256((LEGACY / name).read_bytes()).hexdigest() in page, name


@pytest.mark.parametrize("script", ["score.py", "score_traders.py"])
def test_the_frozen_scorer_needs_python_alone(script: str) -> None:
    """It imports nothing but the standard library: no library that is replaced or broken can stop it."""
    tree = ast.parse((LEGACY / script).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def test_the_wheel_carries_the_frozen_scorer(repository: Path) -> None:
    """An installation without a checkout finds it where the router looks."""
    import tomllib

    wheel = tomllib.loads((repository / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert "legacy" in wheel["only-include"]
    assert wheel["sources"]["legacy"] == "trademl/_bundled/legacy"
