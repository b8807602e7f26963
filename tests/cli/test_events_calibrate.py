"""``trademl events calibrate``: its table and its refusals. tests/cli/test_train_events.py runs it on trained heads."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from trademl.cli.events_calibrate import table
from trademl.cli.init import bundle, make_home
from trademl.cli.main import main
from trademl.sleeves.events.calibration import HeadCalibration, judge


def test_a_line_has_the_numbers_of_a_head() -> None:
    """Rates, AUC, Brier of base rate, before and after, ECE and MCE before and after."""
    rng = np.random.default_rng(3)
    score = rng.normal(size=400)
    y = (rng.random(400) < 1 / (1 + np.exp(-score))).astype(float)
    found = HeadCalibration(head="direction", run_id="r", **judge(score[:200], y[:200], score[200:], y[200:]))
    heading, line = table((found,))
    assert heading.split() == [
        "head", "rows", "rate", "known", "AUC", "Brier", "before", "after", "ECE", "after", "MCE", "after",
    ]  # fmt: skip
    numbers = line.split()
    assert numbers[:2] == ["direction", "200"]
    assert [float(number) for number in numbers[2:]] == pytest.approx(
        [
            found.base_rate, found.known_rate, found.auc, found.base[0], found.before.brier, found.after.brier,
            found.before.ece, found.after.ece, found.before.mce, found.after.mce,
        ],
        abs=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "--test-dates"),
        (["--test-dates", "2025-02-30"], "no date"),
        (["--test-dates", "2025-02-11", "later"], "no date"),
        (["--stage", "stage_c", "--test-dates", "2025-02-11"], "stage_c"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], said: str) -> None:
    """Exit code 2, and what is wrong."""
    done = CliRunner().invoke(main, ["events", "calibrate", *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_without_trained_heads_the_message_says_how_to_train(tmp_path: Path) -> None:
    """A home without a bundle names the command that makes one."""
    make_home(tmp_path / "home", bundle())
    done = CliRunner().invoke(
        main, ["--home", str(tmp_path / "home"), "events", "calibrate", "--test-dates", "2025-02-11"]
    )
    assert done.exit_code == 1
    assert "no bundle of stage_b full" in done.output
    assert "trademl train events --stage stage_b --ablation full" in done.output
