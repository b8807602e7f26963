"""The oracle of Alpha158 and Alpha360 beside values that pyqlib 0.9.7 computed (benchmarks/features/expected.py)."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.oracles.alpha import Bars, alpha158, alpha360

HERE = Path(__file__).parent
FIELDS = ("open", "high", "low", "close", "volume", "split_coefficient", "dividend_amount")
SESSIONS = 70


def bars_of(symbol: str) -> tuple[Bars, int]:
    """A symbol's bars with a row for each session from its first on, and which session that is."""
    columns: dict[str, NDArray[Any]] = {name: np.full(SESSIONS, np.nan) for name in FIELDS}
    columns["split_coefficient"][:], columns["dividend_amount"][:] = 1, 0
    present = []
    with (HERE / "alpha_expected_bars.csv").open(encoding="ascii") as file:
        for row in csv.DictReader(file):
            if row["symbol"] == symbol:
                present.append(int(row["session"]))
                for name in FIELDS:
                    columns[name][present[-1]] = float(row[name])
    kept = [columns[name][present[0] :] for name in FIELDS]
    return Bars(*kept), present[0]


@pytest.mark.parametrize("name,features", [("158", alpha158), ("360", alpha360)])
def test_the_oracle_gives_the_values_of_pyqlib(name: str, features: Any) -> None:
    """Every column, NULLs too: partial windows, ties, an absent session, no volume, one price, a split, a dividend."""
    computed = {
        symbol: (features(bars), first) for symbol in ("TIES", "FLAT", "ACTS") for bars, first in [bars_of(symbol)]
    }
    with (HERE / f"alpha_expected_{name}.csv").open(encoding="ascii") as file:
        rows = list(csv.DictReader(file))
    compared = 0
    for row in rows:
        found, first = computed[row["symbol"]]
        wanted = [float(value) if value else np.nan for value in list(row.values())[3:]]
        got = [float(np.float32(values[int(row["session"]) - first])) for values in found.values()]
        np.testing.assert_allclose(got, wanted, rtol=2e-7, atol=1e-7, err_msg=f"{row['symbol']} {row['date']}")
        compared += len(wanted)
    assert (len(rows), compared) == (35, 35 * int(name))


def test_an_absent_session_is_an_extreme_for_pyqlib_only() -> None:
    """pyqlib places the highest high at the first session without a bar; passing over it gives the high's own place."""
    bars, _ = bars_of("TIES")
    theirs, ours = alpha158(bars), alpha158(bars, absent_is_extreme=False)
    high = bars.high[27:32]
    assert np.isnan(high[3])
    assert theirs["IMAX5"][31] == 4 / 5
    assert ours["IMAX5"][31] == (list(high).index(np.nanmax(high)) + 1) / 5
    np.testing.assert_array_equal(theirs["IMAX5"][:30], ours["IMAX5"][:30])
