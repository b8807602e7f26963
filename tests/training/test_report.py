"""The page and the pictures of a run."""

import math

from trademl.training.report import path_table

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
