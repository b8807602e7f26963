"""``trademl events``: calibrate, search and score touches of price levels.

The table loads a command only when it is used, as the one of :mod:`trademl.cli.main` does. `trademl train events`
trains the models.
"""

import click

from trademl.cli.main import LazyCommand, TrademlGroup

COMMANDS: dict[str, LazyCommand] = {
    "features": LazyCommand("trademl.cli.events_features:features", "Build, list and validate versions of features."),
    "curate": LazyCommand("trademl.cli.events_features:curate", "Make a version of features the production table."),
    "calibrate": LazyCommand("trademl.cli.events_calibrate:calibrate", "Judge the probabilities of trained heads."),
    "index": LazyCommand("trademl.cli.events_retrieval:index", "Build the index of past events."),
    "similar": LazyCommand("trademl.cli.events_retrieval:similar", "Show the past events most like one event."),
    "sequences": LazyCommand("trademl.cli.events_retrieval:sequences", "Write the bars before events as arrays."),
    "ensemble": LazyCommand("trademl.cli.events_score:ensemble", "Fit how stages and retrieval are pooled."),
    "score": LazyCommand("trademl.cli.events_score:score", "Score the levels near a price at one moment."),
    "serve": LazyCommand("trademl.cli.events_score:serve", "Answer scoring requests on this machine."),
}
"""Every command, in the order of ``trademl events --help``."""


@click.group(cls=TrademlGroup, table=COMMANDS, short_help="Score touches of price levels.")
def events() -> None:
    """Events: touches of levels that traders watch, and what follows: break or bounce, how far, how soon."""
