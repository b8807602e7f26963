"""``trademl backtest``: run, show and compare on a small home."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.backtest.conftest import traded, written_once  # noqa: F401
from tests.backtest.home import RUN, write_returns
from trademl.cli.main import main
from trademl.config.home import Home

WIDE = "max_name: 0.2\nmax_sector: 10.0\n"


@pytest.fixture
def home(traded: Home) -> Home:  # noqa: F811
    """A home whose portfolio may hold a fifth in a name: there are twelve."""
    (traded.configs / "portfolio.yml").write_text(WIDE)
    return traded


def command(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "backtest", *arguments])


def made(home: Home, *arguments: str) -> list[dict[str, object]]:
    """Run and record; return what was printed."""
    result = command(home, "run", RUN, "--format", "json", *arguments)
    assert result.exit_code == 0, result.output
    documents: list[dict[str, object]] = json.loads(result.stdout)
    return documents


def test_a_run_is_traded_and_leaves_a_tear_sheet(home: Home) -> None:
    """A row a capital, the evidence, and the pages; progress goes to standard error."""
    write_returns(home)
    result = command(home, "run", RUN, "--capital", "1e4", "--capital", "1e6")
    assert result.exit_code == 0, result.output
    heading, *rows = result.stdout.splitlines()[:3]
    assert heading.split()[:2] == ["backtest", "capital"]
    assert [row.split()[1] for row in rows] == ["10,000", "1,000,000"]
    assert "the gate on the run: not judged yet" in result.stdout
    pages = [Path(line) for line in result.stdout.splitlines() if line.endswith(".html")]
    assert len(pages) == 2
    assert all(page.is_file() and page.with_suffix(".png").is_file() for page in pages)
    assert "80 decision dates" in result.stderr


def test_a_dry_run_records_nothing(home: Home) -> None:
    """But prints the figures."""
    (found,) = made(home, "--dry-run", "--long-only", "--fractional", "--participation", "0.5")
    request = found["request"]
    assert isinstance(request, dict)
    assert request["portfolio"]["side"] == "long_only"
    assert request["rules"] == {
        "capital_usd": 1_000_000.0,
        "sizing": "equity",
        "whole_shares": False,
        "max_participation": 0.5,
        "min_order_usd": 100.0,
        "delisting_return": 0.0,
    }
    assert "no backtest yet" in command(home, "show").stdout


def test_both_engines_agree(home: Home) -> None:
    """Exit code 0, and a table of the largest differences."""
    result = command(home, "run", RUN, "--engine", "both", "--every", "3", "--smooth", "4")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].split()[-1] == "yes"
    (document,) = json.loads(command(home, "run", RUN, "--engine", "both", "--format", "json").stdout)
    assert document["to_the_cent"] is True
    assert document["only_in_one"] == 0


def test_a_difference_ends_with_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one trade were missing."""
    from trademl.backtest.run import Agreement

    monkeypatch.setattr("trademl.backtest.run.agreement", lambda *_: Agreement(1, 1, 1, 0.0, 0.0, 0.0, 0.0))
    result = command(home, "run", RUN, "--engine", "both")
    assert result.exit_code == 1
    assert "the two engines differ" in result.stderr


def test_recorded_backtests_are_listed_shown_and_compared(home: Home) -> None:
    """By the beginning of an id; the comparison names what was asked differently."""
    (first,) = made(home, "--engine", "sql")
    (second,) = made(home, "--engine", "sql", "--every", "5")
    names = [str(one["backtest_id"]) for one in (first, second)]
    listed = command(home, "show").stdout
    assert all(name in listed for name in names)
    shown = command(home, "show", names[0][:-2])
    assert shown.exit_code == 0, shown.output
    assert "Sharpe ratio, net" in shown.stdout
    assert "bps of traded" in shown.stdout
    document = json.loads(command(home, "show", names[1], "--format", "json").stdout)
    assert document["config"]["every"] == 5
    compared = command(home, "compare", *names)
    assert compared.exit_code == 0, compared.output
    assert "[2] less [1]" in compared.stdout
    differing = json.loads(command(home, "compare", *names, "--format", "json").stdout)["differences"]
    assert differing == {"every": ["1", "5"]}


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("run", "nothing"), "no prediction of run nothing"),
        (("run", RUN, "--path", "9"), "no path '9'"),
        (("run", RUN, "--engine", "sql", "--sizing", "equity"), "fixed capital"),
        (("run", RUN, "--first", "yesterday"), "--first 'yesterday' is not a date"),
        (("run", RUN, "--participation", "0.1", "--no-participation-limit"), "were both given"),
        (("show", "bt-x"), "0 backtests are called 'bt-x'"),
        (("compare", "bt-x"), "nothing to be compared with"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(home: Home, arguments: tuple[str, ...], told: str) -> None:
    """With a remedy, and no traceback."""
    result = command(home, *arguments)
    assert result.exit_code in (1, 2)
    assert told in result.stderr
    assert "remedy:" in result.stderr
    assert "Traceback" not in result.output
