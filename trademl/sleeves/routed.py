"""Scoring by route: the run that was asked for, the champion, the average that stands in for it, or the frozen scorer.

Whoever answers, the session must pass the same data gate, and the answer has the same columns. The data gate's refusal
is final: bad data is no reason to ask another model.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.provenance import hash_json
from trademl.artifacts.run_folder import RunFolder
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.edge.daily import CHALLENGER, DailySource
from trademl.edge.score import SCORING, Scores, check_session, rank_pct, score
from trademl.errors import ArtifactError, ConfigError, DataGateError, ModelError, PromotionError
from trademl.governance.promotion import champion
from trademl.governance.router import frozen_scorer, frozen_scores, resolve
from trademl.lake.names import identifier, qualified

FloatArray = NDArray[np.float64]
Origin = Literal["asked", "champion", "latest", "fallback", "legacy"]

CHAMPION = "champion"

_REGISTERED = "registered"
# Not the tables of features: whatever a run reads, it scores the same universe, and the names are compared too.
_AGREE = ("label", "horizon", "task", "target", "entity")
_SHOWN = 5


@dataclass(frozen=True)
class Features:
    """Where a sleeve's features lie: the table, and its entity column."""

    table: str
    entity: str


@dataclass(frozen=True, eq=False)
class Answer:
    """The scores of one session. Arrays have one element per entity, in order of the entity's name.

    Attributes:
        model_id: the run, ``<sleeve>-fallback-<hash of the weights>``, or the frozen scorer's name.
        origin: who was asked to answer, and why it is that one.
        status: how the model stands in governance, in words.
        notes: what happened on the way that somebody should know.
        yhat, yhat_std, prob_up, rank_pct: as :class:`trademl.edge.score.Scores`.
    """

    model_id: str
    label: str
    horizon: int
    as_of: date
    origin: Origin
    status: str
    notes: tuple[str, ...]
    entities: tuple[str, ...]
    yhat: FloatArray
    yhat_std: FloatArray
    prob_up: FloatArray
    rank_pct: FloatArray

    def __len__(self) -> int:
        return len(self.entities)


def answer(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    source: DailySource,
    features: Features,
    session: date,
    run_id: str | None = None,
    *,
    now: Clock = utc_now,
) -> Answer:
    """Score ``session`` with ``run_id``, or with whom the router names.

    Args:
        con: a snapshot's connection.
        home: where run folders, decisions and the router are.
        source: the sleeve's tables.
        features: what the frozen scorer reads.
        session: the date to score.
        run_id: the run to score with; None asks the router.
        now: the clock.

    Raises:
        DataGateError: the session is not one, is not GREEN, or has no features.
        ArtifactError, ModelError: the model cannot score, and there is no fallback.
        ConfigError: the router is wrong, or the runs of the fallback do not fit each other.
        PromotionError: the decisions on the sleeve do not add up.
        SnapshotError: the snapshot lacks a table.
    """
    sleeve = source.sleeve
    if run_id is not None:
        scores = score_run(con, home, source, session, run_id)
        return of_run(scores, "asked", _standing(home, sleeve, scores.bundle.run_id))
    route = resolve(home, sleeve, now=now)
    if route.answers == "legacy":
        return _frozen(con, source, features, session, route.reason)
    if route.answers == "latest":
        return of_run(score_run(con, home, source, session, None), "latest", CHALLENGER, route.notes)
    try:
        return of_run(score_run(con, home, source, session, route.run_id), "champion", CHAMPION, route.notes)
    except (ArtifactError, ModelError) as error:
        if not route.fallback:
            raise
        notes = (*route.notes, f"the champion {route.run_id} cannot score: {error.message}")
        return _average(con, home, source, session, route.fallback, notes)


def registered_run(
    con: duckdb.DuckDBPyConnection, home: Home, sleeve: str, run_id: str | None = None
) -> tuple[str, Path]:
    """Return the name and folder of a registered run: ``run_id``, or the one registered last.

    A run whose splits leak, or that never finished, is not registered and so cannot score.

    Raises:
        ArtifactError: there is none.
    """
    rows = con.execute(
        "select run_id, path from ops.runs where sleeve = $sleeve and status = $status "
        "order by recorded_at desc, run_id",
        {"sleeve": sleeve, "status": _REGISTERED},
    ).fetchall()
    if not rows:
        raise ArtifactError(
            f"ops.runs has no registered run of {sleeve}", remedy=f"run `trademl train {sleeve}` to the end"
        )
    for name, path in rows:
        if run_id in (None, name):
            return name, home.root / path
    known = ", ".join(name for name, _ in rows[:_SHOWN]) + (", ..." if len(rows) > _SHOWN else "")
    raise ArtifactError(
        f"`run={run_id}` is not a registered run of {sleeve}", remedy=f"give one of {known}, or leave out --run"
    )


def score_run(
    con: duckdb.DuckDBPyConnection, home: Home, source: DailySource, session: date, run_id: str | None
) -> Scores:
    """Score ``session`` with one registered run, the one registered last when None.

    Raises:
        ArtifactError: there is no such run, or its folder does not verify or holds another.
        DataGateError, ModelError, SnapshotError: as :func:`trademl.edge.score.score`.
    """
    run, folder = registered_run(con, home, source.sleeve, run_id)
    scores = score(con, folder, session, coverage=source.coverage, regimes=source.regimes)
    if scores.bundle.run_id != run:
        raise ArtifactError(
            f"ops.runs says that run {run} lies in {folder}, which holds {scores.bundle.run_id}",
            remedy="restore the run folder, or train again",
        )
    return scores


def of_run(scores: Scores, origin: Origin, status: str, notes: tuple[str, ...] = ()) -> Answer:
    """Return one run's scores as an answer."""
    bundle = scores.bundle
    return Answer(
        model_id=bundle.run_id,
        label=bundle.label,
        horizon=bundle.horizon,
        as_of=scores.as_of,
        origin=origin,
        status=status,
        notes=notes,
        entities=scores.entities,
        yhat=scores.yhat,
        yhat_std=scores.yhat_std,
        prob_up=scores.prob_up,
        rank_pct=scores.rank_pct,
    )


def _standing(home: Home, sleeve: str, run: str) -> str:
    """Say how a run stands that was asked for by name; it scores even where that cannot be told."""
    try:
        reigning = champion(home, sleeve)
    except (PromotionError, ConfigError) as error:
        return f"standing unknown ({error.message})"
    return CHAMPION if reigning is not None and reigning.run_id == run else CHALLENGER


def _average(
    con: duckdb.DuckDBPyConnection,
    home: Home,
    source: DailySource,
    session: date,
    weights: Sequence[tuple[str, float]],
    notes: tuple[str, ...],
) -> Answer:
    """Average the runs of the fallback: scores and probabilities by weight, ranks of the averaged score.

    The spread is the weighted sum of spreads, which is what errors that move together would have: an upper bound.
    """
    parts = [score_run(con, home, source, session, run) for run, _ in weights]
    facts = [_facts(con, home, source.sleeve, run) for run, _ in weights]
    unlike = [name for name in _AGREE if len({fact.get(name) for fact in facts}) > 1]
    if unlike or len({part.entities for part in parts}) > 1:
        raise ConfigError(
            f"the runs of the fallback of {source.sleeve} differ in {', '.join(unlike) or 'the names they score'}: "
            "their scores cannot be averaged",
            remedy="let `fallback` in configs/router.yml hold runs of one label, task and target",
        )
    shares = np.array([weight for _, weight in weights])
    shares = shares / math.fsum(shares)

    def mixed(name: str) -> FloatArray:
        return np.asarray(shares @ np.stack([getattr(part, name) for part in parts]), dtype=np.float64)

    yhat = mixed("yhat")
    told = ", ".join(f"{run} ({weight:g})" for run, weight in weights)
    return Answer(
        model_id=f"{source.sleeve}-fallback-{hash_json(dict(weights))[:12]}",
        label=parts[0].bundle.label,
        horizon=parts[0].bundle.horizon,
        as_of=session,
        origin="fallback",
        status=f"fallback, the weighted average of {told}",
        notes=notes,
        entities=parts[0].entities,
        yhat=yhat,
        yhat_std=mixed("yhat_std"),
        prob_up=mixed("prob_up"),
        rank_pct=rank_pct(yhat),
    )


def _facts(con: duckdb.DuckDBPyConnection, home: Home, sleeve: str, run: str) -> dict[str, Any]:
    # The folder has just been verified by scoring from it.
    folder = RunFolder.open(registered_run(con, home, sleeve, run)[1])
    found: dict[str, Any] = json.loads(folder.place(SCORING).read_bytes())
    return found


def _frozen(
    con: duckdb.DuckDBPyConnection, source: DailySource, features: Features, session: date, reason: str
) -> Answer:
    """Score the universe of ``session`` with the frozen scorer."""
    scorer = frozen_scorer(source.sleeve)
    check_session(con, session, source.coverage)
    columns = ", ".join(f"cast({identifier(name)} as float)" for name in scorer.features)
    entity = identifier(features.entity)
    try:
        rows = con.execute(
            f"select {entity}, {columns} from {qualified(features.table)} where date = $day and in_universe "
            f"order by {entity}",
            {"day": session},
        ).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise ModelError(
            f"{features.table} lacks what {scorer.name} reads: {str(error).splitlines()[0]}",
            remedy=f"build the features {', '.join(scorer.features)}, or turn the kill switch off",
        ) from error
    if not rows:
        raise DataGateError(
            f"{features.table} has no row in the universe on {session}",
            remedy="score a session that it has, or land later bars and `trademl build`",
        )
    X = np.array([row[1:] for row in rows], dtype=np.float32).reshape(len(rows), len(scorer.features))
    scores = frozen_scores(scorer, X)
    return Answer(
        model_id=scorer.name,
        label=scorer.label,
        horizon=scorer.horizon,
        as_of=session,
        origin="legacy",
        status=f"frozen scorer: {reason}",
        notes=(),
        entities=tuple(str(row[0]) for row in rows),
        yhat=scores.yhat,
        yhat_std=scores.yhat_std,
        prob_up=scores.prob_up,
        rank_pct=rank_pct(scores.yhat),
    )
