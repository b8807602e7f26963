"""``trademl traders rank``: table, JSON, CSV and messages."""

import csv
import io
import json
from datetime import date

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.sleeves.traders.days_and_trades import add_days, publish, silver
from trademl.cli.main import main
from trademl.config.home import Home


@pytest.fixture
def ranked_home(home: Home) -> Home:
    """A home with five traders of 60 days, the first one skilled, and one that vanished."""
    con = silver()
    rng = np.random.default_rng(3)
    for place, name in enumerate("abcde"):
        add_days(con, f"0x{name}", (100 * (rng.standard_normal(60) + (0.9 if not place else 0.0))).tolist())
    add_days(con, "0xgone", [1.0, -1.0], first=date(2024, 6, 1))
    publish(home, con)
    return home


def run(home: Home, *arguments: str) -> Result:
    runner = CliRunner(env={"TRADEML_HOME": str(home.root), "TRADEML_NOW": "2025-06-01"})
    return runner.invoke(main, ["traders", "rank", *arguments])


def test_the_table_says_who_and_among_whom(ranked_home: Home) -> None:
    """Ranks with intervals, and the N that judges: the vanished are counted and said."""
    result = run(ranked_home, "--as-of", "2025-03-01", "--resamples", "20")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "2025-03-01: 6 traders observed, 5 ranked, 0 records too short, 1 vanished"
    assert lines[2].split()[:4] == ["rank", "interval", "address", "days"]
    assert lines[3].split()[0] == "1"
    assert "0xa" in lines[3]
    assert "0xgone" not in result.stdout
    assert "the luck of the best of 6" in lines[-1]


def test_json_and_csv_hold_every_row(ranked_home: Home) -> None:
    """Both formats have all columns of the mart's rows, also of those without a rank; --top cuts."""
    found = json.loads(run(ranked_home, "--as-of", "2025-03-01", "--format", "json", "--resamples", "20").stdout)
    assert [row["status"] for row in found] == ["ranked"] * 5 + ["gone"]
    assert found[-1]["skill_rank"] is None
    text = run(ranked_home, "--as-of", "2025-03-01", "--format", "csv", "--resamples", "20").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["address"] for row in rows] == [row["address"] for row in found]
    assert list(rows[0]) == list(found[0])
    assert float(rows[0]["deflated_skill"]) == found[0]["deflated_skill"]
    assert rows[-1]["skill_rank"] == ""
    few = run(ranked_home, "--as-of", "2025-03-01", "--format", "csv", "--top", "2", "--resamples", "20").stdout
    assert len(few.splitlines()) == 3


def test_more_observed_traders_prove_less(ranked_home: Home) -> None:
    """--observed raises N."""
    shared = ["--as-of", "2025-03-01", "--format", "json", "--resamples", "20"]
    few, many = (json.loads(run(ranked_home, *shared, *more).stdout)[0] for more in ([], ["--observed", "100000"]))
    assert many["n_observed"] == 100_000
    assert many["deflated_skill"] < few["deflated_skill"]


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--as-of", "2025-07-01"], 2, "--as-of 2025-07-01 is in the future"),
        (["--as-of", "2024-05-01"], 3, "begin on 2024-06-01"),
        (["--as-of", "yesterday"], 2, "does not match the format"),
        ([], 2, "Missing option '--as-of'"),
        (["--as-of", "2025-03-01", "--resamples", "0"], 2, "resamples=0"),
        (["--as-of", "2025-03-01", "--min-days", "1"], 2, "min_days=1"),
    ],
)
def test_what_cannot_be_ranked_is_said(ranked_home: Home, arguments: list[str], code: int, said: str) -> None:
    """Each wrong request has its exit code and a message without a traceback."""
    result = run(ranked_home, *arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_nobody_to_rank_is_said(ranked_home: Home) -> None:
    """Where every record is too short the table says so, and what was seen is kept."""
    result = run(ranked_home, "--as-of", "2025-01-10", "--resamples", "20")
    assert result.exit_code == 0, result.output
    assert "no trader has a record that can be ranked" in result.stdout


def test_without_a_build_the_remedy_is_to_build(home: Home) -> None:
    """An empty home has no snapshot to read."""
    result = run(home, "--as-of", "2025-03-01")
    assert result.exit_code == 1
    assert "trademl build" in result.stderr
