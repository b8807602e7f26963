"""A server with a built warehouse, a trained run and a signing key: what it takes to publish a release, for real."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from trademl.cli.init import bundle, make_home
from trademl.cli.main import main
from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.lake.keys import keygen
from trademl.warehouse.read import read_snapshot
from trademl.warehouse.simulate import SimulationConfig, simulate_market

SYMBOLS, SESSIONS = 30, 290
RELEASED_SESSIONS = 260


def command(home: Home, line: str) -> None:
    """Run one trademl command line in this process."""
    code = main.main(args=["--home", str(home.root), *shlex.split(line)], prog_name="trademl", standalone_mode=False)
    assert code in (None, 0), (line, code)


def make_server(folder: Path, tables: Sequence[str] = ()) -> tuple[Home, str]:
    """Simulate a market, build it, with these feature tables, train a small run; return the home and the run's id."""
    make_home(folder, bundle())
    home = Home(folder)
    project = home.dbt_project / "dbt_project.yml"
    text = project.read_text()
    assert "released_sessions: 520" in text
    # Fewer sessions are released than there are, so that the extract is not simply everything.
    text = text.replace("released_sessions: 520", f"released_sessions: {RELEASED_SESSIONS}")
    assert "feature_tables: []" in text
    project.write_text(text.replace("feature_tables: []", f"feature_tables: [{', '.join(tables)}]"))
    market = folder / "market"
    options = {"symbols": SYMBOLS, "sessions": SESSIONS, "seed": 3, "planted_ic": 0.1, "start": "2019-01-02"}
    simulate_market(validate_section(options, SimulationConfig, origin="test"), market)
    settings = yaml.safe_load((home.configs / "training" / "equities.yml").read_text())
    settings["model"] |= {"n_rounds": 8, "num_leaves": 6, "min_data_in_leaf": 20}
    settings["validation"] |= {"folds": 4, "test_folds": 1}
    (home.configs / "training" / "small.yml").write_text(yaml.safe_dump(settings))
    from trademl.cli.simulate import ingest_lines

    for line in [*ingest_lines(market), "build"]:
        command(home, line)
    config = home.configs / "training" / "small.yml"
    command(home, f"train equities --label horizon --k 5 --config {config} --no-mlflow")
    return home, last_run(home)


def last_run(home: Home) -> str:
    """Return the run that was registered last."""
    with read_snapshot(home) as snapshot:
        rows = snapshot.con.execute(
            "select run_id from ops.runs where status = 'registered' order by recorded_at desc limit 1"
        ).fetchall()
    return str(rows[0][0])


def make_key(folder: Path, lake: Path) -> tuple[Path, str]:
    """Make a signing key outside the lake; return its path and the public half."""
    path = folder / "release.key"
    return path, keygen(path, lake)


def after_close(home: Home) -> datetime:
    """Return a moment a few hours after the last session of the home's snapshot closed."""
    with read_snapshot(home) as snapshot:
        last = snapshot.manifest.as_of
    assert last is not None
    return datetime(last.year, last.month, last.day, 23, 0, tzinfo=UTC) + timedelta(hours=1)
