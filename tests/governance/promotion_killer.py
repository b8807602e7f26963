"""Kill a promotion before each of its steps in turn, and write down what the next command finds.

Run as ``python -m tests.governance.promotion_killer FOLDER ACTION MOST``. A step is what can be seen from outside:
opening a file of the home for writing, a rename, a removal, a change of mode, a lock, an fsync, and each statement and
commit of MLflow's database. A process that has loaded everything is forked for each kill, so that a kill takes less
than a second; nothing that a fork must not inherit (a database connection, a thread) exists in it.

Writes FOLDER/ACTION.json: one record per kill, and one of the undisturbed run.
"""

import importlib
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.edge.scoring_home import write_warehouse
from tests.governance.promotable import A, B, clock, decision, register, write_run
from trademl.config.home import Home
from trademl.governance.promotion import promote, rollback

LOADED = (
    "alembic.command",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "trademl.cli.promotion",
)
SEEN = ("os.rename", "os.remove", "os.chmod", "os.mkdir", "fcntl.flock", "sqlite3.connect")
WRITING = os.O_WRONLY | os.O_RDWR


def count_steps(root: Path, act: Callable[[str], None]) -> None:
    """Call ``act`` with a name before each step that touches the home ``root``, from now on."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            if str(arguments[0]).startswith(str(root)):
                act(f"open {Path(str(arguments[0])).name.split('-')[0]}")
        elif name in SEEN:
            act(f"{name} {Path(str(arguments[-2 if name == 'os.rename' else 0])).name[:40]}")

    fsync = os.fsync

    def flush(descriptor: int) -> None:
        act("fsync")
        fsync(descriptor)

    def statement(*arguments: Any) -> None:
        if not str(arguments[2]).lstrip().upper().startswith(("SELECT", "PRAGMA")):
            act(f"mlflow {str(arguments[2]).split()[0]}")

    os.fsync = flush
    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", lambda _: act("mlflow commit"))
    sys.addaudithook(audit)


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process and return its wait status."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def act_on(home: Home, action: str) -> None:
    """Promote B, or roll back from it, as the command line does."""
    if action == "promote":
        promote(home, decision(B, champion=A), now=clock())
    else:
        rollback(home, "equities", reason="live loss", now=clock())


def make_template(home: Home, action: str) -> None:
    """Make a published home with A as champion, or B after A, and both in MLflow."""
    for run in (A, B):
        write_run(home, run)
    write_warehouse(home)
    for run in (A, B):
        register(home, run)
    promote(home, decision(A), now=clock())
    if action == "rollback":
        promote(home, decision(B, champion=A), now=clock())


def found(home: Home, reported: str) -> dict[str, Any]:
    """Read who is champion where, each from the files themselves."""
    import duckdb
    import yaml

    from trademl.lake.layout import layout_of
    from trademl.lake.snapshot import open_snapshot

    crowned = "select max_by(run_id, sequence) from {} where bar = 'decision' and verdict <> 'refused'"
    batches = str(home.lake / "ops" / "promotions" / "[0-9]*.parquet").replace("'", "''")
    with duckdb.connect() as con:
        authority = con.execute(crowned.format(f"read_parquet('{batches}')")).fetchall()[0][0]
    with open_snapshot(layout_of(home)) as snapshot:
        published = snapshot.con.execute(crowned.format("ops.promotions")).fetchall()[0][0]
    with closing(sqlite3.connect(home.models_artifacts / "mlflow.db")) as con:
        aliases = dict(
            con.execute(
                "select alias.alias, tag.value from registered_model_aliases as alias "
                "join model_version_tags as tag on tag.version = alias.version and tag.key = 'trademl.run_id'"
            ).fetchall()
        )
    router = yaml.safe_load((home.configs / "router.yml").read_text())["equities"]["champion"]
    leftovers = [str(path.relative_to(home.root)) for path in home.root.rglob(".incoming-*")]
    return {
        "reported": reported,
        "ops.promotions": authority,
        "snapshot": published,
        "router": router,
        "registry": aliases.get("champion"),
        "challenger": aliases.get("challenger"),
        "leftovers": leftovers,
    }


def observe(home: Home, into: Path) -> None:
    """Run `trademl champion` as the next command, and write down what it says and what the files say."""
    from click.testing import CliRunner

    from trademl.cli.main import main

    result = CliRunner().invoke(main, ["--home", str(home.root), "champion", "equities", "--format", "json"])
    assert result.exit_code == 0, result.output
    reported = json.loads(result.stdout)["equities"]["champion"]["run_id"]
    into.write_text(json.dumps(found(home, reported)))


def once(template: Path, folder: Path, action: str, stop: int | None) -> dict[str, Any]:
    """Act on a copy of the template, killed before step ``stop``, and return what the next command finds."""
    work, notes = folder / "work", folder / "notes.json"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(template, work)
    home = Home(work)

    def run() -> None:
        steps: list[str] = []

        def act(name: str) -> None:
            steps.append(name)
            if len(steps) == stop:
                os.kill(os.getpid(), signal.SIGKILL)

        count_steps(work, act)
        act_on(home, action)
        (folder / "steps.json").write_text(json.dumps(list(steps)))

    status = in_child(run)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if in_child(lambda: observe(home, notes)) != 0:
        raise SystemExit(f"`trademl champion` failed after a kill before step {stop}")
    return {"stop": stop, "killed": killed, "status": status, **json.loads(notes.read_text())}


def chosen_points(steps: list[str], most: int) -> list[int]:
    """Return numbers, from 1, of the steps at and after each rename and write of MLflow, and of more up to ``most``."""
    telling = [
        number + later
        for number, name in enumerate(steps, start=1)
        for later in (0, 1)
        if name.startswith(("os.rename", "mlflow UPDATE", "mlflow INSERT", "mlflow DELETE"))
        if number + later <= len(steps)
    ]
    others = [number for number in range(1, len(steps) + 1) if number not in telling]
    room = min(max(most - len(set(telling)), 0), len(others))
    spread = [others[n * len(others) // room] for n in range(room)]
    return sorted({*telling, *spread})


def main(folder: Path, action: str, most: int) -> None:
    """Make the template, count the steps, kill before ``most`` of them, and write the records."""
    # Once, for all forks; it makes no connection.
    for module in LOADED:
        importlib.import_module(module)
    template = folder / "template"
    if in_child(lambda: _make(template, action)) != 0:
        raise SystemExit("the template could not be made")
    records = [once(template, folder, action, None)]
    steps = json.loads((folder / "steps.json").read_text())
    records += [
        {**once(template, folder, action, point), "before": steps[point - 1]} for point in chosen_points(steps, most)
    ]
    (folder / f"{action}.json").write_text(json.dumps({"steps": steps, "records": records}, indent=1))


def _make(template: Path, action: str) -> None:
    from trademl.cli.init import bundle, make_home

    make_home(template, bundle())
    shutil.rmtree(template / "dbt_project")
    make_template(Home(template), action)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
