"""The daily report."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.edge.scoring_home import RUN, TUESDAY, WEDNESDAY, write_warehouse
from trademl.config.home import Home
from trademl.edge.daily import Report, daily_report, to_markdown, write_report
from trademl.errors import SnapshotError
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import open_snapshot, snapshot_batches

# On Tuesday D leads and A is last; on Wednesday A leads, B and C tie, D is last and E is new.
SCORES = {
    TUESDAY: {"A": 0.125, "B": 0.1875, "C": 0.25, "D": 0.375},
    WEDNESDAY: {"A": 0.5, "B": 0.25, "C": 0.25, "D": -0.5, "E": -0.25},
}


def rows(day: date, scores: dict[str, float], model: str = RUN) -> list[dict[str, Any]]:
    return [
        {
            "ticker": ticker,
            "dt": day,
            "horizon": 5,
            "model_id": model,
            "label": "fwd_5d",
            "yhat": yhat,
            "yhat_std": 0.25,
            "prob_up": 0.5 + yhat / 2,
            "rank_pct": 0.5,
            "scored_at": datetime(2024, 1, 5, 22, 0),
        }
        for ticker, yhat in scores.items()
    ]


@pytest.fixture
def scored(home: Home) -> Home:
    write_warehouse(home)
    for day, scores in SCORES.items():
        write_rows(layout_of(home), "preds.equities", rows(day, scores))
    write_rows(layout_of(home), "preds.equities", rows(WEDNESDAY, {"A": -1.0}, "equities-fwd_5d-ffffffffffff"))
    snapshot_batches(layout_of(home))
    return home


def report_of(home: Home, day: date) -> Report:
    with open_snapshot(layout_of(home)) as snapshot:
        return daily_report(snapshot.con, snapshot.manifest, day, RUN)


def test_picks_are_ranked_with_ties_sharing_the_best_place(scored: Home) -> None:
    """Wednesday's five names by falling score; B and C, equal, are both second, E is fourth."""
    picks = report_of(scored, WEDNESDAY)["picks"]
    assert [(pick["rank"], pick["symbol"]) for pick in picks] == [(1, "A"), (2, "B"), (2, "C"), (4, "E"), (5, "D")]


def test_rank_changes_count_from_the_session_this_model_scored_before(scored: Home) -> None:
    """A climbs from 4 to 1, B from 3 to 2, C stays, D falls from 1 to 5, and E was not there."""
    report = report_of(scored, WEDNESDAY)
    assert report["previous_date"] == "2024-01-02"
    changes = {pick["symbol"]: pick["rank_change"] for pick in report["picks"]}
    assert changes == {"A": 3, "B": 1, "C": 0, "D": -4, "E": None}


def test_the_first_session_has_no_rank_changes(scored: Home) -> None:
    """Without an earlier session nothing is compared, and nobody counts as new."""
    report = report_of(scored, TUESDAY)
    assert (report["previous_date"], report["counts"]) == (None, {"scored": 4, "new": 0, "likely_up": 4})
    assert {pick["rank_change"] for pick in report["picks"]} == {None}


def test_the_facts_name_model_snapshot_coverage_and_regime(scored: Home) -> None:
    """The report says which model in which state, which snapshot and build, the coverage and the regime."""
    report = report_of(scored, WEDNESDAY)
    assert {name: report[name] for name in ("sleeve", "as_of", "label", "horizon", "regime", "scored_at")} == {
        "sleeve": "equities",
        "as_of": "2024-01-03",
        "label": "fwd_5d",
        "horizon": 5,
        "regime": "mid",
        "scored_at": "2024-01-05T22:00:00",
    }
    assert report["model"] == {"run_id": RUN, "status": "challenger, not promoted"}
    assert (report["snapshot"]["seq"], report["snapshot"]["build_id"]) == (2, "b-1")
    assert (report["coverage"]["status"], report["coverage"]["present"]) == ("GREEN", 4)
    assert report["counts"] == {"scored": 5, "new": 1, "likely_up": 3}


def test_a_name_that_a_later_scoring_left_out_is_no_pick(scored: Home) -> None:
    """After a correction Wednesday is scored again without E: the report has four picks, though E's old row remains."""
    again = rows(WEDNESDAY, {"A": 0.125, "B": 0.25, "C": 0.25, "D": -0.5})
    later = datetime(2024, 1, 6, 9, 0)
    write_rows(layout_of(scored), "preds.equities", [{**row, "scored_at": later} for row in again])
    snapshot_batches(layout_of(scored))
    picks = report_of(scored, WEDNESDAY)["picks"]
    assert [(pick["rank"], pick["symbol"]) for pick in picks] == [(1, "B"), (1, "C"), (3, "A"), (4, "D")]


def test_json_holds_every_pick_and_markdown_the_ends(scored: Home, tmp_path: Path) -> None:
    """Both files are written; with 2 shown of 5 the page has the top 2 and the bottom 2, and not the middle."""
    report = report_of(scored, WEDNESDAY)
    as_json, as_markdown = write_report(layout_of(scored), report)
    assert as_json == scored.lake / "reports" / "equities_2024-01-03.json"
    assert json.loads(as_json.read_text()) == report
    assert as_markdown.read_text() == to_markdown(report)
    short = to_markdown(report, shown=2)
    symbols = [line.split(" | ")[1] for line in short.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert symbols == ["A", "B", "E", "D"]
    assert "| 1 | A | +0.50000 | 0.25000 | 0.750 | 0.500 | +3 |" in short


def test_a_report_is_replaced_whole(scored: Home) -> None:
    """Writing a report again replaces both files and leaves no temporary beside them."""
    layout = layout_of(scored)
    report = report_of(scored, WEDNESDAY)
    write_report(layout, report)
    write_report(layout, {**report, "regime": "low"})
    folder = layout.root / "reports"
    assert sorted(path.name for path in folder.iterdir()) == ["equities_2024-01-03.json", "equities_2024-01-03.md"]
    assert json.loads((folder / "equities_2024-01-03.json").read_text())["regime"] == "low"


def test_a_session_without_scores_has_no_report(scored: Home) -> None:
    """A session that this model has not scored is refused, with the command that scores it."""
    with pytest.raises(SnapshotError, match=r"(?s)no row of preds.equities for 2024-01-05.*trademl score equities"):
        report_of(scored, date(2024, 1, 5))
