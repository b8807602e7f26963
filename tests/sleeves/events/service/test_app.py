"""The scoring service over HTTP: answers, refusals, bounds; every one of them JSON."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sleeves.events.served import asked, raw, serving
from tests.sleeves.events.viewport_doubles import BAR_END, FixedStage
from trademl.errors import ConfigError
from trademl.sleeves.events.service import app as module
from trademl.sleeves.events.service.app import Service, check_host
from trademl.sleeves.events.service.requests import MAX_BODY, Refused


def test_a_viewport_is_served(tmp_path: Path) -> None:
    """GET and POST of the same question give the same document, and a moment before gives its own bar."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        at = f"{BAR_END.isoformat()}Z"
        async with client.get("/viewport", params={"symbol": "SPY", "at": at, "pinned": "SPY PDH"}) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/json"
            got = await answer.json()
        async with client.post("/viewport", json={"symbol": "SPY", "at": at, "pinned": ["SPY PDH"]}) as answer:
            assert await answer.json() == got
        assert [one["level_id"] for one in got["viewport"]["targets"]] == ["SPY PDH", "SPY ORH"]
        assert got["bar_end"] == at
        async with client.get("/viewport", params={"symbol": "SPY", "at": "2025-12-31T14:59:30Z"}) as answer:
            assert (await answer.json())["viewport"]["targets"] == []

    asked(tmp_path, work)


def test_state_and_sessions_are_served(tmp_path: Path) -> None:
    """What is in use, and what can be asked for."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.get("/health") as answer:
            state = await answer.json()
        assert (state["status"], state["snapshot"], state["model_id"]) == ("ok", 1, "viewport-doubles")
        async with client.get("/sessions") as answer:
            assert [one["symbol"] for one in (await answer.json())["sessions"]] == ["SPY"]

    asked(tmp_path, work)


@pytest.mark.parametrize(
    "method, path, extra, status, code",
    [
        ("GET", "/", {}, 404, "no_such_path"),
        ("GET", "/../etc/passwd", {}, 404, "no_such_path"),
        ("DELETE", "/viewport", {}, 405, "no_such_method"),
        ("GET", "/viewport", {}, 422, "bad_request"),
        ("GET", "/viewport?symbol=SPY&symbol=QQQ", {}, 422, "bad_request"),
        ("GET", "/viewport?symbol=SPY&depth=3", {}, 422, "bad_request"),
        ("GET", "/viewport?symbol=SPY&at=noon", {}, 422, "bad_request"),
        ("GET", "/viewport?symbol=TSLA", {}, 404, "no_data"),
        ("GET", "/viewport?symbol=SPY&at=2024-01-01", {}, 404, "no_data"),
        ("GET", "/viewport?symbol=%00%ff", {}, 422, "bad_request"),
        ("POST", "/viewport", {"data": b"{"}, 415, "no_json"),
        ("POST", "/viewport", {"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
        ("POST", "/viewport", {"json": []}, 400, "bad_json"),
        ("POST", "/viewport", {"json": {"symbol": "SPY", "k": 1}}, 422, "bad_request"),
        ("POST", "/viewport", {"json": {"symbol": "S" * MAX_BODY}}, 413, "too_large"),
        ("GET", "/ws", {}, 426, "no_websocket"),
        ("GET", "/health", {"headers": {"Host": "attacker.example"}}, 403, "foreign_origin"),
        ("GET", "/health", {"headers": {"Origin": "https://attacker.example"}}, 403, "foreign_origin"),
    ],
)
def test_a_wrong_request_gets_a_clear_error(
    method: str, path: str, extra: dict[str, Any], status: int, code: str, tmp_path: Path
) -> None:
    """Status, code, a message and JSON; and the service answers the next request."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.request(method, path, **extra) as answer:
            document = await answer.json()
            assert answer.status == document["error"]["status"] == status, document
        assert document["error"]["code"] == code
        assert document["error"]["message"]
        async with client.get("/viewport", params={"symbol": "SPY"}) as answer:
            assert answer.status == 200

    asked(tmp_path, work)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nbroken header\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"POST /viewport HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n",
        b"POST /viewport HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"POST /viewport HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"POST /viewport HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999\r\n\r\n{}",
    ],
    ids=["nonsense", "tls", "version", "header", "path", "field", "length", "chunk", "gzip", "announced"],
)
def test_what_is_no_http_gets_json_too(sent: bytes, tmp_path: Path) -> None:
    """Broken requests get a 4xx with the same shape of error, and the connection ends; the service goes on."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        status, document = await raw(service.port, sent, end=False)
        assert 400 <= status < 500
        assert document["error"]["status"] == status
        assert document["error"]["message"]
        async with client.get("/health") as answer:
            assert answer.status == 200

    asked(tmp_path, work)


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a body and silence: an error after the time a body may take."""
    monkeypatch.setattr(module, "READ_SECONDS", 0.1)
    sent = (
        b"POST /viewport HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
    )

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        status, document = await raw(service.port, sent, end=False)
        assert (status, document["error"]["code"]) == (408, "too_slow")

    asked(tmp_path, work)


class SlowStage(FixedStage):
    """A stage that waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def predict(self, df: Any) -> Any:
        self.go.wait(10)
        return super().predict(df)


def test_more_than_may_wait_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the scorer is at work two may wait; the others get 503 and Retry-After, and later all are served."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    stage = SlowStage()

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async def one(at: int) -> tuple[int, str | None]:
            async with client.get("/viewport", params={"symbol": "SPY", "neighbors": str(at)}) as answer:
                await answer.read()
                return answer.status, answer.headers.get("Retry-After")

        waiting = [asyncio.create_task(one(at)) for at in range(8)]
        while sum(task.done() for task in waiting) < 5:
            await asyncio.sleep(0.01)
        stage.go.set()
        found = sorted(await asyncio.gather(*waiting))
        # The watcher for new snapshots may hold one of the places.
        served = [status for status, _ in found if status == 200]
        assert 1 <= len(served) <= 3
        assert [again for status, again in found if status == 503] == ["1"] * (8 - len(served))
        assert (await one(1))[0] == 200

    asked(tmp_path, work, stage=stage)


def test_the_service_always_ends(tmp_path: Path) -> None:
    """Stopped forty times while it looks for snapshots without a pause, it ends each time."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.get("/health") as answer:
            assert answer.status == 200

    async def whole() -> None:
        for _ in range(40):
            async with asyncio.timeout(20), serving(tmp_path, poll_seconds=0.0) as (service, client):
                await work(service, client)

    asyncio.run(whole())


class BrokenStage(FixedStage):
    """A stage with a bug."""

    def predict(self, df: Any) -> Any:
        raise ZeroDivisionError("a secret of the inside")


def test_a_bug_is_an_error_and_no_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception nobody foresaw is 500 in the same shape, says nothing of the inside, and is logged."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.get("/viewport", params={"symbol": "SPY"}) as answer:
            document = await answer.json()
        assert (answer.status, document["error"]["code"]) == (500, "internal_error")
        assert "secret" not in json.dumps(document)
        async with client.get("/health") as answer:
            assert answer.status == 200

    asked(tmp_path, work, stage=BrokenStage())
    assert "ZeroDivisionError" in caplog.text


def test_many_at_once_with_malformed_ones_among_them(tmp_path: Path) -> None:
    """300 requests by 12 clients, a third of them wrong: each gets what it deserves."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async def clientele(own: int) -> list[int]:
            found = []
            for at in range(25):
                kind = (own + at) % 3
                if kind == 0:
                    async with client.get("/viewport", params={"symbol": "SPY", "neighbors": str(at)}) as answer:
                        found.append(answer.status - 200)
                        await answer.json()
                elif kind == 1:
                    async with client.post("/viewport", json={"symbol": at}) as answer:
                        found.append(answer.status - 422)
                        assert (await answer.json())["error"]["code"] == "bad_request"
                else:
                    status, document = await raw(service.port, b"\x00broken\r\n\r\n", end=False)
                    found.append(status - 400)
                    assert document["error"]["code"] == "bad_http"
            return found

        results = await asyncio.gather(*(clientele(own) for own in range(12)))
        assert [status for found in results for status in found] == [0] * 300

    asked(tmp_path, work)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", ""])
def test_only_this_machine_is_served(host: str) -> None:
    """Without authentication no other address is listened on."""
    with pytest.raises(ConfigError, match="would serve other machines"):
        check_host(host)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    """A second service on the same port is refused with the reason."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        other = Service(service.desk)
        with pytest.raises(ConfigError, match=f"cannot serve 127.0.0.1:{service.port}"):
            await other.run(port=service.port, stop=asyncio.Event())

    asked(tmp_path, work)


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection after the last that is served gets a JSON error and is closed."""
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        open_ones = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 503")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "busy"
        for _, one in [*open_ones, (reader, writer)]:
            one.close()
            await one.wait_closed()

    asked(tmp_path, work)


def test_errors_of_the_desk_have_their_status() -> None:
    """What is missing is 404, what is wrong 422, what failed 500."""
    from trademl.errors import DataGateError, ModelError

    found = [module.refusal(kind("m", remedy="r")) for kind in (DataGateError, ConfigError, ModelError)]
    assert [one.status for one in found] == [404, 422, 500]
    assert isinstance(found[0], Refused)
