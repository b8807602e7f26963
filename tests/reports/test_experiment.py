"""The comparison of an experiment."""

import csv
import io
from pathlib import Path

from tests.reports.conftest import Trained
from tests.reports.test_runs import earn
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.reports.experiment import (
    HEADING,
    CellRow,
    as_csv,
    collect,
    draw,
    experiment_folder,
    page,
    table,
    write_comparison,
)
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.training.experiment import Cell, CellResult

ERROR = "`label=ret_9d` is\n  remedy: labels are fwd_5d, ret_1d"


def rows_of(trained: Trained) -> tuple[CellRow, ...]:
    """A cell whose run is finished, and one that failed."""
    config = load_section(trained.home.configs / "training" / "small.yml", EquitiesConfig)
    run = train(trained.home, config, mlflow=False)
    assert run.already_trained
    good = CellResult(Cell("fwd_5d", "trees", "regression", config), run, "", 1.0)
    bad = CellResult(Cell("ret_9d", "trees", "regression", config), None, ERROR, 0.5)
    return collect(trained.home, [bad, good])


def test_a_cell_is_one_row_and_a_failed_one_too(trained_once: Trained) -> None:
    """A row has a cell under each heading; what there is none of is a dash."""
    heading, bad, good = table(rows_of(trained_once))
    assert tuple(heading) == HEADING
    assert len(bad) == len(good) == len(HEADING)
    assert bad == ["ret_9d", "regression", "trees", *["-"] * (len(HEADING) - 4), "failed"]
    named = dict(zip(heading, good, strict=True))
    assert named["run"] == trained_once.run_id
    assert (named["Sharpe net"], named["accuracy"]) == ("-", "-")
    assert float(named["min"]) <= float(named["rank IC"]) <= float(named["max"])


def test_numbers_of_the_csv_are_not_rounded(trained: Trained) -> None:
    """The CSV holds the float that was measured, and the error of a failed cell on one line."""
    earn(trained, trained.run_id, [0.5, -0.5, 1.0])
    rows = rows_of(trained)
    bad, good = csv.DictReader(io.StringIO(as_csv(rows)))
    assert bad["error"] == "`label=ret_9d` is remedy: labels are fwd_5d, ret_1d"
    assert (bad["rank_ic"], good["error"], good["paths"]) == ("", "", "3")
    summary = rows[1].summary
    assert summary is not None
    assert float(good["rank_ic"]) == summary.metrics["rank_ic"]
    assert float(good["rank_ic_std_over_paths"]) == summary.spread
    assert (float(good["max_drawdown"]), float(good["turnover"])) == (0.5, 0.25)


def test_page_and_picture_lie_together(trained_once: Trained, tmp_path: Path) -> None:
    """Three files, the same bytes for the same runs; the page counts and names what failed."""
    rows = rows_of(trained_once)
    folder = experiment_folder(Home(tmp_path), "small")
    assert folder == tmp_path / "models_artifacts" / "experiments" / "small"
    text, data, picture = write_comparison(folder, "small", rows)
    assert sorted(folder.iterdir()) == sorted([text, data, picture])
    assert picture.read_bytes() == draw(rows)
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    said = text.read_text()
    assert said == page("small", rows)
    assert said.startswith("# Experiment small\n\n2 cells, 1 failed.")
    assert "| fwd_5d | regression | trees |" in said
    assert "- ret_9d trees: `label=ret_9d` is remedy: labels are fwd_5d, ret_1d" in said
    write_comparison(folder, "small", rows)
    assert len(list(folder.iterdir())) == 3
