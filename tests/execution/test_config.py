"""configs/execution.yml: the shipped file states the defaults, makes the cost model, and money needs two settings."""

from pathlib import Path

import pytest

from trademl.config.home import Home
from trademl.costs.impact import AlmgrenCoefficients
from trademl.costs.model import BorrowTier, CostModel
from trademl.errors import ConfigError
from trademl.execution.config import CostConfig, ExecutionConfig, read_execution

REPOSITORY = Path(__file__).resolve().parents[2]


def home_with(folder: Path, text: str) -> Home:
    """A home whose configs/ holds this execution.yml only."""
    (folder / "configs").mkdir()
    (folder / "configs" / "execution.yml").write_text(text, encoding="utf-8")
    return Home(folder)


def test_the_shipped_file_states_every_default(tmp_path: Path) -> None:
    """Each field stands in the file, with the value that a home without the file has."""
    found = read_execution(Home(REPOSITORY))
    assert found == read_execution(Home(tmp_path)) == ExecutionConfig()
    sections = (found.rates, found.rates.almgren, found.orders, found.tripwires, found.broker)
    for section in sections:
        assert section.model_fields_set == set(type(section).model_fields)


def test_the_defaults_are_those_of_the_cost_model() -> None:
    """One set of numbers, whether a file says them or nobody does."""
    assert ExecutionConfig().costs() == CostModel()


def test_rates_reach_the_cost_model_under_the_same_names(tmp_path: Path) -> None:
    """Every field of the section is one of the model's, and carries its value."""
    assert set(CostConfig.model_fields) == set(CostModel.__dataclass_fields__)
    text = (
        "costs: {commission_bps: 1, spread_bps: 2, impact: almgren_2005, almgren: {eta: 0.2}, auction_bps: 3, "
        "borrow: [{min_day_value_usd: 5, bps_per_year: 6}, {min_day_value_usd: 0, bps_per_year: 7}]}"
    )
    found = read_execution(home_with(tmp_path, text)).costs()
    assert found == CostModel(
        commission_bps=1.0,
        spread_bps=2.0,
        impact="almgren_2005",
        almgren=AlmgrenCoefficients(eta=0.2),
        auction_bps=3.0,
        borrow=(BorrowTier(5.0, 6.0), BorrowTier(0.0, 7.0)),
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("costs: {spread_bp: 5}", "costs.spread_bp is not a field; did you mean spread_bps"),
        ("cost: {}", "cost is not a field; did you mean costs"),
        ("rates: {}", "rates is not a field"),
        ("costs: 5", "costs=5: is a section; write its fields below it: "),
        ("costs: {spread_bps: -1}", "costs.spread_bps=-1"),
        ("costs: {borrow: [{min_day_value_usd: 5, bps_per_year: 6}]}", "the tiers begin at [5.0] USD a day"),
        ("orders: {type: twop}", "did you mean twap"),
        ("orders: {slices: 4}", "slices is 4 with type market_open"),
        ("broker: {mode: live}", "live_account names no account"),
        ("tripwires: {max_daily_loss: 0}", "tripwires.max_daily_loss=0"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, text: str, said: str) -> None:
    """With the name that the field has in the file, the value, and what would be right."""
    with pytest.raises(ConfigError, match=r"execution\.yml") as caught:
        read_execution(home_with(tmp_path, text))
    assert said in caught.value.message


def test_an_account_that_is_named_alone_stays_on_paper(tmp_path: Path) -> None:
    """The number of an account is the second of two settings; the first one decides."""
    found = read_execution(home_with(tmp_path, "broker: {live_account: '123'}"))
    assert (found.broker.mode, found.broker.live_account) == ("paper", "123")
