"""The live scorer, measured: latency of a viewport, and the service under load with malformed requests among the good.

    python -m benchmarks.viewport --home DIR                       # both
    python -m benchmarks.viewport --home DIR --only latency
    python -m benchmarks.viewport --home DIR --only load --requests 10000 --clients 32

DIR is a home with a built warehouse, both stages trained and the retrieval index (`trademl train events`, `trademl
events index`). A viewport of 20 targets is made of 20 real rows of gold.events_targets, of neighbouring bars of one
symbol, put on one bar: real bars seldom have 20 levels near. Every answer is checked: a good request must give targets
with the seed's fields, a bad one its status and a JSON error. Exit code 1 when one does not, when the service dies, or
answers 5xx other than 503. Traffic goes to 127.0.0.1 only.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import pyarrow as pa

from trademl.config.home import Home
from trademl.sleeves.events.service.desk import Desk, open_desk
from trademl.sleeves.events.service.requests import MAX_BODY
from trademl.sleeves.events.viewport.config import load_config
from trademl.sleeves.events.viewport.document import TARGET_FIELDS
from trademl.sleeves.events.viewport.models import load_models
from trademl.sleeves.events.viewport.score import score_viewport

TARGETS = 20
BAD_SHARE = 0.3
JSON = {"Content-Type": "application/json"}

Bad = tuple[str, str, dict[str, Any], int, str]
BAD: tuple[Bad, ...] = (
    ("GET", "/nowhere", {}, 404, "no_such_path"),
    ("PUT", "/viewport", {}, 405, "no_such_method"),
    ("GET", "/viewport", {}, 422, "bad_request"),
    ("GET", "/viewport?symbol=spy", {}, 422, "bad_request"),
    ("GET", "/viewport?symbol=SPY&symbol=SPY", {}, 422, "bad_request"),
    ("GET", "/viewport?symbol=SPY&at=yesterday", {}, 422, "bad_request"),
    ("GET", "/viewport?symbol=SPY&neighbors=many", {}, 422, "bad_request"),
    ("GET", "/viewport?symbol=NOSUCH", {}, 404, "no_data"),
    ("POST", "/viewport", {"data": b"{", "headers": JSON}, 400, "bad_json"),
    ("POST", "/viewport", {"data": b"\xff\xfe", "headers": JSON}, 400, "bad_json"),
    ("POST", "/viewport", {"data": b"[1, 2]", "headers": JSON}, 400, "bad_json"),
    ("POST", "/viewport", {"data": b'{"symbol": NaN}', "headers": JSON}, 400, "bad_json"),
    ("POST", "/viewport", {"data": b"[" * 9000, "headers": JSON}, 400, "bad_json"),
    ("POST", "/viewport", {"data": b"x" * (MAX_BODY + 1), "headers": JSON}, 413, "too_large"),
    ("POST", "/viewport", {"data": b"{}", "headers": {"Content-Type": "text/plain"}}, 415, "no_json"),
    ("POST", "/viewport", {"json": {"symbol": "SPY", "neighbors": 1e300}}, 422, "bad_request"),
    ("POST", "/viewport", {"json": {"symbol": "SPY'; drop table bars; --"}}, 422, "bad_request"),
    ("POST", "/viewport", {"json": {"symbol": "SPY", "pinned": [1]}}, 422, "bad_request"),
    ("GET", "/health", {"headers": {"Host": "attacker.example"}}, 403, "foreign_origin"),
    ("GET", "/ws", {}, 426, "no_websocket"),
    ("RAW", "nonsense", {"sent": b"\x16\x03\x01nonsense\r\n\r\n"}, 400, "bad_http"),
    ("RAW", "header", {"sent": b"GET /health HTTP/1.1\r\nbroken header\r\n\r\n"}, 400, "bad_http"),
    ("RAW", "length", {"sent": b"POST /viewport HTTP/1.1\r\nContent-Length: -1\r\n\r\n"}, 400, "bad_http"),
)  # fmt: skip
"""Method, path, what else is sent, and the status and code that must come back."""


def viewports(desk: Desk, count: int) -> Iterator[tuple[pa.Table, str]]:
    """Yield tables of 20 real targets of one symbol, put on the bar of the last of them."""
    made = 0
    for symbol in sorted({one["symbol"] for one in desk.source.sessions()}):
        last = desk.source.moment(symbol)
        tables = [desk.source.targets(desk.source.moment(symbol, at)) for at in desk.source.bar_ends(symbol, last.date)]
        whole = pa.concat_tables(tables)
        for start in range(0, whole.num_rows - TARGETS, TARGETS):
            if made == count:
                return
            part = whole.slice(start, TARGETS)
            names = pa.array([f"{name} {at}" for at, name in enumerate(part.column("level_id").to_pylist())])
            times = pa.array([last.ts_ns] * TARGETS, type=pa.int64())
            part = part.set_column(part.column_names.index("level_id"), "level_id", names)
            yield part.set_column(part.column_names.index("ts_ns"), "ts_ns", times), symbol
            made += 1


def percentiles(milliseconds: list[float]) -> str:
    """Return p50, p99 and the largest."""
    p50, p99 = np.percentile(milliseconds, [50, 99])
    return f"p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   largest {max(milliseconds):8.2f} ms"


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return how long a call takes."""
    clock = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - clock


def latency(home: Home, count: int) -> int:
    """Score ``count`` viewports of 20 targets one after the other; say how long each took, and its parts."""
    config = load_config(home)
    began = time.perf_counter()
    desk = open_desk(home, config, load_models(home, config))
    print(f"models and snapshot loaded in {time.perf_counter() - began:.2f} s; load {os.getloadavg()[0]:.1f}")
    models, spent = desk.models, {name: [] for name in ("viewport", "cpu", "stage_a", "stage_b", "retrieval", "json")}
    given = list(viewports(desk, count + 5))
    for number, (table, symbol) in enumerate(given):
        moment = desk.source.moment(symbol)
        clock, cpu = time.perf_counter(), time.process_time()
        found = score_viewport(table, moment, models, config, pinned=table.column("level_id").to_pylist())
        whole, busy = time.perf_counter() - clock, time.process_time() - cpu
        parts = {stage: seconds(model.predict, table) for stage, model in models.stages.items()}
        parts["retrieval"] = seconds(models.retrieval.summaries, table, config.k_neighbors)
        parts["json"] = seconds(json.dumps, found.document())
        if len(found.targets) != TARGETS:
            print(f"a viewport has {len(found.targets)} targets, not {TARGETS}")
            return 1
        if number >= 5:
            for name, taken in {"viewport": whole, "cpu": busy, **parts}.items():
                spent[name].append(1000 * taken)
    print(f"{len(spent['viewport'])} viewports of {TARGETS} targets, {config.k_neighbors} neighbours each")
    for name, found_times in spent.items():
        if found_times:
            print(f"  {name:<10} {percentiles(found_times)}")
    return 0


def start(home: Home) -> tuple[subprocess.Popen[str], str]:
    """Start `trademl events serve` on a free port; return the process and its address."""
    environment = {**os.environ, "TRADEML_HOME": str(home.root), "VIEWPORT_SCORING_ENABLED": "true"}
    command = [sys.executable, "-m", "trademl", "events", "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("serving"):
        raise SystemExit(f"the service did not start: {line!r}")
    return process, line.split()[1]


async def raw(url: str, sent: bytes) -> tuple[int, Any]:
    """Send bytes as they are; return status and JSON."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


class Load:
    """Clients that ask, and check every answer."""

    def __init__(self, url: str, sessions: list[dict[str, Any]], requests: int) -> None:
        self.url, self.sessions, self.left = url, sessions, requests
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.good_ms: list[float] = []
        self.bad_ms: list[float] = []

    async def client(self, seed: int) -> None:
        """Ask until all requests are sent."""
        rng = random.Random(seed)
        async with aiohttp.ClientSession() as session:
            while self.left > 0:
                self.left -= 1
                if rng.random() < BAD_SHARE:
                    await self.bad(session, rng.choice(BAD))
                else:
                    await self.good(session, rng)

    async def good(self, session: aiohttp.ClientSession, rng: random.Random) -> None:
        """Ask for a viewport of some bar; where the service is busy, ask again."""
        chosen = rng.choice(self.sessions)
        first, last = (np.datetime64(chosen[name]) for name in ("first_bar_end", "last_bar_end"))
        at = first + np.timedelta64(rng.randrange(int((last - first) / np.timedelta64(1, "s")) + 1), "s")
        query = {"symbol": chosen["symbol"], "at": f"{at}Z"}
        began = time.perf_counter()
        while True:
            async with session.get(f"{self.url}/viewport", params=query) as answer:
                document = await answer.json()
            if answer.status != 503:
                break
            self.counts["busy, asked again"] += 1
            await asyncio.sleep(0.05)
        self.good_ms.append(1000 * (time.perf_counter() - began))
        targets = document.get("viewport", {}).get("targets")
        if answer.status != 200 or targets is None or any(tuple(one) != TARGET_FIELDS for one in targets):
            self.wrong.append(f"{query}: {answer.status} {str(document)[:200]}")
        else:
            self.counts["good, answered"] += 1
            self.counts["targets"] += len(targets)

    async def bad(self, session: aiohttp.ClientSession, one: Bad) -> None:
        """Ask for nonsense, and check that the answer says so."""
        method, path, extra, status, code = one
        began = time.perf_counter()
        if method == "RAW":
            got, document = await raw(self.url, extra["sent"])
        else:
            async with session.request(method, f"{self.url}{path}", **extra) as answer:
                got, document = answer.status, await answer.json()
        error = document.get("error", {}) if isinstance(document, dict) else {}
        if got == 503 and error.get("code") == "busy":
            self.counts["bad, told that the service is busy"] += 1
        elif (got, error.get("code")) != (status, code) or not error.get("message"):
            self.wrong.append(f"{method} {path}: {got} {str(document)[:200]}, not {status} {code}")
        else:
            self.counts["bad, refused as it should be"] += 1
            self.bad_ms.append(1000 * (time.perf_counter() - began))

    async def replay(self, seed: int) -> None:
        """Replay sessions over a WebSocket, with wrong messages in between, as long as the others ask."""
        rng = random.Random(seed)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{self.url}/ws") as socket:
            while self.left > 0:
                chosen = rng.choice(self.sessions)
                await socket.send_str(rng.choice(["{", "[]", '{"action": "fly"}', "x" * (MAX_BODY + 1)]))
                if "error" not in json.loads((await socket.receive()).data):
                    self.wrong.append("a wrong WebSocket message got no error")
                self.counts["wrong WebSocket messages, refused"] += 1
                await socket.send_json({"action": "replay", "symbol": chosen["symbol"], "date": chosen["date"]})
                while self.left > 0 and "event" not in json.loads((await socket.receive()).data):
                    self.counts["viewports over WebSocket"] += 1
                if self.left > 0:
                    continue
                await socket.close()


async def attack(url: str, requests: int, clients: int, sockets: int) -> tuple[Load, float]:
    """Send all requests, and return what came back and the seconds it took."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/sessions") as answer:
        sessions = (await answer.json())["sessions"]
    load = Load(url, sessions, requests)
    began = time.perf_counter()
    await asyncio.gather(
        *(load.client(seed) for seed in range(clients)), *(load.replay(1000 + seed) for seed in range(sockets))
    )
    return load, time.perf_counter() - began


def under_load(home: Home, requests: int, clients: int, sockets: int) -> int:
    """Start the service, attack it, and judge."""
    process, url = start(home)
    try:
        resident = psutil.Process(process.pid).memory_info().rss / 1e6
        load, taken = asyncio.run(attack(url, requests, clients, sockets))
        alive = process.poll() is None
        after = psutil.Process(process.pid).memory_info().rss / 1e6 if alive else 0.0
    finally:
        process.terminate()
        process.wait(30)
    print(f"{requests} requests by {clients} clients beside {sockets} WebSockets in {taken:.1f} s "
          f"({requests / taken:.0f} a second); load {os.getloadavg()[0]:.1f}")  # fmt: skip
    for name, count in sorted(load.counts.items()):
        print(f"  {name:<36} {count:>8,}")
    print(f"  {'answered otherwise than they should':<36} {len(load.wrong):>8,}")
    print(f"  good requests {percentiles(load.good_ms)}")
    print(f"  bad requests  {percentiles(load.bad_ms)}")
    print(f"  the service {'is alive' if alive else 'DIED'}; resident {resident:.0f} MB before, {after:.0f} MB after; "
          f"ended with {process.returncode}")  # fmt: skip
    for line in load.wrong[:10]:
        print(f"  WRONG {line}")
    return int(bool(load.wrong) or not alive or process.returncode != 0)


def main() -> int:
    """Measure, and return the exit code."""
    parser = argparse.ArgumentParser(description="The live scorer, measured.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--only", choices=["latency", "load"])
    parser.add_argument("--viewports", type=int, default=300)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--sockets", type=int, default=4)
    chosen = parser.parse_args()
    home, failed = Home(chosen.home.resolve()), 0
    if chosen.only != "load":
        failed |= latency(home, chosen.viewports)
    if chosen.only != "latency":
        failed |= under_load(home, chosen.requests, chosen.clients, chosen.sockets)
    return failed


if __name__ == "__main__":
    sys.exit(main())
