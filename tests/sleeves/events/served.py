"""A service over made-up bars, for as long as a test asks it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from tests.sleeves.events.viewport_doubles import BAR_END, FixedStage, models, target, warehouse
from trademl.config.home import Home
from trademl.sleeves.events.service.app import Service
from trademl.sleeves.events.service.desk import Desk
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.sleeves.events.viewport.source import ViewportSource

BARS = [BAR_END + timedelta(minutes=at) for at in range(-1, 3)]


def source(bars: int = 3, seq: int = 1) -> ViewportSource:
    """The first ``bars`` bars of SPY, levels near each but the first."""
    ends = BARS[:bars]
    rows = [
        target(level, price=price, ts_ns=int(end.replace(tzinfo=UTC).timestamp()) * 10**9)
        for end in ends[1:]
        for level, price in (("PDH", 101.0), ("ORH", 100.75))
    ]
    with warehouse(rows, [("SPY", end) for end in ends]) as con:
        return ViewportSource(con, seq)


@asynccontextmanager
async def serving(
    home: Path, stage: Any = None, *, poll_seconds: float = 0.02, **over: Any
) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    """A running service on a free port, and a client whose base is its address."""
    desk = Desk(
        Home(home),
        ViewportConfig(),
        models(stages={"stage_a": stage or FixedStage()}),
        source(),
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
        **over,
    )
    service, stop, ready = Service(desk, poll_seconds=poll_seconds), asyncio.Event(), asyncio.Event()
    address: list[str] = []

    def told(url: str) -> None:
        address.append(url)
        ready.set()

    running = asyncio.create_task(service.run(stop=stop, ready=told))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    if not ready.is_set():
        waiting.cancel()
        await running
    try:
        async with aiohttp.ClientSession(address[0]) as client:
            yield service, client
    finally:
        stop.set()
        await running


def asked(home: Path, work: Callable[[Service, aiohttp.ClientSession], Awaitable[None]], **over: Any) -> None:
    """Run ``work`` against a service."""

    async def whole() -> None:
        async with serving(home, **over) as (service, client):
            await work(service, client)

    asyncio.run(whole())


async def raw(port: int, sent: bytes, *, end: bool = True) -> tuple[int, dict[str, Any]]:
    """Send bytes as they are; return the status line's code and the JSON that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    if end and writer.can_write_eof():
        writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 15)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)
