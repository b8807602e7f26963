"""Time and memory of the engines, each run in processes of its own, the engines in turn: medians and their ratios.

What a time covers: trademl, dbt's seconds for the model of the set (its rows, written) out of the working panel, whose
own seconds stand in a column of their own; trademl-memory, the same statement into a table in memory; pyqlib, from bin
files to a frame, no cache; pandas and polars, from a parquet file to a frame. Imports are in nobody's time and in
everybody's memory.
"""

import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.features.measure import Run, run

SIDES = {"trademl": "gold", "trademl-memory": "gold", "pyqlib": "qlib", "pandas": "pandas", "polars": "polars"}
ENGINES = tuple(SIDES)


@dataclass(frozen=True)
class Setting:
    """What all engines get."""

    folder: Path
    python: Path
    processes: int = 2
    memory_limit: str = "1GB"
    limit_mib: float = 20 * 1024
    limit_seconds: float = 3600


@dataclass
class Taken:
    """The runs of one engine on one set."""

    engine: str
    runs: list[Run] = field(default_factory=list)

    @property
    def stopped(self) -> str:
        return next((one.stopped for one in self.runs if one.stopped), "")

    def median(self, what: str = "seconds") -> float:
        """Return the median of what the runs said, or of their peak memory."""
        return statistics.median(one.peak_mib if what == "peak_mib" else float(one.said[what]) for one in self.runs)


def once(engine: str, name: str, setting: Setting, *extra: str) -> Run:
    """Run one engine on one set."""
    module = f"benchmarks.features.{SIDES[engine]}_side"
    many, environment = str(setting.processes), {"OMP_NUM_THREADS": "1"}
    if engine.startswith("trademl"):
        command = [sys.executable, "-m", module, str(setting.folder / "home"), name, "--threads", many]
        command += ["--memory-limit", setting.memory_limit, *(["--in-memory"] if engine == "trademl-memory" else [])]
    else:
        command = [str(setting.python), "-m", module, str(setting.folder), name]
        command += {"pyqlib": ["--kernels", many], "pandas": ["--processes", many], "polars": []}[engine]
        environment["POLARS_MAX_THREADS"] = many
    return run(
        [*command, *extra],
        environment=environment,
        limit_mib=setting.limit_mib,
        limit_seconds=setting.limit_seconds,
    )


def take(setting: Setting, name: str, repeats: int, engines: tuple[str, ...] = ENGINES) -> list[Taken]:
    """Run every engine ``repeats`` times, in turn; one that was stopped is not run again."""
    taken = [Taken(engine) for engine in engines]
    for at in range(repeats):
        for one in taken:
            if one.stopped:
                continue
            one.runs.append(once(one.engine, name, setting))
            last = one.runs[-1]
            what = last.stopped or f"{last.said['seconds']:.1f} s"
            print(f"  {name} run {at + 1} {one.engine}: {what}, peak {last.peak_mib:,.0f} MiB", flush=True)
    return taken


def show(taken: list[Taken], name: str, differences: dict[str, float]) -> None:
    """Print the table of one set; differences are those from pyqlib's values."""
    base = next((one.median() for one in taken if one.engine == "trademl" and not one.stopped), None)
    print(
        f"{name:<15}{'seconds':>9}{'min':>9}{'max':>9}{'x trademl':>11}{'panel':>8}{'peak MiB':>10}{'difference':>12}"
    )
    for one in taken:
        if one.stopped:
            print(f"{one.engine:<15}{one.stopped} (after {one.runs[-1].wall:.0f} s, {one.runs[-1].peak_mib:,.0f} MiB)")
            continue
        seconds = [float(found.said["seconds"]) for found in one.runs]
        ratio = f"{one.median() / base:.2f}" if base else "-"
        panel = f"{one.median('panel_seconds'):.1f}" if one.engine == "trademl" else ""
        apart = differences.get(one.engine)
        print(
            f"{one.engine:<15}{one.median():>9.1f}{min(seconds):>9.1f}{max(seconds):>9.1f}{ratio:>11}{panel:>8}"
            f"{one.median('peak_mib'):>10,.0f}{'' if apart is None else f'{apart:.1e}':>12}",
            flush=True,
        )
