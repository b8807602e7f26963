"""The files of simulated wallets have the shapes of the published ones, and agree with each other."""

import csv
import json
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from trademl.errors import ConfigError
from trademl.warehouse.simulate.traders import TraderSimulation
from trademl.warehouse.simulate.traders_files import DAYS, FILLS, TRUTH, TRUTH_TABLE, simulate_traders

CONFIG = TraderSimulation(wallets=60, days=45, fills=12, seed=2)
Row = dict[str, str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("traders")
    simulate_traders(CONFIG, made)
    return made


def read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.real_data
@pytest.mark.parametrize("name, published", [(DAYS, "account_days.csv"), (FILLS, "fills_sample.csv")])
def test_columns_are_those_of_the_published_files(folder: Path, real_data: Path, name: str, published: str) -> None:
    """The header is the same, name by name and in order."""
    paths = folder / name, real_data / "traders" / published
    headers = [next(csv.reader(path.read_text().splitlines())) for path in paths]
    assert headers[0] == headers[1]


def test_days_and_fills_of_a_wallet_agree(folder: Path) -> None:
    """Fills summed by wallet and local day are the account-days: profit before fees, fills, win rate, size, fee."""
    days = {(row["Account"], row["date"]): row for row in read(folder / DAYS)}
    summed: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in read(folder / FILLS):
        day = datetime.strptime(row["Timestamp IST"], "%d-%m-%Y %H:%M").date().isoformat()
        summed[row["Account"], day].append(row)
    assert len({address for address, _ in summed}) == 12
    for key, fills in summed.items():
        day, n = days[key], len(fills)
        assert int(day["n_trades"]) == n
        assert float(day["daily_pnl"]) == pytest.approx(sum(float(row["Closed PnL"]) for row in fills), abs=1e-6)
        assert float(day["win_rate"]) == pytest.approx(sum(float(row["Closed PnL"]) > 0 for row in fills) / n)
        assert float(day["total_size_usd"]) == pytest.approx(sum(float(row["Size USD"]) for row in fills))
        assert float(day["avg_fee"]) == pytest.approx(sum(float(row["Fee"]) for row in fills) / n, abs=1e-8)
        long = sum("Long" in row["Direction"] for row in fills)
        assert float(day["long_ratio"]) == pytest.approx(long / n)
    whole = {address for address, _ in summed}
    assert {key for key in days if key[0] in whole} == set(summed)


def test_fills_open_and_close_a_position(folder: Path) -> None:
    """Entry and exit in turn: sides and positions fit, and the closed profit is that of the two prices."""
    fills = read(folder / FILLS)
    for entry, leaving in zip(fills[::2], fills[1::2], strict=True):
        assert entry["Account"] == leaving["Account"]
        assert entry["Coin"] == leaving["Coin"]
        is_long = entry["Direction"] == "Open Long"
        assert leaving["Direction"] == ("Close Long" if is_long else "Close Short")
        assert (entry["Side"], leaving["Side"]) == (("BUY", "SELL") if is_long else ("SELL", "BUY"))
        tokens, sign = float(entry["Size Tokens"]), 1 if is_long else -1
        assert float(entry["Start Position"]) == 0.0
        assert float(leaving["Start Position"]) == sign * tokens
        prices = [float(row["Execution Price"]) for row in (entry, leaving)]
        assert float(leaving["Closed PnL"]) == pytest.approx(sign * tokens * (prices[1] - prices[0]), abs=2e-6)
        assert float(entry["Closed PnL"]) == 0.0
    assert len({row["Trade ID"] for row in fills}) == len(fills)


def test_times_are_local_and_utc(folder: Path) -> None:
    """The epoch milliseconds are the local minute less 5:30, and both lie on the same date."""
    for row in read(folder / FILLS):
        local = datetime.strptime(row["Timestamp IST"], "%d-%m-%Y %H:%M")
        utc = datetime(1970, 1, 1) + timedelta(milliseconds=int(row["Timestamp"]))
        assert local - utc == timedelta(hours=5, minutes=30)
        assert local.date() == utc.date()


def test_running_sums_are_those_of_the_days(folder: Path) -> None:
    """cum_pnl, running_max and drawdown follow daily_pnl wallet by wallet, as in the published file."""
    total: dict[str, float] = {}
    peak: dict[str, float] = {}
    for row in read(folder / DAYS):
        name = row["Account"]
        total[name] = total.get(name, 0.0) + float(row["daily_pnl"])
        peak[name] = max(peak.get(name, total[name]), total[name])
        assert float(row["cum_pnl"]) == pytest.approx(total[name], abs=1e-6)
        assert float(row["running_max"]) == pytest.approx(peak[name], abs=1e-6)
        assert float(row["drawdown"]) == pytest.approx(total[name] - peak[name], abs=1e-6)


def test_the_truth_has_every_wallet(folder: Path) -> None:
    """One row per wallet with its kind and planted Sharpe ratio; the document repeats parameters and counts."""
    rows, truth = read(folder / TRUTH_TABLE), json.loads((folder / TRUTH).read_text())
    assert len(rows) == 60
    assert truth["parameters"] == CONFIG.model_dump(mode="json")
    assert truth["wallets"]["skill"] == sum(row["kind"] == "skill" for row in rows) == 3
    assert sum(truth["gone"].values()) == sum(row["died"] != "" for row in rows)
    assert truth["account_days"] == len(read(folder / DAYS))
    traded = {row["Account"] for row in read(folder / DAYS)}
    assert {row["address"] for row in rows if row["trips"] != "0"} == traded


def test_the_same_configuration_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """A second folder, and the same folder written again, hold the same bytes."""
    for _ in range(2):
        simulate_traders(CONFIG, tmp_path / "again")
    for name in (DAYS, FILLS, TRUTH_TABLE, TRUTH):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_no_fills_are_a_file_with_a_header(tmp_path: Path) -> None:
    """Without wallets that have fills the file is there, empty."""
    simulate_traders(TraderSimulation(wallets=20, days=30, fills=0), tmp_path)
    assert len((tmp_path / FILLS).read_text().splitlines()) == 1


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    """A folder with anything else, or a file in its place, is refused."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt"):
        simulate_traders(CONFIG, tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        simulate_traders(CONFIG, tmp_path / "notes.txt")
