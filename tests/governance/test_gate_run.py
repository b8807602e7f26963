"""From a run's name to its decision: where each piece of evidence comes from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import market, published  # noqa: F401
from tests.training.market import change, small_config
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import PromotionError
from trademl.governance.gate import Bar, PromotionPolicy
from trademl.governance.gate_run import collect, decide
from trademl.governance.returns import BASELINES, series
from trademl.lake.batches import write_rows
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import snapshot_batches
from trademl.sleeves import stacker
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.training.run import RunResult

POLICY = PromotionPolicy()


def with_marts(home: Home) -> None:
    """Give the small warehouse what the gate reads: baselines' features, and a mart of daily returns."""
    names = [sql.lstrip("-") for sql in BASELINES.values()]
    added = "".join(f", (hash(symbol, date, '{name}') % 997 / 997)::float as {name}" for name in names)
    change(
        home,
        f"create table gold.wider as select *{added} from gold.equities_features order by date, symbol",
        "drop table gold.equities_features",
        "alter table gold.wider rename to equities_features",
        "create or replace view gold.equities_training as select s.*, f.known_at, f.in_universe, f.signal, f.noise, "
        "f.signal_rank, f.noise_rank from gold.equities_samples s join gold.equities_features f using (symbol, date)",
        "create schema marts",
        "create schema preds",
        "create view preds.oof as select null::varchar as run_id, null::date as dt, null::double as yhat, "
        "null::double as y where false",
        "create view marts.run_returns as select run_id, 'long_short' as strategy, dt as date, "
        "corr(yhat, y) / 100 as gross_return, corr(yhat, y) / 100 - 0.0001 as net_return, 0.4::double as turnover "
        "from preds.oof group by run_id, dt",
    )


def trained(home: Home, **fields: object) -> RunResult:
    config = load_section(small_config(home, **fields), EquitiesConfig)
    return train(home, config, mlflow=False, command="trademl train equities")


@pytest.fixture
def run(market: Home) -> RunResult:  # noqa: F811
    with_marts(market)
    return trained(market)


def bars(home: Home, run_id: str) -> dict[str, Bar]:
    return {bar.name: bar for bar in decide(home, run_id).bars}


def shadowed(home: Home, run_id: str, rows: list[tuple[str, str, float]]) -> None:
    from datetime import date, datetime

    empty: dict[str, Any] = {"yhat_std": None, "prob_up": None, "rank_pct": None}
    write_rows(
        layout_of(home),
        "preds.shadow",
        [
            {
                "sleeve": "equities",
                "entity": entity,
                "dt": date.fromisoformat(day),
                "horizon": 5,
                "model_id": run_id,
                "label": "fwd_5d",
                "yhat": yhat,
                "scored_at": datetime(2021, 1, 1),
                **empty,
            }
            for entity, day, yhat in rows
        ],
    )
    snapshot_batches(layout_of(home))


def test_every_bar_is_judged_from_what_is_stored(market: Home, run: RunResult) -> None:  # noqa: F811
    """A sound run of a short history passes what it can and fails what nobody measured."""
    found = bars(market, run.run_id)
    assert found["leakage"].verdict == found["artifacts"].verdict == found["data_green"].verdict == "pass"
    assert found["turnover"].value == pytest.approx(0.4)
    assert found["no_signal"].value == POLICY.min_no_signal + len(BASELINES)
    assert found["calibration"].value is not None
    assert found["sessions"].verdict == "fail"
    assert found["shadow_sessions"].value == 0.0
    assert found["beats_champion"].verdict == "pass"


def test_an_unknown_run_is_refused_with_those_there_are(market: Home, run: RunResult) -> None:  # noqa: F811
    """An unknown run is refused with those there are."""
    with pytest.raises(PromotionError, match=run.run_id):
        decide(market, "equities-fwd_5d-000000000000")


def test_a_warehouse_without_the_mart_is_refused(market: Home) -> None:  # noqa: F811
    """A warehouse without the mart is refused."""
    result = trained(market)
    with pytest.raises(PromotionError, match="no daily returns"):
        decide(market, result.run_id)


def test_a_changed_file_fails_the_artifacts_bar(market: Home, run: RunResult) -> None:  # noqa: F811
    """A changed file fails the artifacts bar."""
    path: Path = run.path / "checkpoints" / "model.txt"
    path.chmod(0o644)
    path.write_text(path.read_text() + "\n")
    found = bars(market, run.run_id)
    assert found["artifacts"].verdict == "fail"
    assert "model.txt" in found["artifacts"].reason


def test_newer_sessions_make_the_run_stale(market: Home, run: RunResult) -> None:  # noqa: F811
    """Newer sessions make the run stale."""
    assert bars(market, run.run_id)["data_fresh"].value == 0.0
    change(
        market,
        "insert into silver.coverage select 'equity_bars', date '2020-12-01' + n::int, 24, 24, 1.0, 'GREEN', '' "
        "from range(9) r(n)",
        build_id="b3",
    )
    assert bars(market, run.run_id)["data_fresh"].value == 9.0
    change(market, "update silver.coverage set status = 'RED' where date >= '2020-12-09'", build_id="b4")
    assert bars(market, run.run_id)["data_green"].verdict == "fail"


def test_every_trial_of_the_label_counts(market: Home, run: RunResult) -> None:  # noqa: F811
    """Another configuration joins the matrix and raises the count; another label does neither."""
    trained(market, model={"kind": "lightgbm", "n_rounds": 4, "num_leaves": 4, "min_data_in_leaf": 20, "threads": 1})
    trained(market, label="ret_1d", k=1)
    evidence = collect(market, run.run_id, POLICY)
    assert evidence.n_trials == 2
    assert evidence.trials.shape[1] == 2


def test_shadow_scores_are_evidence(market: Home, run: RunResult) -> None:  # noqa: F811
    """Sessions are counted and the drift of scores is measured against the out-of-fold ones."""
    days = ["2020-08-03", "2020-08-04"]
    shadowed(market, run.run_id, [(f"S{code:02d}", day, 9.0) for code in range(24) for day in days])
    found = bars(market, run.run_id)
    assert found["shadow_sessions"].value == 2.0
    assert found["shadow_drift"].verdict == "fail"


def test_a_stack_has_to_beat_its_best_input(market: Home, run: RunResult) -> None:  # noqa: F811
    """The bar compares annual Sharpe ratios on the stack's own dates, and is there for stacks alone."""
    ridge = trained(market, model={"kind": "ridge"})
    inputs = [run.run_id, ridge.run_id]
    stack = stacker.train(market, stacker.StackerConfig(runs=inputs), mlflow=False).run_id
    found = series(layout_of(market), [stack, *inputs], "long_short")
    days = sorted(found[stack])
    sharpe = {
        name: np.sqrt(252) * np.mean(net) / np.std(net, ddof=1)
        for name in found
        for net in [[found[name][day][0] for day in days]]
    }
    bar = bars(market, stack)["stacker"]
    assert bar.value == pytest.approx(sharpe[stack] - max(sharpe[name] for name in inputs))
    assert bar.verdict == ("pass" if bar.value >= 0 else "fail")
    assert "stacker" not in bars(market, run.run_id)
