"""``trademl card``."""

from pathlib import Path

from click.testing import CliRunner, Result

from tests.reports.conftest import Trained, trained, trained_once  # noqa: F401
from tests.reports.test_card import decide
from trademl.cli.main import main
from trademl.config.home import Home


def command(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "card", *arguments])


def test_the_card_lies_where_it_was_asked_for(trained_once: Trained, tmp_path: Path) -> None:  # noqa: F811
    """The paths of page and picture are printed, and both are there."""
    result = command(trained_once.home, trained_once.run_id, "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(tmp_path / "card.md"), str(tmp_path / "card.png")]
    assert (tmp_path / "card.md").read_text().startswith(f"# Model card: {trained_once.run_id}")
    assert (tmp_path / "card.png").stat().st_size > 10_000


def test_a_later_decision_changes_the_page(trained: Trained) -> None:  # noqa: F811
    """Written again after a judgement, the card in lake/reports/RUN shows it."""
    page = trained.home.lake / "reports" / trained.run_id / "card.md"
    assert command(trained.home, trained.run_id).exit_code == 0
    assert "no judgement of this run" in page.read_text()
    decide(trained, "gate", "failed", "failed: pbo, shadow_profit")
    assert command(trained.home, trained.run_id).exit_code == 0
    assert "2 of 4 bars passed" in page.read_text()


def test_a_run_that_does_not_verify_has_no_card(trained: Trained, tmp_path: Path) -> None:  # noqa: F811
    """An altered run folder is an error, and nothing is written."""
    path = trained.folder / "metrics" / "metrics.json"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("0", "9", 1))
    result = command(trained.home, trained.run_id, "--out", str(tmp_path / "card"))
    assert result.exit_code == 1
    assert "metrics/metrics.json was altered" in result.stderr
    assert not (tmp_path / "card").exists()


def test_an_unknown_run_is_named(trained_once: Trained) -> None:  # noqa: F811
    """The error names the run and those there are."""
    result = command(trained_once.home, "nothing")
    assert result.exit_code == 1
    assert "no registered run 'nothing'" in result.stderr
    assert trained_once.run_id in result.stderr
