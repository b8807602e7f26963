"""A small handmade market with everything that is awkward, written as the files a user would ingest."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache

import numpy as np

from tests.oracles.equities import SectorVersion, Version

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF", "GGG", "HHH")
# GGG's is no name of GICS, and HHH has none.
SECTORS = {
    "AAA": "Information Technology",
    "BBB": "Information Technology",
    "CCC": "Technology",
    "DDD": "Energy",
    "EEE": "Energy",
    "FFF": "Energy",
    "GGG": "Medicine",
}
# Ingested on the evening of session 139, so known from the decision of session 140.
MOVED = {"CCC": "Communication Services", "EEE": "Utilities"}
MOVED_FROM = 140
SESSIONS = 200
FIRST = date(2019, 1, 2)
HEADER = "symbol,date,open,high,low,close,volume,dividend_amount,split_coefficient"


@cache
def sessions() -> tuple[date, ...]:
    """The exchange's sessions of the market, in order."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar("XNYS", start="2018-12-03", end="2020-12-31")
    days = [stamp.date() for stamp in calendar.sessions if stamp.date() >= FIRST]
    return tuple(days[:SESSIONS])


@dataclass(frozen=True)
class File:
    """One source file of bars and the moment at which it is ingested."""

    name: str
    rows: list[Version]
    ingested_at: datetime
    dataset = "equity_bars"

    def text(self) -> str:
        """The file as CSV."""
        lines = [HEADER]
        for row in self.rows:
            prices = ",".join(repr(value) for value in (row.open, row.high, row.low, row.close))
            lines.append(
                f"{row.symbol},{sessions()[row.session]},{prices},{row.volume:.0f},{row.dividend!r},{row.split!r}"
            )
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class SectorFile:
    """A source file of sectors and the moment at which it is ingested."""

    name: str
    rows: dict[str, str]
    ingested_at: datetime
    dataset = "reference"

    def text(self) -> str:
        """The file as CSV."""
        return "symbol,name,sector\n" + "".join(f"{key},{key} Corp,{sector}\n" for key, sector in self.rows.items())


@dataclass
class Market:
    """The files of bars in order of ingestion, and every version that they land."""

    files: list[File] = field(default_factory=list)

    @property
    def versions(self) -> list[Version]:
        return [row for file in self.files for row in file.rows]

    @property
    def sector_versions(self) -> list[SectorVersion]:
        return [SectorVersion(symbol, 0, sector) for symbol, sector in SECTORS.items()] + [
            SectorVersion(symbol, MOVED_FROM, sector) for symbol, sector in MOVED.items()
        ]

    @property
    def landings(self) -> list[File | SectorFile]:
        """All files in order of ingestion, with that of the symbols that move to another sector."""
        moved = SectorFile("moved.csv", MOVED, _evening(MOVED_FROM - 1) + timedelta(minutes=10))
        return sorted([*self.files, moved], key=lambda file: file.ingested_at)


def make_market() -> Market:
    """Eight symbols: a split, dividends, missing sessions, a delisting, a listing, a correction, a late backfill."""
    rng = np.random.default_rng(11)
    bars: dict[tuple[str, int], Version] = {}
    for symbol in SYMBOLS:
        close = float(rng.uniform(20, 120))
        start, stop = {"HHH": (70, SESSIONS), "GGG": (0, 150)}.get(symbol, (0, SESSIONS))
        for session in range(start, stop):
            split = 2.0 if (symbol, session) == ("BBB", 90) else 1.0
            dividend = 0.4 if symbol == "CCC" and session % 60 == 30 else 0.0
            opened = close / split * float(np.exp(rng.normal(0, 0.006)))
            closed = opened * float(np.exp(rng.normal(0, 0.015)))
            high = max(opened, closed) * (1 + abs(float(rng.normal(0, 0.006))))
            low = min(opened, closed) * (1 - abs(float(rng.normal(0, 0.006))))
            volume = float(rng.integers(200_000, 900_000))
            prices = [round(value, 4) for value in (opened, high, low, closed)]
            bars[symbol, session] = Version(symbol, session, session, 0, *prices, volume, dividend, split)
            close = prices[3]
    for gone in [("DDD", 40), ("DDD", 41), ("EEE", 120), *(("FFF", s) for s in range(100, 113))]:
        del bars[gone]
    backfilled = bars.pop(("AAA", 110))
    market = Market()
    by_session: dict[int, list[Version]] = {}
    for (_, session), bar in sorted(bars.items(), key=lambda item: (item[0][1], item[0][0])):
        by_session.setdefault(session, []).append(bar)

    def stretch(name: str, first: int, last: int) -> None:
        rows = [bar for session in range(first, last + 1) for bar in by_session[session]]
        market.files.append(File(name, rows, _evening(last)))

    stretch("history.csv", 0, 111)
    # Known on the evening of session 112, so it counts from the decision of session 113.
    market.files.append(File("backfill.csv", [_late(backfilled, 113, 1)], _evening(112)))
    stretch("more.csv", 112, 139)
    wrong = bars["BBB", 138]
    corrected = Version(
        "BBB", 138, 140, 1, wrong.open, wrong.high * 1.1, wrong.low, round(wrong.close * 1.05, 4), 500_000.0
    )
    market.files.append(File("correction.csv", [corrected], _evening(139) + timedelta(minutes=5)))
    stretch("last.csv", 140, SESSIONS - 2)
    stretch("today.csv", SESSIONS - 1, SESSIONS - 1)
    return market


def _late(bar: Version, effective: int, order: int) -> Version:
    return Version(
        bar.symbol,
        bar.session,
        effective,
        order,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.dividend,
        bar.split,
    )


def _evening(session: int) -> datetime:
    """Well after the session's decision, well before the next one's."""
    day = sessions()[session]
    return datetime(day.year, day.month, day.day, 23, 30)
