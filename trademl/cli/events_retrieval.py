"""``trademl events index``, ``similar`` and ``sequences``: past events as an index, neighbours, bars as arrays."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.sleeves.events.retrieval.run import Similar
    from trademl.sleeves.events.retrieval.summary import RetrievalSummary

_DATE = click.DateTime(["%Y-%m-%d"])
_stage = click.option(
    "--stage",
    type=click.Choice(["stage_a", "stage_b"]),
    default="stage_b",
    show_default=True,
    help="Columns: stage A has no barrier, no tape.",
)
_ablation = click.option(
    "--ablation",
    type=click.Choice(["ta", "mechanics", "full"]),
    default="full",
    show_default=True,
    help="Columns: which families.",
)


@click.command(short_help="Build the index of past events.")
@_stage
@_ablation
@click.option(
    "--k-neighbors",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Neighbours that readers of the index ask for.",
)
@click.option("--until", type=_DATE, help="Leave out events of this session, YYYY-MM-DD, and later ones.")
@click.option("--exclude-not-green", is_flag=True, help="Leave sessions that fail the data gate out.")
def index(stage: str, ablation: str, k_neighbors: int, until: datetime | None, exclude_not_green: bool) -> None:
    """Index every event whose outcome is known, by its scaled features.

    Writes models_artifacts/retrieval_index_{stage}_{ablation}: parquet and JSON. The same snapshot gives the same
    files.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.events.retrieval.run import build_index

    home = find_home()
    built = build_index(
        home,
        stage,
        ablation,
        k_neighbors=k_neighbors,
        until=until.date() if until else None,
        exclude_not_green=exclude_not_green,
    )
    click.echo(f"{built.rows:,} events of {built.first} to {built.last}, {built.features} features: {built.path}")
    if built.not_green:
        click.echo(f"{built.not_green:,} sessions failed the data gate; their events are left out")
    if built.unresolved:
        click.echo(f"{built.unresolved:,} events have no known outcome yet and are left out")
    click.echo('next: trademl events similar EVENT_ID, or trademl sql "select event_id from gold.events_features"')


@click.command(short_help="Show the past events most like one event.")
@click.argument("event_id")
@_stage
@_ablation
@click.option("--k", "k", type=click.IntRange(1, 10_000), help="Neighbours.  [default: those of the index]")
@click.option("--any-kind", is_flag=True, help="Also neighbours at another kind of level.")
@click.option("--any-direction", is_flag=True, help="Also neighbours that came from the other side.")
@click.option("--top", type=click.IntRange(0, 10_000), default=10, show_default=True, help="Neighbours in the table.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with every neighbour.")
def similar(
    event_id: str,
    stage: str,
    ablation: str,
    k: int | None,
    any_kind: bool,
    any_direction: bool,
    top: int,
    as_json: bool,
) -> None:
    """Show the touches most like EVENT_ID among those resolved before its t1, and what they came to."""
    from trademl.config.home import find_home
    from trademl.sleeves.events.retrieval.run import similar_events

    filter_on = [*([] if any_kind else ["level_kind_name"]), *([] if any_direction else ["direction"])]
    found = similar_events(find_home(), event_id, stage, ablation, k=k, filter_on=filter_on)
    if as_json:
        click.echo(json.dumps(as_plain(found), indent=1, allow_nan=False))
    else:
        click.echo("\n".join(describe(found, top)))


@click.command(short_help="Write the bars before events as arrays.")
@click.option("--date", "session", type=_DATE, required=True, help="Session, YYYY-MM-DD.")
@click.option("--seq-len", type=click.IntRange(1, 10_000), default=60, show_default=True, help="Bars before an event.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write, .npz.")
def sequences(session: datetime, seq_len: int, output: Path) -> None:
    """Write one sample an event of a session: the last bars that had ended by its t1, its context and its outcome.

    The file holds X, mask, static, y_break, y_strength, event_id, ts_ns and the names of columns, and is read with
    numpy.load without pickle; docs/events_retrieval.md has their shapes.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.events.sequences import write_sequences

    written = write_sequences(find_home(), session.date(), seq_len, output)
    click.echo(
        f"{written.samples:,} samples of {written.seq_len} bars x {written.features}, {written.padded:,} padded: "
        f"{output}"
    )
    if written.without_bars:
        click.echo(f"{written.without_bars:,} events have no bar of their session and are left out")


def describe(found: "Similar", top: int) -> list[str]:
    """Return an event and its neighbours as lines: the event, what they came to, and the ``top`` nearest."""
    from trademl.cli.train import aligned

    event, summary = found.event, found.summary
    shared = ", ".join(f"{name} {value}" for name, value in found.filters.items()) or "no filter"
    lines = [
        f"{event['event_id']}: {event['symbol']} {event['level_kind_name']} {event['level_price']:,.2f} "
        f"{event['direction']}, t1 {event['t1']:%Y-%m-%d %H:%M} UTC",
        f"{len(summary.neighbors)} neighbours of {found.rows_before:,} events resolved before t1 ({shared})",
        "",
        *_numbers(summary),
        f"what followed: {event['outcome'] or 'not known'}, strength {_number(event['strength_signed'], '+.2f')} ATR",
        "",
    ]
    heading = ["t1 (UTC)", "symbol", "level", "from", "distance", "weight", "outcome", "strength", "event"]
    rows = [
        [
            f"{datetime.fromtimestamp(row['ts_ns'] // 10**9, UTC):%Y-%m-%d %H:%M}",
            row["symbol"],
            f"{row['level_kind_name']} {float(row['level_price']):,.2f}",
            row["direction"],
            f"{row['distance']:.3f}",
            f"{row['weight']:.1%}",
            row["outcome"] or "-",
            _number(row["strength_signed"], "+.2f"),
            row["event_id"],
        ]
        for row in summary.as_dict()["neighbors"][:top]
    ]
    return lines + (aligned([heading, *rows]).splitlines() if rows else ["no event passes"])


def as_plain(found: "Similar") -> dict[str, Any]:
    """Return an event and its neighbours as JSON values."""
    event = {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in found.event.items()}
    return {
        "event": event,
        "filters": found.filters,
        "resolved_before": found.rows_before,
        **found.summary.as_dict(),
    }


def _numbers(summary: "RetrievalSummary") -> list[str]:
    return [
        f"break {_number(summary.p_break, '.1%')}, bounce {_number(summary.p_bounce, '.1%')}, "
        f"tradeable {_number(summary.p_tradeable_2, '.1%')}, entropy {_number(summary.entropy, '.2f')} of 1.10 nats",
        f"strength {_number(summary.strength_signed_mean, '+.2f')} ATR, "
        f"size {_number(summary.strength_abs_mean, '.2f')} ATR; seconds to threshold 1 "
        f"{_number(summary.time_to_threshold_1_mean, '.0f')}, 2 {_number(summary.time_to_threshold_2_mean, '.0f')}; "
        f"similarity {_number(summary.similarity, '.3f')}",
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or value != value else format(value, form)
