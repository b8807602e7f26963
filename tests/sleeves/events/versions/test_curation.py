"""Curation: bars, refusals, overrides, rollback, and what other readers see of it."""

import pytest

from tests.lake.killing import Act, in_child, killed_before
from tests.sleeves.events.versions_home import FULL, MECHANICS, Events, publish
from trademl.config.home import Home
from trademl.errors import ArtifactError, PromotionError
from trademl.governance.decisions import read_decisions
from trademl.lake.layout import layout_of
from trademl.sleeves.events.versions import curation
from trademl.sleeves.events.versions.build import build_version
from trademl.sleeves.events.versions.curation import LINE, curate, judge_version, production_version, roll_back
from trademl.sleeves.events.versions.files import version_folder
from trademl.warehouse.read import read_snapshot

REASON = "the first table, there is nothing to compare it with"
ENOUGH = Events()


@pytest.fixture
def ready(home: Home) -> Home:
    """A home with both versions built."""
    in_child(lambda: publish(home, ENOUGH))
    for version in (FULL, MECHANICS):
        in_child(lambda version=version: bool(build_version(home, version)))  # type: ignore[misc]
    return home


@pytest.fixture
def trained(ready: Home, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], float]:
    """AUCs of heads, by ablation and head, in place of trained bundles."""
    found = {(ablation, head): 0.6 for ablation in ("full", "mechanics") for head in ("tradeable_2", "direction")}

    def auc(_home: Home, manifest: object, head: str) -> float | None:
        return found.get((str(manifest.parameters["ablation"]), head))  # type: ignore[attr-defined]

    monkeypatch.setattr(curation, "_auc", auc)
    return found


def test_a_version_that_passes_becomes_production(ready: Home, trained: dict[tuple[str, str], float]) -> None:
    """The decision holds every bar, says nobody was before, and the snapshot shows it at once."""
    assert trained
    done = curate(ready, FULL)
    made = done.decision
    assert (made.outcome, made.run_id, made.previous_run_id, made.sequence) == ("promoted", FULL, None, 1)
    assert {bar.verdict for bar in made.bars} == {"pass"}
    assert len(made.bars) == 14
    assert done.lagging is None
    with read_snapshot(ready) as snapshot:
        rows = snapshot.con.execute(
            "select run_id, verdict from ops.promotions where sleeve = ? and bar = 'decision'", [LINE]
        ).fetchall()
    assert rows == [(FULL, "promoted")]


def test_curating_production_again_changes_nothing(ready: Home, trained: dict[tuple[str, str], float]) -> None:
    """A command that was repeated records nothing more."""
    assert trained
    curate(ready, FULL)
    again = curate(ready, FULL)
    assert again.already
    assert len(read_decisions(layout_of(ready), LINE)) == 1


def test_without_trained_heads_it_is_refused_unless_a_reason_is_given(ready: Home) -> None:
    """Evidence that is missing fails its bar; the refusal is on record, and so is the reason that overrides it."""
    with pytest.raises(PromotionError, match="fails 2 of 14 bars") as refused:
        curate(ready, FULL)
    assert "trademl train events --stage stage_b --ablation full" in str(refused.value)
    assert production_version(ready) is None
    with pytest.raises(PromotionError, match="at least 20"):
        curate(ready, FULL, override="because")
    done = curate(ready, FULL, override=REASON)
    assert done.decision.outcome == "overridden"
    assert done.decision.reason == REASON
    overridden = [bar.name for bar in done.decision.bars if "Overridden" in bar.reason]
    assert overridden == ["auc_direction", "auc_tradeable_2"]
    assert [made.outcome for made in read_decisions(layout_of(ready), LINE)] == ["refused", "overridden"]


def test_a_version_worse_than_production_is_refused(ready: Home, trained: dict[tuple[str, str], float]) -> None:
    """A head's AUC may lie half a point below production's, and no more."""
    curate(ready, FULL)
    trained["mechanics", "direction"] = 0.59
    with pytest.raises(PromotionError, match="auc_direction"):
        curate(ready, MECHANICS)
    trained["mechanics", "direction"] = 0.596
    assert curate(ready, MECHANICS).decision.previous_run_id == FULL


def test_a_damaged_version_is_refused_whatever_the_reason(ready: Home, trained: dict[tuple[str, str], float]) -> None:
    """Files that are not those that were judged cannot be argued away."""
    assert trained
    (version_folder(ready, FULL) / "date=2025-09-15" / "events.parquet").unlink()
    with pytest.raises(PromotionError, match="no reason overrides"):
        curate(ready, FULL, override=REASON)
    assert production_version(ready) is None


def test_small_or_amber_data_fails_its_bars(home: Home) -> None:
    """Too few events, too few sessions and sessions that are not GREEN each fail a bar."""
    publish(home, Events(sessions=5, per_session=10, amber=2))
    build_version(home, FULL)
    verdicts = {bar.name: (bar.value, bar.verdict) for bar in judge_version(home, FULL)}
    assert verdicts["events"] == (50.0, "fail")
    assert verdicts["history"] == (5.0, "fail")
    assert verdicts["data_green"] == (0.6, "fail")


def test_a_rollback_goes_back_one_version(ready: Home, trained: dict[tuple[str, str], float]) -> None:
    """It needs a reason, a version to go back to and its files; what it replaced is on record."""
    assert trained
    with pytest.raises(PromotionError, match="none was curated"):
        roll_back(ready, reason="try")
    curate(ready, FULL)
    curate(ready, MECHANICS)
    with pytest.raises(PromotionError, match="without a reason"):
        roll_back(ready, reason=" ")
    with pytest.raises(PromotionError, match=f"is {MECHANICS}, not {FULL}"):
        roll_back(ready, reason="wrong columns", expected=FULL)
    done = roll_back(ready, reason="wrong columns", expected=MECHANICS)
    assert (done.decision.run_id, done.decision.previous_run_id) == (FULL, MECHANICS)
    found = production_version(ready)
    assert found is not None
    assert found.run_id == FULL
    with pytest.raises(PromotionError, match="is the first"):
        roll_back(ready, reason="once more")


def test_a_version_that_is_not_built_is_an_error(home: Home) -> None:
    """There is nothing to judge."""
    with pytest.raises(ArtifactError, match="is not built"):
        curate(home, FULL)


@pytest.mark.fault
@pytest.mark.slow
def test_a_killed_curation_leaves_no_decision_or_a_whole_one(ready: Home) -> None:
    """SIGKILL before each step: the next command finds none or one, and ends with one that the snapshot shows."""

    def work(_act: Act) -> object:
        return curate(ready, FULL, override=REASON)

    def state() -> list[str]:
        return [made.outcome for made in read_decisions(layout_of(ready), LINE)]

    seen: list[list[str]] = []
    for stop in range(1, 60):
        ended = killed_before(stop, ready.root, work)
        seen.append(in_child(state))
        if not ended.killed:
            break
    assert not ended.killed
    assert ended.error == ""
    assert all(one in ([], ["overridden"]) for one in seen)
    assert seen[0] == []
    assert in_child(state) == ["overridden"]
    shown = in_child(lambda: _shown(ready))
    assert shown == [[FULL]]


def _shown(home: Home) -> list[list[str]]:
    with read_snapshot(home) as snapshot:
        rows = snapshot.con.execute(
            "select run_id from ops.promotions where sleeve = ? and bar = 'decision'", [LINE]
        ).fetchall()
    return [list(row) for row in rows]
