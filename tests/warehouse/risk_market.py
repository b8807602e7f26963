"""The small market with VIX and the Fama-French factors: late, missing, stale and corrected values; and its oracle."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np

from tests.oracles import equities as oracle
from tests.oracles import risk_features as risk
from tests.oracles.risk_features import Features, Value
from tests.warehouse.small_market import FIRST, SYMBOLS, File, Market, SectorFile
from trademl.config import Home
from trademl.warehouse.ingest import ingest_files

SERIES = ("VIX", *risk.FACTORS.values())
BEFORE = 420
"""Sessions of series before the market's first one: a year of windows of 60 sessions."""

# Sessions after which a month of factors is published, and the evening on which it is.
MONTHS = ((20, 35), (41, 56), (62, 80), (83, 175))


@cache
def calendar() -> tuple[date, ...]:
    """The exchange's sessions from 2016 to 2020."""
    import exchange_calendars

    known = exchange_calendars.get_calendar("XNYS", start="2016-01-04", end="2020-12-31")
    return tuple(stamp.date() for stamp in known.sessions)


def number(session: int) -> int:
    """The place in :func:`calendar` of the market's session ``session``, which may lie before its first."""
    return calendar().index(FIRST) + session


@dataclass(frozen=True)
class SeriesFile:
    """A source file of values and the moment of its ingestion; ``known`` is the instant given for it, if any."""

    name: str
    rows: list[Value]
    ingested_at: datetime
    known: bool = False
    dataset = "series"

    def text(self) -> str:
        """The file as CSV."""
        lines = [f"{row.series},{calendar()[number(row.session)]},{row.value!r}" for row in self.rows]
        return "\n".join(["series,date,value", *lines]) + "\n"


@cache
def series_files() -> tuple[SeriesFile, ...]:
    """Files in order of ingestion."""
    rng = np.random.default_rng(5)
    level, values = 18.0, {}
    for session in range(-BEFORE, 200):
        level = max(9.0, level * float(np.exp(rng.normal(0, 0.06))) * (18.0 / level) ** 0.05)
        values["VIX", session] = round(level, 2)
        for series in SERIES[1:]:
            values[series, session] = round(float(rng.normal(0.02, 0.6)), 2)
    files = []

    def add(name: str, rows: Sequence[tuple[str, int]], evening: int, *, known: bool = False, order: int = 0) -> None:
        landed = [
            Value(series, session, evening + 1 if known else session, order, values[series, session])
            for series, session in rows
        ]
        files.append(SeriesFile(f"{name}.csv", landed, _night(evening), known))

    def stretch(first: int, last: int, series: Sequence[str]) -> list[tuple[str, int]]:
        return [(name, session) for session in range(first, last + 1) for name in series]

    # Two sessions of the past have no factors; VIX is missing on 80, 100 to 106, and from 190 on.
    past = [row for row in stretch(-BEFORE, -1, SERIES) if row[1] not in (-70, -69) or row[0] == "VIX"]
    add("past", past, -1)
    first = 0
    for number_of_month, (last, evening) in enumerate(MONTHS):
        add(f"factors_{number_of_month}", stretch(first, last, SERIES[1:]), evening, known=True)
        first = last + 1
    add("vix_0", stretch(0, 79, ["VIX"]), 79)
    add("vix_1", stretch(81, 83, ["VIX"]), 83)
    # A backfill is known when it is ingested, on the evening of 84.
    add("vix_late", [("VIX", 80)], 84, known=True)
    add("vix_2", stretch(84, 99, ["VIX"]), 99)
    add("vix_3", stretch(107, 130, ["VIX"]), 130)
    values["VIX", 128] = 55.0
    values["HML", 60] = -7.5
    add("correction", [("VIX", 128), ("HML", 60)], 133, known=True, order=1)
    add("vix_4", stretch(131, 189, ["VIX"]), 189)
    return tuple(sorted(files, key=lambda file: file.ingested_at))


def versions() -> list[Value]:
    """Every version that the files land."""
    return [row for file in series_files() for row in file.rows]


def _night(session: int) -> datetime:
    """Well after the decision of the session, half an hour after the small market's bars came."""
    day = calendar()[number(session)]
    return datetime(day.year, day.month, day.day, 23, 50)


def landings(market: Market) -> list[File | SectorFile | SeriesFile]:
    """All files of the market and of series, in order of ingestion."""
    return sorted([*market.landings, *series_files()], key=lambda file: file.ingested_at)


def ingest(home: Home, files: Sequence[File | SectorFile | SeriesFile]) -> None:
    """Ingest each file at its own moment."""
    for file in files:
        path = home.root / file.name
        path.write_text(file.text())
        moment = file.ingested_at.replace(tzinfo=UTC)
        given = moment - timedelta(minutes=5) if isinstance(file, SeriesFile) and file.known else None
        report = ingest_files(home, file.dataset, [path], source="test", known_at=given, now=lambda now=moment: now)
        assert report.landed == len(file.rows), report.as_text()


def expected_own_features(market: Market) -> dict[tuple[str, int], Features]:
    """The oracle's features of every bar that was there at its own decision."""
    days = range(200)
    series = {}
    for symbol in SYMBOLS:
        for t in days:
            bars = oracle.known_bars(market.versions, symbol, t)
            if t in bars:
                series[symbol, t] = oracle.listing(bars, t)
    sectors = {(symbol, t): _sector(market, symbol, t) for symbol, t in series}
    returns: dict[int, list[float]] = {}
    grouped: dict[tuple[str, int], list[float]] = {}
    for (symbol, t), listing in series.items():
        if len(listing.sessions) >= 5:
            returns.setdefault(t, []).append(listing.returns[-1])
            sector = sectors[symbol, t]
            if sector:
                grouped.setdefault((sector, t), []).append(listing.returns[-1])
    benchmark = {t: risk.mean(values) for t, values in returns.items()}
    of_sector = {key: risk.mean(values) for key, values in grouped.items() if len(values) >= 2}
    found = {}
    for (symbol, t), listing in series.items():
        own = {
            at: of_sector[_sector(market, symbol, at), at]
            for at, is_present in zip(listing.sessions, listing.present, strict=True)
            if is_present and (_sector(market, symbol, at), at) in of_sector
        }
        found[symbol, t] = risk.own_features(listing, benchmark, own)
    return found


def _sector(market: Market, symbol: str, at: int) -> str:
    known = ""
    for version in market.sector_versions:
        if version.symbol == symbol and version.effective <= at:
            known = version.sector
    return known


def expected_shared_features(values: Sequence[Value], sessions: Sequence[int]) -> dict[int, Features]:
    """The oracle's features of the market, which every symbol of a session has."""
    reach = range(min(sessions) - 251, max(sessions) + 1)
    levels = {at: risk.vix_known(values, at) for at in reach}
    windows = {
        (factor, at): risk.factor_window(values, series, at) for factor, series in risk.FACTORS.items() for at in reach
    }
    found = {}
    for t in sessions:
        year = range(t - 251, t + 1)
        place = number(t)
        features = risk.calendar_features(
            calendar()[place], calendar()[: place + 1], calendar()[place + 1 : place + 80]
        ) | risk.vix_features([levels[at] for at in year])
        for factor in risk.FACTORS:
            features |= risk.factor_features(factor, [windows[factor, at] for at in year])
        found[t] = features
    return found
