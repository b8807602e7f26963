"""``trademl traders rank``: skill or luck, trader by trader."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

_ABOVE_CHANCE = 0.95


@click.command(short_help="Rank traders by how unlikely it is that they were lucky.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Rows known by the end of this date.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--top", type=click.IntRange(min=1), help="Show only the first N; 20 in a table.")
@click.option("--observed", type=int, help="Traders ever looked at, where the warehouse holds a selection of them.")
@click.option("--min-days", type=int, default=30, show_default=True, help="Calendar days that a record must span.")
@click.option("--gone-after", "gone_after_days", type=int, default=90, show_default=True, help="Days without a trace.")
@click.option("--resamples", type=int, default=1000, show_default=True, help="Rankings drawn for the intervals.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the intervals.")
def rank(as_of: datetime, form: str, top: int | None, **settings: Any) -> None:
    """Rank the traders known at a date by deflated skill, with a bootstrap interval of each rank and warning flags.

    Every row goes to `marts.trader_skill`, those of vanished traders and of short records too; see docs/skill.md. A
    stacked pipeline, or the frozen first model, scores beside it into `preds.shadow` and changes nothing.
    """
    from trademl.config.home import find_home
    from trademl.config.reading import validate_section
    from trademl.sleeves.traders.shadow import shadow_beside
    from trademl.sleeves.traders.skill import SkillSettings, rank_traders

    chosen = validate_section(settings, SkillSettings, origin="trademl traders rank")
    home = find_home()
    rows = rank_traders(home, as_of.date(), chosen)
    if form == "json":
        click.echo(json.dumps([_plain(row) for row in rows[:top]], indent=1))
    elif form == "csv":
        click.echo(as_csv(rows[:top]), nl=False)
    else:
        click.echo("\n".join(describe(rows, top or 20)))
    # A model that scores beside the ranking never changes it, and its failure is a note.
    for note in shadow_beside(home, as_of.date()):
        click.echo(f"note: {note}", err=True)


def describe(rows: Sequence[dict[str, Any]], top: int) -> list[str]:
    """Return a ranking as lines: the first ``top`` ranked traders and what they stand among."""
    from trademl.cli.train import aligned

    ranked = [row for row in rows if row["skill_rank"] is not None]
    count = {status: sum(row["status"] == status for row in rows) for status in ("short", "gone")}
    heading = ["rank", "interval", "address", "days", "net pnl", "sharpe", "psr", "dsr", "deflated", "needs", "flags"]
    table = [heading, *(_line(row) for row in ranked[:top])]
    first = rows[0]
    above = sum((row["deflated_skill"] or 0.0) >= _ABOVE_CHANCE for row in ranked)
    return [
        f"{first['as_of']}: {first['n_observed']} traders observed, {len(ranked)} ranked, {count['short']} records too "
        f"short, {count['gone']} vanished",
        "",
        *(aligned(table).splitlines() if ranked else ["no trader has a record that can be ranked"]),
        "",
        f"{above} of {len(ranked)} are above {_ABOVE_CHANCE:.0%}: unlikely to be the luck of the best of "
        f"{first['n_observed']}; sharpe is per day, needs is the days after which PSR reaches 95 %",
    ]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return a ranking as CSV with a header; nothing is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(_plain(row) for row in rows)
    return text.getvalue()


def flags_of(row: dict[str, Any]) -> str:
    """Return the raised flags of a row, such as ``martingale, wash``; ``-`` without any."""
    names = {"is_martingale": "martingale", "is_single_trade": "single trade", "is_wash": "wash"}
    return ", ".join(name for flag, name in names.items() if row[flag]) or "-"


def _line(row: dict[str, Any]) -> list[str]:
    return [
        str(row["skill_rank"]),
        f"{row['rank_low']}-{row['rank_high']}",
        row["address"],
        str(row["n_days"]),
        f"{row['net_pnl']:,.0f}",
        f"{row['sharpe']:.3f}",
        f"{row['psr']:.3f}",
        f"{row['dsr']:.3f}",
        f"{row['deflated_skill']:.3f}",
        "-" if row["min_track_record"] is None else f"{row['min_track_record']:,.0f}",
        flags_of(row),
    ]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
