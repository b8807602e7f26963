"""The daily report of a sleeve's scores: one JSON document for programs, one Markdown page for eyes.

Both are made from published rows (``preds.*``, coverage, regime), so the server and a small device emit the same report
from the same snapshot. They lie in ``lake/reports`` beside the data they describe, and are replaced, whole, when a
session is scored again.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from trademl.artifacts.files import write_atomic
from trademl.errors import SnapshotError
from trademl.lake.layout import Layout
from trademl.lake.manifest import Manifest
from trademl.lake.names import identifier, qualified

FORMAT = 1
SHOWN = 20
CHALLENGER = "challenger, not promoted"
_WRITABLE = 0o644

Report = dict[str, Any]


@dataclass(frozen=True)
class DailySource:
    """Where a sleeve's report finds its rows.

    Attributes:
        sleeve: its name.
        predictions: the prediction table.
        entity: its entity column.
        coverage: the dataset of ``silver.coverage``.
        regimes: the table of volatility regimes.
    """

    sleeve: str
    predictions: str
    entity: str
    coverage: str
    regimes: str


EQUITIES = DailySource("equities", "preds.equities", "ticker", "equity_bars", "gold.equities_regime")


def daily_report(
    con: duckdb.DuckDBPyConnection,
    manifest: Manifest,
    as_of: date,
    model_id: str,
    *,
    source: DailySource = EQUITIES,
    model_status: str = CHALLENGER,
) -> Report:
    """Return the report of one session and model, as plain values that JSON holds.

    ``rank`` counts from 1, the highest score; equal scores share the best place, as in a race. ``rank_change`` is the
    rank on the session that this model last scored before (``previous_date``) less the rank now: positive is a climb,
    None for an entity that was not scored then.

    Args:
        con: a snapshot's connection.
        manifest: the snapshot's manifest.
        as_of: the session.
        model_id: the model.
        source: the sleeve's tables.
        model_status: how the model stands in governance.

    Raises:
        SnapshotError: the snapshot has no score of that session and model.
    """
    picks, previous = _picks(con, as_of, model_id, source)
    if not picks:
        raise SnapshotError(
            f"snapshot {manifest.seq} has no row of {source.predictions} for {as_of} and {model_id}",
            remedy=f"run `trademl score {source.sleeve} --as-of {as_of} --run {model_id}`",
        )
    facts = con.execute(
        f"select any_value(label), any_value(horizon), max(scored_at) from {qualified(source.predictions)} "
        "where dt = $day and model_id = $model",
        {"day": as_of, "model": model_id},
    ).fetchall()[0]
    regime = con.execute(f"select regime from {qualified(source.regimes)} where date = $day", {"day": as_of}).fetchall()
    changes = [pick["rank_change"] for pick in picks if pick["rank_change"] is not None]
    return {
        "format": FORMAT,
        "sleeve": source.sleeve,
        "as_of": as_of.isoformat(),
        "label": facts[0],
        "horizon": facts[1],
        "scored_at": facts[2].isoformat(),
        "model": {"run_id": model_id, "status": model_status},
        "snapshot": {
            "seq": manifest.seq,
            "build_id": manifest.build_id,
            "git_revision": manifest.git_revision,
            "as_known_at": manifest.as_known_at,
        },
        "coverage": _coverage(con, as_of, source),
        "regime": regime[0][0] if regime else None,
        "previous_date": previous.isoformat() if previous else None,
        "counts": {
            "scored": len(picks),
            "new": len(picks) - len(changes) if previous else 0,
            "likely_up": sum(pick["prob_up"] > 0.5 for pick in picks),
        },
        "picks": picks,
    }


def report_paths(layout: Layout, report: Report) -> tuple[Path, Path]:
    """Return where a report's JSON and Markdown lie: ``lake/reports/<sleeve>_<date>.json`` and ``.md``."""
    stem = layout.root / "reports" / f"{report['sleeve']}_{report['as_of']}"
    return stem.with_suffix(".json"), stem.with_suffix(".md")


def write_report(layout: Layout, report: Report) -> tuple[Path, Path]:
    """Write both forms, each whole or not at all, and return their paths."""
    as_json, as_markdown = report_paths(layout, report)
    as_json.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(as_json, text.encode(), _WRITABLE)
    write_atomic(as_markdown, to_markdown(report).encode(), _WRITABLE)
    return as_json, as_markdown


def to_markdown(report: Report, *, shown: int = SHOWN) -> str:
    """Return the report as a page: facts, the ``shown`` highest picks, and as many of the lowest."""
    coverage, snapshot, model = report["coverage"], report["snapshot"], report["model"]
    present = f"{coverage['status']}, {coverage['present']} of {coverage['expected']} expected"
    if coverage["universe_coverage"] is not None:
        present += f"; {coverage['universe_coverage']:.1%} of the universe has landed"
    lines = [
        f"# {report['sleeve'].capitalize()}, {report['as_of']}",
        "",
        "| | |",
        "|---|---|",
        f"| model | `{model['run_id']}` ({model['status']}) |",
        f"| label | `{report['label']}`, {report['horizon']} sessions ahead |",
        f"| coverage | {present} |",
        f"| volatility regime | {report['regime'] or 'unknown'} |",
        f"| scored | {report['counts']['scored']} names, {report['counts']['likely_up']} more likely up than not |",
        f"| ranks compared with | {report['previous_date'] or 'nothing: the first session this model scored'} |",
        f"| snapshot | {snapshot['seq']} of build `{snapshot['build_id']}` |",
        f"| scored at | {report['scored_at']} UTC |",
        "",
    ]
    picks = report["picks"]
    if len(picks) <= 2 * shown:
        lines += ["## All picks", "", *_table(picks), ""]
    else:
        lines += [f"## Top {shown}", "", *_table(picks[:shown]), ""]
        lines += [f"## Bottom {shown}", "", *_table(picks[-shown:]), ""]
    lines.append(
        "yhat and std are in the unit of the model's target; prob up is the calibrated probability that the label is "
        "above 0; change is in places since the date above."
    )
    return "\n".join(lines) + "\n"


def _picks(
    con: duckdb.DuckDBPyConnection, as_of: date, model_id: str, source: DailySource
) -> tuple[list[dict[str, Any]], date | None]:
    table, entity = qualified(source.predictions), identifier(source.entity)
    rows = con.execute(
        f"""
        with versions as (
            select *, max(scored_at) over (partition by dt) as last_scored_at
            from {table}
            where model_id = $model and dt <= $day
        ),

        previous as (
            select max(dt) as day from versions where dt < $day
        ),

        -- Names that a later scoring of the same session left out have an old row still, which is no pick any more.
        ranked as (
            select
                dt, {entity} as entity, yhat, yhat_std, prob_up, rank_pct,
                rank() over (partition by dt order by yhat desc) as place
            from versions
            where scored_at = last_scored_at and (dt = $day or dt = (select day from previous))
        )

        select
            now.place, now.entity, now.yhat, now.yhat_std, now.prob_up, now.rank_pct,
            earlier.place - now.place, previous.day
        from ranked as now
        cross join previous
        left join ranked as earlier on earlier.dt = previous.day and earlier.entity = now.entity
        where now.dt = $day
        order by now.place, now.entity
        """,
        {"day": as_of, "model": model_id},
    ).fetchall()
    names = ("rank", "symbol", "yhat", "yhat_std", "prob_up", "rank_pct", "rank_change")
    return [dict(zip(names, row[:-1], strict=True)) for row in rows], rows[0][-1] if rows else None


def _coverage(con: duckdb.DuckDBPyConnection, as_of: date, source: DailySource) -> dict[str, Any]:
    names = ("status", "expected", "present", "coverage_ratio", "universe_coverage", "reasons")
    rows = con.execute(
        f"select {', '.join(names)} from silver.coverage where dataset = $dataset and date = $day",
        {"dataset": source.coverage, "day": as_of},
    ).fetchall()
    found: dict[str, Any] = dict(zip(names, rows[0], strict=True)) if rows else dict.fromkeys(names)
    for name in ("expected", "present"):
        # Counts arrive as whatever integer or decimal the warehouse summed them in.
        found[name] = None if found[name] is None else int(found[name])
    return found


def _table(picks: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| rank | symbol | yhat | std | prob up | rank pct | change |", "|--:|:--|--:|--:|--:|--:|--:|"]
    for pick in picks:
        change = pick["rank_change"]
        moved = "new" if change is None else f"{change:+d}" if change else "="
        lines.append(
            f"| {pick['rank']} | {pick['symbol'].replace('|', chr(92) + '|')} | {pick['yhat']:+.5f} | "
            f"{pick['yhat_std']:.5f} | {pick['prob_up']:.3f} | {pick['rank_pct']:.3f} | {moved} |"
        )
    return lines
