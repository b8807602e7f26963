"""``trademl portfolio``: from predictions to target weights, and what working an order costs."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.config.home import Home
    from trademl.execution.schedule import MarketModel
    from trademl.execution.targets import Targets

_BPS = 1e4
# Almgren & Chriss (2000), table 1: the example of the paper.
_EXAMPLE = {"price": 50.0, "volatility": 0.95 / 50, "volume": 5e6, "spread": 0.125}
_DATE = click.DateTime(formats=["%Y-%m-%d"])


@click.group(short_help="Turn predictions into target weights; show what urgency costs.")
def portfolio() -> None:
    """Turn predictions into target weights, and show what the urgency of an order costs.

    Limits are those of configs/portfolio.yml, costs those of configs/execution.yml.
    """


@portfolio.command(short_help="Decide the target weights of a session.")
@click.option("--asof", type=_DATE, metavar="DATE", help="The session.  [default: the last one with predictions]")
@click.option("--sleeve", default="equities", show_default=True, help="Whose predictions.")
@click.option("--model", "model_id", metavar="MODEL_ID", help="The model.  [default: the champion]")
@click.option("--optimiser", type=click.Choice(["ranked", "convex"]), help="How.  [default: the file's]")
@click.option("--long-only", is_flag=True, help="Sell nothing short, whatever the file says.")
@click.option("--equity", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="[default: the file's]")
@click.option("--account", help="Whose fills count as held.  [default: the only account with any]")
@click.option("--universe", "in_universe", is_flag=True, help="Only symbols of the newest universe up to the session.")
@click.option("--dry-run", is_flag=True, help="Compute only; write nothing.")
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Rows of each side in a table.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def build(
    asof: datetime | None,
    sleeve: str,
    model_id: str | None,
    optimiser: str | None,
    long_only: bool,
    equity: float | None,
    account: str | None,
    in_universe: bool,
    dry_run: bool,
    top: int,
    form: str,
) -> None:
    """Decide the target weights of a session from its predictions, and write them to `ops.targets`.

    Everything that is used was known at the session's close. What is held is read from `ops.fills`. Deciding twice the
    same changes nothing; another decision on the session replaces the one before.
    """
    from trademl.config.home import find_home
    from trademl.config.reading import validate_section
    from trademl.execution.targets import build_targets
    from trademl.portfolio.config import PortfolioConfig, read_portfolio

    home = find_home()
    changes: dict[str, Any] = {"optimiser": optimiser, "side": "long_only" if long_only else None}
    config = validate_section(
        {**read_portfolio(home).model_dump(), **{name: value for name, value in changes.items() if value is not None}},
        PortfolioConfig,
        origin="trademl portfolio build",
    )
    session = asof.date() if asof else None
    symbols, told = _universe(home, session, sleeve) if in_universe else (None, [])
    found = build_targets(
        home,
        sleeve,
        session,
        config,
        equity_usd=equity,
        model_id=model_id,
        universe=symbols,
        account=account,
        write=not dry_run,
    )
    if form == "json":
        click.echo(json.dumps(as_document(found), indent=2, ensure_ascii=False))
        return
    for note in (*told, *found.notes):
        click.echo(f"note: {note}", err=True)
    click.echo("\n".join(describe(found, top, dry_run)))


@portfolio.command(short_help="Draw the efficient frontier of working an order.")
@click.option("--shares", type=click.FloatRange(min=0, min_open=True), default=1e6, show_default=True)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=5.0, show_default=True)
@click.option("--slices", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--risk-aversion", type=click.FloatRange(min=0), default=1e-6, show_default=True, help="lambda, per USD.")
@click.option("--symbol", help="A symbol of the warehouse.  [default: the example of Almgren and Chriss]")
@click.option("--asof", type=_DATE, metavar="DATE", help="The symbol's session.  [default: its last one]")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("frontier.png"), show_default=True
)
def frontier(
    shares: float,
    days: float,
    slices: int,
    risk_aversion: float,
    symbol: str | None,
    asof: datetime | None,
    output: Path,
) -> None:
    """Draw what each urgency of an order costs on average, and how uncertain that is (Almgren and Chriss, 2000).

    Of a symbol, price, volatility and volume are those of the session, the spread that of configs/execution.yml, and
    the impact follows the paper's rules of thumb.
    """
    from trademl.reports.frontier import describe as lines_of
    from trademl.reports.frontier import frontier_of, write_frontier

    name, market = _market(symbol, asof)
    found = frontier_of(name, shares, days, slices, market, risk_aversion)
    write_frontier(found, output)
    click.echo("\n".join([*lines_of(found), "", f"picture     {output}"]))


def describe(found: "Targets", top: int, dry_run: bool) -> list[str]:
    """Return targets as lines: the largest weights of each side with their costs, then the whole."""
    from trademl.cli.train import aligned

    told = "nothing written (--dry-run)" if dry_run else "written" if found.written else "there already, unchanged"
    estimate = found.estimate
    parts = {
        symbol: (spread + commission, impact, borrow)
        for symbol, spread, commission, impact, borrow in zip(
            estimate.symbols,
            estimate.spread_usd + estimate.auction_usd,
            estimate.commission_usd,
            estimate.impact_usd,
            estimate.borrow_usd,
            strict=True,
        )
    }
    long = sorted((one for one in found.targets if one.weight > 0), key=lambda one: (-one.weight, one.symbol))
    short = sorted((one for one in found.targets if one.weight < 0), key=lambda one: (one.weight, one.symbol))
    heading = ["symbol", "weight", "held", "score", "rank", "volatility", "usd", "fees+spread", "impact", "borrow/day"]
    rows = []
    for one in (*long[:top], *short[:top]):
        costs = parts.get(one.symbol)
        rows.append(
            [
                one.symbol,
                f"{one.weight:+.4f}",
                f"{one.held_weight:+.4f}",
                _number(one.score, "+.5f"),
                _number(one.rank_pct, ".3f"),
                _number(one.volatility, ".3f"),
                f"{(one.weight - one.held_weight) * found.equity_usd:,.0f}",
                *(["-"] * 3 if costs is None else [f"{cost:,.2f}" for cost in costs]),
            ]
        )
    total = estimate.by_part()
    traded = found.turnover * found.equity_usd
    cost = float(estimate.total_usd.sum())
    return [
        f"{found.dt} {found.sleeve}: {len(long)} long, {len(short)} short of {len(found.targets)} symbols, "
        f"{found.optimiser}, model {found.model_id}",
        "",
        *(aligned([heading, *rows]).splitlines() if rows else ["no symbol has a weight"]),
        "",
        f"equity      {found.equity_usd:,.0f} USD, confidence {found.confidence:g}",
        f"exposure    gross {found.gross:.4f}, net {found.net:+.4f}; turnover {found.turnover:.4f}",
        f"cost        {cost:,.2f} USD ({cost / traded * _BPS if traded else 0.0:.2f} bps of what is traded): "
        + ", ".join(f"{name} {total[name]:,.2f}" for name in ("commission", "spread", "impact", "auction")),
        f"borrow      {total['borrow']:,.2f} USD a session",
        f"rows        {told}: ops.targets, settings {found.portfolio_hash[:12]}",
    ]


def as_document(found: "Targets") -> dict[str, Any]:
    """Return targets as plain data, for JSON."""
    return {
        "sleeve": found.sleeve,
        "dt": found.dt.isoformat(),
        "model_id": found.model_id,
        "run_id": found.run_id,
        "horizon": found.horizon,
        "equity_usd": found.equity_usd,
        "optimiser": found.optimiser,
        "confidence": found.confidence,
        "portfolio_hash": found.portfolio_hash,
        "gross": found.gross,
        "net": found.net,
        "turnover": found.turnover,
        "cost_usd": found.estimate.by_part(),
        "notes": list(found.notes),
        "targets": [asdict(one) for one in found.targets],
    }


def _universe(home: "Home", session: Any, sleeve: str) -> tuple[frozenset[str], list[str]]:
    from trademl.execution.known import last_session
    from trademl.execution.universe import read_universe
    from trademl.warehouse.read import read_snapshot

    if session is None:
        with read_snapshot(home) as snapshot:
            session = last_session(snapshot.con, sleeve)
    made, symbols = read_universe(home, session)
    return symbols, [f"{len(symbols)} symbols of the universe of {made}"]


def _market(symbol: str | None, asof: datetime | None) -> tuple[str, "MarketModel"]:
    from trademl.config.home import find_home
    from trademl.execution.config import read_execution
    from trademl.execution.known import liquidity_of
    from trademl.execution.schedule import market_of_day
    from trademl.warehouse.read import read_snapshot

    if symbol is None:
        found = _EXAMPLE
        name = "Almgren and Chriss (2000), table 1"
    else:
        home = find_home()
        with read_snapshot(home) as snapshot:
            known = liquidity_of(snapshot.con, symbol, asof.date() if asof else None)
        spread = 2 * read_execution(home).rates.spread_bps / _BPS * known.price
        found = {"price": known.price, "volatility": known.day_volatility, "volume": known.volume, "spread": spread}
        name = f"{symbol} on {known.session}"
    return name, market_of_day(found["price"], found["volatility"], found["volume"], found["spread"])


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
