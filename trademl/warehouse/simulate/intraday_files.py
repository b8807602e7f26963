"""Write simulated bars of minutes as files that ``trademl ingest intraday-bars`` takes, and the truth beside them."""

import io
import json
import warnings
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ConfigError, MissingExtra
from trademl.validation.discrimination import auc
from trademl.warehouse.simulate.intraday import (
    DRIFT_ATR,
    KINDS,
    RELEASE_BARS,
    RELEASE_SIGMA_ATR,
    IntradayBars,
    IntradaySimulation,
    Touches,
    simulate_bars,
)
from trademl.warehouse.simulate.write import refuse_foreign

BARS, TRUTH_TABLE, TRUTH = "bars.parquet", "truth.csv", "truth.json"
FILES = (BARS, TRUTH_TABLE, TRUTH)
TIME_ZONE = "America/New_York"

_MODE = 0o644
_ROW_GROUP = 1 << 17
_FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class Session:
    """A session of the exchange: its open, local time, and how many bars it has."""

    day: date
    open_at: np.datetime64
    bars: int


@dataclass(frozen=True)
class IntradayReport:
    """What was written. ``oracle_*`` say how well the planted quantities order what came of the touches here.

    ``oracle_direction`` is the AUC of the tilt for break against bounce, ``oracle_tradeable`` that of tilt's magnitude
    plus size for two ATR reached at all, ``oracle_strength`` the correlation of tilt and excursion; NaN where there is
    nothing to compare.
    """

    folder: Path
    rows: int
    symbols: int
    first: date
    last: date
    touches: int
    strength: float
    oracle_direction: float
    oracle_tradeable: float
    oracle_strength: float


def simulate_intraday(config: IntradaySimulation, folder: Path) -> IntradayReport:
    """Simulate bars and write them, the touches behind them and the truth into ``folder``.

    The same configuration gives the same bytes. An earlier simulation in the folder is replaced; ``truth.json`` is
    written last.

    Raises:
        ConfigError: the folder holds something else, or the calendar is unknown or too short.
        MissingExtra: pyarrow or exchange_calendars is not installed.
    """
    refuse_foreign(folder, FILES)
    sessions = trading_sessions(config)
    bars, touches = simulate_bars(config, tuple(session.bars for session in sessions))
    names = [f"M{number:0{max(3, len(str(config.symbols)))}d}" for number in range(1, config.symbols + 1)]
    (folder / TRUTH).unlink(missing_ok=True)
    rows = _write_bars(folder / BARS, config, bars, sessions, names)
    _write_touches(folder / TRUTH_TABLE, config, touches, sessions, names)
    resolved = np.isfinite(touches.excursion)
    decided = touches.first != 0
    report = IntradayReport(
        folder=folder,
        rows=rows,
        symbols=config.symbols,
        first=sessions[0].day,
        last=sessions[-1].day,
        touches=len(touches.symbol),
        strength=config.strength,
        oracle_direction=auc(touches.tilt[decided], touches.first[decided] > 0),
        oracle_tradeable=auc((np.abs(touches.tilt) + touches.size)[resolved], decided[resolved]),
        oracle_strength=_correlation(touches.tilt[resolved], touches.excursion[resolved]),
    )
    truth = _truth(config, touches, report)
    write_atomic(folder / TRUTH, (json.dumps(truth, indent=1) + "\n").encode(), _MODE)
    return report


def trading_sessions(config: IntradaySimulation) -> list[Session]:
    """Return the sessions of the calendar from ``start`` on; those that close early have fewer bars.

    Raises:
        ConfigError: there is no such calendar, or it ends too early.
        MissingExtra: exchange_calendars is not installed.
    """
    try:
        import exchange_calendars
    except ImportError as error:
        raise MissingExtra("exchange_calendars", "train") from error
    from exchange_calendars.errors import CalendarError

    end = config.start + timedelta(days=config.sessions * 366 // 252 + 60)
    try:
        with warnings.catch_warnings():
            # exchange_calendars 4.13 calls what pandas 3 deprecates; the sessions are right
            warnings.simplefilter("ignore", DeprecationWarning)
            calendar = exchange_calendars.get_calendar(config.calendar, start=str(config.start), end=str(end))
            schedule = calendar.schedule.iloc[: config.sessions]
    except (CalendarError, ValueError) as error:
        raise ConfigError(
            f"calendar {config.calendar!r} cannot give sessions from {config.start} to {end}: {error}",
            remedy="use an exchange_calendars name such as XNYS, a later --start or fewer --sessions",
        ) from error
    if len(schedule) < config.sessions:
        raise ConfigError(
            f"calendar {config.calendar} has {len(schedule)} sessions from {config.start} to {end}, "
            f"not {config.sessions}",
            remedy="ask for fewer --sessions",
        )
    found = []
    for day, opens, closes in zip(schedule.index, schedule["open"], schedule["close"], strict=True):
        local = opens.tz_convert(TIME_ZONE).tz_localize(None).to_datetime64().astype("datetime64[s]")
        minutes = int((closes - opens).total_seconds() // 60)
        found.append(Session(day.date(), local, minutes // config.bar_minutes))
    return found


def _write_bars(
    path: Path, config: IntradaySimulation, bars: IntradayBars, sessions: list[Session], names: list[str]
) -> int:
    """Write symbol by symbol, time within; ``ts`` is the local time at which a bar starts."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtra("pyarrow", "train") from error
    step = np.timedelta64(config.bar_minutes, "m")
    times = np.concatenate([one.open_at + step * np.arange(-bars.pre, one.bars) for one in sessions])
    count = len(times)
    columns: dict[str, Any] = {"symbol": pa.array(np.repeat(np.array(names), count))}
    columns["ts"] = pa.array(np.tile(times, len(names)).astype("datetime64[us]"))
    for name in _FIELDS:
        columns[name] = pa.array(np.concatenate(getattr(bars, name)).T.ravel())
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", row_group_size=_ROW_GROUP)
    write_atomic(path, sink.getvalue(), _MODE)
    return count * len(names)


def _write_touches(
    path: Path, config: IntradaySimulation, touches: Touches, sessions: list[Session], names: list[str]
) -> None:
    header = "symbol,touched_at,level_kind_name,level_price,direction,atr,tilt,size,excursion_atr,first"
    lines = [header]
    for place, symbol in enumerate(touches.symbol.tolist()):
        session = sessions[int(touches.session[place])]
        start = session.open_at + np.timedelta64(config.bar_minutes * int(touches.bar[place]), "m")
        excursion = float(touches.excursion[place])
        lines.append(
            f"{names[symbol]},{start},{KINDS[int(touches.kind[place])]},{touches.level[place]:.6f},"
            f"{'UP' if touches.side[place] > 0 else 'DOWN'},{touches.atr[place]:.6f},{touches.tilt[place]:.6f},"
            f"{touches.size[place]:.6f},{'' if np.isnan(excursion) else f'{excursion:.6f}'},{touches.first[place]}"
        )
    write_atomic(path, ("\n".join(lines) + "\n").encode(), _MODE)


def _truth(config: IntradaySimulation, touches: Touches, report: IntradayReport) -> dict[str, Any]:
    kinds = {
        name: int(sum((touches.kind == place).sum() for place, one in enumerate(KINDS) if one == name))
        for name in dict.fromkeys(KINDS)
    }
    return {
        "parameters": config.model_dump(mode="json"),
        "time_zone": TIME_ZONE,
        "first": str(report.first),
        "last": str(report.last),
        "rows": report.rows,
        "touches": report.touches,
        "touches_by_kind": kinds,
        "planted": {
            "strength": config.strength,
            "bars": RELEASE_BARS,
            "drift_atr_per_bar": f"{DRIFT_ATR} * strength * tilt, towards a break",
            "sigma_atr_per_bar": f"{RELEASE_SIGMA_ATR} * exp(strength * size / 2) * u, u lognormal with mean 1",
            "tilt": "clip(1 - 2 * share of the session gone + (approach - 0.25) / 0.5, -1, 1), approach in ATR a bar "
            "over 5 bars towards the level",
            "size": "clip((|level - prior close| / ATR - 12) / 8, -1, 1), 0 without a prior session",
        },
        "oracle": {
            name: None if np.isnan(value) else value
            for name, value in (
                ("direction_auc", report.oracle_direction),
                ("tradeable_auc", report.oracle_tradeable),
                ("strength_correlation", report.oracle_strength),
            )
        },
    }


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 3 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
