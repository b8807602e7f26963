"""The SQL for devices is dbt's own compilation: in order, complete, and free of anything a device does not have."""

import re

import pytest

from trademl.config.home import Home
from trademl.errors import BuildError
from trademl.warehouse.device_sql import EQUITIES_STEPS, device_steps

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

GIVEN = {"work.equity_bar_versions", "silver.equity_bars", "silver.calendar"}


def test_statements_read_only_what_is_there_by_then(home: Home) -> None:
    """Each reads the release's tables or what an earlier one made; none has a date of this build in it."""
    steps = device_steps(home)
    made = set(GIVEN)
    for step in steps:
        read = {f"{schema}.{table}" for schema, table in re.findall(r'"warehouse"\."(\w+)"\."(\w+)"', step.sql)}
        assert read
        assert read <= made, (step.relation, read - made)
        made.add(step.relation)
        assert not re.search(r"'20\d\d-\d\d-\d\d'", step.sql)
    assert made - GIVEN == {
        "work.equity_panel",
        "silver.equity_market",
        "work.equity_raw_features",
        "gold.equities_features",
        "gold.equities_regime",
    }
    assert len(steps) == len(EQUITIES_STEPS)
    assert not (home.lake / "warehouse.duckdb").exists()


def test_a_broken_model_is_named(home: Home) -> None:
    """dbt's message reaches the publisher."""
    model = home.dbt_project / "models/silver/equities/slv_equity_panel.sql"
    model.write_text("select * from {{ ref('slv_nowhere') }}")
    with pytest.raises(BuildError, match=r"cannot compile the features for a device: .*slv_nowhere"):
        device_steps(home)
