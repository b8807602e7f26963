"""Where engines leave their values: plain arrays that every environment can write and read.

<engine>/<set>.npy holds float32, one row per feature; <set>_code.npy and <set>_day.npy say whose each value is, and
<set>.json names the features. Rows may be more than the bars (pyqlib has one for an absent session) and in any order.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.features.names import SETS

Array = NDArray[Any]


def keyed(code: Array, day: Array) -> Array:
    """Return one number for code and day."""
    return code.astype(np.int64) * 1_000_000 + day.astype("datetime64[D]").astype(np.int64)


def new_values(at: Path, name: str, code: Array, day: Array) -> "np.memmap[Any, Any]":
    """Write whose values these are and return the matrix to fill, mapped to its file."""
    at.mkdir(parents=True, exist_ok=True)
    np.save(at / f"{name}_code.npy", np.asarray(code, np.int32), allow_pickle=False)
    np.save(at / f"{name}_day.npy", day.astype("datetime64[D]"), allow_pickle=False)
    (at / f"{name}.json").write_text(json.dumps(list(SETS[name])), encoding="ascii")
    shape = (len(SETS[name]), len(code))
    return np.lib.format.open_memmap(at / f"{name}.npy", mode="w+", dtype=np.float32, shape=shape)
