"""Which columns a model of the sleeve reads: by stage and ablation (seed 001, its section on feature sets).

A column belongs to a set by its name. Technical analysis (``ta``) comes from bars, mechanics from trades, quotes, book
and chains; ``full`` is both. Stage A reads nothing of what only order flow or the book can tell: no barrier, no tape,
no trend. Which kind of level is touched belongs to every set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trademl.errors import ConfigError
from trademl.sleeves.events.names import check_ablation, check_stage

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TA_PREFIXES: tuple[str, ...] = (
    "approach_",
    "dist_",
    "distance",
    "sma_",
    "mean_reversion_",
    "confluence_",
    "bars_since_open",
    "is_first_15m",
    "atr",
    "level_price_pct",
    "direction_sign",
    "attempt_",
    "prior_touches",
)
"""Technical analysis."""

MECHANICS_PREFIXES: tuple[str, ...] = (
    "barrier_",
    "tape_",
    "fuel_",
    "gamma_",
    "wall_ratio",
    "liquidity_pressure",
    "tape_pressure",
    "gamma_pressure",
    "dealer_pressure",
    "net_break_pressure",
    "reversion_pressure",
    "sweep_detected",
)
"""Market mechanics: the seed's prefixes, and the sweep, which it counts to the tape without a prefix of its own."""

STAGE_B_PREFIXES: tuple[str, ...] = (
    "barrier_",
    "tape_",
    "wall_ratio",
    "liquidity_pressure",
    "tape_pressure",
    "net_break_pressure",
)
"""Read by stage B only, as is everything that ends in :data:`STAGE_B_SUFFIX`."""

STAGE_B_SUFFIX = "_trend"

CATEGORY_PREFIX = "level_kind_"
"""Of the columns that are 1 for one kind of level and 0 for the others."""

CONTEXT: frozenset[str] = frozenset({"level_kind_name", "atr_price"})
"""Columns that a prefix fits and that are no features."""


@dataclass(frozen=True)
class FeatureSet:
    """Columns of a model, each list in the order of the table.

    Attributes:
        numeric: measures.
        categorical: the kinds of level, as columns of 0 and 1: gold has encoded the category already.
    """

    numeric: list[str]
    categorical: list[str]

    @property
    def columns(self) -> list[str]:
        """All of them: what a model reads."""
        return [*self.numeric, *self.categorical]


def select_features(
    columns: "Iterable[str] | pd.DataFrame | pa.Table | pa.Schema", stage: str, ablation: str = "full"
) -> FeatureSet:
    """Return the columns of a table that a stage and an ablation choose.

    Args:
        columns: names, or a pandas or Arrow table that has them; other columns are passed over.
        stage: ``stage_a`` or ``stage_b``.
        ablation: ``ta``, ``mechanics`` or ``full``.

    Raises:
        ConfigError: there is no such stage or ablation, or none of the columns is a feature of it.
    """
    check_stage(stage)
    check_ablation(ablation)
    names = [name for name in _names(columns) if name not in CONTEXT]
    numeric = [name for name in names if _belongs(name, stage, ablation)]
    if not numeric:
        raise ConfigError(
            f"none of {len(names)} columns is a feature of {stage} {ablation}",
            remedy="give the columns of gold.events_features",
        )
    return FeatureSet(numeric, [name for name in names if name.startswith(CATEGORY_PREFIX)])


def _belongs(name: str, stage: str, ablation: str) -> bool:
    if stage == "stage_a" and (name.startswith(STAGE_B_PREFIXES) or name.endswith(STAGE_B_SUFFIX)):
        return False
    # A pressure or a trend of mechanics has no prefix of technical analysis, so no column is both.
    technical, mechanical = name.startswith(TA_PREFIXES), name.startswith(MECHANICS_PREFIXES)
    return {"ta": technical, "mechanics": mechanical, "full": technical or mechanical}[ablation]


def _names(columns: Any) -> list[str]:
    for attribute in ("column_names", "names", "columns"):
        # In this order: of an Arrow table `columns` are the columns themselves.
        found = getattr(columns, attribute, None)
        if found is not None:
            return [str(name) for name in found]
    return [str(name) for name in columns]
