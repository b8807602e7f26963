"""What the service accepts, and how it says no."""

import json
from collections.abc import Callable
from datetime import date, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trademl.sleeves.events.service.requests import (
    MAX_BODY,
    Refused,
    StreamRequest,
    ViewportRequest,
    check,
    from_query,
    instant,
    read_json,
    short,
)


def test_a_request_is_read() -> None:
    """All keys of a viewport, with an instant in another zone."""
    body = b'{"symbol": "BRK.B", "at": "2025-12-31T10:00:00-05:00", "pinned": ["BRK.B PDH"], "neighbors": 3}'
    asked = check(ViewportRequest, read_json(body))
    assert asked == ViewportRequest(symbol="BRK.B", at="2025-12-31T15:00:00", pinned=("BRK.B PDH",), neighbors=3)
    assert asked.at == datetime(2025, 12, 31, 15)


@pytest.mark.parametrize(
    "body, status, code",
    [
        (b"", 400, "bad_json"),
        (b"{", 400, "bad_json"),
        (b"\xff\xfe", 400, "bad_json"),
        (b"[1]", 400, "bad_json"),
        (b'"SPY"', 400, "bad_json"),
        (b'{"symbol": NaN}', 400, "bad_json"),
        (b'{"symbol": "SPY", "symbol": "QQQ"}', 400, "bad_json"),
        (b"[" * 10_000, 400, "bad_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "bad_json"),
        (b" " * (MAX_BODY + 1), 413, "too_large"),
        (b"{}", 422, "bad_request"),
        (b'{"symbol": 7}', 422, "bad_request"),
        (b'{"symbol": "spy"}', 422, "bad_request"),
        (b'{"symbol": "../../etc/passwd"}', 422, "bad_request"),
        (b'{"symbol": "SPY\'; drop table bars; --"}', 422, "bad_request"),
        (b'{"symbol": "SPY", "at": 1767193200}', 422, "bad_request"),
        (b'{"symbol": "SPY", "at": "yesterday"}', 422, "bad_request"),
        (b'{"symbol": "SPY", "at": "0001-01-01T00:00:00+14:00"}', 422, "bad_request"),
        (b'{"symbol": "SPY", "at": "1969-12-31"}', 422, "bad_request"),
        (b'{"symbol": "SPY", "neighbors": "3"}', 422, "bad_request"),
        (b'{"symbol": "SPY", "neighbors": 51}', 422, "bad_request"),
        (b'{"symbol": "SPY", "neighbors": true}', 422, "bad_request"),
        (b'{"symbol": "SPY", "pinned": "SPY PDH"}', 422, "bad_request"),
        (b'{"symbol": "SPY", "pinned": [""]}', 422, "bad_request"),
        (b'{"symbol": "SPY", "pinned": ["a\\u0000b"]}', 422, "bad_request"),
        (json.dumps({"symbol": "SPY", "pinned": ["x"] * 51}).encode(), 422, "bad_request"),
        (b'{"symbol": "SPY", "limit": 5}', 422, "bad_request"),
    ],
)
def test_a_wrong_body_is_refused(body: bytes, status: int, code: str) -> None:
    """Each with its status and code, a sentence, and never an exception of another kind."""
    with pytest.raises(Refused) as refused:
        check(ViewportRequest, read_json(body))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert refused.value.message
    assert refused.value.document()["error"]["message"] == refused.value.message


def test_all_wrong_keys_are_told_at_once() -> None:
    """Two mistakes are two parts of one message, and the remedy lists the keys."""
    with pytest.raises(Refused) as refused:
        check(ViewportRequest, {"symbol": "spy", "neighbours": 2})
    assert "symbol='spy'" in refused.value.message
    assert "neighbours: Extra inputs are not permitted" in refused.value.message
    assert refused.value.remedy == "the keys are symbol, at, pinned, neighbors"


def test_a_query_string_is_a_request() -> None:
    """Pins may be there several times; any other key once; numbers are digits."""
    given_ = from_query([("symbol", "SPY"), ("pinned", "a"), ("pinned", "b"), ("neighbors", "2")])
    assert check(ViewportRequest, given_) == ViewportRequest(symbol="SPY", pinned=("a", "b"), neighbors=2)
    for pairs in ([("symbol", "SPY"), ("symbol", "SPY")], [("neighbors", "-1")], [("neighbors", "٣")]):
        with pytest.raises(Refused):
            from_query(pairs)


def test_a_stream_request_is_read() -> None:
    """A replay of a session, two viewports a second."""
    asked = check(StreamRequest, {"action": "replay", "symbol": "SPY", "date": "2025-12-31", "seconds": 0.5})
    assert (asked.action, asked.date, asked.seconds) == ("replay", date(2025, 12, 31), 0.5)


@pytest.mark.parametrize(
    "change",
    [{"action": "rewind"}, {"seconds": -1}, {"seconds": True}, {"seconds": "1"}, {"seconds": 1e9}, {"date": 5},
     {"date": "31.12.2025"}, {"speed": 2}],
)  # fmt: skip
def test_a_wrong_stream_request_is_refused(change: dict[str, Any]) -> None:
    """Unknown actions, impossible speeds and dates."""
    with pytest.raises(Refused):
        check(StreamRequest, {"action": "replay", "symbol": "SPY", "date": "2025-12-31", **change})


def refusal_of(call: Callable[[], object]) -> Refused | None:
    """The refusal that a call ends with, None where it ends well; anything else is raised."""
    try:
        call()
    except Refused as refused:
        return refused
    return None


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_nothing_but_a_refusal_comes_of_noise(noise: bytes | str) -> None:
    """Whatever bytes come: a request, or a refusal that JSON can hold."""
    refused = refusal_of(lambda: check(ViewportRequest, read_json(noise)))
    assert refused is None or 400 <= refused.status < 500
    assert refused is None or json.dumps(refused.document(), allow_nan=False).isascii()


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=10,
    )
)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    """Values of every type under every key never raise anything else."""
    for kind in (ViewportRequest, StreamRequest):
        for key in kind.model_fields:
            refused = refusal_of(partial(check, kind, {"symbol": "SPY", "action": "stop", key: value}))
            assert refused is None or refused.status == 422


def test_long_and_unprintable_values_are_not_echoed() -> None:
    """At most 120 characters come back, and control characters as question marks."""
    assert len(short("x" * 500)) == 123
    assert short("a\nb\x00") == "a?b?"


def test_instants_are_utc() -> None:
    """A zone is converted, a missing one is UTC, nothing is nothing."""
    assert instant("2025-12-31T16:00:00+01:00") == instant("2025-12-31T15:00:00") == datetime(2025, 12, 31, 15)
    assert instant(None) is None
