"""Promotion, rollback and what they refuse."""

import dataclasses
from collections.abc import Callable

import pytest

from tests.governance.promotable import LABEL, NOW, REASON, A, B, C, clock, decision, files_of, write_run
from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError, PromotionError
from trademl.governance.gate import Bar, Decision
from trademl.governance.ledger import record_run
from trademl.governance.promotion import (
    NEVER_OVERRIDDEN,
    REASON_LENGTH,
    Promotion,
    champion,
    history,
    promote,
    record_gate,
    rollback,
)
from trademl.governance.router_config import read_router
from trademl.lake.layout import layout_of


@pytest.fixture
def ready(home: Home) -> Home:
    """A home with three registered runs."""
    for run in (A, B, C):
        write_run(home, run)
    return home


@pytest.fixture
def crown(ready: Home) -> Callable[..., Promotion]:
    """Promote a run against whoever reigns."""
    tick = clock()

    def act(run: str, **options: object) -> Promotion:
        reigning = champion(ready, "equities")
        made = decision(run, champion=reigning.run_id if reigning else None)
        return promote(ready, made, mlflow=False, now=tick, **options)  # type: ignore[arg-type]

    return act


def reigning(home: Home) -> str | None:
    found = champion(home, "equities")
    assert read_router(home).of("equities").champion == (found.run_id if found else None)
    return found.run_id if found else None


def outcomes(home: Home) -> list[tuple[str, str, str]]:
    return [(made.action, made.outcome, made.run_id) for made in history(home, "equities")]


def test_a_run_that_passes_becomes_champion(ready: Home) -> None:
    """Decision, champion and router say the same, with time, reason and predecessor."""
    assert reigning(ready) is None
    done = promote(ready, decision(A), mlflow=False, now=lambda: NOW)
    assert (done.already, done.decision.outcome) == (False, "promoted")
    found = champion(ready, "equities")
    assert found is not None
    assert (found.run_id, found.label, found.since, found.previous_run_id) == (A, LABEL, NOW.replace(tzinfo=None), None)
    assert found.reason == "3 bars passed"
    promote(ready, decision(B, champion=A), mlflow=False, now=clock())
    second = champion(ready, "equities")
    assert second is not None
    assert (second.run_id, second.previous_run_id) == (B, A)
    assert reigning(ready) == B


def test_promoting_the_champion_changes_nothing(ready: Home) -> None:
    """A command that is run again after a kill finds its work done: same decision, same files."""
    first = promote(ready, decision(A), mlflow=False, now=clock())
    before = files_of(ready.lake / "ops")
    again = promote(ready, decision(A), mlflow=False, now=clock())
    assert again.already
    assert again.decision == first.decision
    assert files_of(ready.lake / "ops") == before


def test_a_failed_bar_is_refused_and_recorded(ready: Home) -> None:
    """The error lists every failed bar with value, limit and remedy, exits 3, and the refusal stays on record."""
    made = decision(A, failing=("pbo", "sharpe"))
    with pytest.raises(PromotionError, match="fails 2 of 4 bars") as refused:
        promote(ready, made, mlflow=False, now=clock())
    for name in ("pbo", "sharpe"):
        assert f"{name}: 2, limit 1: {name} is 2, at most 1 is asked; mend {name}" in str(refused.value)
    assert "--override" in refused.value.remedy
    assert refused.value.exit_code == 3
    assert outcomes(ready) == [("promote", "refused", A)]
    (kept,) = history(ready, "equities")
    assert {bar.name: bar.verdict for bar in kept.bars if bar.verdict == "fail"} == {"pbo": "fail", "sharpe": "fail"}
    assert kept.reason == "failed: pbo, sharpe"
    assert reigning(ready) is None


def test_a_bar_that_was_not_measured_is_told_as_such(ready: Home) -> None:
    """A failed bar without a value says that it was not measured."""
    bars = (Bar("shadow_profit", None, 0.0, "fail", "no session in shadow; score it in shadow"),)
    with pytest.raises(PromotionError, match="shadow_profit: not measured, limit 0: no session in shadow"):
        promote(ready, Decision(A, "equities", LABEL, bars, None), mlflow=False, now=clock())


def test_an_override_keeps_its_reason_for_ever(ready: Home) -> None:
    """The reason stands on the decision and on each bar that it set aside; the bars still say that they failed."""
    promote(ready, decision(A, failing=("pbo",)), override=f"  {REASON}\n", mlflow=False, now=clock())
    (kept,) = history(ready, "equities")
    assert (kept.outcome, kept.reason) == ("overridden", REASON)
    failed = {bar.name: bar for bar in kept.bars if bar.verdict == "fail"}
    assert list(failed) == ["pbo"]
    assert failed["pbo"].reason == f"pbo is 2, at most 1 is asked; mend pbo. Overridden: {REASON}"
    assert all("Overridden" not in bar.reason for bar in kept.bars if bar.verdict == "pass")
    assert reigning(ready) == A


def test_a_reason_that_was_not_needed_is_no_override(ready: Home) -> None:
    """A run that passes is promoted, not overridden, whatever was typed."""
    done = promote(ready, decision(A), override=REASON, mlflow=False, now=clock())
    assert (done.decision.outcome, done.decision.reason) == ("promoted", "3 bars passed")


@pytest.mark.parametrize("reason", ["", "   \n\t ", "urgent", "a  b" + " " * 40])
def test_an_override_needs_a_sentence(ready: Home, reason: str) -> None:
    """A blank or short reason is refused before anything is recorded; blanks do not count."""
    with pytest.raises(PromotionError, match=f"an override needs at least {REASON_LENGTH}"):
        promote(ready, decision(A, failing=("pbo",)), override=reason, mlflow=False, now=clock())
    assert history(ready, "equities") == ()


@pytest.mark.parametrize("bar", sorted(NEVER_OVERRIDDEN))
def test_some_bars_are_never_overridden(ready: Home, bar: str) -> None:
    """Leakage, artifacts and data quality are refused whatever the reason; the refusal is on record."""
    with pytest.raises(PromotionError, match=f"no reason overrides it, because {NEVER_OVERRIDDEN[bar]}"):
        promote(ready, decision(A, failing=("pbo", bar)), override=REASON, mlflow=False, now=clock())
    assert outcomes(ready) == [("promote", "refused", A)]
    assert reigning(ready) is None


def test_there_is_no_force() -> None:
    """No parameter of promote skips a check."""
    assert set(promote.__annotations__) == {
        "home", "decision", "override", "expected_champion", "mlflow", "now", "return",
    }  # fmt: skip


def test_a_decision_against_a_former_champion_is_refused(ready: Home) -> None:
    """B was compared with nobody; since then A was promoted, so B must be judged again."""
    promote(ready, decision(A), mlflow=False, now=clock())
    with pytest.raises(PromotionError, match=f"the champion of equities is {A}, not nobody") as refused:
        promote(ready, decision(B), mlflow=False, now=clock())
    assert "judge again" in refused.value.remedy
    assert reigning(ready) == A
    promote(ready, decision(B), expected_champion=A, mlflow=False, now=clock())
    assert reigning(ready) == B


def test_a_run_that_is_not_registered_is_refused(ready: Home) -> None:
    """A finished folder is not enough: the ledger must know the run, of this sleeve and label."""
    other = "equities-fwd_5d-dddddddddddd"
    write_run(ready, other, registered=False)
    with pytest.raises(PromotionError, match=r"is not in ops\.runs"):
        promote(ready, decision(other), mlflow=False, now=clock())
    with pytest.raises(PromotionError, match="is fwd_5d of equities, registered; only a registered run of"):
        promote(ready, decision(A, label="fwd_20d"), mlflow=False, now=clock())
    assert history(ready, "equities") == ()


@pytest.mark.parametrize("damage", ["altered", "missing", "extra"])
def test_a_run_folder_that_does_not_verify_is_refused(ready: Home, damage: str) -> None:
    """One byte altered, one file missing or one too many: no promotion, and no row."""
    path = ready.models_artifacts / "equities" / A / "checkpoints" / "model.json"
    path.chmod(0o644)
    if damage == "altered":
        path.write_bytes(path.read_bytes().replace(b"2", b"3"))
    elif damage == "missing":
        path.unlink()
    else:
        path.with_name("other.json").write_text("{}")
    with pytest.raises(ArtifactError, match="does not verify"):
        promote(ready, decision(A), mlflow=False, now=clock())
    assert history(ready, "equities") == ()


def test_a_ledger_that_points_at_another_folder_is_refused(ready: Home) -> None:
    """A row of ops.runs that leads to another run's folder does not promote that folder."""
    record_run(
        layout_of(ready), run_id="equities-x", sleeve="equities", label=LABEL, status="registered", git_revision="",
        data_hash="", config_hash="", path=f"models_artifacts/equities/{A}", metrics={}, started_at=NOW,
    )  # fmt: skip
    with pytest.raises(PromotionError, match=f"which holds {A}"):
        promote(ready, decision("equities-x"), mlflow=False, now=clock())


def test_a_decision_must_be_one(ready: Home) -> None:
    """No bar at all, a bar twice, or a bar called decision is no evidence."""
    good = decision(A)
    for bars in ((), (good.bars[0], good.bars[0]), (dataclasses.replace(good.bars[0], name="decision"),)):
        with pytest.raises(PromotionError, match="one or more, each once"):
            promote(ready, dataclasses.replace(good, bars=bars), mlflow=False)
    with pytest.raises(ConfigError, match="no sleeve 'bonds'"):
        promote(ready, dataclasses.replace(good, sleeve="bonds"), mlflow=False)


def test_a_broken_router_stops_a_promotion_before_it_is_recorded(ready: Home) -> None:
    """What could not be followed up is not begun."""
    (ready.configs / "router.yml").write_text("equities: [")
    with pytest.raises(ConfigError):
        promote(ready, decision(A), mlflow=False)
    assert history(ready, "equities") == ()


def test_rollback_leads_to_the_champion_before(ready: Home, crown: Callable[..., Promotion]) -> None:
    """Two rollbacks undo two promotions; the third is refused and names the kill switch."""
    for run in (A, B, C):
        crown(run)
    done = rollback(ready, "equities", reason="live  loss", mlflow=False, now=clock())
    assert (done.decision.run_id, done.decision.previous_run_id, done.decision.reason) == (B, C, "live loss")
    assert reigning(ready) == B
    rollback(ready, "equities", reason="again", mlflow=False, now=clock())
    assert reigning(ready) == A
    with pytest.raises(PromotionError, match=f"nothing to roll back to: {A} is its first champion") as refused:
        rollback(ready, "equities", reason="and again", mlflow=False, now=clock())
    assert "trademl router kill equities" in refused.value.remedy
    assert reigning(ready) == A


def test_a_promotion_after_a_rollback_returns_to_the_one_rolled_back_to(
    ready: Home, crown: Callable[..., Promotion]
) -> None:
    """A, B, back to A, then C: rolling back C leads to A, not to B, which was rejected."""
    crown(A)
    crown(B)
    rollback(ready, "equities", reason="loss", mlflow=False, now=clock())
    crown(C)
    rollback(ready, "equities", reason="loss", mlflow=False, now=clock())
    assert reigning(ready) == A


def test_a_rollback_can_be_made_safe_to_repeat(ready: Home, crown: Callable[..., Promotion]) -> None:
    """With the champion named, a repeated command goes back once."""
    for run in (A, B, C):
        crown(run)
    rollback(ready, "equities", reason="loss", expected_champion=C, mlflow=False, now=clock())
    with pytest.raises(PromotionError, match=f"the champion of equities is {B}, not {C}"):
        rollback(ready, "equities", reason="loss", expected_champion=C, mlflow=False, now=clock())
    assert reigning(ready) == B


def test_a_rollback_without_champion_reason_or_files_is_refused(ready: Home, crown: Callable[..., Promotion]) -> None:
    """There must be a champion, a reason, and a folder that still verifies to go back to."""
    with pytest.raises(PromotionError, match="it has no champion"):
        rollback(ready, "equities", reason="loss", mlflow=False)
    crown(A)
    crown(B)
    with pytest.raises(PromotionError, match="without a reason"):
        rollback(ready, "equities", reason=" \n", mlflow=False)
    (ready.models_artifacts / "equities" / A / "card.md").unlink()
    with pytest.raises(ArtifactError, match=r"card.md is missing"):
        rollback(ready, "equities", reason="loss", mlflow=False)
    assert reigning(ready) == B


def test_a_gate_run_is_recorded_and_crowns_nobody(ready: Home) -> None:
    """`trademl gate` leaves its bars on record; the same findings again leave nothing more."""
    first = record_gate(ready, decision(A), now=clock())
    assert (first.action, first.outcome, first.reason) == ("gate", "passed", "3 bars passed")
    assert record_gate(ready, decision(A), now=clock()) == first
    worse = record_gate(ready, decision(A, failing=("pbo",)), now=clock())
    assert (worse.outcome, worse.reason) == ("failed", "failed: pbo")
    record_gate(ready, decision(B), now=clock())
    assert outcomes(ready) == [("gate", "passed", A), ("gate", "failed", A), ("gate", "passed", B)]
    assert reigning(ready) is None


def test_decisions_are_never_rewritten(ready: Home, crown: Callable[..., Promotion]) -> None:
    """Every batch that was there before a decision is there after it, byte by byte."""
    crown(A)
    folder = layout_of(ready).batches("ops.promotions")
    before = files_of(folder)
    crown(B)
    rollback(ready, "equities", reason="loss", mlflow=False, now=clock())
    after = files_of(folder)
    assert {name: after[name] for name in before} == before
    assert len(after) == 3
