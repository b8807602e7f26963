import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.warehouse.simulate.conftest import MARKET
from tests.warehouse.simulate.panel import daily_rank_ic, features, forward, read_panel
from trademl.errors import ConfigError
from trademl.schema import RAW
from trademl.warehouse.simulate import SimulationConfig, simulate_market
from trademl.warehouse.simulate.market import draw_listings, draw_noise
from trademl.warehouse.simulate.signal import forward_log_return, plant
from trademl.warehouse.simulate.write import FILES, symbol_names, trading_days

SCRIPT = """
import sys
from pathlib import Path
from trademl.warehouse.simulate import SimulationConfig, simulate_market
simulate_market(SimulationConfig(symbols=30, sessions=200, seed=11), Path(sys.argv[1]))
"""


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_threads(tmp_path: Path) -> None:
    """Two processes with one and with four threads write equal files; another seed writes others."""
    for threads in ("1", "4"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "ARROW_NUM_THREADS": threads}
        environment |= {"OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / threads)]
        subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[3])
    assert digests(tmp_path / "1") == digests(tmp_path / "4")
    simulate_market(SimulationConfig(symbols=30, sessions=200, seed=12), tmp_path / "1")
    changed = [name for name, digest in digests(tmp_path / "1").items() if digest != digests(tmp_path / "4")[name]]
    assert set(changed) >= {"bars.parquet", "corrections.parquet", "membership.csv", "truth.parquet", "vix.csv"}


def test_the_files_have_the_columns_that_ingest_takes(market: Path) -> None:
    """Every column of the raw datasets is there under its own name, so that no --map is needed."""
    bars = pq.read_schema(market / "bars.parquet").names
    assert bars == list(RAW["equity_bars"].columns) == pq.read_schema(market / "corrections.parquet").names
    for file, dataset in (("membership.csv", "membership"), ("sectors.csv", "reference")):
        assert (market / file).read_text().splitlines()[0].split(",") == list(RAW[dataset].columns)
    assert (market / "vix.csv").read_text().splitlines()[0] == "date,value"


def test_bars_lie_on_sessions_of_the_exchange(market: Path) -> None:
    """The first sessions of 2015 in New York: 2 January, then 5 January; 4 July 2016 is none."""
    dates = read_panel(market).dates.astype(str).tolist()
    assert dates[:2] == ["2015-01-02", "2015-01-05"]
    assert "2016-07-04" not in dates
    assert len(dates) == 700


def test_corrections_differ_from_the_bars_first_reported(market: Path) -> None:
    """Each of the 20 corrections replaces a bar of bars.parquet by another one; the truth lists them."""
    before, after = read_panel(market, corrected=False), read_panel(market)
    changed = np.zeros(before["close"].shape, dtype=bool)
    for name, values in before.fields.items():
        changed |= np.isfinite(values) & (values != after[name])
    listed = json.loads((market / "truth.json").read_text())["corrections"]
    assert changed.sum() == len(listed) == pq.read_metadata(market / "corrections.parquet").num_rows == 20
    for name in ("high", "low", "open", "close"):
        wrong = before[name][changed]
        assert (before["low"][changed] <= wrong).all()
        assert (wrong <= before["high"][changed]).all()


def test_a_delisted_symbol_stops_for_good(market: Path) -> None:
    """The last bar of a delisted symbol is on its last session, and its membership has ended by then."""
    panel = read_panel(market)
    with (market / "membership.csv").open() as file:
        ends = {row["symbol"]: row["end_date"] for row in csv.DictReader(file)}
    delistings = json.loads((market / "truth.json").read_text())["delistings"]
    assert {end["kind"] for end in delistings} == {"stop", "crash", "takeover"}
    for end in delistings:
        bars = np.flatnonzero(np.isfinite(panel["close"][:, np.searchsorted(panel.symbols, end["symbol"])]))
        assert str(panel.dates[bars[-1]]) == end["last"]
        if end["symbol"] in ends:
            assert ends[end["symbol"]]
            assert ends[end["symbol"]] <= end["last"]


def test_the_expected_ranking_is_that_of_the_signal(market: Path) -> None:
    """expected_rank runs from 1/n to 1 within a session, in the order of the signal, as does expected_return."""
    table = pq.read_table(market / "truth.parquet").to_pydict()
    dates = np.array(table["date"], dtype="datetime64[D]")
    on = dates == dates[len(dates) // 2]
    signal, rank = np.array(table["signal"])[on], np.array(table["expected_rank"])[on]
    expected = np.array(table["expected_return"])[on]
    np.testing.assert_allclose(np.sort(rank), np.arange(1, on.sum() + 1) / on.sum())
    assert (np.argsort(rank) == np.argsort(signal)).all()
    assert (np.sign(expected) == np.sign(signal)).all()


def test_writing_adds_no_predictability(market: Path) -> None:
    """Ticks, dividends, splits and absent days leave the ranks of returns as drawn: rank correlation above 0.999."""
    panel = read_panel(market)
    listings = draw_listings(MARKET)
    noise = draw_noise(MARKET, listings)
    alive = listings.alive(MARKET.sessions)
    seasoned = np.arange(MARKET.sessions)[:, None] - listings.first >= 60
    run = plant(MARKET, noise, alive, alive & seasoned & listings.members(MARKET.sessions))
    drawn = forward_log_return(noise.gap, run.intraday, alive, 5)
    written = forward(panel, 5)
    assert daily_rank_ic(written, drawn).mean() > 0.999
    # and what they change of a label is not related to the past
    change = np.where(np.isfinite(written) & np.isfinite(drawn), written - drawn, np.nan)
    for name in ("momentum_5d", "momentum_60d", "realised_volatility_60d", "gap_1d"):
        assert abs(daily_rank_ic(features(panel)[name], change).mean()) < 0.03


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """Files that no simulation wrote are not mixed with one, nor overwritten."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        simulate_market(MARKET, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unknown_calendar_is_named() -> None:
    """A calendar that exchange_calendars does not have is a configuration error."""
    with pytest.raises(ConfigError, match="XABC"):
        trading_days(SimulationConfig(calendar="XABC"))


def test_symbols_have_equal_width() -> None:
    """Symbols sort as they count."""
    assert symbol_names(2) == ["S001", "S002"]
    assert symbol_names(1000)[0] == "S0001"
