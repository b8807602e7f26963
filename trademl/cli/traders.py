"""``trademl traders``: rank wallets by skill, and the commands of the trader model.

The table loads a command only when it is used, as the one of :mod:`trademl.cli.main` does.
"""

import click

from trademl.cli.main import LazyCommand, TrademlGroup

COMMANDS: dict[str, LazyCommand] = {
    "rank": LazyCommand("trademl.cli.traders_rank:rank", "Rank traders by how unlikely it is that they were lucky."),
    "score": LazyCommand("trademl.cli.traders_score:score", "Score the traders of a date with a trained stack."),
    "shadow": LazyCommand("trademl.cli.traders_score:shadow", "Score in shadow: the stack, else the frozen v1 model."),
    "convert": LazyCommand("trademl.cli.traders_score:convert", "Convert a stacked_pipeline.pkl without running it."),
}
"""Every command, in the order of ``trademl traders --help``."""


@click.group(cls=TrademlGroup, table=COMMANDS, short_help="Rank and score wallets.")
def traders() -> None:
    """Traders: rank them by skill, score them with a model, convert models of the first system."""
