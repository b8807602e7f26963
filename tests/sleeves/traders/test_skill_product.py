"""The ranking end to end: simulated wallets through ingest, build and `trademl traders rank`."""

import csv
import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from trademl.cli.main import main
from trademl.cli.simulate_traders import ingest_lines
from trademl.config.home import Home
from trademl.warehouse.read import read_snapshot

# dbt leaves its log file open in the process it ran in; exchange_calendars 4.13 calls what pandas 3 deprecates.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"
)


def test_simulated_wallets_are_ranked_from_the_warehouse(home: Home, tmp_path: Path) -> None:
    """Files land without quarantine; skilled wallets lead, martingales and wash flow are flagged, the mart has all."""
    files = tmp_path / "wallets"

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["--home", str(home.root), *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    shares = ["--skilled", "0.2", "--martingales", "0.15", "--washers", "0.1", "--strongest-skill", "0.6"]
    run("simulate", "traders", "--out", str(files), "--wallets", "60", "--days", "90", "--fills", "60", *shares)
    for line in ingest_lines(files):
        said = [" ".join(row.split()) for row in run(*shlex.split(line)).splitlines()]
        assert "+ quarantined 0" in said
    run("build")
    last = json.loads((files / "truth.json").read_text())["last"]
    rows = json.loads(run("traders", "rank", "--as-of", last, "--format", "json", "--resamples", "50"))

    with (files / "truth.csv").open(newline="") as file:
        truth = {row["address"]: row for row in csv.DictReader(file)}
    traded = [address for address, row in truth.items() if row["trips"] != "0"]
    assert sorted(row["address"] for row in rows) == sorted(traded)
    assert {row["n_observed"] for row in rows} == {len(traded)}
    for row in rows:
        # Daily figures are those of the fills: what the wallet earned after fees, within rounding of fees to 1e-8.
        assert row["net_pnl"] == pytest.approx(float(truth[row["address"]]["net_pnl"]), abs=1e-3)
    kinds = [truth[row["address"]]["kind"] for row in rows if row["skill_rank"] is not None]
    assert kinds[:5].count("skill") >= 4
    judged = [row for row in rows if row["skill_rank"] is not None and row["evidence"] == "trades"]
    for kind, flag in (("martingale", "is_martingale"), ("wash", "is_wash")):
        raised = {truth[row["address"]]["kind"] for row in judged if row[flag]}
        assert raised == {kind}

    with read_snapshot(home) as snapshot:
        shown = snapshot.con.execute(
            "select address, skill_rank, deflated_skill from marts.trader_skill "
            "order by skill_rank nulls last, status, address"
        ).fetchall()
    assert shown == [(row["address"], row["skill_rank"], row["deflated_skill"]) for row in rows]
