"""Trade sessions against the fake broker while requests fail and the process is killed, and compare the records.

Every command is the command line itself, run in a forked process. A kill is a SIGKILL, in one of two places: the broker
kills the client in the middle of a request, before or after it was carried out; or the process dies before one of its
own steps on a file (an open for writing, an fsync, a rename). After a kill the same command is run again until it ends.
"""

import contextlib
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.execution import fake_alpaca
from tests.execution.trading_home import SYMBOLS, at, bare_home, write_execution, write_home, write_targets
from tests.lake.killing import killed_before
from trademl.config.home import Home

REPOSITORY = Path(__file__).resolve().parents[2]
_TRIES = 30
_REQUESTS, _STEPS = 22, 60


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[Callable[..., Any]]:
    """Start the fake broker as a process of its own; yields a function that asks its ``/control``."""
    process = subprocess.Popen([sys.executable, "-m", "tests.execution.fake_alpaca", str(folder)], cwd=REPOSITORY)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "port").exists():
            if time.monotonic() > deadline:
                raise RuntimeError("the fake broker did not start")
            time.sleep(0.05)
        address = f"http://127.0.0.1:{(folder / 'port').read_text()}"

        def control(what: str, **body: Any) -> Any:
            request = urllib.request.Request(f"{address}/control/{what}", data=json.dumps(body).encode(), method="POST")
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)

        control.__dict__["address"] = address
        yield control
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def command(home: Home, now: datetime, arguments: list[str], errors: Path) -> int:
    """Run ``trademl trade ...`` in this process, which is to end afterwards; return its exit code."""
    from trademl.cli.main import main
    from trademl.execution.alpaca import AlpacaBroker

    os.environ["TRADEML_NOW"] = now.isoformat()
    # The pauses between attempts are real, only shorter: the broker here is never busy.
    (AlpacaBroker.__init__.__kwdefaults__ or {})["pause"] = lambda seconds: time.sleep(min(seconds, 0.02))
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = 0
        try:
            main(["--home", str(home.root), "trade", *arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
    if code:
        with errors.open("a", encoding="utf-8") as stream:
            stream.write(f"{now:%Y-%m-%d %H:%M} {' '.join(arguments)}: exit {code}: {told.getvalue()[:800]}\n")
    return code


def forked(work: Callable[[], int]) -> int:
    """Run ``work`` in a forked process; return its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(folder: Path, *, count: int, kills: int, fault_rate: float, seed: int) -> dict[str, Any]:
    """Trade ``count`` sessions with ``kills`` kills and return what happened and every difference between the records.

    The environment is changed for good: run it in a process of its own.
    """
    # Loaded once, for all forks; none of these opens a connection.
    import alpaca.trading.client  # noqa: F401

    import trademl.cli.trade
    import trademl.execution.alpaca
    import trademl.execution.trading  # noqa: F401

    draw = random.Random(seed)
    home = bare_home(folder / "home")
    errors = folder / "errors.txt"
    if forked(lambda: _made(home, count)) != 0:
        raise RuntimeError("the home could not be made")
    days: list[str] = json.loads((folder / "days.json").read_text())
    write_execution(home, "broker: {name: alpaca, timeout_seconds: 0.25}\n")
    os.environ.update(APCA_API_KEY_ID=fake_alpaca.KEY, APCA_API_SECRET_KEY=fake_alpaca.SECRET)
    killed: list[str] = []
    prices = dict.fromkeys(SYMBOLS, 50.0)
    started, commands = time.monotonic(), 0
    with broker(folder / "broker") as control:
        os.environ["APCA_API_BASE_URL"] = control.__dict__["address"]
        for number, (day, traded) in enumerate(itertools.pairwise(days)):
            morning, night = (at(datetime.fromisoformat(traded).date(), *when) for when in ((12,), (21, 30)))
            prices = {symbol: round(price * draw.uniform(0.99, 1.01), 2) for symbol, price in prices.items()}
            control("clock", now=morning.isoformat())
            control("prices", **prices)
            refused = {draw.choice(SYMBOLS[:8]): "the symbol is halted"} if number % 7 == 3 else {}
            control("set", refused=refused, duplicates=number % 5 == 1)
            control("faults", rate=fault_rate, slow_seconds=0.4, seed=seed * 1000 + number)
            for now, arguments in ((morning, ["paper", "--date", day]), (night, ["reconcile"])):
                if now is night:
                    control("clock", now=at(datetime.fromisoformat(traded).date(), 14, 30).isoformat())
                    control("auction", seed=seed * 1000 + number, partial=0.15, fail=0.05)
                tries = 0
                while True:
                    commands, tries = commands + 1, tries + 1
                    left = kills - len(killed)
                    wanted = left > 0 and tries <= 2 and (len(killed) < (2 * number + 2) * kills / (2 * count) + 1)
                    ended = _once(home, now, arguments, errors, draw if wanted else None, control)
                    if isinstance(ended, str):
                        killed.append(f"{day} {arguments[0]} {ended}")
                    elif ended == 0:
                        break
                    if tries > _TRIES:
                        told = errors.read_text(encoding="utf-8")[-800:] if errors.exists() else "no error was told"
                        raise RuntimeError(f"{arguments} of {day} does not end: {told}")
        counted = control("faults", rate=0.0)
    found = compare(home, folder / "broker" / "record.json")
    return {
        **found, "sessions": count, "kills": len(killed), "killed": killed, "commands": commands,
        "requests": counted["requests"], "faults": counted["counted"], "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip


def _made(home: Home, count: int) -> int:
    days = write_home(home, count + 1)
    for day in days[:count]:
        write_targets(home, day)
    (home.root.parent / "days.json").write_text(json.dumps([day.isoformat() for day in days]))
    return 0


def _once(
    home: Home, now: datetime, arguments: list[str], errors: Path, draw: random.Random | None, control: Any
) -> int | str:
    """Run a command once; return its exit code, or where it was killed."""
    if draw is None:
        return forked(lambda: command(home, now, arguments, errors))
    if draw.random() < 0.5:
        stop = draw.randrange(1, _STEPS)

        def checked(_: Any) -> None:
            code = command(home, now, arguments, errors)
            if code:
                raise SystemExit(code)

        ended = killed_before(stop, home.root, checked)
        return f"before step {stop}: {ended.steps[-1]}" if ended.killed else (1 if ended.error else 0)
    left, when = draw.randrange(1, _REQUESTS), draw.choice(("before", "after"))

    def work() -> int:
        control("kill", pid=os.getpid(), left=left, when=when)
        return command(home, now, arguments, errors)

    code = forked(work)
    control("kill")
    return f"{when} request {left} was carried out" if code == -signal.SIGKILL else code


def compare(home: Home, record: Path) -> dict[str, Any]:
    """Compare ops.orders and ops.fills, read from their files, with the broker's own record."""
    import duckdb

    books = json.loads(record.read_text())
    with duckdb.connect() as con:
        files = {name: f"{home.lake}/ops/{name}/*.parquet" for name in ("orders", "fills")}
        rows = con.execute(
            "select client_order_id, max_by(status, event_seq), max_by(filled_quantity, event_seq), "
            "any_value(quantity), any_value(side), any_value(symbol), any_value(dt)::varchar "
            "from read_parquet(?) group by 1",
            [files["orders"]],
        ).fetchall()
        fills = con.execute(
            "select distinct fill_id, order_id, symbol, quantity, price from read_parquet(?) order by 1",
            [files["fills"]],
        ).fetchall()
        halts = con.execute("select count(*) from glob(?)", [f"{home.lake}/ops/halts/*.parquet"]).fetchall()[0][0]
    theirs = {one["client_order_id"]: one for one in books["orders"]}
    ours = {row[0]: row for row in rows}
    names = [one["client_order_id"] for one in books["orders"]]
    placed = {name for name, row in ours.items() if row[1] not in ("rejected", "unsent")}
    trades = [one for one in books["activities"] if one["activity_type"] == "FILL"]
    of = {one["id"]: one["client_order_id"] for one in books["orders"]}
    expected = sorted(
        (f"alpaca:{one['id']}", of[one["order_id"]], one["symbol"],
         float(one["qty"]) * (1 if one["side"] == "buy" else -1), float(one["price"]))
        for one in trades
    )  # fmt: skip
    held: dict[str, float] = {}
    for _, _, symbol, quantity, _ in fills:
        held[symbol] = held.get(symbol, 0.0) + quantity
    pairs = [(row[5], row[6]) for row in rows]
    return {
        "orders": len(ours),
        "orders_at_broker": len(theirs),
        "fills": len(fills),
        "doubled": len(names) - len(set(names)) + len(pairs) - len(set(pairs)),
        "lost": sorted(placed - set(theirs)),
        "not_in_blotter": sorted(set(theirs) - set(ours)),
        "different_orders": sorted(
            name
            for name in set(ours) & set(theirs)
            if (ours[name][2], ours[name][3], ours[name][4])
            != (float(theirs[name]["filled_qty"]), float(theirs[name]["qty"]), theirs[name]["side"])
            or (ours[name][1] != theirs[name]["status"] and ours[name][1] != "rejected")
        ),
        "fills_missing": len(set(expected) - set(fills)),
        "fills_too_many": len(fills) - len(set(expected) & set(fills)),
        "positions_equal": {symbol: shares for symbol, shares in held.items() if shares} == books["positions"],
        "halts": halts,
        "statuses": {name: sum(row[1] == name for row in rows) for name in sorted({row[1] for row in rows})},
    }


FAULTLESS: dict[str, Any] = {
    "doubled": 0,
    "lost": [],
    "not_in_blotter": [],
    "different_orders": [],
    "fills_missing": 0,
    "fills_too_many": 0,
    "positions_equal": True,
    "halts": 0,
}
"""What :func:`run` must find."""


def main(folder: Path, count: int, kills: int, fault_rate: float, seed: int) -> None:
    """Run and write FOLDER/result.json."""
    result = run(folder, count=count, kills=kills, fault_rate=fault_rate, seed=seed)
    (folder / "result.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
