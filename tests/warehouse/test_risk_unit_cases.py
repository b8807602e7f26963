"""The dbt unit test of gold.equities_risk expects what the oracles say, for every column."""

import yaml

from tests.warehouse.risk_unit_cases import FIXTURE, PROJECT, as_csv, expected


def test_the_fixture_is_what_the_oracles_say() -> None:
    """The file is what its generator writes: no number of it comes from the model's SQL."""
    assert FIXTURE.read_text(encoding="utf-8") == as_csv(expected())


def test_every_column_is_expected() -> None:
    """The fixture has every column of the table but known_at, and a value in each feature and twin."""
    contract = yaml.safe_load((PROJECT / "models/gold/equities/gld_equities_risk.yml").read_text(encoding="utf-8"))
    columns = [column["name"] for column in contract["models"][0]["columns"]]
    rows = expected()
    assert set(rows[0]) == set(columns) - {"known_at"}
    empty = {name for name in rows[0] if all(row[name] is None for row in rows)}
    assert empty == {
        "factor_profitability_regime_252d",
        "factor_investment_return_60d",
        "factor_investment_volatility_60d",
        "factor_investment_regime_252d",
    }
