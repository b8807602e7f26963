"""From a run's name to the gate's decision: collect the evidence that the ledger, the lake and the run folder hold."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.run_folder import RunFolder
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ArtifactError, PromotionError
from trademl.governance.gate import (
    POLICY_FILE,
    Calibration,
    Decision,
    Evidence,
    PromotionPolicy,
    Shadow,
    judge,
)
from trademl.governance.ledger import trials_of
from trademl.governance.promotion import champion
from trademl.governance.returns import (
    aligned,
    record_run_returns,
    recorded_runs,
    register_references,
    series,
    shadow_returns,
)
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.validation.drift import population_stability_index
from trademl.warehouse.read import read_snapshot

Told = Callable[[str], None]


@dataclass(frozen=True)
class RegisteredRun:
    """A row of ``ops.runs`` with its folder."""

    run_id: str
    sleeve: str
    label: str
    folder: Path
    summary: dict[str, Any]


def decide(home: Home, run_id: str, *, told: Told | None = None, now: Clock = utc_now) -> Decision:
    """Judge a registered run by configs/promotion.yml; nothing is written but the series that the judgement needs.

    Raises:
        PromotionError: there is no such registered run, or it has no daily returns.
        ConfigError: configs/promotion.yml is missing or wrong.
        SnapshotError: no build has finished yet.
    """
    policy = load_section(home.configs / POLICY_FILE, PromotionPolicy)
    return judge(collect(home, run_id, policy, told=told, now=now), policy)


def collect(
    home: Home, run_id: str, policy: PromotionPolicy, *, told: Told | None = None, now: Clock = utc_now
) -> Evidence:
    """Gather the evidence on a run; raises as :func:`decide`."""
    say = told or (lambda _: None)
    layout = layout_of(home)
    say("reading the snapshot")
    with read_snapshot(home, now=now) as snapshot:
        con = snapshot.con
        run = _registered(con, home, run_id)
        if run_id not in recorded_runs(layout):
            try:
                record_run_returns(layout, con, run_id=run_id, sleeve=run.sleeve, label=run.label, now=now)
            except (ArtifactError, duckdb.CatalogException) as error:
                raise PromotionError(
                    f"run {run_id} has no daily returns: {error}",
                    remedy="run `trademl build`, then `trademl gate` again",
                ) from error
        tried = trials_of(layout, run.sleeve, run.label)
        wanted = max(policy.min_no_signal, len(tried))
        say(f"strategies without a signal: {wanted} and the baselines")
        references = register_references(
            layout,
            con,
            run_id=run_id,
            sleeve=run.sleeve,
            label=run.label,
            count=wanted,
            progress=lambda done, total: say(f"  {done} of {total}") if done % 5 == 0 or done == total else None,
            now=now,
        )
        say("aligning the ledger's returns")
        reigning = champion(home, run.sleeve)
        reigning_id = reigning.run_id if reigning is not None and reigning.run_id != run_id else None
        others = [other for _, other, _ in tried if other != run_id]
        inputs = _inputs(run)
        named = [run_id, *others, *references, *inputs, *([reigning_id] if reigning_id else [])]
        found = series(layout, named, policy.strategy)
        dates = sorted(found.get(run_id, {}))
        own, _ = aligned(found, [run_id], dates)
        trials, kept = aligned(found, [run_id, *others], dates)
        blank, _ = aligned(found, references, dates, idle=True)
        parts, _ = aligned(found, inputs, dates)
        against, _ = aligned(found, [reigning_id] if reigning_id else [], dates)
        audit = con.execute(
            "select coalesce(sum(violations), 0), count(*) from ops.leakage_audit where run_id = ?", [run_id]
        ).fetchall()[0]
        evidence = Evidence(
            run_id=run_id,
            sleeve=run.sleeve,
            label=run.label,
            returns=own[:, 0] if own.size else np.empty(0),
            turnover=float(np.mean([found[run_id][day][1] for day in dates])) if dates else float("nan"),
            trials=trials,
            no_signal=blank,
            n_trials=len(tried),
            leakage_violations=int(audit[0]),
            leakage_checks=int(audit[1]),
            artifact_fault=_fault(run),
            data_faults=_data_faults(run, snapshot.manifest.coverage),
            data_age=_data_age(con, run),
            calibration=_calibration(run.folder),
            shadow=_shadow(con, run_id, policy),
            champion=reigning_id,
            champion_returns=against[:, 0] if against.size else None,
            champion_calibration=_calibration(_registered(con, home, reigning_id).folder) if reigning_id else None,
            best_sleeve=_best(parts) if inputs else None,
            notes=(f"{len(kept)} of {len(tried)} trials have returns on every date of the run",),
        )
    snapshot_batches(layout, now=now)
    return evidence


def _inputs(run: RegisteredRun) -> list[str]:
    """Return the runs that a stack blends; none for any other model."""
    try:
        model = RunFolder(run.folder).manifest().config.get("model", {})
    except ArtifactError:
        # The bar on artifacts says why.
        return []
    return list(model.get("bases", ())) if model.get("kind") == "stack" else []


def _best(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the column with the highest Sharpe ratio, shape (T,); nothing when none has returns on every date."""
    if not returns.size:
        return np.full(len(returns), np.nan)
    deviation = returns.std(axis=0, ddof=1)
    sharpe = np.where(deviation > 0, returns.mean(axis=0) / np.where(deviation > 0, deviation, 1.0), -np.inf)
    best: NDArray[np.float64] = returns[:, int(np.argmax(sharpe))]
    return best


def _registered(con: duckdb.DuckDBPyConnection, home: Home, run_id: str) -> RegisteredRun:
    rows = con.execute(
        "select sleeve, label, path, metrics from ops.runs where run_id = ? and status = 'registered'", [run_id]
    ).fetchall()
    if not rows:
        known = [name for (name,) in con.execute("select run_id from ops.runs order by recorded_at desc").fetchall()]
        raise PromotionError(
            f"there is no registered run {run_id!r}; ops.runs has {', '.join(known[:5]) or 'none'}",
            remedy="give a run of ops.runs, or train one with `trademl train`",
        )
    sleeve, label, path, metrics = rows[0]
    return RegisteredRun(run_id, sleeve, label, home.root / path, json.loads(metrics))


def _fault(run: RegisteredRun) -> str | None:
    try:
        RunFolder.open(run.folder).verify()
    except ArtifactError as error:
        return str(error).splitlines()[0]
    return None


def _data_faults(run: RegisteredRun, grades: dict[str, Any]) -> int | None:
    """Count training sessions that were left out as not GREEN, and datasets whose newest session is not."""
    if not grades:
        return None
    latest: int = sum(bool(grade.get("status") != "GREEN") for grade in grades.values())
    return int(run.summary.get("excluded_sessions", 0)) + latest


def _data_age(con: duckdb.DuckDBPyConnection, run: RegisteredRun) -> int | None:
    """Count the sessions with data that the run was neither fitted on nor scored in shadow, less its label's own."""
    newer = con.execute(
        "select count(distinct date) from silver.coverage where present > 0 and date > cast(? as date)",
        [str(run.summary["last_date"])],
    ).fetchall()[0][0]
    watched = con.execute(
        "select count(distinct dt) from preds.shadow where model_id = ? and dt > cast(? as date)",
        [run.run_id, str(run.summary["last_date"])],
    ).fetchall()[0][0]
    return max(int(newer) - int(run.summary["horizon"]) - int(watched), 0)


def _calibration(folder: Path) -> Calibration | None:
    try:
        stored = json.loads((folder / "metrics" / "calibration.json").read_bytes())
        return Calibration(
            float(stored["ece_quantile"]), float(stored["brier"]), float(stored["brier_of_cross_fitted_base_rate"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _shadow(con: duckdb.DuckDBPyConnection, run_id: str, policy: PromotionPolicy) -> Shadow | None:
    sessions = con.execute("select count(distinct dt) from preds.shadow where model_id = ?", [run_id]).fetchall()[0][0]
    if not sessions:
        return None
    seen = _column(con, "select yhat from preds.shadow where model_id = ? and isfinite(yhat)", run_id)
    expected = _column(con, "select avg(yhat) from preds.oof where run_id = ? group by entity, dt", run_id)
    returns = shadow_returns(con, run_id=run_id, strategy=policy.strategy)
    return Shadow(
        sessions=int(sessions),
        returns=np.array([net for _, net in returns], dtype=np.float64),
        drift=population_stability_index(expected, seen) if len(expected) and len(seen) else float("nan"),
    )


def _column(con: duckdb.DuckDBPyConnection, sql: str, run_id: str) -> NDArray[np.float64]:
    return np.asarray(con.execute(sql, [run_id]).fetchnumpy().popitem()[1], dtype=np.float64)
