"""What the scoring service accepts: small JSON objects, checked to the last key; anything else is refused with reasons.

Every refusal is a :class:`Refused` with an HTTP status, a short code and a sentence that says what was received and
what is allowed. Nothing that a client sends is echoed at length, evaluated, or used as a path or as SQL.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

MAX_BODY = 16 * 1024
"""Bytes of a request's body, and of a WebSocket message."""

MAX_PINNED = 50
MAX_NEIGHBORS = 50
_SHOWN = 120

Symbol = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9.\-]{0,14}$")]
LevelId = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]

Day = date
"""A field is called date too."""

RequestT = TypeVar("RequestT", bound="Request")


@dataclass
class Refused(Exception):
    """A request that is not answered with what it asked for.

    Attributes:
        status: of HTTP.
        code: a short name of the reason.
        message: what was received, and what is allowed.
        remedy: what to do, where there is something.
    """

    status: int
    code: str
    message: str
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """Return the refusal as a JSON object."""
        return error_document(self.status, self.code, self.message, self.remedy)


class Request(BaseModel):
    """Base of all requests: frozen, closed to unknown keys, no guessing of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ViewportRequest(Request):
    """A viewport of one moment.

    Attributes:
        symbol: such as SPY.
        at: ISO 8601, at most to the microsecond; without a zone it is UTC. None is the end of the symbol's last bar.
        pinned: level_ids that are shown wherever price stands.
        neighbors: how many of the similar touches each target lists.
    """

    symbol: Symbol
    at: datetime | None = None
    pinned: tuple[LevelId, ...] = Field(default=(), max_length=MAX_PINNED, strict=False)
    neighbors: int = Field(default=0, ge=0, le=MAX_NEIGHBORS)

    @field_validator("at", mode="before")
    @classmethod
    def _instant(cls, value: Any) -> Any:
        return instant(value)


class StreamRequest(Request):
    """Viewports of bar after bar over a WebSocket.

    Attributes:
        action: ``replay`` the bars of a session, ``follow`` new bars as snapshots bring them, or ``stop``.
        symbol: needed but for stop.
        date: the session to replay.
        seconds: between two viewports of a replay; 0 is as fast as the reader takes them.
        pinned, neighbors: as in :class:`ViewportRequest`.
    """

    action: Literal["replay", "follow", "stop"]
    symbol: Symbol | None = None
    date: Day | None = None
    seconds: float = Field(default=0.0, ge=0.0, le=3600.0, strict=False)
    pinned: tuple[LevelId, ...] = Field(default=(), max_length=MAX_PINNED, strict=False)
    neighbors: int = Field(default=0, ge=0, le=MAX_NEIGHBORS)

    @field_validator("date", mode="before")
    @classmethod
    def _day(cls, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("write a date as in 2025-12-31")
        return Day.fromisoformat(value)

    @field_validator("seconds", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("write a number of seconds")
        return value


def instant(value: Any) -> datetime | None:
    """Return an ISO 8601 text as a naive UTC instant; None stays None.

    Raises:
        ValueError: it is no such text, or out of range.
    """
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 40:
        raise ValueError("write an instant as in 2025-12-31T14:35:00Z")
    found = datetime.fromisoformat(value)
    try:
        found = found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except OverflowError as error:
        raise ValueError("the instant is out of range") from error
    if not 1970 <= found.year <= 2200:
        raise ValueError("the instant is not between 1970 and 2200")
    return found


def read_json(raw: bytes | str) -> dict[str, Any]:
    """Return the JSON object in a body or message.

    Raises:
        Refused: it is too long, no UTF-8, no JSON, no object, or has a key twice.
    """
    size = len(raw)
    if size > MAX_BODY:
        raise Refused(413, "too_large", f"{size} bytes were sent; at most {MAX_BODY} are read")
    if not raw:
        raise Refused(400, "bad_json", "nothing was sent", "send a JSON object")
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Refused(400, "bad_json", f"byte {error.start} is no UTF-8", "send UTF-8") from error
    except RecursionError as error:
        raise Refused(400, "bad_json", "the JSON is nested too deeply", "send a flat object") from error
    except ValueError as error:
        raise Refused(400, "bad_json", f"no JSON: {short(error)}", "send a JSON object") from error
    if not isinstance(found, dict):
        raise Refused(400, "bad_json", f"a JSON {type(found).__name__} is no object", "send a JSON object")
    return found


def check(kind: type[RequestT], given: Mapping[str, Any]) -> RequestT:
    """Return a request of ``kind``.

    Raises:
        Refused: a key is unknown or missing, or a value is wrong; all of them are told.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        found = [_explain(item) for item in error.errors(include_url=False, include_context=False)[:10]]
        known = ", ".join(kind.model_fields)
        raise Refused(422, "bad_request", "; ".join(found), f"the keys are {known}") from error


def from_query(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return the keys of a query string as a JSON object would have them.

    ``pinned`` may be there several times; other keys once.

    Raises:
        Refused: a key is there twice, or neighbors is no number.
    """
    given: dict[str, Any] = {}
    for name, value in pairs:
        if name == "pinned":
            given.setdefault("pinned", []).append(value)
        elif name in given:
            raise Refused(422, "bad_request", f"{short(name)} stands in the query twice", "keep one of the two")
        elif name == "neighbors":
            if not value.isascii() or not value.isdigit() or len(value) > 6:
                raise Refused(422, "bad_request", f"neighbors={short(value)} is no number", "write digits")
            given[name] = int(value)
        else:
            given[name] = value
    return given


def error_document(status: int, code: str, message: str, remedy: str = "") -> dict[str, Any]:
    """Return the one shape that every error has: ``{"error": {status, code, message, remedy}}``."""
    return {"error": {"status": status, "code": code, "message": message, "remedy": remedy}}


def short(value: Any) -> str:
    """Return a value as printable text of at most 120 characters."""
    text = "".join(sign if sign.isprintable() else "?" for sign in str(value)[: _SHOWN + 1])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _explain(item: Mapping[str, Any]) -> str:
    where = short(".".join(str(part) for part in item["loc"]))
    said = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {said}" if item["type"] in ("missing", "extra_forbidden") else f"{where}={_value(item)}: {said}"


def _value(item: Mapping[str, Any]) -> str:
    return short(repr(item.get("input")))
