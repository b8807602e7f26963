"""The only source of "now", so that tests and replays can pass their own."""

import os
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]

FIXED_NOW = "TRADEML_NOW"


def utc_now() -> datetime:
    """Return the current time in UTC, or the instant in ``TRADEML_NOW`` (ISO 8601) when that is set.

    The environment variable exists for replays and reproducible demonstrations.
    """
    fixed = os.environ.get(FIXED_NOW)
    if fixed:
        return parse_instant(fixed)
    return datetime.now(UTC)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 date or timestamp as a UTC instant; a missing zone means UTC.

    >>> parse_instant("2015-06-30").isoformat()
    '2015-06-30T00:00:00+00:00'
    """
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def sql_utc(instant: datetime) -> datetime:
    """Return ``instant`` as the naive UTC timestamp that every table stores."""
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
