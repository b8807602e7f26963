"""``configs/venues/<venue>.yml``: how the files of a trading venue are read."""

import re
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import field_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.errors import ConfigError

Names = tuple[str, ...]

FILL_FIELDS = ("address", "coin", "side", "price", "size", "filled_at", "closed_pnl", "fee")
"""Fields that a venue's fills must have; ``start_position``, ``direction`` and ``fee_token`` may be absent."""

DAY_FIELDS = ("address", "date", "daily_pnl", "n_trades")
"""Fields that account-days must have; win rate, volume, long ratio and fees may be absent."""


class FillsMap(Section):
    """Where the fields of a fill stand, and what its words mean.

    Attributes:
        columns: field -> names that its column may have, tried in order.
        fill_id: groups of columns that identify a fill together; the first whose values are all whole is taken.
        time_formats: strptime formats of local times; ``epoch_ms`` stands for UTC milliseconds since 1970.
        buy, sell: words of the side.
        long_directions, short_directions: words that say on which side the position is that the fill acts on.
        coin_fee_directions: words of fills whose fee is in units of the coin.
        usd_tokens: fee tokens that count as dollars.
    """

    columns: dict[str, Names]
    fill_id: tuple[Names, ...]
    time_formats: Names
    buy: Names
    sell: Names
    long_directions: Names = ()
    short_directions: Names = ()
    coin_fee_directions: Names = ()
    usd_tokens: Names = ("USD", "USDC", "USDT")

    @field_validator("columns")
    @classmethod
    def _has_fields(cls, columns: dict[str, Names]) -> dict[str, Names]:
        return _check_columns(columns, FILL_FIELDS, ("start_position", "direction", "fee_token"))


class DaysMap(Section):
    """Where the fields of an account-day stand.

    Attributes:
        columns: field -> names that its column may have, tried in order.
        pnl: whether ``daily_pnl`` is before fees (``gross``) or after them (``net``).
        date_formats: strptime formats of dates that are not ISO 8601.
    """

    columns: dict[str, Names]
    pnl: Literal["gross", "net"] = "gross"
    date_formats: Names = ()

    @field_validator("columns")
    @classmethod
    def _has_fields(cls, columns: dict[str, Names]) -> dict[str, Names]:
        return _check_columns(columns, DAY_FIELDS, ("win_rate", "volume_usd", "long_ratio", "fees", "average_fee"))


class VenueMap(Section):
    """A venue: its name, the zone of its local times and days, and the maps of its two kinds of files."""

    venue: str
    time_zone: str
    fills: FillsMap
    days: DaysMap

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"{zone!r} is no IANA time zone such as UTC or Asia/Kolkata")
        ZoneInfo(zone)
        return zone


def load_venue(home: Home, venue: str) -> VenueMap:
    """Read the map of ``venue`` from the home, or the one that the package carries.

    Raises:
        ConfigError: there is none of this name, or it is not valid.
    """
    if not re.fullmatch(r"[a-z0-9_]{1,40}", venue):
        raise ConfigError(f"--venue {venue!r} is not a venue's name", remedy="use lower case letters, digits and _")
    package = Path(__file__).resolve().parents[1]
    folders = [home.root / "configs", package / "_bundled" / "configs", package.parent / "configs"]
    for folder in folders:
        path = folder / "venues" / f"{venue}.yml"
        if path.is_file():
            return load_section(path, VenueMap)
    known = sorted({path.stem for folder in folders for path in (folder / "venues").glob("*.yml")})
    raise ConfigError(
        f"there is no map of the venue {venue!r}: {folders[0] / 'venues' / f'{venue}.yml'} is missing",
        remedy=f"name one of {', '.join(known)}, or write that file after the example of plain.yml",
    )


def _check_columns(columns: dict[str, Names], required: Names, optional: Names) -> dict[str, Names]:
    missing = [name for name in required if not columns.get(name)]
    unknown = [name for name in columns if name not in (*required, *optional)]
    if missing or unknown:
        raise ValueError(f"columns lack {missing} and have unknown {unknown}; fields are {[*required, *optional]}")
    return columns
