"""The model card."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.reports.conftest import Trained
from trademl.artifacts.run_folder import RunFolder
from trademl.errors import ArtifactError
from trademl.governance.decisions import Action, Outcome, read_decisions, write_decision
from trademl.governance.gate import Bar
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.reports.card import Card, collect, page
from trademl.reports.predictions import find_run, read_out_of_fold
from trademl.warehouse.read import read_snapshot

NOW = datetime(2026, 3, 2, 21, 30, tzinfo=UTC)
REASON = "the drawdown came from <one> delisting | that is\n# now excluded"

BARS = (
    Bar("sharpe", 1.25, 1.0, "pass", "the annual Sharpe ratio, net is 1.25, at least 1 is asked"),
    Bar("dsr", 0.97, 0.95, "pass", "the deflated Sharpe ratio over 3 trials is 0.97, at least 0.95 is asked"),
    Bar("pbo", 0.5, 0.05, "fail", "the probability of overfitting is 0.5, at most 0.05 is asked; find more signal"),
    Bar("shadow_profit", None, 0.0, "fail", "the net return in shadow was not measured"),
)


def card(trained: Trained) -> Card:
    with read_snapshot(trained.home) as snapshot:
        run = find_run(snapshot.con, trained.home, trained.run_id, verify=True)
        return collect(trained.home, run, read_out_of_fold(snapshot.con, trained.run_id))


def decide(trained: Trained, action: Action, outcome: Outcome, reason: str, bars: tuple[Bar, ...] = BARS) -> None:
    layout = layout_of(trained.home)
    write_decision(
        layout,
        read_decisions(layout, "equities"),
        action=action,
        outcome=outcome,
        sleeve="equities",
        run_id=trained.run_id,
        label="fwd_5d",
        previous_run_id=None,
        reason=reason,
        bars=bars,
        now=lambda: NOW,
    )


def gain(trained: Trained, returns: list[float], strategy: str = "long_short") -> None:
    write_rows(
        layout_of(trained.home),
        "ops.trial_returns",
        [
            {
                "run_id": trained.run_id,
                "sleeve": "equities",
                "label": "fwd_5d",
                "kind": "trial",
                "strategy": strategy,
                "date": date(2020, 1, 1) + timedelta(days=number),
                "gross_return": value + 0.001,
                "net_return": value,
                "turnover": 0.25,
                "recorded_at": datetime(2026, 3, 2),
            }
            for number, value in enumerate(returns)
        ],
    )


def test_a_run_that_nobody_has_judged_says_so(trained_once: Trained) -> None:
    """Paths, decay, deciles and calibration are there; returns, DSR, PBO and verdicts are named as missing."""
    found = card(trained_once)
    text = page(found)
    assert text.startswith(f"# Model card: {trained_once.run_id}\n")
    assert "| path | IC | rank IC |" in text
    assert [line.split(" | ")[0] for line in text.splitlines() if re.match(r"\| (\d|mean)", line)][:3] == [
        "| 0",
        "| 1",
        "| 2",
    ]
    assert "| sessions later | 0 | 1 |" in text
    assert "| decile | 1 | 2 |" in text
    assert "ops.trial_returns has no row of this run" in text
    assert "DSR and PBO: not judged yet." in text
    assert "ops.promotions has no judgement of this run" in text
    assert "not the champion" in text
    assert "Configurations tried on equities and fwd_5d to date: 1 (1 finished)." in text
    assert "0 violations" in text


def test_a_planted_signal_shows_its_shape(trained_once: Trained) -> None:
    """The market's signal is new every session: it is worth something at once and nothing later, and deciles rise."""
    found = card(trained_once)
    now, *later = found.decay
    assert now.rank_ic > 0.2
    assert max(abs(point.rank_ic) for point in later) < 0.08
    assert found.deciles[-1].mean > 0.01 > -0.01 > found.deciles[0].mean


def test_the_card_and_the_sealed_metrics_agree(trained_once: Trained) -> None:
    """Decay and deciles from preds.oof are those that training kept in metrics.json."""
    found = card(trained_once)
    assert [point.__dict__ for point in found.decay] == [
        pytest.approx(stored, rel=1e-12) for stored in found.metrics["ic_decay"]
    ]
    assert [part.__dict__ for part in found.deciles] == [
        pytest.approx(stored, rel=1e-12) for stored in found.metrics["deciles"]
    ]


def test_returns_are_shown_net(trained: Trained) -> None:
    """Wealth 1.5, 0.75, 1.5: the drawdown is one half, gains 1.5 over losses 0.5, turnover a quarter."""
    gain(trained, [0.5, -0.5, 1.0])
    row = next(line for line in page(card(trained)).splitlines() if line.startswith("| long-short"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0:2] == ["long-short", "3"]
    assert cells[5:] == ["50.00%", "3.00", "0.250"]


def test_the_last_judgement_is_shown_bar_by_bar(trained: Trained) -> None:
    """Failed bars come first, each with value and limit; what was not measured is a dash; reasons follow."""
    decide(trained, "gate", "passed", "4 bars passed", (BARS[0],))
    decide(trained, "gate", "failed", "failed: pbo, shadow_profit")
    text = page(card(trained))
    table = text[text.index("| bar | value") :].splitlines()
    assert table[2:6] == [
        "| pbo | 0.5 | 0.05 | fail |",
        "| shadow_profit | - | 0 | fail |",
        "| dsr | 0.97 | 0.95 | pass |",
        "| sharpe | 1.25 | 1 | pass |",
    ]
    assert "**failed**, 2 of 4 bars passed" in text
    assert "- pbo: the probability of overfitting is 0.5" in text
    assert "deflated Sharpe ratio 0.97; probability of backtest overfitting 0.5" in text
    assert "- 1, 2026-03-02 21:30: gate, passed: 4 bars passed" in text


def test_an_override_stays_on_the_page(trained: Trained) -> None:
    """Its reason is shown, as words and not as markup, also after the run was judged again; the run is champion."""
    decide(trained, "promote", "overridden", REASON)
    decide(trained, "gate", "passed", "4 bars passed")
    text = page(card(trained))
    shown = "the drawdown came from &lt;one> delisting \\| that is # now excluded"
    assert f"**Overridden** on 2026-03-02 (equities-00001-{read_id(trained)}): {shown}" in text
    assert "`, champion of equities" in text


def read_id(trained: Trained) -> str:
    return read_decisions(layout_of(trained.home), "equities")[0].decision_id.rpartition("-")[2]


def test_decisions_on_other_runs_are_not_shown(trained: Trained) -> None:
    """A sleeve's other run does not lend its verdicts."""
    other = Trained(trained.home, "equities-fwd_5d-other")
    decide(other, "promote", "promoted", "4 bars passed")
    text = page(card(trained))
    assert "no judgement of this run" in text
    assert "not the champion" in text


def test_it_is_one_page(trained: Trained) -> None:
    """With twenty bars, six decisions and both strategies the page has fewer than 100 lines."""
    gain(trained, [0.01, -0.01, 0.02])
    gain(trained, [0.02, -0.02, 0.02], "long_only")
    bars = tuple(Bar(f"bar_{number:02d}", 1.0, 0.0, "pass", "fine") for number in range(20))
    for number in range(6):
        decide(trained, "gate", "passed", f"judged {number}", bars)
    text = page(card(trained))
    assert len(text.splitlines()) < 100
    assert "1 earlier ones are in ops.promotions" in text
    assert "judged 0" not in text


def test_a_file_that_is_gone_is_an_error(trained: Trained) -> None:
    """A run folder without its calibration or its table of importances gives an error that names the file."""
    for name in ("metrics/calibration.json", "metrics/importances.csv"):
        path = trained.folder / name
        kept = path.read_bytes()
        path.unlink()
        with read_snapshot(trained.home) as snapshot:
            run = find_run(snapshot.con, trained.home, trained.run_id)
            predictions = read_out_of_fold(snapshot.con, trained.run_id)
        with pytest.raises(ArtifactError, match=name):
            collect(trained.home, run, predictions)
        path.write_bytes(kept)


def test_writing_the_card_leaves_the_run_sealed(trained: Trained) -> None:
    """Collecting and rendering change no file of the run folder."""
    before = {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()}
    page(card(trained))
    assert {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()} == before
    RunFolder.open(trained.folder).verify()
