"""Promotion: a run becomes champion by a recorded decision, and by nothing else.

The append-only batches of ``ops.promotions`` are the authority (:mod:`trademl.governance.decisions`); the router, the
snapshot and MLflow's aliases follow them (:mod:`trademl.governance.reconciliation`). A process killed at any moment
therefore leaves either no promotion or a whole one. Decisions are recorded under a lock, and one that was made against
a champion who no longer reigns is refused: of two promotions at once, one wins.

There is no force flag. A written reason, kept on record, overrides a failed bar, unless that bar says that the evidence
itself cannot be trusted.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from types import EllipsisType
from typing import TYPE_CHECKING

import duckdb

from trademl.artifacts.run_folder import RunFolder
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import PromotionError
from trademl.governance.decisions import DECISION, Recorded, read_decisions, write_decision
from trademl.governance.reconciliation import Reconciliation, promotion_lock, reconcile, roll_forward
from trademl.governance.router_config import check_sleeve
from trademl.lake.batches import latest_sql
from trademl.lake.layout import Layout, layout_of
from trademl.schema import BATCHES

if TYPE_CHECKING:
    from trademl.governance.gate import Bar, Decision

__all__ = [
    "NEVER_OVERRIDDEN", "Champion", "Promotion", "champion", "history", "promote", "reconcile", "record_gate",
    "rollback",
]  # fmt: skip

REASON_LENGTH = 20
"""Characters that the reason of an override has at least: a sentence, not a word."""

NEVER_OVERRIDDEN: dict[str, str] = {
    "leakage": "a run that saw its own future has no measured quality, so there is nothing to weigh a reason against",
    "artifacts": "files that do not match their manifest are not the model that was judged",
    "data_green": "numbers from data of unknown quality say nothing about the model, however good they look",
}
"""Bars that no reason overrides, and why: each says that the evidence itself, or the model, is not what it claims."""


@dataclass(frozen=True)
class Champion:
    """The run that answers for a sleeve.

    Attributes:
        since: when it became champion, by promotion or rollback, naive UTC.
        outcome: promoted, overridden or rolled_back.
        reason: the decision's own.
        previous_run_id: the champion before it, which a rollback restores; None when there was none.
    """

    sleeve: str
    run_id: str
    label: str
    since: datetime
    decision_id: str
    outcome: str
    reason: str
    previous_run_id: str | None


@dataclass(frozen=True)
class Promotion:
    """A champion that was just made.

    Attributes:
        decision: as recorded.
        already: the run was champion before, and nothing was recorded. followers: what was brought in line.
    """

    decision: Recorded
    already: bool
    followers: Reconciliation


def promote(
    home: Home,
    decision: "Decision",
    *,
    override: str | None = None,
    expected_champion: str | EllipsisType | None = ...,
    mlflow: bool = True,
    now: Clock = utc_now,
) -> Promotion:
    """Make ``decision.run_id`` the champion of its sleeve; promoting the champion changes nothing.

    Args:
        home: the home.
        decision: what the gate found, on this run and against the present champion.
        override: why failed bars are set aside; kept on the decision and on each of these bars.
        expected_champion: the champion that must still reign; by default the one the gate compared with.
        mlflow: set MLflow's aliases too; without, the next command that reads the champion does.
        now: the clock.

    Raises:
        PromotionError: a bar failed (the refusal is recorded), the reason is too short, the champion has changed, the
            run is not registered, or the decisions do not add up.
        ArtifactError: the run folder is missing or does not verify.
        ConfigError: there is no such sleeve, or configs/router.yml is wrong.
        LockedError: another promotion is at work.
    """
    check_sleeve(decision.sleeve)
    reason = None if override is None else checked_reason(override)
    _check_bars(decision)
    expected = decision.champion if expected_champion is ... else expected_champion
    layout = layout_of(home)
    with promotion_lock(home):
        followers = roll_forward(home, decision.sleeve, mlflow=mlflow, now=now)
        reigning = followers.champion
        if reigning is not None and reigning.run_id == decision.run_id:
            return Promotion(reigning, True, followers)
        _check_champion(decision.sleeve, reigning, expected)
        refusal = _refusal(decision, reason)
        if refusal is None:
            _check_run(home, layout, decision.run_id, decision.sleeve, decision.label)
        overridden = bool(decision.failed) and refusal is None
        recorded = write_decision(
            layout,
            read_decisions(layout, decision.sleeve),
            action="promote",
            outcome="refused" if refusal else "overridden" if overridden else "promoted",
            sleeve=decision.sleeve,
            run_id=decision.run_id,
            label=decision.label,
            previous_run_id=reigning.run_id if reigning else None,
            reason=reason if reason and overridden else _summary(decision),
            bars=_overridden(decision, reason) if overridden else decision.bars,
            now=now,
        )
        followers = roll_forward(home, decision.sleeve, mlflow=mlflow, now=now)
    if refusal is not None:
        raise refusal
    return Promotion(recorded, False, followers)


def rollback(
    home: Home,
    sleeve: str,
    *,
    reason: str,
    expected_champion: str | EllipsisType | None = ...,
    mlflow: bool = True,
    now: Clock = utc_now,
) -> Promotion:
    """Make the champion before the present one champion again.

    Rolling back twice goes back two champions: name ``expected_champion`` where a command may be repeated.

    Raises:
        PromotionError: there is no champion before this one, the champion is not the expected one, ``reason`` is blank,
            or the run is no longer registered.
        ArtifactError: the folder of the run to go back to is missing or does not verify.
        ConfigError: there is no such sleeve, or configs/router.yml is wrong.
        LockedError: another promotion is at work.
    """
    check_sleeve(sleeve)
    if not reason.strip():
        raise PromotionError("a rollback without a reason", remedy="say in a few words why, with --reason")
    layout = layout_of(home)
    with promotion_lock(home):
        line = roll_forward(home, sleeve, mlflow=mlflow, now=now).line
        reigning = line[-1] if line else None
        if expected_champion is not ...:
            _check_champion(sleeve, reigning, expected_champion)
        if reigning is None or len(line) < 2:
            told = f"{reigning.run_id} is its first champion" if reigning else "it has no champion"
            raise PromotionError(
                f"{sleeve} has nothing to roll back to: {told}",
                remedy=f"`trademl router kill {sleeve}` lets the frozen scorer answer",
            )
        target = line[-2]
        _check_run(home, layout, target.run_id, sleeve, target.label)
        recorded = write_decision(
            layout,
            read_decisions(layout, sleeve),
            action="rollback",
            outcome="rolled_back",
            sleeve=sleeve,
            run_id=target.run_id,
            label=target.label,
            previous_run_id=reigning.run_id,
            reason=" ".join(reason.split()),
            now=now,
        )
        followers = roll_forward(home, sleeve, mlflow=mlflow, now=now)
    return Promotion(recorded, False, followers)


def record_gate(home: Home, decision: "Decision", *, now: Clock = utc_now) -> Recorded:
    """Record what the gate found without promoting; the same findings as the last time are not recorded again.

    Raises:
        PromotionError: two bars have one name, or the decisions do not add up.
        ConfigError: there is no such sleeve.
        LockedError: another promotion is at work.
    """
    check_sleeve(decision.sleeve)
    _check_bars(decision)
    layout = layout_of(home)
    with promotion_lock(home):
        before = read_decisions(layout, decision.sleeve)
        of_run = [made for made in before if made.action == "gate" and made.run_id == decision.run_id]
        bars = tuple(sorted(decision.bars, key=lambda bar: bar.name))
        if of_run and (of_run[-1].bars, of_run[-1].previous_run_id) == (bars, decision.champion):
            return of_run[-1]
        recorded = write_decision(
            layout,
            before,
            action="gate",
            outcome="passed" if decision.passed else "failed",
            sleeve=decision.sleeve,
            run_id=decision.run_id,
            label=decision.label,
            previous_run_id=decision.champion,
            reason=_summary(decision),
            bars=bars,
            now=now,
        )
        roll_forward(home, decision.sleeve, mlflow=False, now=now)
    return recorded


def champion(home: Home, sleeve: str, *, mlflow: bool = False, now: Clock = utc_now) -> Champion | None:
    """Return the champion of ``sleeve``, None when no run was ever promoted; router and snapshot follow first.

    Raises:
        PromotionError: the decisions do not add up.
        ConfigError: there is no such sleeve, or configs/router.yml is wrong.
    """
    return described(reconcile(home, sleeve, mlflow=mlflow, now=now))


def described(state: Reconciliation) -> Champion | None:
    """Return the champion that a reconciliation found."""
    made = state.champion
    if made is None:
        return None
    return Champion(
        sleeve=made.sleeve,
        run_id=made.run_id,
        label=made.label,
        since=made.recorded_at,
        decision_id=made.decision_id,
        outcome=made.outcome,
        reason=made.reason,
        previous_run_id=state.line[-2].run_id if len(state.line) > 1 else None,
    )


def history(home: Home, sleeve: str) -> tuple[Recorded, ...]:
    """Return every decision on a run of ``sleeve``, oldest first, with its bars.

    Raises:
        PromotionError: a decision is missing, or there twice.
        ConfigError: there is no such sleeve.
    """
    check_sleeve(sleeve)
    return read_decisions(layout_of(home), sleeve)


def checked_reason(override: str) -> str:
    """Return the reason for an override on one line.

    Raises:
        PromotionError: it has fewer than ``REASON_LENGTH`` characters.
    """
    reason = " ".join(override.split())
    if len(reason) < REASON_LENGTH:
        raise PromotionError(
            f"the reason {reason!r} has {len(reason)} characters, an override needs at least {REASON_LENGTH}",
            remedy="write the sentence that somebody will read after a loss",
        )
    return reason


def _check_bars(decision: "Decision") -> None:
    names = [bar.name for bar in decision.bars]
    if not names or len(set(names)) != len(names) or DECISION in names:
        raise PromotionError(
            f"the decision on {decision.run_id} has the bars {names}: one or more, each once, none called {DECISION}",
            remedy="judge the run with `trademl gate`",
        )


def _check_champion(sleeve: str, reigning: Recorded | None, expected: str | None) -> None:
    found = reigning.run_id if reigning else None
    if found != expected:
        raise PromotionError(
            f"the champion of {sleeve} is {found or 'nobody'}, not {expected or 'nobody'}: it has changed since this "
            "decision was made",
            remedy="judge again against the present champion: repeat the command",
        )


def _refusal(decision: "Decision", reason: str | None) -> PromotionError | None:
    """Return why ``decision`` does not suffice: failed bars, less what ``reason`` may set aside."""
    if not decision.failed:
        return None
    final = [bar for bar in decision.failed if bar.name in NEVER_OVERRIDDEN]
    if reason is not None and not final:
        return None
    listed = "".join(f"\n    {_told(bar)}" for bar in decision.failed)
    message = f"{decision.run_id} fails {len(decision.failed)} of {len(decision.bars)} bars:{listed}"
    if final:
        names = ", ".join(bar.name for bar in final)
        remedy = f"mend {names} first: no reason overrides it, because {NEVER_OVERRIDDEN[final[0].name]}"
    else:
        remedy = "do what each line says, or give the reason why it does not matter with --override"
    return PromotionError(message, remedy=remedy)


def _summary(decision: "Decision") -> str:
    failed = ", ".join(bar.name for bar in decision.failed)
    return f"failed: {failed}" if failed else f"{len(decision.bars)} bars passed"


def _told(bar: "Bar") -> str:
    value = "not measured" if bar.value is None else f"{bar.value:.6g}"
    limit = "" if bar.bound is None else f", limit {bar.bound:.6g}"
    return f"{bar.name}: {value}{limit}: {bar.reason}"


def _overridden(decision: "Decision", reason: str | None) -> "tuple[Bar, ...]":
    return tuple(
        replace(bar, reason=f"{bar.reason.rstrip('.')}. Overridden: {reason}") if bar.verdict != "pass" else bar
        for bar in decision.bars
    )


def _check_run(home: Home, layout: Layout, run_id: str, sleeve: str, label: str) -> None:
    """Refuse a run that is not registered, or whose folder does not verify."""
    table = BATCHES["ops.runs"]
    with duckdb.connect() as con:
        source = latest_sql(table, layout.batch_files(table.name))
        found = con.execute(f"select sleeve, label, status, path from ({source}) where run_id = ?", [run_id]).fetchall()
    if not found or found[0][:3] != (sleeve, label, "registered"):
        told = "is not in ops.runs" if not found else "is {1} of {0}, {2}".format(*found[0])
        raise PromotionError(
            f"{run_id} {told}; only a registered run of {sleeve} and {label} can be champion",
            remedy=f"train it to the end with `trademl train {sleeve}`, then judge it",
        )
    manifest = RunFolder.open(home.root / found[0][3]).verify()
    if manifest.run_id != run_id:
        raise PromotionError(
            f"ops.runs says that {run_id} lies in {found[0][3]}, which holds {manifest.run_id}",
            remedy="restore the run folder, or train again",
        )
