"""``trademl card``: the one page on a run, with what was decided about it."""

from pathlib import Path

import click


@click.command(short_help="Write the one-page model card of a run.")
@click.argument("run")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to.  [default: lake/reports/RUN]",
)
def card(run: str, out: Path | None) -> None:
    """Write card.md and card.png of RUN: paths, IC decay, deciles, reliability, importances, drawdown, verdicts.

    The card in the run folder is sealed when training ends; this one also has the trials, returns and decisions that
    came later. The gate is not run: the page shows its last judgement, and says so where there is none.
    """
    from trademl.config.home import find_home
    from trademl.lake.layout import layout_of
    from trademl.reports.card import collect
    from trademl.reports.card_sheet import write_card
    from trademl.reports.predictions import find_run, read_out_of_fold
    from trademl.warehouse.read import read_snapshot

    home = find_home()
    with read_snapshot(home) as snapshot:
        finished = find_run(snapshot.con, home, run, verify=True)
        predictions = read_out_of_fold(snapshot.con, run)
    for path in write_card(collect(home, finished, predictions), out or layout_of(home).root / "reports" / run):
        click.echo(path)
