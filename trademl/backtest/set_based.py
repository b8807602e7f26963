"""The SQL backtest: weights and rates go in, ``marts.backtest_daily`` and ``marts.backtest_trades`` come out.

The SQL is the dbt models'; here the weights stand in for ``ops.backtests`` and ``ops.backtest_weights`` on a private
connection, so that a backtest can be run before, or without ever, being recorded.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.backtest.data import require_view, view_replaced
from trademl.backtest.engine import BacktestConfig
from trademl.backtest.strategy import Weights
from trademl.costs.model import CostModel
from trademl.errors import ConfigError
from trademl.schema import BATCHES

MAX_TIERS = 5

_ID = "at-work"

# What neither trades nor days show need not be kept.
_POSITIONS = "select * exclude (previous_shares, mark_usd, is_delisted) from marts.backtest_positions"


@dataclass(frozen=True, eq=False)
class SetBasedResult:
    """Columns of ``marts.backtest_daily`` by date, and ``marts.backtest_trades`` as an Arrow table in any order."""

    daily: dict[str, NDArray[Any]]
    trades: Any


def sql_settings(costs: CostModel, config: BacktestConfig) -> dict[str, Any]:
    """Return the columns of ``ops.backtests`` that the SQL reads.

    Impact is ``volatility x (a x^p + b x)`` with x the order as a share of the day's value: the square-root law has
    b = 0; of Almgren et al. (2005), a x^p is the temporary part and b x half the permanent one.

    Raises:
        ConfigError: more borrow tiers than the SQL has room for.
    """
    if len(costs.borrow) > MAX_TIERS:
        raise ConfigError(
            f"{len(costs.borrow)} borrow tiers; the SQL backtest knows {MAX_TIERS}", remedy="join neighbouring tiers"
        )
    given = costs.almgren
    square_root = costs.impact == "square_root"
    return {
        "capital_usd": config.capital_usd,
        "whole_shares": config.whole_shares,
        "commission_bps": costs.commission_bps,
        "commission_usd_per_share": costs.commission_usd_per_share,
        "spread_bps": costs.spread_bps,
        "impact_coefficient": costs.impact_coefficient
        if square_root
        else given.eta * costs.impact_duration_days**-given.beta,
        "impact_exponent": costs.impact_exponent if square_root else given.beta,
        "permanent_coefficient": 0.0 if square_root else given.gamma / 2 * costs.days_to_turn_over**given.delta,
        "auction_bps": costs.auction_bps,
        "borrow_min_day_value_usd": [float(tier.min_day_value_usd) for tier in costs.borrow],
        "borrow_bps_per_year": [float(tier.bps_per_year) for tier in costs.borrow],
        "borrow_days_per_year": costs.borrow_days_per_year,
        "delisting_return": config.delisting_return,
    }


def run_set_based(
    con: duckdb.DuckDBPyConnection, weights: Weights, *, costs: CostModel, config: BacktestConfig, last: Any
) -> SetBasedResult:
    """Run the SQL backtest of weights.

    Args:
        con: an open snapshot, which nobody else uses meanwhile; :func:`trademl.backtest.data.bars_at_hand` around the
            call spares computing the bars.
        weights: by decision date.
        costs, config: as for the event-driven engine; the capital is fixed and orders are filled whole.
        last: date of the last session.

    Raises:
        ConfigError: ``config`` sizes by equity, limits orders to a share of the volume, or leaves small ones.
        SnapshotError: the snapshot has no such views.
    """
    require_common_rules(config)
    require_view(con, "marts.backtest_positions")
    with weights_shown(con, weights, sql_settings(costs, config), last):
        # Positions are what daily figures and trades both come from: computed once.
        con.execute(f"create or replace temp table positions_at_work as {_POSITIONS}")
        try:
            with view_replaced(con, "marts.backtest_positions", "select * from temp.positions_at_work"):
                daily = con.execute("select * from marts.backtest_daily order by date").fetchnumpy()
                trades = con.sql("select * exclude (backtest_id) from marts.backtest_trades").to_arrow_table()
        finally:
            con.execute("drop table if exists temp.positions_at_work")
    return SetBasedResult(_plain(daily), trades)


def require_common_rules(config: BacktestConfig) -> None:
    """Refuse rules under which what is held depends on more than the weights.

    Raises:
        ConfigError: ``config`` sizes by equity, limits orders to a share of the volume, or leaves small ones.
    """
    if not config.is_set_based:
        raise ConfigError(
            f"the SQL backtest has a fixed capital and fills every order whole; sizing is {config.sizing}, "
            f"max_participation {config.max_participation}, min_order_usd {config.min_order_usd:g}",
            remedy="use sizing capital without limits on orders, or the event-driven engine",
        )


@contextmanager
def weights_shown(
    con: duckdb.DuckDBPyConnection, weights: Weights, settings: dict[str, Any], last: Any
) -> Iterator[None]:
    """Let ``ops.backtests`` and ``ops.backtest_weights`` show one backtest that is in no batch."""
    rows = weight_rows(weights)
    con.register("weights_at_work", rows)
    table = BATCHES["ops.backtests"].columns
    row = {**settings, "backtest_id": _ID, "last_date": str(last)}
    columns = ", ".join(f"cast({_literal(row.get(name))} as {kind}) as {name}" for name, kind in table.items())
    shown = f"select '{_ID}' as backtest_id, symbol, weight, dt, cast(null as timestamp) as recorded_at"
    try:
        with (
            view_replaced(con, "ops.backtests", f"select {columns}"),
            view_replaced(con, "ops.backtest_weights", f"{shown} from weights_at_work"),
        ):
            yield
    finally:
        con.unregister("weights_at_work")


def weight_rows(weights: Weights) -> Any:
    """Return symbol, dt and weight as an Arrow table: what is not 0, and one 0 on a date that wants nothing."""
    import pyarrow as pa

    kept = weights.values != 0
    kept[~kept.any(axis=1), 0] = True
    day, symbol = np.nonzero(kept)
    names = pa.DictionaryArray.from_arrays(pa.array(symbol.astype(np.int32)), pa.array(weights.symbols))
    return pa.table(
        {
            "symbol": names.cast(pa.string()),
            "weight": pa.array(weights.values[kept]),
            "dt": pa.array(weights.dates[day].astype("datetime64[D]")),
        }
    )


def _literal(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_literal, value))}]"
        case float():
            return f"'{value!r}'::double"
        case int():
            return str(value)
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def _plain(columns: dict[str, Any]) -> dict[str, NDArray[Any]]:
    return {
        name: np.ma.filled(values, np.nan) if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
        for name, values in columns.items()
    }
