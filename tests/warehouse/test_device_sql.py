"""The SQL for devices is dbt's own compilation: in order, complete, and free of anything a device does not have."""

import re
from collections.abc import Sequence

import pytest

from trademl.config.home import Home
from trademl.edge.features import Step
from trademl.errors import BuildError
from trademl.warehouse.device_sql import CORE, ON_DEVICE, REGIME, device_steps

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

GIVEN = {"work.equity_bar_versions", "silver.equity_bars", "silver.calendar"}
ALPHA158 = "gold.equities_alpha158"


def made_by(steps: Sequence[Step]) -> set[str]:
    """Return what the statements make, after checking that each reads only what is there by then."""
    made = set(GIVEN)
    for step in steps:
        read = {f"{schema}.{table}" for schema, table in re.findall(r'"warehouse"\."(\w+)"\."(\w+)"', step.sql)}
        assert read
        assert read <= made, (step.relation, read - made)
        made.add(step.relation)
        # No date of this build is in it.
        assert not re.search(r"'20\d\d-\d\d-\d\d'", step.sql)
    assert len(made) == len(GIVEN) + len(steps)
    return made - GIVEN


def test_statements_read_only_what_is_there_by_then(home: Home) -> None:
    """Each reads the release's tables or what an earlier one made; nothing of the lake is opened."""
    assert made_by(device_steps(home)) == {
        "work.equity_panel",
        "silver.equity_market",
        "work.equity_raw_features",
        "gold.equities_features",
        REGIME,
    }
    assert not (home.lake / "warehouse.duckdb").exists()


def test_a_model_gets_the_statements_of_its_tables_and_no_others(home: Home) -> None:
    """A further table is compiled though the home does not switch it on, and the core table only where it is read."""
    alone = {step.relation: step for step in device_steps(home, [ALPHA158])}
    assert made_by(list(alone.values())) == {"work.equity_panel", "silver.equity_market", ALPHA158, REGIME}
    both = {step.relation: step for step in device_steps(home, [*CORE, ALPHA158])}
    core = {step.relation: step for step in device_steps(home)}
    assert set(both) == set(core) | set(alone)
    # The same text, whatever else is computed beside it.
    assert {name: both[name] for name in core} == core
    assert both[ALPHA158] == alone[ALPHA158]


def test_a_table_that_does_not_exist_is_refused(home: Home) -> None:
    """A run on a feature table that the project has lost cannot be released."""
    with pytest.raises(BuildError, match=r"has no model of gold.equities_gone|names 'equities_gone'"):
        device_steps(home, ["gold.equities_gone"])


def test_what_no_device_has_is_refused(home: Home) -> None:
    """A feature table that is made from what a release does not bring is named, with what a release brings."""
    model = home.dbt_project / "models/gold/equities/gld_equities_alpha360.sql"
    model.write_text(model.read_text() + "\n-- {{ ref('slv_sectors') }}\n")
    with pytest.raises(BuildError, match="which no device has: a release brings") as caught:
        device_steps(home, ["gold.equities_alpha360"])
    assert all(name in caught.value.message for name in ON_DEVICE)


def test_a_broken_model_is_named(home: Home) -> None:
    """dbt's message reaches the publisher."""
    model = home.dbt_project / "models/silver/equities/slv_equity_panel.sql"
    model.write_text("select * from {{ ref('slv_nowhere') }}")
    with pytest.raises(BuildError, match=r"cannot compile the features for a device: .*slv_nowhere"):
        device_steps(home)
