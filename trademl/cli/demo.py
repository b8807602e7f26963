"""``trademl demo``: everything once, on a simulated market, by the commands a user would type."""

import json
import shlex
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import click

from trademl.errors import ConfigError, TrademlError

SHOWN = 10
MARKET = "market"
START = date(2021, 1, 4)

SMOOTH_MODEL = {
    "n_rounds": 80,
    "num_leaves": 6,
    "learning_rate": 0.03,
    "min_data_in_leaf": 3000,
    "subsample": 0.5,
    "colsample_bytree": 0.8,
}
"""A model for a signal of rank IC 0.05 in about 100,000 rows: a freer one fits the noise and finds half as much."""

_PICKS = """
select ticker, yhat, yhat_std, prob_up, rank_pct
from preds.equities
where dt = cast($day as date) and label = $label
qualify model_id = last_value(model_id) over (
    order by scored_at, model_id rows between unbounded preceding and unbounded following
)
order by yhat desc, ticker
"""


@click.command(short_help="Simulate a market and run everything on it, up to ranked picks.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="The home to make; run again with the same options, it resumes.",
)
@click.option("--symbols", type=int, default=150, show_default=True, help="Symbols ever listed.")
@click.option("--sessions", type=int, default=800, show_default=True, help="Trading sessions.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the market.")
@click.option("--planted-ic", type=float, default=0.05, show_default=True, help="Rank IC of the signal; 0 for none.")
def demo(folder: Path, symbols: int, sessions: int, seed: int, planted_ic: float) -> None:
    """Simulate a market and run everything on it: ingest, build, train under CPCV, score, rank.

    Each step is a command that is printed before it runs; the whole needs one to two minutes.
    """
    started = time.monotonic()
    market = folder / MARKET
    options = {"symbols": symbols, "sessions": sessions, "seed": seed, "planted_ic": planted_ic, "start": str(START)}
    _refuse_another_market(market, options)
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    _step(f"init {shlex.quote(str(folder))}", lambda: _make_home(folder))
    config = write_config(folder)
    _step(f"simulate --out {shlex.quote(str(market))} {flags}", lambda: _simulate(market, options))
    truth = json.loads((market / "truth.json").read_text(encoding="utf-8"))
    for line in demo_lines(market, config, truth["last"]):
        _step(line, partial(_command, folder, line))
    _show(folder, market, truth)
    click.echo(f"\nthe demo took {time.monotonic() - started:.0f} s. Next, five commands to try:\n")
    for line in next_commands(folder, truth["last"]):
        click.echo(f"  {line}")


def write_config(folder: Path) -> Path:
    """Write configs/training/demo.yml into a home: its equities.yml with a smooth model for a small, noisy panel."""
    import yaml

    training = folder / "configs" / "training"
    settings = yaml.safe_load((training / "equities.yml").read_text(encoding="utf-8"))
    settings["model"] = {**settings["model"], **SMOOTH_MODEL}
    path = training / "demo.yml"
    text = "# equities.yml with a smoother model, for the demo's small panel.\n" + yaml.safe_dump(
        settings, sort_keys=False
    )
    path.write_text(text, encoding="utf-8")
    return path


def demo_lines(market: Path, config: Path, last: str) -> list[str]:
    """Return the demo's commands after ``simulate``, without ``trademl``."""
    from trademl.cli.simulate import ingest_lines

    return [
        *ingest_lines(market),
        "build",
        f"train equities --label horizon --k 5 --config {shlex.quote(str(config))}",
        f"score equities --as-of {last}",
    ]


def next_commands(folder: Path, last: str) -> list[str]:
    """Return five commands that show what else the demo's home can do."""
    home = f"trademl --home {shlex.quote(str(folder))}"
    return [
        f"{home} status",
        f'{home} sql "select ticker, yhat, prob_up from preds.equities order by yhat desc limit 10"',
        f'{home} sql "select date, status, coverage_ratio from silver.coverage order by date desc limit 10"',
        f"{home} train equities --label horizon --k 20",
        f"{home} score equities --as-of {last}",
    ]


def _refuse_another_market(market: Path, options: dict[str, Any]) -> None:
    """Refuse to land a second market in a home: its bars would count as corrections of the first."""
    truth = market / "truth.json"
    if not truth.is_file():
        return
    before = json.loads(truth.read_text(encoding="utf-8"))["parameters"]
    changed = [
        f"{name} {before.get(name)} there, {value} now" for name, value in options.items() if before[name] != value
    ]
    if changed:
        raise ConfigError(
            f"{market.parent} holds the demo of another market: {'; '.join(changed)}",
            remedy="give a new folder with --dir",
        )


def _make_home(folder: Path) -> None:
    from trademl.cli.init import MARKER, bundle, make_home

    if not (folder / MARKER).is_file():
        make_home(folder.resolve(), bundle())


def _simulate(market: Path, options: dict[str, Any]) -> None:
    from trademl.cli.simulate import described
    from trademl.config.reading import validate_section
    from trademl.warehouse.simulate import SimulationConfig, simulate_market

    done = simulate_market(validate_section(options, SimulationConfig, origin="trademl demo"), market)
    click.echo("\n".join(described(done)))


def _command(folder: Path, line: str) -> None:
    """Run one trademl command line in this process; a failure ends the demo with the command's own message."""
    from trademl.cli.main import main

    code = main.main(args=["--home", str(folder), *shlex.split(line)], prog_name="trademl", standalone_mode=False)
    if isinstance(code, int) and code != 0:
        raise TrademlError(
            f"`trademl {line}` ended with exit code {code}",
            remedy=f"run it by hand with --home {folder} to see what it reports",
        )


def _step(line: str, action: Callable[[], None]) -> None:
    """Show a command, do it, and say how long it took."""
    click.secho(f"\n$ trademl {line}", bold=True)
    began = time.monotonic()
    action()
    click.secho(f"  {time.monotonic() - began:.1f} s", dim=True)


def _show(folder: Path, market: Path, truth: dict[str, Any]) -> None:
    """Print the picks of the last session, and the planted and recovered rank IC."""
    from trademl.config.home import Home
    from trademl.warehouse.read import read_snapshot
    from trademl.warehouse.simulate.recovery import measure_recovery

    label, horizon = truth["label"], truth["parameters"]["label_horizon"]
    with read_snapshot(Home(folder.resolve())) as snapshot:
        picks = snapshot.con.execute(_PICKS, {"day": truth["last"], "label": label}).fetchall()
        recovery = measure_recovery(snapshot.con, market / "truth.parquet", label, horizon)
    click.echo(f"\npicks at the close of {truth['last']}, {label}, of {len(picks)} symbols:\n")
    click.echo("\n".join(picks_table(picks)))
    planted = truth["parameters"]["planted_ic"]
    click.echo(f"\nplanted rank IC    {planted:8.4f}")
    click.echo(
        f"oracle, measured   {recovery.oracle_ic:8.4f}  (standard error {recovery.oracle_error:.4f}; "
        f"{recovery.oracle_ic_on_tested:.4f} on the rows the model was tested on)"
    )
    share = f"; {recovery.share:.0%} of the oracle's" if planted > 0 else ""
    click.echo(
        f"model, out of fold {recovery.model_ic:8.4f}  (standard error {recovery.model_error:.4f}, "
        f"{recovery.paths} paths{share})"
    )


def picks_table(picks: list[tuple[str, float, float, float, float]]) -> list[str]:
    """Lay out the highest and the lowest picks; all of them where there are few."""
    lines = [f"  {'ticker':<8}{'yhat':>10}{'yhat_std':>10}{'prob_up':>9}{'rank_pct':>10}"]
    few = len(picks) <= 2 * SHOWN
    for block in [picks] if few else [picks[:SHOWN], picks[-SHOWN:]]:
        if len(lines) > 1:
            lines.append("  ...")
        for ticker, yhat, std, prob, rank in block:
            lines.append(f"  {ticker:<8}{yhat:>10.5f}{_number(std, 10, 4)}{_number(prob, 9, 3)}{_number(rank, 10, 3)}")
    return lines


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
