"""Universe and targets on a market that dbt built: the tables and columns are those of the real warehouse."""

import json
import shlex
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.execution.priced_home import RUN, write_predictions
from trademl.cli.init import bundle, make_home
from trademl.cli.main import main
from trademl.cli.simulate import ingest_lines
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot
from trademl.warehouse.simulate import SimulationConfig, simulate_market

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
]


def run(home: Home, *arguments: str) -> Result:
    found = CliRunner().invoke(main, ["--home", str(home.root), *arguments])
    assert found.exit_code == 0, found.output
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, date]:
    """A simulated market of 30 symbols over 160 sessions, built, with predictions of the last session."""
    folder: Path = tmp_path_factory.mktemp("built")
    make_home(folder / "home", bundle())
    home = Home(folder / "home")
    simulate_market(SimulationConfig(symbols=30, sessions=160), folder / "market")
    for line in ingest_lines(folder / "market"):
        run(home, *shlex.split(line))
    run(home, "build")
    with open_snapshot(layout_of(home)) as snapshot:
        last, symbols = snapshot.con.execute(
            "select date, list(symbol order by symbol) from gold.equities_features where in_universe "
            "group by date order by date desc limit 1"
        ).fetchall()[0]
    # A score that no feature has: place in the alphabet.
    write_predictions(
        home,
        {symbol: float(place) for place, symbol in enumerate(symbols)},
        dt=last,
        scored_at=datetime(last.year, last.month, last.day, 22, tzinfo=UTC).replace(tzinfo=None),
    )
    return home, last


def test_weights_follow_from_the_built_tables(built: tuple[Home, date]) -> None:
    """Every predicted symbol has a close, a volatility and a traded value, and the limits hold."""
    home, last = built
    found = json.loads(run(home, "portfolio", "build", "--format", "json").stdout)
    assert (found["dt"], found["model_id"]) == (str(last), RUN)
    assert len(found["targets"]) > 20
    for one in found["targets"]:
        assert one["price_usd"] > 0
        assert one["volatility"] > 0
        assert one["day_value_usd"] > 0
        assert abs(one["weight"]) <= 0.05 + 1e-9
    assert found["gross"] == pytest.approx(1.0)
    best = max(found["targets"], key=lambda one: one["score"])
    assert best["weight"] > 0


def test_the_universe_follows_from_the_built_tables(built: tuple[Home, date]) -> None:
    """Its traded value is the median of silver's own, and every included symbol keeps the rules."""
    home, last = built
    found = json.loads(run(home, "universe", "build", "--format", "json").stdout)
    assert found["dt"] == str(last)
    assert found["included"] > 10
    first = found["symbols"][0]
    with open_snapshot(layout_of(home)) as snapshot:
        expected, bars = snapshot.con.execute(
            "select median(dollar_volume), count(*) from (select dollar_volume from silver.equity_bars "
            "where symbol = ? order by date desc limit 60)",
            [first["symbol"]],
        ).fetchall()[0]
    assert bars == 60
    assert first["present_ratio"] == 1
    assert first["day_value_usd"] == pytest.approx(expected)


def test_what_was_written_is_there_after_the_next_build(built: tuple[Home, date]) -> None:
    """The views of ops are dbt's as well as the reader's."""
    home, last = built
    run(home, "portfolio", "build")
    run(home, "universe", "build")
    with open_snapshot(layout_of(home)) as snapshot:
        before = snapshot.con.execute("select * from ops.targets order by all").fetchall()
    run(home, "build")
    with open_snapshot(layout_of(home)) as snapshot:
        assert snapshot.con.execute("select * from ops.targets order by all").fetchall() == before
        assert {row[0] for row in snapshot.con.execute("select distinct dt from ops.universe").fetchall()} == {last}
