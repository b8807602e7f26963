"""The page and the pictures of a run."""

import math

from trademl.training.report import decay_table, decile_table, markdown, path_table
from trademl.validation.signal_profile import DecayPoint, QuantileMean

METRICS = {
    "ic": 0.01,
    "rank_ic": 0.02,
    "rank_icir": 0.3,
    "rank_ic_t": 4.0,
    "rmse": 0.05,
    "mae": 0.04,
    "r2": math.nan,
    "direction_accuracy": 0.51,
}


def test_one_path_has_one_row() -> None:
    """A single path is shown without a spread that it does not have, and an undefined number as a dash."""
    table = path_table([METRICS], {})
    assert table == [
        ["path", "IC", "rank IC", "ICIR", "t", "RMSE", "MAE", "R2", "direction"],
        ["0", "+0.0100", "+0.0200", "+0.300", "+4.00", "0.05000", "0.04000", "-", "0.5100"],
    ]


def test_several_paths_have_their_spread() -> None:
    """Below the paths come mean, std, min and max."""
    summary = {name: {"mean": value, "std": 0.0, "min": value, "max": value} for name, value in METRICS.items()}
    table = path_table([METRICS, METRICS], summary)
    assert [row[0] for row in table] == ["path", "0", "1", "mean", "std", "min", "max"]


def test_decay_is_read_from_left_to_right() -> None:
    """One column per lag, with its coefficient and t-statistic; what is undefined is a dash."""
    decay = (DecayPoint(0, 0.0312, 4.26, 250), DecayPoint(20, math.nan, math.nan, 0))
    assert decay_table(decay) == [["sessions later", "0", "20"], ["rank IC", "+0.0312", "-"], ["t", "+4.3", "-"]]


def test_deciles_end_with_their_spread() -> None:
    """The last column is the highest decile less the lowest."""
    deciles = (QuantileMean(1, -0.002, 9), QuantileMean(2, 0.0, 9), QuantileMean(3, 0.003, 9))
    assert decile_table(deciles) == [
        ["decile", "1", "2", "3", "top less bottom"],
        ["mean label", "-0.00200", "+0.00000", "+0.00300", "+0.00500"],
    ]


def test_a_markdown_table_has_a_heading() -> None:
    """The first row is the heading, with the rule below it."""
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"
