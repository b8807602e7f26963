"""``trademl backtest``: trade a run's out-of-fold predictions, show what came out, put backtests side by side."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trademl.backtest.luck import Luck
    from trademl.backtest.record import Recorded
    from trademl.backtest.run import Agreement, Finished
    from trademl.config.home import Home

FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
_SHARE = click.FloatRange(0, 1, min_open=True)


@click.group(short_help="Trade a run's predictions in the past; show and compare.")
def backtest() -> None:
    """Backtests of out-of-fold predictions: decided at a close, filled at the next open, every cost paid.

    Weights follow configs/portfolio.yml, costs configs/execution.yml. See docs/backtest.md.
    """


@backtest.command(short_help="Trade the out-of-fold predictions of a run.")
@click.argument("run_id", metavar="RUN")
@click.option("--path", default="mean", show_default=True, help="A backtest path, or mean of all paths' predictions.")
@click.option(
    "--engine",
    type=click.Choice(["event", "sql", "both"]),
    default="event",
    show_default=True,
    help="Event by event; as sets in SQL, under simpler rules; or both under those, to the cent.",
)
@click.option(
    "--capital",
    "capitals",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    metavar="USD",
    help="At the start; give it several times to see the capacity.  [default: equity_usd of configs/portfolio.yml]",
)
@click.option("--every", type=click.IntRange(1, 252), default=1, show_default=True, help="Rebalance every N sessions.")
@click.option(
    "--smooth", type=click.IntRange(1, 252), default=1, show_default=True, help="Average ranks over N sessions."
)
@click.option("--first", metavar="DATE", help="First decision date.  [default: the first prediction]")
@click.option("--last", metavar="DATE", help="Last decision date.  [default: the last prediction]")
@click.option(
    "--sizing",
    type=click.Choice(["equity", "capital"]),
    help="Weights are shares of today's equity, or of the capital at the start.  [default: equity; capital in SQL]",
)
@click.option(
    "--participation",
    type=_SHARE,
    help="Largest share of a session's volume.  [default: max_participation of configs/execution.yml; none in SQL]",
)
@click.option("--no-participation-limit", "unlimited", is_flag=True, help="Fill every order whole.")
@click.option("--fractional", is_flag=True, help="Hold fractions of shares.")
@click.option("--long-only", is_flag=True, help="Sell nothing short, whatever configs/portfolio.yml says.")
@click.option(
    "--delisting-return",
    type=click.FloatRange(-1, 1),
    default=0.0,
    show_default=True,
    help="Of a position whose listing ends, on its last price.",
)
@click.option("--dry-run", is_flag=True, help="Print the figures and record nothing.")
@FORMAT
def run(
    run_id: str,
    path: str,
    engine: str,
    capitals: tuple[float, ...],
    every: int,
    smooth: int,
    first: str | None,
    last: str | None,
    sizing: str | None,
    participation: float | None,
    unlimited: bool,
    fractional: bool,
    long_only: bool,
    delisting_return: float,
    dry_run: bool,
    form: str,
) -> None:
    """Trade the out-of-fold predictions of RUN and write days, trades and a tear sheet.

    Only predictions of models that had not seen their date are traded. `--engine both` records nothing: it compares the
    event-driven engine with the SQL of `marts.backtest_daily` and ends with exit code 1 when they differ by a cent.
    """
    from trademl.backtest.engine import BacktestConfig
    from trademl.backtest.run import Request, compare_engines, run_requests
    from trademl.config.home import find_home
    from trademl.errors import ConfigError, TrademlError
    from trademl.execution.config import read_execution
    from trademl.portfolio.config import read_portfolio
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    portfolio, execution = read_portfolio(home), read_execution(home)
    if long_only:
        portfolio = portfolio.model_copy(update={"side": "long_only"})
    if unlimited and participation is not None:
        raise ConfigError("--participation and --no-participation-limit were both given", remedy="give one of them")
    common = engine != "event"
    limit = participation if participation is not None else None if common else execution.orders.max_participation
    wanted = [
        Request(
            run_id=run_id,
            path=path,
            engine="sql" if engine == "sql" else "event",
            every=every,
            smooth=smooth,
            first=_day(first, "--first"),
            last=_day(last, "--last"),
            rules=BacktestConfig(
                capital_usd=capital,
                sizing=sizing or ("capital" if common else "equity"),  # type: ignore[arg-type]
                whole_shares=execution.orders.whole_shares and not fractional,
                min_order_usd=0.0 if common else execution.orders.min_order_usd,
                max_participation=None if unlimited else limit,
                delisting_return=delisting_return,
            ),
            portfolio=portfolio,
            costs=execution.costs(),
        )
        for capital in capitals or (portfolio.equity_usd,)
    ]
    with read_snapshot(home) as snapshot:
        build = snapshot.manifest.build_id
        if engine == "both":
            told = [compare_engines(snapshot.con, one, build_id=build, told=_say) for one in wanted]
        else:
            made = run_requests(snapshot.con, wanted, build_id=build, told=_say)
    if engine == "both":
        click.echo(_agreements(told, form))
        if not all(found.to_the_cent for _, _, found in told):
            raise TrademlError("the two engines differ", remedy="report this with the request")
        return
    _finish(home, made, dry_run, form)


@backtest.command(short_help="List backtests, or show one.")
@click.argument("backtest_id", metavar="[BACKTEST]", required=False)
@FORMAT
def show(backtest_id: str | None, form: str) -> None:
    """List recorded backtests, newest first, or show BACKTEST: its figures and costs, and where its tear sheet is.

    The beginning of an id will do.
    """
    from trademl.backtest.record import find_backtests
    from trademl.config.home import find_home
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    with read_snapshot(home) as snapshot:
        if backtest_id is None:
            rows = snapshot.con.execute(
                "select backtest_id from ops.backtests order by recorded_at desc, backtest_id"
            ).fetchall()
            found = find_backtests(snapshot.con, home, tuple(name for (name,) in rows))
        else:
            found = find_backtests(snapshot.con, home, (backtest_id,))
    if form == "json":
        documents = [_document(one) for one in found]
        click.echo(json.dumps(documents if backtest_id is None else documents[0], indent=2))
    elif not found:
        click.echo("no backtest yet; `trademl backtest run RUN` makes one")
    else:
        click.echo(_table([_recorded_row(one) for one in found]) if backtest_id is None else _described(found[0]))


@backtest.command(short_help="Put backtests side by side, against the first one.")
@click.argument("backtest_ids", nargs=-1, required=True, metavar="BACKTEST BACKTEST...")
@FORMAT
def compare(backtest_ids: tuple[str, ...], form: str) -> None:
    """Put backtests side by side: what was asked differently, their figures, and daily net returns against the first.

    The t-statistic of the paired daily difference is Newey-West with five lags.
    """
    from trademl.backtest.record import find_backtests
    from trademl.config.home import find_home
    from trademl.errors import ConfigError
    from trademl.reports.backtests import compare_backtests
    from trademl.warehouse.read import read_snapshot

    if len(backtest_ids) < 2:
        raise ConfigError("one backtest has nothing to be compared with", remedy="give two or more")
    home = find_home()
    with read_snapshot(home) as snapshot:
        found = find_backtests(snapshot.con, home, backtest_ids)
    compared = compare_backtests(found)
    if form == "json":
        click.echo(json.dumps(compared.document(), indent=2))
        return
    names = [f"[{place}]" for place in range(1, len(found) + 1)]
    lines = [f"{name} {one.backtest_id}  {one.run_id}" for name, one in zip(names, found, strict=True)]
    differing = [["asked", *names], *([name, *values] for name, values in compared.differences.items())]
    measured = [["measure", *names], *([name, *values] for name, values in compared.figures.items())]
    paired = [["net return a day", "sessions", "difference", "t", "correlation"], *compared.paired_rows()]
    click.echo("\n".join([*lines, "", _table(differing), "", _table(measured), "", _table(paired)]))


def _finish(home: "Home", made: "Sequence[Finished]", dry_run: bool, form: str) -> None:
    from trademl.backtest.luck import luck_in
    from trademl.backtest.record import record
    from trademl.config.reading import load_section
    from trademl.governance.gate import POLICY_FILE, PromotionPolicy
    from trademl.lake.layout import layout_of
    from trademl.reports.backtests import evidence_rows, evidence_values, sheet_of
    from trademl.reports.tear_sheet import write_tear_sheet

    policy = load_section(home.configs / POLICY_FILE, PromotionPolicy)
    lucks = [luck_in(layout_of(home), one, policy) for one in made]
    pages: list[Path] = []
    for one, luck in zip(made, lucks, strict=True):
        if dry_run:
            continue
        _say(f"recording {one.backtest_id}")
        folder = record(home, one, evidence_values(luck))
        pages.append(write_tear_sheet(sheet_of(one, luck), folder)[0])
    if form == "json":
        documents = [
            {
                "backtest_id": one.backtest_id,
                "request": one.request.document(),
                **one.figures.document(),
                **evidence_values(luck),
            }
            for one, luck in zip(made, lucks, strict=True)
        ]
        click.echo(json.dumps(documents, indent=2))
        return
    click.echo(_table([_finished_row(one, luck) for one, luck in zip(made, lucks, strict=True)]))
    click.echo("")
    for name, text in evidence_rows(lucks[0]):
        click.echo(f"{name}: {text}")
    for page in pages:
        click.echo(page)


def _finished_row(one: "Finished", luck: "Luck") -> dict[str, str]:
    return {
        "backtest": one.backtest_id,
        **_figures(one.figures.document(), one.request.rules.capital_usd),
        "DSR": f"{luck.dsr:.3f}",
    }


def _recorded_row(one: "Recorded") -> dict[str, str]:
    return {
        "backtest": one.backtest_id,
        "run": one.run_id,
        "engine": one.engine,
        **_figures(one.figures, one.config["rules"]["capital_usd"]),
    }


def _figures(figures: dict[str, Any], capital: float) -> dict[str, str]:
    def told(name: str, layout: str) -> str:
        value = figures.get(name)
        return "-" if value is None else layout.format(value)

    return {
        "capital": f"{capital:,.0f}",
        "gross Sharpe": told("gross_sharpe", "{:+.2f}"),
        "net Sharpe": told("net_sharpe", "{:+.2f}"),
        "net return": told("net_return", "{:+.2%}"),
        "drawdown": told("max_drawdown", "{:.1%}"),
        "turnover": told("turnover", "{:.3f}"),
        "cost bps a year": f"{sum(figures['cost_bps'].values()):.0f}",
        "filled": told("filled", "{:.1%}"),
    }


def _described(one: "Recorded") -> str:
    from trademl.reports.tear_sheet import PAGE, cost_attribution, figure_rows

    config = one.config
    lines = [
        f"backtest   {one.backtest_id}",
        f"run        {one.run_id}, label {one.label}, path {one.path}",
        f"engine     {one.engine}, rebalanced every {config['every']} sessions, ranks over {config['smooth']}",
        f"days       {one.days.date[0]} to {one.days.date[-1]}",
        "",
        *(f"{name:<36}{text:>14}" for name, text in figure_rows(one.figures)),
        "",
        f"{'cost':<12}{'USD':>16}{'bps a year':>14}{'bps of traded':>16}",
        *(
            f"{part:<12}{usd:>16,.0f}{a_year:>14.1f}{traded:>16.2f}"
            for part, usd, a_year, traded in cost_attribution(one.days)
        ),
        "",
        *(f"{name:<36}{one.figures[name]}" for name in ("dsr", "pbo", "trials", "gate") if name in one.figures),
        "",
        str(one.folder / PAGE),
    ]
    return "\n".join(lines)


def _document(one: "Recorded") -> dict[str, Any]:
    return {
        "backtest_id": one.backtest_id,
        "run_id": one.run_id,
        "label": one.label,
        "path": one.path,
        "engine": one.engine,
        "config": one.config,
        "figures": one.figures,
        "folder": str(one.folder),
    }


def _agreements(told: "Sequence[tuple[Finished, Finished, Agreement]]", form: str) -> str:
    if form == "json":
        return json.dumps([{**found.__dict__, "to_the_cent": found.to_the_cent} for _, _, found in told], indent=2)
    return _table(
        [
            {
                "capital": f"{event.request.rules.capital_usd:,.0f}",
                "sessions": f"{found.sessions:,}",
                "trades": f"{found.trades:,}",
                "only in one": str(found.only_in_one),
                "equity USD": f"{found.equity_usd:.2g}",
                "cash USD": f"{found.cash_usd:.2g}",
                "trade USD": f"{found.trade_usd:.2g}",
                "cost USD": f"{found.cost_usd:.2g}",
                "to the cent": "yes" if found.to_the_cent else "NO",
            }
            for event, _, found in told
        ]
    )


def _table(rows: "Sequence[dict[str, str]] | Sequence[Sequence[str]]") -> str:
    from trademl.cli.train import aligned

    listed = [list(row.values()) if isinstance(row, dict) else list(row) for row in rows]
    if rows and isinstance(rows[0], dict):
        listed.insert(0, list(rows[0]))
    return aligned(listed)


def _day(text: str | None, option: str) -> str | None:
    from datetime import date

    from trademl.errors import ConfigError

    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} is not a date", remedy="write it as in 2015-06-30") from error


def _say(text: str) -> None:
    click.echo(text, err=True)
