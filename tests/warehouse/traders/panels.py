"""Random snapshot panels: ties, missing and infinite values, constant columns, dates with one trader, gaps."""

import random
from datetime import date, timedelta
from math import inf

from tests.oracles.traders import FEATURE_COLUMNS
from tests.warehouse.traders.project import START

Panel = dict[tuple[str, date], dict[str, float | None]]

_SCALES = {"roi": 0.5, "pnl_v": 2000, "pnl": 1e4, "trade_count": 200, "avg_trade": 300, "avg_hold": 40}


def random_panel(seed: int, dates: int = 26, traders: int = 7) -> Panel:
    """Return a panel whose first dates have one trader and whose dates lie one to five days apart.

    Each column is drawn by a kind of its own: continuous, of a few values, constant, or constant on some dates; 10 % of
    the values are missing, 15 % of the profit factors infinite (all of them on some dates).
    """
    draw = random.Random(seed)
    kinds = {name: draw.choice(["continuous", "continuous", "ties", "constant", "by_date"]) for name in FEATURE_COLUMNS}
    scales = {name: next((v for k, v in _SCALES.items() if name.startswith(k)), 1.0) for name in FEATURE_COLUMNS}
    step = draw.choice([1, 1, 2, 5])
    at = START
    panel: Panel = {}
    for number in range(dates):
        at += timedelta(days=draw.randint(1, step))
        present = [t for t in range(traders) if t == 0 or (number >= 3 and draw.random() < 0.9)]
        all_infinite = draw.random() < 0.05
        shared = {name: round(draw.gauss(0, 1) * scales[name], 6) for name in FEATURE_COLUMNS}
        for trader in present:
            row: dict[str, float | None] = {}
            for name in FEATURE_COLUMNS:
                kind = kinds[name]
                if draw.random() < 0.1:
                    row[name] = None
                elif kind == "constant":
                    row[name] = 0.25 * scales[name]
                elif kind == "by_date" and number % 3 == 0:
                    row[name] = shared[name]
                elif kind == "ties":
                    row[name] = draw.randint(-2, 2) * scales[name]
                else:
                    row[name] = round(draw.gauss(0, 1) * scales[name], 6)
            factor = row["profit_factor"]
            if factor is not None:
                row["profit_factor"] = inf if all_infinite or draw.random() < 0.15 else abs(factor) * 8
            panel[f"0x{trader:03d}", at] = row
    return panel
