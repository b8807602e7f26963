"""Write a simulated market as the files that ``trademl ingest`` takes, with the truth beside them."""

import io
import json
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ConfigError, MissingExtra
from trademl.rng import stream
from trademl.warehouse.simulate.config import FEATURE_WINDOW, SECTORS, SimulationConfig
from trademl.warehouse.simulate.market import SESSIONS_PER_YEAR, Floats, Listings, Noise, draw_listings, draw_noise
from trademl.warehouse.simulate.prices import Bars, make_bars
from trademl.warehouse.simulate.signal import Planted, plant

BARS, CORRECTIONS, TRUTH, TRUTH_TABLE = "bars.parquet", "corrections.parquet", "truth.json", "truth.parquet"
MEMBERSHIP, SECTORS_FILE, VIX = "membership.csv", "sectors.csv", "vix.csv"
FILES = (BARS, CORRECTIONS, MEMBERSHIP, SECTORS_FILE, VIX, TRUTH_TABLE, TRUTH)

_ROW_GROUP = 1 << 17
_MODE = 0o644
_FIELDS = ("open", "high", "low", "close", "volume", "dividend", "split")
_NAMES = {"dividend": "dividend_amount", "split": "split_coefficient"}
_ERRORS = ("volume ten times too large", "high misprinted", "close misprinted")


@dataclass(frozen=True)
class SimulationReport:
    """What was written. ``oracle_ic`` is the planted signal's rank IC in this one history, before any warehouse."""

    folder: Path
    rows: int
    symbols: int
    first: date
    last: date
    splits: int
    dividends: int
    delistings: int
    missing: int
    corrections: int
    planted_ic: float
    oracle_ic: float
    oracle_error: float


def simulate_market(config: SimulationConfig, folder: Path) -> SimulationReport:
    """Simulate a market and write bars, corrections, membership, sectors, VIX and the truth into ``folder``.

    The same configuration gives the same bytes. An earlier simulation in the folder is replaced; ``truth.json`` is
    written last.

    Raises:
        ConfigError: the folder holds something else, or the calendar is unknown or too short.
        MissingExtra: pyarrow or exchange_calendars is not installed.
    """
    refuse_foreign(folder, FILES)
    days = trading_days(config)
    listings = draw_listings(config)
    noise = draw_noise(config, listings)
    alive = listings.alive(config.sessions)
    seasoned = np.arange(config.sessions)[:, None] - listings.first >= FEATURE_WINDOW
    planted = plant(config, noise, alive, alive & seasoned & listings.members(config.sessions))
    bars = make_bars(config, listings, noise, planted.intraday)
    names = symbol_names(config.symbols)
    given, mended = misreport(config, listings, bars)

    (folder / TRUTH).unlink(missing_ok=True)
    _write_bars(folder / BARS, given, names, days, bars.present)
    chosen = np.zeros_like(bars.present)
    for session, symbol, _ in mended:
        chosen[session, symbol] = True
    _write_bars(folder / CORRECTIONS, bars, names, days, chosen)
    _write_members(folder, config, listings, names, days)
    _write_vix(folder / VIX, config, noise, days)
    _write_truth_table(folder / TRUTH_TABLE, planted, names, days)
    truth = _truth(config, listings, bars, planted, names, days, mended)
    write_atomic(folder / TRUTH, (json.dumps(truth, indent=1) + "\n").encode(), _MODE)
    return SimulationReport(
        folder=folder,
        rows=int(bars.present.sum()),
        symbols=config.symbols,
        first=days[0],
        last=days[-1],
        splits=len(truth["splits"]),
        dividends=truth["dividends"],
        delistings=len(truth["delistings"]),
        missing=len(truth["missing_sessions"]),
        corrections=len(truth["corrections"]),
        planted_ic=config.planted_ic,
        oracle_ic=planted.oracle_ic,
        oracle_error=planted.oracle_error,
    )


def trading_days(config: SimulationConfig) -> list[date]:
    """Return the ``sessions`` trading days of the calendar from ``start`` on.

    Raises:
        ConfigError: there is no such calendar, or it ends too early.
        MissingExtra: exchange_calendars is not installed.
    """
    try:
        import exchange_calendars
    except ImportError as error:
        raise MissingExtra("exchange_calendars", "train") from error
    from exchange_calendars.errors import CalendarError

    # 252 sessions in 366 days is the sparsest year; the rest is room for long closures
    end = config.start + timedelta(days=config.sessions * 366 // SESSIONS_PER_YEAR + 60)
    try:
        with warnings.catch_warnings():
            # exchange_calendars 4.13 calls what pandas 3 deprecates; the sessions are right
            warnings.simplefilter("ignore", DeprecationWarning)
            calendar = exchange_calendars.get_calendar(config.calendar, start=str(config.start), end=str(end))
    except (CalendarError, ValueError) as error:
        raise ConfigError(
            f"calendar {config.calendar!r} cannot give sessions from {config.start} to {end}: {error}",
            remedy="use an exchange_calendars name such as XNYS, a later --start or fewer --sessions",
        ) from error
    days: list[date] = calendar.sessions[: config.sessions].to_numpy().astype("datetime64[D]").tolist()
    if len(days) < config.sessions:
        raise ConfigError(
            f"calendar {config.calendar} has {len(days)} sessions from {config.start} to {end}, not {config.sessions}",
            remedy="ask for fewer --sessions",
        )
    return days


def symbol_names(count: int) -> list[str]:
    """Return ``count`` symbols S001, S002, ... of equal width."""
    width = max(3, len(str(count)))
    return [f"S{number:0{width}d}" for number in range(1, count + 1)]


def misreport(config: SimulationConfig, listings: Listings, bars: Bars) -> tuple[Bars, list[tuple[int, int, str]]]:
    """Return bars as first reported, with a few wrong ones, and the (session, symbol, error) of those.

    Wrong bars are consistent in themselves, so ingest takes them; the correction file holds the right values.
    """
    rng = stream(config.seed, "simulate", "corrections")
    usable = bars.present & listings.members(config.sessions)
    usable[:FEATURE_WINDOW] = usable[-1] = False
    cells = np.argwhere(usable & (bars.high - bars.low >= 0.1))
    picked = np.sort(rng.permutation(len(cells))[: config.corrections])
    fields = {name: getattr(bars, name).copy() for name in _FIELDS}
    errors = []
    for position, (session, symbol) in enumerate(cells[picked].tolist()):
        at = session, symbol
        kind = _ERRORS[position % len(_ERRORS)]
        if kind == _ERRORS[0]:
            fields["volume"][at] *= 10.0
        elif kind == _ERRORS[1]:
            fields["high"][at] = np.round(bars.high[at] * 1.03 + 0.01, 2)
        else:
            further = bars.high[at] if bars.high[at] - bars.close[at] > bars.close[at] - bars.low[at] else bars.low[at]
            fields["close"][at] = further
        errors.append((session, symbol, kind))
    return Bars(present=bars.present, missing=bars.missing, **fields), errors


def refuse_foreign(folder: Path, files: Collection[str]) -> None:
    """Refuse a folder that holds anything but ``files``: a simulation replaces only what a simulation wrote.

    Raises:
        ConfigError: it does, or it is a file.
    """
    if folder.is_dir():
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in files)
        if foreign:
            raise ConfigError(
                f"{folder} holds {len(foreign)} files that no such simulation wrote, such as {foreign[0]}",
                remedy="choose a new or empty folder with --out",
            )
    elif folder.exists():
        raise ConfigError(f"{folder} is a file", remedy="choose a new or empty folder with --out")


def _write_bars(path: Path, bars: Bars, names: list[str], days: list[date], which: NDArray[np.bool_]) -> None:
    session, symbol = np.nonzero(which)
    columns = {_NAMES.get(name, name): getattr(bars, name)[session, symbol] for name in _FIELDS}
    _write_panel(path, names, days, session, symbol, columns)


def _write_truth_table(path: Path, planted: Planted, names: list[str], days: list[date]) -> None:
    """Write the signal, the expected log return to the end of the label, and its rank in the cross-section."""
    session, symbol = np.nonzero(np.isfinite(planted.signal))
    signal = planted.signal[session, symbol]
    order = np.lexsort((signal, session))
    size = np.bincount(session)[session]
    first = np.searchsorted(session, session)
    rank = np.empty(len(signal))
    rank[order] = np.arange(len(signal)) - first[order] + 1.0
    columns = {
        "signal": signal,
        "expected_return": planted.amplitude * planted.persistence * signal,
        "expected_rank": rank / size,
    }
    _write_panel(path, names, days, session, symbol, columns)


def _write_panel(
    path: Path,
    names: list[str],
    days: list[date],
    session: NDArray[np.int64],
    symbol: NDArray[np.int64],
    columns: dict[str, Floats],
) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "train") from error
    text = pa.DictionaryArray.from_arrays(pa.array(symbol.astype(np.int32)), pa.array(names)).cast(pa.string())
    dates = pa.array(np.array(days, dtype="datetime64[D]")[session])
    table = pa.table({"symbol": text, "date": dates, **{name: pa.array(values) for name, values in columns.items()}})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP)
    write_atomic(path, sink.getvalue(), _MODE)


def _write_members(
    folder: Path, config: SimulationConfig, listings: Listings, names: list[str], days: list[date]
) -> None:
    spells = [
        (names[spell.symbol], str(days[spell.start]), "" if spell.end is None else str(days[spell.end]))
        for spell in sorted(listings.spells, key=lambda spell: (spell.symbol, spell.start))
    ]
    _write_csv(folder / MEMBERSHIP, ("symbol", "start_date", "end_date"), spells)
    sectors = [
        (name, f"Simulated {name[1:]} Corp", SECTORS[sector])
        for name, sector in zip(names, listings.sector.tolist(), strict=True)
    ]
    _write_csv(folder / SECTORS_FILE, ("symbol", "name", "sector"), sectors)


def _write_vix(path: Path, config: SimulationConfig, noise: Noise, days: list[date]) -> None:
    """Write an implied volatility in percent a year: the market's volatility with a premium and some noise."""
    mood = stream(config.seed, "simulate", "vix").normal(0.0, 0.04, config.sessions)
    level = 115.0 * np.sqrt(SESSIONS_PER_YEAR) * noise.market_volatility * np.exp(mood)
    rows = [(str(day), f"{value:.2f}") for day, value in zip(days, level.tolist(), strict=True)]
    _write_csv(path, ("date", "value"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    text = "".join(",".join(row) + "\n" for row in (header, *rows))
    write_atomic(path, text.encode(), _MODE)


def _truth(
    config: SimulationConfig,
    listings: Listings,
    bars: Bars,
    planted: Planted,
    names: list[str],
    days: list[date],
    mended: list[tuple[int, int, str]],
) -> dict[str, Any]:
    def cells(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
        return [(int(session), int(symbol)) for session, symbol in np.argwhere(mask)]

    return {
        "parameters": config.model_dump(mode="json"),
        "label": f"fwd_{config.label_horizon}d",
        "first": str(days[0]),
        "last": str(days[-1]),
        "rows": int(bars.present.sum()),
        "signal": {
            "features": {
                "momentum_60d": config.momentum_weight,
                "realised_volatility_60d": config.volatility_weight,
            },
            "amplitude": planted.amplitude,
            "persistence": planted.persistence,
            "population_ic": planted.population_ic,
            "oracle_ic": planted.oracle_ic,
            "oracle_standard_error": planted.oracle_error,
            "oracle_sessions": planted.oracle_sessions,
        },
        "dividends": int((bars.present & (bars.dividend > 0.0)).sum()),
        "splits": [
            {"symbol": names[symbol], "date": str(days[session]), "coefficient": float(bars.split[session, symbol])}
            for session, symbol in cells(bars.present & (bars.split != 1.0))
        ],
        "delistings": [
            {"symbol": names[end.symbol], "kind": end.kind, "event": str(days[end.event]), "last": str(days[end.last])}
            for end in listings.delistings
        ],
        "missing_sessions": [
            {"symbol": names[symbol], "date": str(days[session])} for session, symbol in cells(bars.missing)
        ],
        "corrections": [
            {"symbol": names[symbol], "date": str(days[session]), "error": error} for session, symbol, error in mended
        ],
    }
