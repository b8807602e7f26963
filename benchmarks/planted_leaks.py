"""Is every kind of leak refused, and by the check that is about it?

A small simulated market goes through the product's own commands in a home of its own: simulate, ingest in two steps
with late corrections between them, build twice. Then one leak after the other is planted (benchmarks/leaks/) in a
private copy of the snapshot, in the matrix or in the splits, and the run's whole audit looks at it: data, history,
matrix, splits. The control is the same without a leak.

    python -m benchmarks.planted_leaks                  # five minutes
    python -m benchmarks.planted_leaks --home HOME      # a home of an earlier --keep
    python -m benchmarks.planted_leaks --only purge

Exit code 1 when a leak gets through or its own check does not name it, or when the clean data does not pass.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from benchmarks.leaks import EMBARGO, FOLDS, LABEL, TEST_FOLDS, Leak, own
from benchmarks.leaks.features import FEATURE_LEAKS
from benchmarks.leaks.fits import MATRIX_LEAKS, SPLIT_LEAKS, cpcv
from benchmarks.leaks.labels import LABEL_LEAKS
from benchmarks.leaks.rows import ROW_LEAKS
from benchmarks.planted_signal import trademl
from trademl.config.home import Home
from trademl.governance.assignments import write_assignments
from trademl.governance.audit import AuditRow, audit_splits
from trademl.governance.data_audit import Rules, audit_data, audit_matrix, compare_past, price_tables
from trademl.governance.data_audit.history import earlier_build, past_of
from trademl.lake.reading import Snapshot
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training.dataset import load_training, spans_sql
from trademl.training.feature_columns import choose_columns
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.warehouse.read import read_snapshot

LEAKS = (*LABEL_LEAKS, *FEATURE_LEAKS, *ROW_LEAKS, *MATRIX_LEAKS, *SPLIT_LEAKS)
SYMBOLS, SESSIONS, SEED, CORRECTIONS = 100, 460, 11, 60
FIRST_PART, CORRECTED_AT = 400, 430


@dataclass(frozen=True)
class Judgement:
    """What the audit said of one leak: failed checks with their violations, in order of name."""

    leak: Leak | None
    failed: dict[str, int]
    checks: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the leak's own check refused it; for the control, whether nothing did."""
        return self.leak.check in self.failed if self.leak else not self.failed


def make_home(folder: Path) -> Home:
    """Take a market through simulate, ingest and two builds; some bars are corrected thirty sessions before the end."""
    home, market = folder / "home", folder / "market"
    trademl("init", str(home))
    options = {
        "symbols": SYMBOLS,
        "sessions": SESSIONS,
        "seed": SEED,
        "corrections": CORRECTIONS,
        "delisting-rate": 0.1,
    }
    trademl("simulate", "--out", str(market), *[text for k, v in options.items() for text in (f"--{k}", str(v))])
    with duckdb.connect() as con:
        days = [
            row[0] for row in con.execute(f"select distinct date from '{market}/bars.parquet' order by 1").fetchall()
        ]
        cut, moment = days[FIRST_PART], days[CORRECTED_AT]
        for name, source, condition in (
            ("first", "bars", f"date < date '{cut}'"),
            ("second", "bars", f"date >= date '{cut}'"),
            ("known", "corrections", f"date < date '{moment}'"),
        ):
            con.execute(
                f"copy (from '{market}/{source}.parquet' where {condition} order by date, symbol) "
                f"to '{market}/{name}.parquet'"
            )
    at = ["--home", str(home), "ingest"]
    trademl(*at, "equities", str(market / "first.parquet"))
    trademl(*at, "membership", str(market / "membership.csv"))
    trademl(*at, "reference", str(market / "sectors.csv"))
    trademl("--home", str(home), "build")
    trademl(*at, "equities", str(market / "second.parquet"))
    evening = datetime(moment.year, moment.month, moment.day, 23)
    trademl(*at, "equities", str(market / "known.parquet"), "--known-at", f"{evening:%Y-%m-%dT%H:%M:%S}")
    trademl("--home", str(home), "build")
    return Home(home.resolve())


def judge(home: Home, leak: Leak | None) -> Judgement:
    """Plant one leak in a copy of the snapshot and run every audit on what comes of it."""
    started = time.monotonic()
    with read_snapshot(home) as snapshot, tempfile.TemporaryDirectory() as folder:
        rows = _audited(home, snapshot, leak, Path(folder))
    failed: dict[str, int] = {}
    for row in rows:
        if row.violations:
            failed[row.check_name] = failed.get(row.check_name, 0) + row.violations
    return Judgement(
        leak, dict(sorted(failed.items())), len({row.check_name for row in rows}), time.monotonic() - started
    )


def _audited(home: Home, snapshot: Snapshot, leak: Leak | None, folder: Path) -> list[AuditRow]:
    con = snapshot.con
    as_of = snapshot.manifest.as_of
    prices = price_tables(snapshot, Rules.read(home.dbt_project / "dbt_project.yml"))
    earlier = earlier_build(snapshot)
    if earlier is None:
        sys.exit(f"{home.root} has no snapshot of its first build")
    past = past_of(snapshot, earlier, EQUITIES)
    if leak is not None:
        own(con, leak.tables)
        for statement in leak.sql:
            con.execute(statement)
    config = EquitiesConfig.model_validate(
        {"features": ["*_rank", *(leak.columns if leak else ())], "model": {"kind": "lightgbm"}}
    )
    names = [column.name for column in choose_columns(con, EQUITIES, config)]
    rows = audit_data(con, EQUITIES, LABEL, names, run_id="planted", prices=prices, as_of=as_of)
    rows.append(compare_past(con, EQUITIES, past, run_id="planted"))
    if any(row.violations for row in rows):
        # As in a run: what the data's audit refuses is never loaded.
        return rows
    data = load_training(con, EQUITIES, config, LABEL)
    fitted = leak.matrix(data) if leak and leak.matrix else data
    splits = leak.splits(data) if leak and leak.splits else cpcv(data)
    rows += audit_matrix(
        con,
        EQUITIES,
        LABEL,
        fitted,
        data.spans.entity,
        target=config.target,
        weight=config.weight,
        run_id="planted",
    )
    rows += audit_splits(
        con,
        write_assignments(folder / "splits.parquet", splits, len(data)),
        spans_sql(EQUITIES, config, LABEL),
        embargo=EMBARGO,
        run_id="planted",
        paths=CombinatorialPurgedCV(FOLDS, TEST_FOLDS, EMBARGO).n_paths,
    )
    return rows


def line(item: Judgement) -> str:
    """Return the table's line of one leak, or of the control."""
    if item.leak is None:
        said = ", ".join(f"{name} {count}" for name, count in item.failed.items())
        name, check, count, verdict = (
            "control: no leak",
            f"all {item.checks} checks",
            sum(item.failed.values()),
            "passes",
        )
        return _columns(name, check, count, verdict if item.holds else "REFUSED", said)
    others = ", ".join(name for name in item.failed if name != item.leak.check)
    verdict = "refused" if item.holds else ("MISNAMED" if item.failed else "MISSED")
    return _columns(item.leak.name, item.leak.check, item.failed.get(item.leak.check, 0), verdict, others)


def _columns(name: str, check: str, violations: int | str, verdict: str, others: str) -> str:
    return f"{name:<64}{check:<33}{violations:>11}  {verdict:<9}{others}".rstrip()


def main() -> int:
    """Make the home if none is given, plant everything, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home that --keep left")
    parser.add_argument("--keep", type=Path, help="make the home in this folder and leave it there")
    parser.add_argument("--only", default="", help="plant only leaks whose name holds this text")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leaks-") as folder:
        home = Home(options.home.resolve()) if options.home else make_home(options.keep or Path(folder))
        chosen: list[Leak | None] = [None, *(leak for leak in LEAKS if options.only in leak.name)]
        print(_columns("leak", "its check", "violations", "verdict", "also refused by"))
        found = []
        for leak in chosen:
            found.append(judge(home, leak))
            print(line(found[-1]), flush=True)
    planted = [item for item in found if item.leak]
    checks = {item.leak.check for item in planted if item.leak}
    print(
        f"{sum(item.holds for item in planted)} of {len(planted)} leaks refused by their own check; {len(checks)} "
        "checks "
        f"at work; {sum(item.seconds for item in found):.0f} s"
    )
    return 0 if all(item.holds for item in found) else 1


if __name__ == "__main__":
    sys.exit(main())
