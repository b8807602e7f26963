"""``trademl events score``, ``ensemble`` and ``serve``: the levels near a price, for one moment or as a service."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.sleeves.events.viewport.config import ViewportConfig
    from trademl.sleeves.events.viewport.document import Viewport

_config = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="[default: configs/events/viewport.yml]",
)


@click.command(short_help="Score the levels near a price at one moment.")
@click.option("--symbol", required=True, metavar="SYMBOL", help="Such as SPY.")
@click.option("--at", metavar="INSTANT", help="ISO 8601, UTC unless it says otherwise.  [default: the last bar's end]")
@click.option("--pin", "pinned", multiple=True, metavar="LEVEL_ID", help="Show this level wherever price stands.")
@click.option("--neighbors", type=click.IntRange(0, 50), default=0, show_default=True, help="Similar touches to list.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON on standard output.")
@click.option("--dry-run", is_flag=True, help="Write nothing to preds.events.")
@_config
def score(
    symbol: str,
    at: str | None,
    pinned: tuple[str, ...],
    neighbors: int,
    as_json: bool,
    dry_run: bool,
    config_path: Path | None,
) -> None:
    """Score every level near the price of SYMBOL at one moment, from the last bar that had ended by then.

    Stage A, stage B and retrieval are pooled; the feasibility gate says which targets may not be acted on, and why.
    Rows go to preds.events; scoring twice changes nothing.
    """
    from trademl.clock import sql_utc
    from trademl.config.home import find_home
    from trademl.lake.layout import layout_of
    from trademl.lake.snapshot import snapshot_batches
    from trademl.sleeves.events.service.desk import open_desk
    from trademl.sleeves.events.viewport.config import load_config
    from trademl.sleeves.events.viewport.models import load_models
    from trademl.sleeves.events.viewport.rows import write_viewport

    home = find_home()
    moment = None if at is None else sql_utc(_instant(at))
    config = load_config(home, config_path)
    desk = open_desk(home, config, load_models(home, config))
    found = desk.viewport(symbol, moment, pinned, neighbors)
    if not dry_run and found.targets:
        layout = layout_of(home)
        write_viewport(layout, found)
        snapshot_batches(layout)
    if as_json:
        click.echo(json.dumps({**found.document(), "snapshot": desk.source.seq}, indent=1, allow_nan=False))
    else:
        click.echo("\n".join(describe(found, config)))


@click.command(short_help="Fit how stage A, stage B and retrieval are pooled.")
@_config
def ensemble(config_path: Path | None) -> None:
    """Fit the ensemble's weights on out-of-fold predictions, and judge them on later dates.

    Needs both stages trained (`trademl train events`) and the retrieval index (`trademl events index`). Writes
    ensemble_{ablation}.json beside the heads: weights and evidence.
    """
    from trademl.config.home import find_home
    from trademl.sleeves.events.viewport.config import load_config
    from trademl.sleeves.events.viewport.ensemble_fit import fit_ensemble

    home = find_home()
    fitted, where = fit_ensemble(home, load_config(home, config_path), told=lambda line: click.echo(line, err=True))
    click.echo("\n".join(describe_evidence(fitted.evidence)))
    click.echo(f"written     {where.ensemble}")


@click.command(short_help="Answer scoring requests on this machine.")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8808, show_default=True, help="0: any free one.")
@click.option("--record", is_flag=True, help="Write the viewports of followed bars to preds.events.")
@_config
def serve(host: str, port: int, record: bool, config_path: Path | None) -> None:
    """Serve viewports over HTTP and WebSocket until interrupted. VIEWPORT_SCORING_ENABLED must be true.

    VIEWPORT_MODEL_DIR and VIEWPORT_RETRIEVAL_INDEX say where the models lie, unless it is where training puts them. New
    snapshots are read as they come. docs/events_scoring.md has the requests.
    """
    import asyncio

    from trademl.config.home import find_home
    from trademl.errors import ConfigError
    from trademl.sleeves.events.service.app import Service, check_host
    from trademl.sleeves.events.service.desk import open_desk
    from trademl.sleeves.events.viewport.config import ENABLED_VARIABLE, load_config, scoring_enabled
    from trademl.sleeves.events.viewport.models import load_models

    check_host(host)
    if not scoring_enabled():
        raise ConfigError(f"scoring is off: {ENABLED_VARIABLE} is not true", remedy=f"set {ENABLED_VARIABLE}=true")
    home = find_home()
    config = load_config(home, config_path)
    models = load_models(home, config)
    for note in models.notes:
        click.echo(f"note: {note}", err=True)
    service = Service(open_desk(home, config, models, record=record))
    ready = _ready(models.model_id, service.desk.source.seq)
    asyncio.run(service.run(host, port, ready=ready))
    click.echo("stopped", err=True)


def describe(viewport: "Viewport", config: "ViewportConfig") -> list[str]:
    """Return a viewport as lines: a row a target, and what the gate says."""
    from trademl.cli.train import aligned

    moment = viewport.moment
    lines = [
        f"{moment.symbol}  bar ended {moment.bar_end:%Y-%m-%d %H:%M:%S} UTC, {len(viewport.targets)} targets, "
        f"{viewport.model_id}"
    ]
    if viewport.targets:
        first = str(min(config.horizons))
        heading = ["level", "price", "", "distance", "tradeable", "break", "strength", f"t1 {first}s", f"t2 {first}s",
                   "similar", "utility", "relevance", "gate"]  # fmt: skip
        rows = [_row(one, first, [refused.rule for refused in viewport.refusals.get(one["level_id"], ())])
                for one in viewport.targets]  # fmt: skip
        lines += ["", *aligned([heading, *rows]).splitlines()]
    else:
        lines.append("no level is near")
    for level, refusals in viewport.refusals.items():
        lines += [f"{level}: {one.rule}: {one.why}" for one in refusals]
    return [*lines, *(f"note: {note}" for note in viewport.notes)]


def describe_evidence(evidence: Mapping[str, Any]) -> list[str]:
    """Return what an ensemble was fitted and judged on as lines: a row for each source of each quantity."""
    from trademl.cli.train import aligned

    lines = [
        f"fitted on   {' to '.join(evidence['fitted_dates'])}",
        f"judged on   {' to '.join(evidence['judged_dates'])}",
    ]
    for name, one in evidence["quantities"].items():
        columns = list(next(iter(one["judged"].values())))
        rows = [[source, *(_shown(found[column]) for column in columns)] for source, found in one["judged"].items()]
        told = f"{name}: {one['rows_fitted']} rows fitted, {one['rows_judged']} judged"
        lines += ["", told, *aligned([["", *columns], *rows]).splitlines()]
    return lines


def _row(target: Mapping[str, Any], horizon: str, refused: list[str]) -> list[str]:
    times = target["time_to_threshold"]
    return [
        target["level_id"] + (" *" if target["pinned"] else ""),
        f"{target['level_price']:.2f}",
        target["direction"],
        _shown(target["distance"]),
        _shown(target["p_tradeable_2"]),
        _shown(target["p_break"]),
        _shown(target["strength_signed"]),
        _shown(times["t1"][horizon]),
        _shown(times["t2"][horizon]),
        _shown(target["retrieval"]["similarity"]),
        _shown(target["utility_score"]),
        _shown(target["relevance"]),
        ", ".join(refused) or "feasible",
    ]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _instant(text: str) -> datetime:
    from trademl.clock import parse_instant

    try:
        return parse_instant(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no instant such as 2025-12-31T14:35:00Z", param_hint="--at") from error


def _ready(model_id: str, seq: int) -> Any:
    def told(url: str) -> None:
        click.echo(f"serving     {url} and {url.replace('http', 'ws', 1)}/ws")
        click.echo(f"models      {model_id}, snapshot {seq}; interrupt to stop")

    return told
