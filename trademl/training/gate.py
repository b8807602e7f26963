"""The data gate: training reads only sessions whose coverage passed, or says which did not and why it stops."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb

from trademl.errors import DataGateError
from trademl.training.config import DataGateConfig, SleeveTables

NO_GRADE = "MISSING"
"""Status of a session that the coverage table does not know: it never passes."""

_SHOWN = 5


@dataclass(frozen=True)
class Failure:
    """A session that does not pass, with its grade and the reasons that the coverage table gives."""

    date: date
    status: str
    coverage_ratio: float | None
    reasons: str

    def __str__(self) -> str:
        ratio = "" if self.coverage_ratio is None else f" {self.coverage_ratio:.3f}"
        return f"{self.date} {self.status}{ratio}" + (f" ({self.reasons})" if self.reasons else "")


@dataclass(frozen=True)
class GateReport:
    """What the gate saw in the sessions from ``first`` to ``last``.

    Attributes:
        sessions: how many there are.
        counts: sessions by status.
        failures: those that are not GREEN and were neither tolerated nor are RED within ``require: AMBER``.
        excluded: dates whose rows are left out of training, by the user's choice.
    """

    first: date
    last: date
    sessions: int
    counts: dict[str, int]
    failures: tuple[Failure, ...]
    excluded: tuple[date, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "first": str(self.first),
            "last": str(self.last),
            "sessions": self.sessions,
            "counts": self.counts,
            "not_passed": [str(failure) for failure in self.failures],
            "excluded_dates": [str(day) for day in self.excluded],
        }


def check_gate(
    con: duckdb.DuckDBPyConnection,
    sleeve: SleeveTables,
    config: DataGateConfig,
    first: date,
    last: date,
    *,
    purpose: str = "train",
    dates: str = "--start and --end",
) -> GateReport:
    """Grade the sessions ``first`` to ``last`` (both inclusive) and refuse when some do not pass.

    Sessions before the first graded one and after the last do not count: nothing has landed for them. ``purpose`` and
    ``dates`` are for the message: what is refused, and the options that choose the dates.

    Raises:
        DataGateError: sessions do not pass; names them, the limit and what to do.
    """
    graded = con.execute(
        f"""
        select calendar.date, coalesce(coverage.status, $missing), coverage.coverage_ratio, coverage.reasons
        from {sleeve.calendar} as calendar
        left join {sleeve.coverage_table} as coverage on calendar.date = coverage.date and coverage.dataset = $dataset
        where calendar.date between $first and $last
            and calendar.date >= (select min(date) from {sleeve.coverage_table} where dataset = $dataset)
            and calendar.date <= (select max(date) from {sleeve.coverage_table} where dataset = $dataset)
        order by calendar.date
        """,
        {"missing": NO_GRADE, "dataset": sleeve.coverage, "first": first, "last": last},
    ).fetchall()
    if not graded:
        raise DataGateError(
            f"{sleeve.coverage_table} grades no session of {sleeve.coverage} from {first} to {last}",
            remedy=f"ingest data for these dates ({sleeve.landing}), then `trademl build`",
        )
    counts: dict[str, int] = {}
    for _, status, _, _ in graded:
        counts[status] = counts.get(status, 0) + 1
    passing = {"GREEN"} | ({"AMBER"} if _amber_passes(config, counts, len(graded)) else set())
    failures = tuple(
        Failure(day, status, ratio, _text(reasons)) for day, status, ratio, reasons in graded if status not in passing
    )
    report = GateReport(first, last, len(graded), counts, failures)
    if not failures:
        return report
    if config.exclude_not_green:
        return GateReport(first, last, len(graded), counts, failures, tuple(failure.date for failure in failures))
    raise DataGateError(_message(sleeve, config, report, purpose), remedy=_remedy(sleeve, report, purpose, dates))


def _amber_passes(config: DataGateConfig, counts: dict[str, int], sessions: int) -> bool:
    return config.require == "AMBER" or counts.get("AMBER", 0) <= config.max_amber_fraction * sessions


def _message(sleeve: SleeveTables, config: DataGateConfig, report: GateReport, purpose: str) -> str:
    by_status: dict[str, int] = {}
    for failure in report.failures:
        by_status[failure.status] = by_status.get(failure.status, 0) + 1
    # A missing week among many weak days must show: the worst come first.
    worst = sorted(report.failures, key=lambda failure: (failure.status == "AMBER", failure.date))
    more = len(worst) - _SHOWN
    limit = "every session must be GREEN"
    if config.require == "AMBER":
        limit = "no session may be worse than AMBER"
    elif config.max_amber_fraction:
        limit = f"every session must be GREEN, but for {config.max_amber_fraction:.2%} that may be AMBER"
    lines = "".join(f"\n    {failure}" for failure in worst[:_SHOWN]) + (f"\n    and {more} more" if more > 0 else "")
    tally = ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))
    return (
        f"the data gate refuses to {purpose} {sleeve.name}: of {report.sessions} sessions from {report.first} to "
        f"{report.last}, {tally} in {sleeve.coverage_table} of {sleeve.coverage}; limit: {limit}{lines}"
    )


def _remedy(sleeve: SleeveTables, report: GateReport, purpose: str, dates: str) -> str:
    days = [failure.date for failure in report.failures]
    return (
        f"land what is missing between {min(days)} and {max(days)} ({sleeve.landing}), then "
        f"`trademl build` and {purpose} again; or choose other dates with {dates}; or leave these sessions out on "
        "purpose with --exclude-not-green"
    )


def _text(reasons: Any) -> str:
    if reasons is None:
        return ""
    return reasons if isinstance(reasons, str) else "; ".join(map(str, _flat(reasons)))


def _flat(reasons: Any) -> Sequence[Any]:
    return list(reasons) if isinstance(reasons, list | tuple) else [reasons]
