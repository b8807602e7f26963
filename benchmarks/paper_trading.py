"""60 sessions of paper trading with failing requests and 50 kills, and the trace of 10,000 fills to their raw lines.

``python -m benchmarks.paper_trading`` trades against a broker on this machine that speaks Alpaca's HTTP API: one
request in twenty goes wrong (eight ways), orders are rejected, filled in parts or not at all, and the trading process
is killed with SIGKILL in the middle of its own steps and of its requests. It ends with an error unless nothing was
doubled or lost and both records are equal.

``python -m benchmarks.paper_trading --trace HOME`` times one query over ``marts.fill_trace`` of a home that has traded
(`trademl build` after the trades, so that the mart is of this version), and counts what is traced.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def killed(sessions: int, kills: int, rate: float, seed: int) -> int:
    """Run the sessions in a process of their own and print what happened; return the exit code."""
    from tests.execution.killed_sessions import FAULTLESS, REPOSITORY

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.execution.killed_sessions", folder, str(sessions), str(kills)]
        subprocess.run([*command, str(rate), str(seed)], cwd=REPOSITORY, check=True)
        result = json.loads((Path(folder) / "result.json").read_text(encoding="utf-8"))
    requests, faults = result["requests"], {name: n for name, n in result["faults"].items() if name != "kill"}
    print(f"sessions            {result['sessions']}, {result['commands']} commands in {result['seconds']} s")
    inside = sum("request" in one for one in result["killed"])
    print(
        f"kills (SIGKILL)     {result['kills']}: {inside} in a request, {result['kills'] - inside} before a file step"
    )
    print(f"requests            {requests}, {sum(faults.values())} went wrong: {faults}")
    print(f"orders              {result['orders']} ({result['statuses']}), {result['orders_at_broker']} at the broker")
    print(f"fills               {result['fills']}")
    wrong = {name: result[name] for name, expected in FAULTLESS.items() if result[name] != expected}
    print(f"doubled             {result['doubled']}")
    print(f"lost                {len(result['lost'])}")
    print(f"records             {'equal' if not wrong else f'DIFFERENT: {wrong}'}")
    return 1 if wrong or result["kills"] != kills else 0


def traced(root: Path, fills: int) -> int:
    """Time the trace of ``fills`` fills in one query; return the exit code."""
    from trademl.config.home import Home
    from trademl.warehouse.read import read_snapshot

    with read_snapshot(Home(root)) as snapshot:
        (there,) = snapshot.con.execute("select count(*) from ops.fills").fetchall()[0]
        query = (
            "select count(*), count(*) filter (where is_traced), count(distinct raw_file), min(dt), max(dt), "
            "count(distinct run_id), avg(slippage_bps) "
            "from (select * from marts.fill_trace order by filled_at, fill_id limit ?)"
        )
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            rows = snapshot.con.execute(query, [fills]).fetchall()
            seconds.append(time.perf_counter() - started)
    count, whole, files, first, last, runs, slippage = rows[0]
    print(f"fills               {there} in the home, {count} traced in one query, decided {first} to {last}")
    print(f"down to a raw line  {whole} ({whole / max(count, 1):.2%}), {files} source files, {runs} training runs")
    print(f"mean slippage       {slippage:.2f} bps against the decision's close")
    print(f"time                {min(seconds):.2f} s (best of 3: {', '.join(f'{one:.2f}' for one in seconds)})")
    return 0 if count and whole == count else 1


def main() -> int:
    """Run one of the two parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", type=Path, metavar="HOME")
    parser.add_argument("--fills", type=int, default=10_000)
    given = parser.parse_args()
    return (
        traced(given.trace, given.fills) if given.trace else killed(given.sessions, given.kills, given.rate, given.seed)
    )


if __name__ == "__main__":
    sys.exit(main())
