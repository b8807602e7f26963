"""The WebSocket: replays, new bars, wrong messages, and clients that leave."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.sleeves.events.served import BARS, asked, source
from trademl.config.home import Home
from trademl.lake.layout import layout_of
from trademl.sleeves.events.service.app import Service
from trademl.sleeves.events.service.requests import MAX_BODY


async def told(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next message."""
    return json.loads((await asyncio.wait_for(socket.receive(), 10)).data)


def test_a_session_is_replayed(tmp_path: Path) -> None:
    """Every bar of the session in order, each as HTTP gives it, then the end."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect("/ws") as socket:
            await socket.send_json({"action": "replay", "symbol": "SPY", "date": "2025-12-31"})
            found = [await told(socket) for _ in range(4)]
            assert [one["bar_end"] for one in found[:3]] == [f"{end.isoformat()}Z" for end in BARS[:3]]
            assert [len(one["viewport"]["targets"]) for one in found[:3]] == [0, 2, 2]
            assert found[3] == {"event": "replayed", "symbol": "SPY", "date": "2025-12-31", "bars": 3}
            async with client.get("/viewport", params={"symbol": "SPY", "at": found[1]["at"]}) as answer:
                assert await answer.json() == found[1]

    asked(tmp_path, work)


def test_new_bars_are_followed(tmp_path: Path) -> None:
    """The last bar at once; a newer one when a snapshot brings it; both are recorded where the desk records."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect("/ws") as socket:
            await socket.send_json({"action": "follow", "symbol": "SPY"})
            first = await told(socket)
            assert (first["bar_end"], first["snapshot"]) == (f"{BARS[2].isoformat()}Z", 1)
            newer = source(4, seq=2)
            await service.ask(lambda: setattr(service.desk, "source", newer))
            second = await told(socket)
            assert (second["bar_end"], second["snapshot"]) == (f"{BARS[3].isoformat()}Z", 2)
        assert len(layout_of(Home(tmp_path)).batch_files("preds.events")) == 2

    asked(tmp_path, work, record=True)


def test_a_wrong_message_gets_an_error_and_ends_nothing(tmp_path: Path) -> None:
    """Broken JSON, binary, too much, missing keys, unknown symbols and sessions; then a right one is answered."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect("/ws") as socket:
            for sent, code in (
                ("{", "bad_json"),
                ("x" * (MAX_BODY + 1), "too_large"),
                ('{"action": "replay"}', "bad_request"),
                ('{"action": "replay", "symbol": "SPY"}', "bad_request"),
                ('{"action": "rewind", "symbol": "SPY"}', "bad_request"),
                ('{"action": "follow", "symbol": "TSLA"}', "no_data"),
                ('{"action": "replay", "symbol": "SPY", "date": "2020-01-02"}', "no_data"),
            ):
                await socket.send_str(sent)
                assert (await told(socket))["error"]["code"] == code, sent
            await socket.send_bytes(b'{"action": "stop"}')
            assert (await told(socket))["error"]["code"] == "no_json"
            await socket.send_str('{"action": "stop"}')
            assert await told(socket) == {"event": "stopped"}

    asked(tmp_path, work)


def test_a_new_request_ends_the_stream_before_it(tmp_path: Path) -> None:
    """A slow replay is left for another one; of the first nothing more comes."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        async with client.ws_connect("/ws") as socket:
            slow = {"action": "replay", "symbol": "SPY", "date": "2025-12-31", "seconds": 3000}
            await socket.send_json(slow)
            await told(socket)
            await socket.send_json({**slow, "seconds": 0, "neighbors": 2})
            found = [await told(socket) for _ in range(4)]
            assert found[-1]["event"] == "replayed"
            assert len(found[1]["viewport"]["targets"][0]["retrieval"]["neighbors"]) == 2

    asked(tmp_path, work)


def test_a_client_that_leaves_is_forgotten(tmp_path: Path) -> None:
    """After an abrupt end the socket is no longer counted, and the service goes on."""

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        socket = await client.ws_connect("/ws")
        await socket.send_json({"action": "follow", "symbol": "SPY"})
        await told(socket)
        transport = socket.get_extra_info("socket")
        assert transport is not None
        await socket.close()
        for _ in range(200):
            async with client.get("/health") as answer:
                if (await answer.json())["streams"] == 0:
                    break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("the socket is still counted")

    asked(tmp_path, work)


def test_clients_are_told_when_the_service_ends(tmp_path: Path) -> None:
    """An open socket is closed with 1001, going away."""
    closed: list[int | None] = []

    async def work(service: Service, client: aiohttp.ClientSession) -> None:
        socket = await client.ws_connect("/ws")
        reading = asyncio.create_task(socket.receive())
        await asyncio.sleep(0.05)
        await service._streams.close()
        message = await asyncio.wait_for(reading, 10)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        closed.append(socket.close_code)
        await socket.close()

    asked(tmp_path, work)
    assert closed == [1001]
