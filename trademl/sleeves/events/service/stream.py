"""The WebSocket of the scoring service: a session replayed bar by bar, or new bars as snapshots bring them.

A client sends one JSON object at a time (``requests.StreamRequest``); a new request ends the stream before it.
The service sends viewports, as HTTP gives them, ``{"event": ...}`` at the end of a stream, and errors in the shape of
HTTP's; a wrong message ends nothing.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from trademl.sleeves.events.service.requests import MAX_BODY, Refused, StreamRequest, check, read_json

if TYPE_CHECKING:
    from trademl.sleeves.events.service.app import Service

T = TypeVar("T")

MAX_SOCKETS = 32
_FRAME = 1 << 20
_HEARTBEAT_SECONDS = 20.0


class Streams:
    """The open WebSockets of a service."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._open: set[web.WebSocketResponse] = set()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    async def open(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer on one WebSocket until either side closes it.

        Raises:
            Refused: the request is no handshake, or too many sockets are open.
        """
        # A frame above MAX_BODY gets an answer; one far above it ends the connection before it is read.
        socket = web.WebSocketResponse(max_msg_size=_FRAME, heartbeat=_HEARTBEAT_SECONDS, compress=False)
        if not socket.can_prepare(request).ok:
            raise Refused(426, "no_websocket", "this path speaks WebSocket only", "open it with a WebSocket client")
        if len(self._open) >= MAX_SOCKETS:
            raise Refused(503, "busy", f"{len(self._open)} WebSockets are open", "come back later")
        await socket.prepare(request)
        self._open.add(socket)
        running: asyncio.Task[None] | None = None
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                try:
                    asked = _read(message.type, message.data)
                except Refused as refused:
                    await _send(socket, refused.document())
                    continue
                await _stop(running)
                running = asyncio.create_task(self._answer(socket, asked))
        except ConnectionError:
            # The client left while it was being told something.
            pass
        finally:
            await _stop(running)
            self._open.discard(socket)
        return socket

    async def close(self) -> None:
        """Tell every client that the service ends."""
        for socket in list(self._open):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the service ends")

    async def _answer(self, socket: web.WebSocketResponse, asked: StreamRequest) -> None:
        try:
            if asked.action == "stop":
                await _send(socket, {"event": "stopped"})
            elif asked.action == "replay":
                await self._replay(socket, asked)
            else:
                await self._follow(socket, asked)
        except Refused as refused:
            with suppress(ConnectionError):
                await _send(socket, refused.document())
        except ConnectionError:
            # Nobody reads any more; the loop over messages ends by itself.
            return

    async def _replay(self, socket: web.WebSocketResponse, asked: StreamRequest) -> None:
        desk, symbol = self._service.desk, str(asked.symbol)
        ends = await self._patiently(desk.bar_ends, symbol, asked.date)
        for at in ends:
            await _send(socket, await self._patiently(desk.document, symbol, at, asked.pinned, asked.neighbors))
            await asyncio.sleep(asked.seconds)
        await _send(socket, {"event": "replayed", "symbol": symbol, "date": str(asked.date), "bars": len(ends)})

    async def _follow(self, socket: web.WebSocketResponse, asked: StreamRequest) -> None:
        desk, symbol = self._service.desk, str(asked.symbol)
        seen: datetime | None = None
        while True:
            for at in await self._patiently(desk.new_bars, symbol, seen):
                await _send(socket, await self._patiently(desk.followed, symbol, at, asked.pinned, asked.neighbors))
                seen = at
            await asyncio.sleep(self._service.poll_seconds)

    async def _patiently(self, work: Callable[..., T], *arguments: Any) -> T:
        """Ask again while the scorer is busy: a stream has time."""
        while True:
            try:
                return await self._service.ask(work, *arguments)
            except Refused as refused:
                if refused.code != "busy":
                    raise
                await asyncio.sleep(self._service.poll_seconds)


def _read(kind: WSMsgType, data: Any) -> StreamRequest:
    if kind is WSMsgType.BINARY:
        raise Refused(415, "no_json", "a binary message is not read", "send text")
    if len(data.encode()) > MAX_BODY:
        raise Refused(413, "too_large", f"{len(data.encode())} bytes were sent; at most {MAX_BODY} are read")
    asked = check(StreamRequest, read_json(data))
    if asked.action != "stop" and asked.symbol is None:
        raise Refused(422, "bad_request", f"{asked.action} needs a symbol", 'add "symbol": "SPY"')
    if asked.action == "replay" and asked.date is None:
        raise Refused(422, "bad_request", "replay needs a date", 'add "date": "2025-12-31"')
    return asked


async def _send(socket: web.WebSocketResponse, document: dict[str, Any]) -> None:
    await socket.send_str(json.dumps(document, allow_nan=False, separators=(",", ":")))


async def _stop(running: "asyncio.Task[None] | None") -> None:
    if running is not None:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
