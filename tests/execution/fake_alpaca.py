"""A broker on this machine that speaks Alpaca's HTTP API, with the failures of a real network and a real exchange.

``python -m tests.execution.fake_alpaca FOLDER`` serves until it is ended; its port stands in FOLDER/port, its books in
FOLDER/record.json, which is the broker's own record: it survives whatever happens to the client. Tests in one process
use :func:`serving`. What a client cannot ask is under ``/control``: the clock, prices, the auction, splits, faults, and
killing the client in the middle of a request of its own.

Rules as Alpaca states them: a ``client_order_id`` is taken once (422 afterwards), also by an order that was rejected
later; an order that would turn a long position short, or the other way round, is refused (403); an order for the
opening auction waits for it, and is taken from 19:00 to 9:28 New York time (here in winter) only; orders and activities
come in pages.
"""

import json
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY, SECRET = "fake-key", "fake-secret"
WORKING = ("new", "accepted", "partially_filled")
FAULTS = ("slow_after", "slow_before", "drop_after", "drop_before", "rate_limit", "unavailable", "cut_short", "late")
"""What may happen to a request: it is carried out and the answer comes too late; the request itself does; the line
breaks after or before it is carried out; 429; 503; half of an answer; a 504, and it is carried out a moment later."""


class Exchange:
    """The books, and what changes them."""

    def __init__(self, record: Path, cash: float = 1_000_000.0) -> None:
        self.record = record
        self.lock = threading.RLock()
        self.now = datetime(2024, 1, 2, 12, tzinfo=UTC)
        self.prices: dict[str, float] = {}
        self.orders: list[dict[str, Any]] = []
        self.activities: list[dict[str, Any]] = []
        self.positions: dict[str, float] = {}
        self.cash = cash
        self.refused: dict[str, str] = {}
        self.blocked = False
        self.duplicates = False

    def save(self) -> None:
        """Write the broker's own record."""
        document = {
            "orders": self.orders,
            "activities": self.activities,
            "positions": self.positions,
            "cash": self.cash,
        }
        temporary = self.record.with_suffix(".part")
        temporary.write_text(json.dumps(document))
        temporary.replace(self.record)

    def tick(self) -> str:
        """Return the time, which no two events share."""
        self.now = datetime.fromtimestamp(self.now.timestamp() + 0.001, UTC)
        return self.now.isoformat().replace("+00:00", "Z")

    def place(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Take an order, or refuse it."""
        name, symbol, quantity = str(body["client_order_id"]), str(body["symbol"]), float(body["qty"])
        if any(one["client_order_id"] == name for one in self.orders):
            return 422, {"code": 40010001, "message": "client_order_id must be unique"}
        if symbol in self.refused:
            return 403, {"code": 40310000, "message": self.refused[symbol]}
        if symbol not in self.prices:
            return 422, {"code": 42210000, "message": f"asset {symbol} not found"}
        if body["time_in_force"] == "opg" and (self.now.hour, self.now.minute) >= (14, 28):
            told = "opg orders are only accepted after 7:00pm and before 9:28am"
            return 422, {"code": 42210000, "message": told}
        change = quantity if body["side"] == "buy" else -quantity
        held = self.positions.get(symbol, 0.0)
        if held and held * change < 0:
            promised = sum(
                float(one["qty"]) - float(one["filled_qty"])
                for one in self.orders
                if one["symbol"] == symbol and one["side"] == body["side"] and one["status"] in WORKING
            )
            available = abs(held) - promised
            if quantity > available:
                told = f"insufficient qty available for order (requested: {quantity:g}, available: {available:g})"
                return 403, {"code": 40310000, "message": told}
        at = self.tick()
        order = {
            "id": str(uuid.UUID(int=len(self.orders) + 1)),
            "client_order_id": name,
            "created_at": at,
            "submitted_at": at,
            "symbol": symbol,
            "qty": f"{quantity:g}",
            "filled_qty": "0",
            "filled_avg_price": None,
            "side": body["side"],
            "type": body["type"],
            "order_class": "",
            "time_in_force": body["time_in_force"],
            "status": "accepted" if body["time_in_force"] == "opg" else "new",
            "extended_hours": False,
        }
        self.orders.append(order)
        if order["time_in_force"] == "day":
            self.fill(order, quantity)
        self.save()
        return 200, dict(order)

    def fill(self, order: dict[str, Any], shares: float) -> None:
        """Execute a part of an order at the price of its symbol."""
        price = self.prices[order["symbol"]]
        before, total = float(order["filled_qty"]), float(order["qty"])
        filled = before + shares
        average = (before * float(order["filled_avg_price"] or 0) + shares * price) / filled
        whole = filled == total
        order.update(
            filled_qty=f"{filled:g}", filled_avg_price=repr(average), status="filled" if whole else "partially_filled"
        )
        change = shares if order["side"] == "buy" else -shares
        self.positions[order["symbol"]] = self.positions.get(order["symbol"], 0.0) + change
        if self.positions[order["symbol"]] == 0:
            del self.positions[order["symbol"]]
        self.cash -= change * price
        at = self.tick()
        self.activities.append(
            {
                "id": f"{at}::{len(self.activities) + 1:08d}",
                "activity_type": "FILL",
                "transaction_time": at,
                "type": "fill" if whole else "partial_fill",
                "price": repr(price),
                "qty": f"{shares:g}",
                "side": order["side"],
                "symbol": order["symbol"],
                "leaves_qty": f"{total - filled:g}",
                "order_id": order["id"],
                "cum_qty": f"{filled:g}",
                "order_status": order["status"],
            }
        )

    def auction(self, seed: int, partial: float, fail: float) -> None:
        """Open the session: each waiting order is filled, in up to three parts, or in part, or not at all."""
        draw = random.Random(seed)
        for order in self.orders:
            if order["status"] not in WORKING:
                continue
            total, luck = float(order["qty"]), draw.random()
            if luck < fail:
                order["status"] = draw.choice(("rejected", "expired", "canceled"))
                continue
            wanted = max(1.0, total // 2) if luck < fail + partial else total
            for part in range(draw.choice((1, 1, 2, 3)), 0, -1):
                left = wanted - float(order["filled_qty"])
                shares = left if part == 1 else max(0.0, left // part)
                if shares:
                    self.fill(order, shares)
            if order["status"] != "filled":
                order["status"] = "expired"
        self.save()

    def action(self, kind: str, symbol: str, day: str, quantity: float, amount: float) -> None:
        """Change shares and cash without a trade, and list it."""
        self.cash += amount
        if quantity:
            self.positions[symbol] = self.positions.get(symbol, 0.0) + quantity
        self.activities.append(
            {
                "id": f"{self.tick()}::{len(self.activities) + 1:08d}",
                "activity_type": kind,
                "date": day,
                "symbol": symbol,
                "qty": f"{quantity:g}",
                "net_amount": repr(amount),
            }
        )
        self.save()


class Faults:
    """Which of the client's requests go wrong, and when its process is killed."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.kinds: tuple[str, ...] = FAULTS
        self.draw = random.Random(0)
        self.slow_seconds = 1.0
        self.script: list[str] = []
        self.kill: dict[str, Any] | None = None
        self.counted: dict[str, int] = {}
        self.requests = 0

    def next(self) -> str:
        """Return what happens to the next request, '' for nothing."""
        if self.script:
            kind = self.script.pop(0)
        else:
            kind = self.draw.choice(self.kinds) if self.draw.random() < self.rate else ""
        if kind:
            self.counted[kind] = self.counted.get(kind, 0) + 1
        return kind

    def kills(self, when: str) -> None:
        """Kill the client if this is the request, and the moment within it, that was named."""
        if self.kill is None or self.kill["when"] != when:
            return
        self.kill["left"] -= 1
        if self.kill["left"] == 0:
            pid, self.kill = int(self.kill["pid"]), None
            os.kill(pid, signal.SIGKILL)
            self.counted["kill"] = self.counted.get("kill", 0) + 1


class Handler(BaseHTTPRequestHandler):
    """One request."""

    exchange: Exchange
    faults: Faults
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        body = json.loads(raw) if raw else {}
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.startswith("/control/"):
            with self.exchange.lock:
                answer = self._control(url.path.removeprefix("/control/"), body)
            self._answer(200, answer)
            return
        if self.headers.get("APCA-API-KEY-ID") != KEY or self.headers.get("APCA-API-SECRET-KEY") != SECRET:
            self._answer(401, {"message": "unauthorized"})
            return
        with self.exchange.lock:
            self.faults.requests += 1
            kind = self.faults.next()
            self.faults.kills("before")
        if kind == "slow_before":
            time.sleep(self.faults.slow_seconds)
        if kind in ("drop_before", "slow_before"):
            self.close_connection = True
            return
        if kind in ("rate_limit", "unavailable"):
            self._answer(429 if kind == "rate_limit" else 503, {"message": kind})
            return
        if kind == "late":
            threading.Timer(self.faults.slow_seconds / 2, self._carry_out, (url.path, asked, body)).start()
            self._answer(504, {"message": "late"})
            return
        status, answer = self._carry_out(url.path, asked, body)
        with self.exchange.lock:
            self.faults.kills("after")
        if kind == "slow_after":
            time.sleep(self.faults.slow_seconds)
        if kind in ("drop_after", "slow_after"):
            self.close_connection = True
            return
        self._answer(status, answer, cut=kind == "cut_short")

    def _carry_out(self, path: str, asked: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        with self.exchange.lock:
            return self._route(self.command, path.removeprefix("/v2"), asked, body)

    def _answer(self, status: int, document: Any, *, cut: bool = False) -> None:
        data = b"" if document is None else json.dumps(document).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
        except (BrokenPipeError, ConnectionResetError):
            cut = True
        self.close_connection = cut

    def _route(self, method: str, path: str, asked: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        books = self.exchange
        if (method, path) == ("POST", "/orders"):
            return books.place(body)
        if path == "/orders:by_client_order_id":
            found = [one for one in books.orders if one["client_order_id"] == asked["client_order_id"]]
            return (200, dict(found[0])) if found else (404, {"code": 40410000, "message": "order not found"})
        if (method, path) == ("GET", "/orders"):
            after = _time(asked.get("after", "1970-01-01T00:00:00Z"))
            rows = [one for one in books.orders if _time(one["submitted_at"]) > after]
            return 200, rows[: int(asked.get("limit", 50))]
        if method == "DELETE" and path.startswith("/orders/"):
            for one in books.orders:
                if one["id"] == path.removeprefix("/orders/"):
                    if one["status"] not in WORKING:
                        return 422, {"message": "order is not cancelable"}
                    one["status"] = "canceled"
                    books.save()
                    return 204, None
            return 404, {"message": "order not found"}
        if path == "/positions":
            return 200, [
                {"symbol": symbol, "qty": f"{shares:g}", "side": "long" if shares > 0 else "short"}
                for symbol, shares in sorted(books.positions.items())
            ]
        if path == "/account":
            worth = sum(shares * books.prices.get(symbol, 0.0) for symbol, shares in books.positions.items())
            return 200, {
                "account_number": "PA0000001",
                "status": "ACTIVE",
                "cash": repr(books.cash),
                "equity": repr(books.cash + worth),
                "trading_blocked": books.blocked,
            }
        if path.startswith("/account/activities"):
            wanted = path.removeprefix("/account/activities").strip("/")
            trades = wanted == "FILL"
            rows = [one for one in books.activities if (one["activity_type"] == "FILL") == trades]
            since = _time(asked.get("after", "1970-01-01T00:00:00Z"))
            rows = [one for one in rows if _time(one.get("transaction_time") or f"{one['date']}T00:00:00Z") >= since]
            if "page_token" in asked:
                place = [one["id"] for one in rows].index(asked["page_token"])
                rows = rows[place + 1 :]
            rows = rows[: int(asked.get("page_size", 100))]
            return 200, [row for one in rows for row in ([one, one] if books.duplicates else [one])]
        return 404, {"message": f"{method} {path} is not served"}

    def _control(self, what: str, body: dict[str, Any]) -> Any:
        books, faults = self.exchange, self.faults
        if what == "clock":
            books.now = max(books.now, datetime.fromisoformat(body["now"]))
        elif what == "prices":
            books.prices.update(body)
        elif what == "auction":
            books.auction(int(body["seed"]), float(body.get("partial", 0.0)), float(body.get("fail", 0.0)))
        elif what == "action":
            books.action(body["kind"], body["symbol"], body["date"], float(body["quantity"]), float(body["amount"]))
        elif what == "set":
            for name, value in body.items():
                setattr(books, name, value)
        elif what == "faults":
            faults.rate = float(body.get("rate", 0.0))
            faults.kinds = tuple(body.get("kinds", FAULTS))
            faults.slow_seconds = float(body.get("slow_seconds", 1.0))
            faults.script = list(body.get("script", []))
            if "seed" in body:
                faults.draw = random.Random(int(body["seed"]))
        elif what == "kill":
            faults.kill = dict(body) if body else None
        elif what == "order":
            return books.place(body)[1]
        books.save()
        return {"requests": faults.requests, "counted": faults.counted, "armed": faults.kill is not None}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace(" ", "+"))


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed, or lose patience, break off."""


def make_server(folder: Path, cash: float = 1_000_000.0) -> tuple[ThreadingHTTPServer, Exchange, Faults]:
    """Return a server on a free port of this machine, its books and its faults."""
    folder.mkdir(parents=True, exist_ok=True)
    books, faults = Exchange(folder / "record.json", cash), Faults()
    books.save()
    handler = type("Bound", (Handler,), {"exchange": books, "faults": faults})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    return server, books, faults


@contextmanager
def serving(folder: Path, cash: float = 1_000_000.0) -> Iterator[tuple[str, Exchange, Faults]]:
    """Serve from a thread of this process; yields the address, the books and the faults."""
    server, books, faults = make_server(folder, cash)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", books, faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main(folder: Path) -> None:
    """Serve from this process until it is ended."""
    server, _, _ = make_server(folder)
    (folder / "port.part").write_text(str(server.server_address[1]))
    (folder / "port.part").rename(folder / "port")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
