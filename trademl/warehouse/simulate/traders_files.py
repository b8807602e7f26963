"""Write simulated wallets as the published files of real ones: account-days, raw fills, and the truth beside them.

``account_days.csv`` and ``fills.csv`` have the columns, units and quirks of the published samples: days and times are
local (UTC + 5:30, whole minutes), ``daily_pnl`` is before fees, ``avg_fee`` is per fill, and a fill's ``Closed PnL``
stands on the fill that closes. A wallet with fills has the same days in both.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ConfigError, MissingExtra
from trademl.rng import stream
from trademl.warehouse.simulate.traders import KINDS, TraderSimulation, Trips, Wallet, simulate_wallets

DAYS, FILLS, TRUTH_TABLE, TRUTH = "account_days.csv", "fills.csv", "truth.csv", "truth.json"
FILES = (DAYS, FILLS, TRUTH_TABLE, TRUTH)

_MODE = 0o644
_UTC_OFFSET_MINUTES = 330
_MOODS = np.array(["Fear", "Neutral", "Greed"])

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TradersReport:
    """What was written; ``wallets`` and ``gone`` count by kind."""

    folder: Path
    account_days: int
    fills: int
    first: date
    last: date
    wallets: dict[str, int]
    gone: dict[str, int]


def simulate_traders(config: TraderSimulation, folder: Path) -> TradersReport:
    """Simulate wallets and write their account-days, some fills and the truth into ``folder``.

    The same configuration gives the same bytes. An earlier simulation in the folder is replaced; ``truth.json`` is
    written last.

    Raises:
        ConfigError: the folder holds something else.
        MissingExtra: pyarrow is not installed.
    """
    _refuse_foreign(folder)
    wallets, trips = simulate_wallets(config)
    (folder / TRUTH).unlink(missing_ok=True)
    days = account_days(config, wallets, trips)
    _write(folder / DAYS, days)
    fills = raw_fills(config, wallets, trips, chosen_for_fills(config, wallets))
    _write(folder / FILLS, fills)
    _write(folder / TRUTH_TABLE, truth_table(config, wallets, trips))
    wallets_of = {kind: [wallet for wallet in wallets if wallet.kind == kind] for kind in KINDS}
    report = TradersReport(
        folder=folder,
        account_days=len(days["Account"]),
        fills=len(fills["Account"]),
        first=config.start,
        last=config.start + timedelta(days=config.days - 1),
        wallets={kind: len(found) for kind, found in wallets_of.items()},
        gone={kind: sum(one.died is not None for one in found) for kind, found in wallets_of.items()},
    )
    truth = {
        "parameters": config.model_dump(mode="json"),
        **{name: getattr(report, name) for name in ("account_days", "fills", "wallets", "gone")},
        "first": str(report.first),
        "last": str(report.last),
    }
    write_atomic(folder / TRUTH, (json.dumps(truth, indent=1) + "\n").encode(), _MODE)
    return report


def account_days(config: TraderSimulation, wallets: Sequence[Wallet], trips: Trips) -> dict[str, Any]:
    """Return one row per wallet and day with trips, as the columns of the published account-days."""
    key = trips.wallet * config.days + trips.day
    listed, row = np.unique(key, return_inverse=True)
    value_in, value_out, fee_in, fee_out = _values(trips)
    pnl = trips.pnl

    def total(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(row, weights=values, minlength=len(listed)), dtype=np.float64)

    wallet, day = listed // config.days, listed % config.days
    fills = 2 * np.bincount(row, minlength=len(listed))
    daily, traded, fees = np.round(total(pnl), 6), total(value_in + value_out), total(fee_in + fee_out)
    begins = np.concatenate([[True], wallet[1:] != wallet[:-1]]) if len(wallet) else np.empty(0, dtype=bool)
    running = _running(daily, begins)
    peak = _peaks(running, begins)
    mood = _MOODS[stream(config.seed, "traders", "mood").integers(0, len(_MOODS), config.days)]
    return {
        "Account": np.array([one.address for one in wallets])[wallet],
        "date": _dates(config, day),
        "sentiment": mood[day],
        "daily_pnl": daily,
        "n_trades": fills,
        "win_rate": total((pnl > 0).astype(np.float64)) / fills,
        "avg_size_usd": traded / fills,
        "total_size_usd": traded,
        "long_ratio": 2 * total(trips.is_long.astype(np.float64)) / fills,
        "avg_fee": fees / fills,
        "cum_pnl": running,
        "running_max": peak,
        "drawdown": running - peak,
    }


def raw_fills(config: TraderSimulation, wallets: Sequence[Wallet], trips: Trips, chosen: IntArray) -> dict[str, Any]:
    """Return the fills of the wallets ``chosen``: two a trip, in order of wallet and time, as the published columns."""
    kept = np.flatnonzero(np.isin(trips.wallet, chosen))
    value_in, value_out, fee_in, fee_out = (values[kept] for values in _values(trips))
    is_long, tokens = trips.is_long[kept], trips.tokens[kept]
    open_side, close_side = np.where(is_long, "BUY", "SELL"), np.where(is_long, "SELL", "BUY")
    held = np.where(is_long, tokens, -tokens)
    minute = _pairs(trips.entry[kept], trips.exit[kept])
    day = np.repeat(trips.day[kept], 2)
    number = np.arange(len(minute))
    start = np.datetime64(config.start, "m")
    local = start + day * np.timedelta64(1440, "m") + minute * np.timedelta64(1, "m")
    utc = (local - np.timedelta64(_UTC_OFFSET_MINUTES, "m") - np.datetime64("1970-01-01", "m")).astype(np.int64)
    return {
        "Account": np.array([one.address for one in wallets])[np.repeat(trips.wallet[kept], 2)],
        "Coin": np.repeat(trips.coin[kept], 2),
        "Execution Price": _pairs(trips.price_in[kept], trips.price_out[kept]),
        "Size Tokens": np.repeat(tokens, 2),
        "Size USD": _pairs(value_in, value_out),
        "Side": _pairs(open_side, close_side),
        "Timestamp IST": np.array([moment.strftime("%d-%m-%Y %H:%M") for moment in local.astype(object)], dtype=object),
        "Start Position": _pairs(np.zeros(len(kept)), held),
        "Direction": _pairs(
            np.where(is_long, "Open Long", "Open Short"), np.where(is_long, "Close Long", "Close Short")
        ),
        "Closed PnL": _pairs(np.zeros(len(kept)), trips.pnl[kept]),
        "Transaction Hash": np.array([f"0x{config.seed:08x}{one:056x}" for one in number.tolist()], dtype=object),
        "Order ID": 40_000_000_000 + number,
        "Crossed": np.repeat(np.where(trips.fee[kept] > 0, "TRUE", "FALSE"), 2),
        "Fee": _pairs(fee_in, fee_out),
        "Trade ID": 100_000_000_000_000 + number,
        "Timestamp": utc * 60_000,
    }


def truth_table(config: TraderSimulation, wallets: Sequence[Wallet], trips: Trips) -> dict[str, Any]:
    """Return one row per wallet: its kind, planted Sharpe ratio, life, and what it earned after fees."""
    _, _, fee_in, fee_out = _values(trips)
    net = np.bincount(trips.wallet, weights=trips.pnl - fee_in - fee_out, minlength=len(wallets))
    day = _dates(config, np.arange(config.days)).astype(object)
    return {
        "address": np.array([one.address for one in wallets]),
        "kind": np.array([one.kind for one in wallets]),
        "planted_sharpe": np.array([one.sharpe for one in wallets]),
        "born": np.array([str(day[one.born]) for one in wallets]),
        "died": np.array(["" if one.died is None else str(day[one.died]) for one in wallets]),
        "ending": np.array([one.ending for one in wallets]),
        "trips": np.bincount(trips.wallet, minlength=len(wallets)),
        "net_pnl": np.round(net, 6),
    }


def chosen_for_fills(config: TraderSimulation, wallets: Sequence[Wallet]) -> IntArray:
    """Return the places of the wallets that get raw fills: evenly spread over the wallets ordered by kind."""
    order = np.array(sorted(range(len(wallets)), key=lambda place: (KINDS.index(wallets[place].kind), place)))
    count = min(config.fills, len(wallets))
    return np.sort(order[np.linspace(0, len(order) - 1, count).astype(np.int64)]) if count else order[:0]


def _values(trips: Trips) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the value in USD of entry and exit, and the fee of each, rounded as they are written."""
    value_in, value_out = (np.round(trips.tokens * price, 2) for price in (trips.price_in, trips.price_out))
    return value_in, value_out, np.round(value_in * trips.fee, 8), np.round(value_out * trips.fee, 8)


def _pairs(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Return first[0], second[0], first[1], second[1], ..."""
    return np.stack([first, second], axis=1).ravel()


def _running(daily: FloatArray, begins: NDArray[np.bool_]) -> FloatArray:
    starts = np.flatnonzero(begins)
    parts = np.split(daily, starts[1:]) if len(starts) else []
    return np.concatenate([np.cumsum(part) for part in parts]) if parts else daily


def _peaks(running: FloatArray, begins: NDArray[np.bool_]) -> FloatArray:
    starts = np.flatnonzero(begins)
    parts = np.split(running, starts[1:]) if len(starts) else []
    return np.concatenate([np.maximum.accumulate(part) for part in parts]) if parts else running


def _dates(config: TraderSimulation, day: IntArray) -> NDArray[np.datetime64]:
    return np.datetime64(config.start, "D") + day * np.timedelta64(1, "D")


def _write(path: Path, columns: dict[str, Any]) -> None:
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError as error:
        raise MissingExtra("pyarrow", "train") from error
    sink = io.BytesIO()
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    csv.write_csv(table, sink, csv.WriteOptions(quoting_style="needed"))
    write_atomic(path, sink.getvalue(), _MODE)


def _refuse_foreign(folder: Path) -> None:
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if foreign:
            raise ConfigError(
                f"{folder} holds {len(foreign)} files that no simulation of traders wrote, such as {foreign[0]}",
                remedy="choose a new or empty folder with --out",
            )
    elif folder.exists():
        raise ConfigError(f"{folder} is a file", remedy="choose a new or empty folder with --out")
