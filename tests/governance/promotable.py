"""A home with registered runs that can be promoted, and decisions on them, without any training."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from trademl.artifacts.run_folder import RunFolder
from trademl.clock import Clock
from trademl.config.home import Home
from trademl.governance.gate import Bar, Decision
from trademl.governance.ledger import record_run
from trademl.governance.tracking import TrackedRun, track
from trademl.lake.layout import layout_of

LABEL = "fwd_5d"
A, B, C = (f"equities-{LABEL}-{letter * 12}" for letter in "abc")
NOW = datetime(2026, 3, 2, 21, 30, tzinfo=UTC)
REASON = "the drawdown came from one delisting that is now excluded"

PASSING = (
    Bar("sharpe", 1.31, 1.0, "pass", "the annual Sharpe ratio is 1.31, at least 1 is asked"),
    Bar("leakage", 0.0, 0.0, "pass", "0 violations in 9 checks"),
    Bar("beats_champion", None, None, "pass", "the sleeve has no champion to beat"),
)


def clock(start: datetime = NOW) -> Clock:
    """Return a clock that is an hour later each time it is asked."""
    ticks = iter(range(10_000))
    return lambda: start + timedelta(hours=next(ticks))


def decision(
    run_id: str = A, *, champion: str | None = None, failing: tuple[str, ...] = (), label: str = LABEL
) -> Decision:
    """Return the gate's decision on ``run_id``; the bars named in ``failing`` fail by 1."""
    failed = tuple(Bar(name, 2.0, 1.0, "fail", f"{name} is 2, at most 1 is asked; mend {name}") for name in failing)
    kept = tuple(bar for bar in PASSING if bar.name not in failing)
    return Decision(run_id, "equities", label, kept + failed, champion)


def write_run(home: Home, run_id: str = A, *, registered: bool = True) -> Path:
    """Write a small finished run, register it, and return its folder."""
    folder = RunFolder.create(home.models_artifacts, "equities", run_id)
    folder.add_text("card.md", f"# {run_id}\n")
    folder.add_json("checkpoints/model.json", {"weights": [1, 2]})
    folder.finish(created=NOW, data_hash="d", config={}, revision="unknown", versions={})
    if registered:
        record_run(
            layout_of(home),
            run_id=run_id,
            sleeve="equities",
            label=LABEL,
            status="registered",
            git_revision="unknown",
            data_hash="d",
            config_hash="c",
            path=folder.path.relative_to(home.root).as_posix(),
            metrics={},
            started_at=NOW,
            now=lambda: NOW,
        )
    return folder.path


def register(home: Home, run_id: str) -> str:
    """Register a run in MLflow, as training does, and return its version."""
    folder = home.models_artifacts / "equities" / run_id
    return track(home, TrackedRun(run_id, "equities", LABEL, folder, {}, {"rank_ic": 0.02}, {}))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below ``folder``, by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
