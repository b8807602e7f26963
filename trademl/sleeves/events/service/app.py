"""The scoring service: viewports over HTTP and WebSocket, on this machine only.

    GET  /health                       what is in use
    GET  /sessions                     which symbols and sessions can be scored
    GET  /viewport?symbol=SPY&at=...   one viewport; also POST with the same keys as a JSON object
    GET  /ws                           a WebSocket: replay a session, or follow new bars

Every answer is JSON, also to what is no HTTP at all, and every error has one shape (``error.code``, ``message``,
``remedy``). Scoring happens on one thread; so many requests may wait for it, others are told to come back. There is no
authentication, therefore only loopback addresses are served, and a browser's pages of other origins are refused.
"""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiohttp import web

from trademl.errors import ConfigError, DataGateError, TrademlError
from trademl.log import get_logger
from trademl.sleeves.events.service.desk import Desk
from trademl.sleeves.events.service.requests import (
    MAX_BODY,
    Refused,
    ViewportRequest,
    check,
    error_document,
    from_query,
    read_json,
    short,
)

_LOG = get_logger("events.service")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_WAITING = 64
"""Requests that may wait for the scoring thread."""

MAX_CONNECTIONS = 512
READ_SECONDS = 5.0
"""Within which the body of a request must have come."""

ANSWER_SECONDS = 30.0
POLL_SECONDS = 1.0
"""Between two looks for a new snapshot."""

T = TypeVar("T")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BUSY = json.dumps(error_document(503, "busy", f"{MAX_CONNECTIONS} connections are open", "come back later")).encode()


class JsonProtocol(web.RequestHandler):
    """aiohttp's HTTP protocol, which says in JSON what it cannot read."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that is no HTTP, or that no handler could answer; the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        if status >= 500:
            _LOG.error("internal error: %s", short(repr(exc)), exc_info=exc)
            answer = answered(error_document(status, "internal_error", "this is a bug of the service"), status)
        else:
            said = short((message or repr(exc)).strip().splitlines()[0])
            answer = answered(error_document(status, "bad_http", said, "send HTTP/1.1 requests"), status)
        answer.force_close()
        return answer


class JsonServer(web.Server):
    """A server of :class:`JsonProtocol`, with a bound on its connections."""

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return JsonProtocol(self, loop=asyncio.get_running_loop(), **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Note a connection, or end it where there are too many."""
        super().connection_made(handler, transport)
        if len(self.connections) > MAX_CONNECTIONS:
            head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(_BUSY)}"
            transport.write(f"{head}\r\nConnection: close\r\n\r\n".encode() + _BUSY)
            transport.close()


class Service:
    """Answers requests from a desk.

    Args:
        desk: what answers; used by one thread only.
        poll_seconds: between two looks for a new snapshot.
    """

    def __init__(self, desk: Desk, *, poll_seconds: float = POLL_SECONDS) -> None:
        from trademl.sleeves.events.service.stream import Streams

        self.desk = desk
        self.poll_seconds = poll_seconds
        self.port = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="viewport")
        self._waiting = 0
        self._streams = Streams(self)
        self._routes: dict[str, dict[str, Handler]] = {
            "/health": {"GET": self._health},
            "/sessions": {"GET": self._sessions},
            "/viewport": {"GET": self._viewport_of_query, "POST": self._viewport_of_body},
            "/ws": {"GET": self._streams.open},
        }

    async def ask(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run ``work`` on the scoring thread.

        Raises:
            Refused: too much waits, it took too long, or the desk refuses.
        """
        if self._waiting >= MAX_WAITING:
            raise Refused(503, "busy", f"{self._waiting} requests wait for the scorer", "come back later")
        self._waiting += 1
        try:
            # Not wait_for: on Python 3.11 it forgets a cancellation that comes when the work has just ended.
            async with asyncio.timeout(ANSWER_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except TimeoutError as error:
            raise Refused(503, "timeout", f"no answer within {ANSWER_SECONDS:g} s", "come back later") from error
        except TrademlError as error:
            raise refusal(error) from error
        finally:
            self._waiting -= 1

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        try:
            self._check_origin(request)
            routes = self._routes.get(request.path)
            if routes is None:
                known = ", ".join(self._routes)
                raise Refused(404, "no_such_path", f"{short(request.path)} is not served", f"ask for {known}")
            handler = routes.get(request.method)
            if handler is None:
                allowed = ", ".join(routes)
                answer = answered(
                    error_document(405, "no_such_method", f"{short(request.method)} is not allowed", f"use {allowed}"),
                    405,
                )
                answer.headers["Allow"] = allowed
                return answer
            return await handler(request)
        except Refused as refused:
            answer = answered(refused.document(), refused.status)
            if refused.status == 503:
                answer.headers["Retry-After"] = "1"
            if refused.status in (408, 413):
                # What is still to come of the body is not read.
                answer.force_close()
            return answer

    async def run(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        stop: asyncio.Event | None = None,
        ready: Callable[[str], None] = lambda url: None,
    ) -> None:
        """Serve until ``stop`` is set, or SIGINT or SIGTERM comes where ``stop`` is None.

        Args:
            host: a loopback address.
            port: 0 lets the system choose.
            stop: set it to end.
            ready: told the service's address when it answers.

        Raises:
            ConfigError: the address is not a loopback one, or is taken.
        """
        check_host(host)
        end = stop or _on_signals()
        server = JsonServer(self.handle, access_log=None, keepalive_timeout=75.0, logger=_LOG, auto_decompress=False)
        runner = web.ServerRunner(server, shutdown_timeout=5.0)
        await runner.setup()
        watcher = asyncio.create_task(self._watch())
        try:
            site = web.TCPSite(runner, host, port, backlog=256)
            try:
                await site.start()
            except OSError as error:
                raise ConfigError(
                    f"cannot serve {host}:{port}: {error.strerror}", remedy="choose another --port"
                ) from error
            self.port = int(runner.addresses[0][1])
            ready(f"http://{f'[{host}]' if ':' in host else host}:{self.port}")
            await end.wait()
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
            await self._streams.close()
            await runner.cleanup()
            self._thread.shutdown(wait=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.poll_seconds)
            with suppress(Refused):
                await self.ask(self.desk.refresh)

    async def _health(self, request: web.BaseRequest) -> web.Response:
        state = await self.ask(self.desk.health)
        return answered({**state, "waiting": self._waiting, "streams": self._streams.count})

    async def _sessions(self, request: web.BaseRequest) -> web.Response:
        return answered({"sessions": await self.ask(self.desk.sessions)})

    async def _viewport_of_query(self, request: web.BaseRequest) -> web.Response:
        pairs = [(str(name), str(value)) for name, value in request.query.items()]
        return await self._viewport(check(ViewportRequest, from_query(pairs)))

    async def _viewport_of_body(self, request: web.BaseRequest) -> web.Response:
        return await self._viewport(check(ViewportRequest, read_json(await _body(request))))

    async def _viewport(self, asked: ViewportRequest) -> web.Response:
        return answered(await self.ask(self.desk.document, asked.symbol, asked.at, asked.pinned, asked.neighbors))

    def _check_origin(self, request: web.BaseRequest) -> None:
        """Refuse pages of other origins, and names that only seem to be this machine's (DNS rebinding)."""
        for name, value in (("Host", request.headers.get("Host")), ("Origin", request.headers.get("Origin"))):
            if value is None:
                continue
            try:
                own = urlsplit(value if name == "Origin" else f"//{value}").hostname
            except ValueError:
                own = None
            if own not in LOOPBACK:
                raise Refused(
                    403, "foreign_origin", f"{name}: {short(value)} is not this machine", "ask 127.0.0.1 or localhost"
                )


def answered(document: dict[str, Any], status: int = 200) -> web.Response:
    """Return a JSON answer."""
    body = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def refusal(error: TrademlError) -> Refused:
    """Return what a client is told of an error of the desk."""
    status, code = 500, "scoring_failed"
    if isinstance(error, DataGateError):
        status, code = 404, "no_data"
    elif isinstance(error, ConfigError):
        status, code = 422, "bad_request"
    return Refused(status, code, error.message, error.remedy)


def check_host(host: str) -> None:
    """Refuse to serve anything but this machine.

    Raises:
        ConfigError: ``host`` is not a loopback address.
    """
    if host not in LOOPBACK:
        raise ConfigError(
            f"--host {host} would serve other machines, and the service asks nobody who they are",
            remedy=f"use one of {', '.join(LOOPBACK)}, and put a proxy that authenticates in front of it",
        )


async def _body(request: web.BaseRequest) -> bytes:
    """Return the body of a request, having read no more than may come, in no more than the time it may take."""
    if request.content_type != "application/json":
        raise Refused(
            415, "no_json", f"Content-Type {short(request.content_type)} is not read", "send application/json"
        )
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "compressed", "compressed bodies are not read", "send it as it is")
    if (request.content_length or 0) > MAX_BODY:
        raise Refused(413, "too_large", f"{request.content_length} bytes are announced; at most {MAX_BODY} are read")
    found = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for piece in request.content.iter_any():
                found += piece
                if len(found) > MAX_BODY:
                    raise Refused(413, "too_large", f"more than {MAX_BODY} bytes were sent", "send less")
    except TimeoutError as error:
        raise Refused(408, "too_slow", f"the body did not come within {READ_SECONDS:g} s", "send it at once") from error
    except web.RequestPayloadError as error:
        raise Refused(400, "bad_http", f"the body is broken: {short(error)}", "send HTTP/1.1 requests") from error
    return bytes(found)


def _on_signals() -> asyncio.Event:
    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    return end
