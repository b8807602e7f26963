"""Curation: a version of the event features becomes the production table by a recorded decision, and by nothing else.

Decisions are rows of ``ops.promotions`` under the line ``events.features``, as a champion's are under its sleeve: a row
per bar and one with the outcome, in one immutable batch. ``gold.events_production`` reads the version that the last
crowning decision names. There is no force flag; a written reason, kept on record, overrides a failed bar, unless the
files themselves cannot be trusted.
"""

from dataclasses import dataclass, replace

from trademl.artifacts.files import INCOMING
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ArtifactError, LockedError, ModelError, PromotionError, SnapshotError
from trademl.governance.decisions import Recorded, batch_names, read_decisions, reign, write_decision
from trademl.governance.gate import Bar
from trademl.governance.promotion import checked_reason
from trademl.governance.reconciliation import promotion_lock
from trademl.lake.layout import Layout, layout_of
from trademl.lake.manifest import current_seq, read_manifest
from trademl.lake.snapshot import snapshot_batches
from trademl.sleeves.events.heads import model_dir, read_head
from trademl.sleeves.events.names import DIRECTION, TRADEABLE
from trademl.sleeves.events.versions.checks import Check, validate_version
from trademl.sleeves.events.versions.files import VersionManifest, check_files, read_version_manifest
from trademl.warehouse.read import read_snapshot

LINE = "events.features"
"""The line of decisions; gold.events_production reads it."""

LABEL = "events_production"
COVERAGE_TABLE = "silver.event_coverage"
EVIDENCE_HEADS = (TRADEABLE, DIRECTION)
MIN_EVENTS = 1_000
MIN_SESSIONS = 20
MIN_GREEN = 0.9
AUC_TOLERANCE = 0.005
"""How far a head's AUC may lie below that of the version in production."""

NEVER_OVERRIDDEN = ("files", "columns", "rows", "identity", "labels_after")
"""Bars that no reason overrides: each says that the version is not what it claims to be, or that it leaks."""


@dataclass(frozen=True)
class Curation:
    """What came of it: the decision as recorded, or the one that made the version production before (``already``).

    ``lagging`` says why no snapshot shows the decision yet; the decision holds all the same.
    """

    decision: Recorded
    already: bool
    lagging: str | None = None


def production_version(home: Home) -> Recorded | None:
    """Return the decision that made the present production version, None when none was ever curated.

    Raises:
        PromotionError: the decisions do not add up.
    """
    line = reign(read_decisions(layout_of(home), LINE))
    return line[-1] if line else None


def judge_version(home: Home, version: str) -> tuple[Bar, ...]:
    """Judge a built version by every bar; evidence that is missing fails its bar.

    Raises:
        ArtifactError: it is not built, or its manifest cannot be read.
    """
    manifest = read_version_manifest(home, version)
    before = production_version(home)
    bars = [_bar_of(check) for check in validate_version(home, version)]
    bars.append(_at_least("events", manifest.rows, MIN_EVENTS, "events", "ingest more bars, and build a new version"))
    bars.append(
        _at_least("history", len(manifest.files), MIN_SESSIONS, "sessions", "ingest more bars, and build a new version")
    )
    bars.append(_green(home, manifest))
    reigning = None if before is None or before.run_id == version else before.run_id
    bars += [_evidence(home, manifest, reigning, head) for head in EVIDENCE_HEADS]
    return tuple(bars)


def curate(home: Home, version: str, *, override: str | None = None, now: Clock = utc_now) -> Curation:
    """Make ``version`` the production version, if every bar passes or a reason sets the failed ones aside.

    A refusal is recorded too. Curating the production version changes nothing, so a killed command is simply run again.

    Raises:
        PromotionError: a bar failed, or the reason is too short.
        ArtifactError: the version is not built.
        LockedError: another decision is being made.
    """
    reason = None if override is None else checked_reason(override)
    bars = judge_version(home, version)
    layout = layout_of(home)
    with promotion_lock(home):
        before = read_decisions(layout, LINE)
        line = reign(before)
        if line and line[-1].run_id == version:
            return Curation(line[-1], True, _published(layout, now))
        failed = [bar for bar in bars if bar.verdict != "pass"]
        refusal = _refusal(version, bars, failed, reason)
        overridden = bool(failed) and refusal is None
        if overridden:
            bars = tuple(
                replace(bar, reason=f"{bar.reason.rstrip('.')}. Overridden: {reason}") if bar in failed else bar
                for bar in bars
            )
        summary = f"failed: {', '.join(bar.name for bar in failed)}" if failed else f"{len(bars)} bars passed"
        recorded = write_decision(
            layout,
            before,
            action="promote",
            outcome="refused" if refusal else "overridden" if overridden else "promoted",
            sleeve=LINE,
            run_id=version,
            label=LABEL,
            previous_run_id=line[-1].run_id if line else None,
            reason=reason if reason and overridden else summary,
            bars=bars,
            now=now,
        )
        lagging = _published(layout, now)
    if refusal is not None:
        raise refusal
    return Curation(recorded, False, lagging)


def roll_back(home: Home, *, reason: str, expected: str | None = None, now: Clock = utc_now) -> Curation:
    """Make the production version before the present one production again.

    Args:
        home: the home.
        reason: why, for the record.
        expected: refuse unless this version is production: safe to repeat.
        now: the clock.

    Raises:
        PromotionError: there is none before it, the present one is not the expected one, or there is no reason.
        ArtifactError: the files of the version to go back to are gone or damaged.
        LockedError: another decision is being made.
    """
    if not reason.strip():
        raise PromotionError("a rollback without a reason", remedy="say in a few words why, with --reason")
    layout = layout_of(home)
    with promotion_lock(home):
        before = read_decisions(layout, LINE)
        line = reign(before)
        if expected is not None and (not line or line[-1].run_id != expected):
            raise PromotionError(
                f"the production version is {line[-1].run_id if line else 'none'}, not {expected}",
                remedy="look at `trademl events features list`",
            )
        if len(line) < 2:
            told = f"{line[-1].run_id} is the first" if line else "none was curated"
            raise PromotionError(f"no production version to go back to: {told}", remedy="curate another version")
        target = line[-2]
        check_files(home, read_version_manifest(home, target.run_id))
        recorded = write_decision(
            layout,
            before,
            action="rollback",
            outcome="rolled_back",
            sleeve=LINE,
            run_id=target.run_id,
            label=LABEL,
            previous_run_id=line[-1].run_id,
            reason=" ".join(reason.split()),
            now=now,
        )
        lagging = _published(layout, now)
    return Curation(recorded, False, lagging)


def _bar_of(check: Check) -> Bar:
    return Bar(check.name, float(check.wrong), 0.0, "pass" if check.passed else "fail", check.detail)


def _at_least(name: str, value: float, bound: float, of: str, remedy: str) -> Bar:
    passed = value >= bound
    told = f"{value:g} {of}, at least {bound:g}"
    return Bar(name, float(value), float(bound), "pass" if passed else "fail", told if passed else f"{told}: {remedy}")


def _green(home: Home, manifest: VersionManifest) -> Bar:
    """Judge the share of the version's sessions that are GREEN; external events have no bars to be judged by."""
    days = [file.date for file in manifest.files]
    try:
        with read_snapshot(home) as snapshot:
            if COVERAGE_TABLE not in {*snapshot.manifest.tables, *snapshot.manifest.views}:
                said = f"snapshot {snapshot.manifest.seq} has no {COVERAGE_TABLE}: run `trademl build`"
                return Bar("data_green", None, MIN_GREEN, "fail", said)
            found = snapshot.con.execute(
                f"select count(*) from {COVERAGE_TABLE} where status = 'GREEN' and date in (select unnest(?::date[]))",
                [days],
            ).fetchall()
    except SnapshotError as error:
        return Bar("data_green", None, MIN_GREEN, "fail", f"{error.message}: run `trademl build`")
    share = found[0][0] / len(days) if days else 0.0
    told = f"{found[0][0]} of {len(days)} sessions are GREEN"
    remedy = f"see {COVERAGE_TABLE} for the reasons"
    passed = share >= MIN_GREEN
    return Bar("data_green", share, MIN_GREEN, "pass" if passed else "fail", told if passed else f"{told}: {remedy}")


def _evidence(home: Home, manifest: VersionManifest, reigning: str | None, head: str) -> Bar:
    """Judge a head trained on the version's columns: better than a coin, and not worse than production's."""
    name = f"auc_{head}"
    value = _auc(home, manifest, head)
    own = f"{manifest.parameters['stage']} {manifest.parameters['ablation']}"
    bound = 0.5
    against = "a coin"
    if reigning is not None:
        known = _auc(home, read_version_manifest(home, reigning), head)
        if known is not None and known - AUC_TOLERANCE > bound:
            bound, against = known - AUC_TOLERANCE, f"{reigning}, less {AUC_TOLERANCE:g}"
    if value is None:
        stage, ablation = manifest.parameters["stage"], manifest.parameters["ablation"]
        told = f"no head {head} of {own}: run `trademl train events --stage {stage} --ablation {ablation}`"
        return Bar(name, None, bound, "fail", told)
    passed = value > bound
    told = f"out-of-fold AUC {value:.4f} of {own}, against {bound:.4f} ({against})"
    return Bar(name, value, bound, "pass" if passed else "fail", told)


def _auc(home: Home, manifest: VersionManifest, head: str) -> float | None:
    stage, ablation = str(manifest.parameters["stage"]), str(manifest.parameters["ablation"])
    try:
        found = read_head(model_dir(home), head, stage, ablation).metrics.get("auc")
    except (ModelError, ArtifactError):
        return None
    return None if found is None else float(found)


def _refusal(version: str, bars: tuple[Bar, ...], failed: list[Bar], reason: str | None) -> PromotionError | None:
    final = [bar for bar in failed if bar.name in NEVER_OVERRIDDEN]
    if not failed or (reason is not None and not final):
        return None
    listed = "".join(f"\n    {bar.name}: {bar.reason}" for bar in failed)
    remedy = (
        f"mend {', '.join(bar.name for bar in final)} first: no reason overrides it"
        if final
        else "do what each line says, or give the reason why it does not matter with --override"
    )
    return PromotionError(f"{version} fails {len(failed)} of {len(bars)} bars:{listed}", remedy=remedy)


def _published(layout: Layout, now: Clock) -> str | None:
    """Bring the snapshot in line with the decisions, also with those of a killed process; say why it cannot be."""
    for leftover in layout.batches("ops.promotions").glob(f"{INCOMING}*"):
        leftover.unlink(missing_ok=True)
    if current_seq(layout) is None:
        return None
    shown = {file.path for file in read_manifest(layout).batches.get("ops.promotions", ())}
    if {str(path) for path in batch_names(layout)} <= shown:
        return None
    try:
        snapshot_batches(layout, now=now)
    except (LockedError, SnapshotError) as error:
        return error.message
    return None
