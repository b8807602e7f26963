"""The router: which model answers for a sleeve when nobody names a run.

The kill switch comes first and needs nothing but configs/router.yml: with it on, the frozen scorer in legacy/ answers,
in a process of its own, whatever is wrong with decisions, run folders or libraries. Then the champion of
``ops.promotions``; without one, the latest registered run. Only this module may start the frozen scorer.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import trademl
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ConfigError, ModelError
from trademl.governance.reconciliation import promotion_lock, reconcile
from trademl.governance.router_config import Switch, check_sleeve, read_router, set_kill_switch

FROZEN: dict[str, Path] = {
    "equities": Path("legacy") / "score.py",
    "traders": Path("legacy") / "score_traders.py",
}
"""Sleeve -> its frozen scorer, below the checkout or the package's own ``_bundled``."""

FROZEN_SECONDS = 120

Answers = Literal["legacy", "champion", "latest"]


@dataclass(frozen=True)
class Route:
    """Who answers for a sleeve.

    Attributes:
        answers: legacy: the frozen scorer; champion: ``run_id``; latest: the latest registered run, as there is no
            champion.
        run_id: the champion, else None.
        fallback: (run, weight) of the average that answers when the champion cannot.
        reason: why, in words.
        notes: what was brought in line with ``ops.promotions`` on the way, or could not be.
    """

    sleeve: str
    answers: Answers
    run_id: str | None
    fallback: tuple[tuple[str, float], ...]
    reason: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FrozenScorer:
    """What a frozen scorer says of itself; ``features`` in its order, ``horizon`` in sessions."""

    sleeve: str
    name: str
    label: str
    horizon: int
    features: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FrozenScores:
    """Scores of a frozen scorer, arrays of shape (rows,): expected label, its probability above 0, residual spread."""

    yhat: NDArray[np.float64]
    prob_up: NDArray[np.float64]
    yhat_std: NDArray[np.float64]


def resolve(home: Home, sleeve: str, *, now: Clock = utc_now) -> Route:
    """Return who answers for ``sleeve``; the router file follows ``ops.promotions`` first.

    Raises:
        ConfigError: configs/router.yml is wrong, or there is no such sleeve.
        PromotionError: the decisions do not add up.
    """
    section = read_router(home).of(sleeve)
    fallback = tuple(sorted(section.fallback.items()))
    if section.kill_switch == "on":
        return Route(sleeve, "legacy", None, fallback, "the kill switch is on")
    state = reconcile(home, sleeve, mlflow=False, now=now)
    notes = (*state.changed, *state.lagging)
    if state.champion is None:
        return Route(sleeve, "latest", None, fallback, f"{sleeve} has no champion", notes)
    made = state.champion
    reason = f"champion since {made.recorded_at:%Y-%m-%d %H:%M} UTC, decision {made.decision_id}"
    return Route(sleeve, "champion", made.run_id, fallback, reason, notes)


def turn_kill_switch(home: Home, sleeve: str, switch: Switch) -> bool:
    """Turn the kill switch of ``sleeve`` and return whether it was not so before.

    It is refused where no frozen scorer could answer: a switch that leads nowhere would stop scoring.

    Raises:
        ConfigError: there is no such sleeve or no frozen scorer for it, or configs/router.yml is wrong.
        ModelError: the frozen scorer does not answer.
        LockedError: a promotion is at work and does not end.
    """
    check_sleeve(sleeve)
    if switch == "on":
        frozen_scorer(sleeve)
    with promotion_lock(home):
        return set_kill_switch(home, sleeve, switch)


def frozen_scorer(sleeve: str) -> FrozenScorer:
    """Ask the frozen scorer of ``sleeve`` what it is.

    Raises:
        ConfigError: there is none.
        ModelError: it does not answer.
    """
    facts = _ask(sleeve, ["describe"], "")
    return FrozenScorer(
        sleeve=sleeve,
        name=str(facts["name"]),
        label=str(facts["label"]),
        horizon=int(facts["horizon"]),
        features=tuple(str(name) for name in facts["features"]),
    )


def frozen_scores(scorer: FrozenScorer, X: NDArray[np.float32]) -> FrozenScores:
    """Score ``X`` (float32, shape (rows, features), NaN where missing) with a frozen scorer.

    Raises:
        ModelError: ``X`` has another width, or the scorer does not answer.
    """
    if X.ndim != 2 or X.shape[1] != len(scorer.features):
        raise ModelError(
            f"X has shape {X.shape}, {scorer.name} expects (rows, {len(scorer.features)})",
            remedy=f"give the features {', '.join(scorer.features)}",
        )
    rows = [[None if value != value else float(value) for value in row] for row in X]
    request = json.dumps({"features": list(scorer.features), "rows": rows})
    found = _ask(scorer.sleeve, [], request)
    yhat = np.array(found["yhat"], dtype=np.float64)
    if yhat.shape != (len(X),):
        raise ModelError(f"{scorer.name} gave {len(yhat)} scores for {len(X)} rows", remedy="restore legacy/")
    return FrozenScores(
        yhat=yhat,
        prob_up=np.array(found["prob_up"], dtype=np.float64),
        yhat_std=np.full(len(X), float(found["yhat_std"])),
    )


def _script(sleeve: str) -> Path:
    place = FROZEN.get(sleeve)
    if place is None:
        raise ConfigError(
            f"{sleeve} has no frozen scorer, so its kill switch leads nowhere",
            remedy=f"frozen scorers exist for {', '.join(FROZEN)}",
        )
    package = Path(trademl.__file__).parent
    for folder in (package / "_bundled", package.parent):
        if (folder / place).is_file():
            return folder / place
    raise ModelError(
        f"the installation in {package} lacks {place}", remedy="install trademl again from its wheel or its checkout"
    )


def _ask(sleeve: str, arguments: list[str], request: str) -> Any:
    """Run the frozen scorer: another process, isolated from this environment's variables and from trademl."""
    script = _script(sleeve)
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(script), *arguments],
            input=request,
            capture_output=True,
            text=True,
            timeout=FROZEN_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"the frozen scorer {script} did not answer: {error}", remedy="run it by hand") from error
    if done.returncode != 0:
        told = done.stderr.strip() or f"exit code {done.returncode}"
        raise ModelError(f"the frozen scorer refused: {told}", remedy=f"see {script.with_name('README.md')}")
    return json.loads(done.stdout)
