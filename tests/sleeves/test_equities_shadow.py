"""Shadow mode: a challenger's scores go nowhere but to preds.shadow, and its failures nowhere but to a note."""

from datetime import date

import pytest

from tests.training.conftest import market, published  # noqa: F401
from tests.training.market import change, small_config
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ArtifactError, ConfigError
from trademl.sleeves.equities import EquitiesConfig, train
from trademl.sleeves.equities_shadow import shadow_beside, shadow_equities
from trademl.training.run import RunResult
from trademl.warehouse.read import read_snapshot


@pytest.fixture
def run(market: Home) -> RunResult:  # noqa: F811
    """A run whose labels end weeks before the data do, in a home that can score."""
    change(
        market,
        "create table gold.equities_regime as select date, 'mid' as regime, 0.1::float as market_volatility "
        "from silver.calendar",
    )
    config = load_section(small_config(market, end="2020-07-10"), EquitiesConfig)
    return train(market, config, mlflow=False, command="trademl train equities")


def rows(home: Home, sql: str) -> list[tuple[object, ...]]:
    with read_snapshot(home) as snapshot:
        return snapshot.con.execute(sql).fetchall()


def test_the_free_sessions_are_scored_once(market: Home, run: RunResult) -> None:  # noqa: F811
    """Every session after the last fitted label's end, up to the newest; a repeat adds nothing."""
    result = shadow_equities(market, run.run_id)
    assert result.scored[0] > date(2020, 7, 17)
    assert result.refused == ()
    found = rows(market, "select count(*), count(distinct dt), min(model_id), min(sleeve) from preds.shadow")
    assert found == [(24 * len(result.scored), len(result.scored), run.run_id, "equities")]
    assert rows(market, "select count(*) from preds.equities") == [(0,)]
    again = shadow_equities(market, run.run_id)
    assert again.scored == ()
    assert again.known == len(result.scored)


def test_a_session_that_a_fitted_label_reaches_is_refused(market: Home, run: RunResult) -> None:  # noqa: F811
    """Such a session would show the run what it has seen."""
    with pytest.raises(ConfigError, match="reach beyond 2020-07-13"):
        shadow_equities(market, run.run_id, first=date(2020, 7, 13))
    with pytest.raises(ConfigError, match="no session from 2030-01-01"):
        shadow_equities(market, run.run_id, first=date(2030, 1, 1))


def test_an_unknown_run_is_refused(market: Home, run: RunResult) -> None:  # noqa: F811
    """The message names the runs that there are."""
    with pytest.raises(ArtifactError, match=run.run_id):
        shadow_equities(market, "equities-fwd_5d-000000000000")


def test_a_challenger_that_fails_is_a_note(
    market: Home,  # noqa: F811
    run: RunResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside the champion nothing is raised, whatever goes wrong, and the others still score."""
    router = market.configs / "router.yml"
    router.write_text(f"equities:\n  shadow: [nobody, {run.run_id}]\n")
    session = date(2020, 8, 5)
    (note,) = shadow_beside(market, session)
    assert "nobody" in note
    assert rows(market, "select distinct model_id, dt from preds.shadow") == [(run.run_id, session)]

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("trademl.sleeves.equities_shadow.shadow_equities", broken)
    assert all("out of order" in note for note in shadow_beside(market, session))
    router.write_text("equities:\n  shadow: 7\n")
    (note,) = shadow_beside(market, session)
    assert "router.yml" in note
