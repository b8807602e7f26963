"""pyqlib's own values, in pyqlib's own environment: nothing of trademl is imported here.

    python -m benchmarks.features.qlib_side FOLDER alpha158 --kernels 2 [--out FOLDER]

Expressions are computed from the bin files with every cache of pyqlib off. The seconds run from the call of
``D.features`` to its frame; imports and initialisation come before. With ``--out`` the values are written there.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.features.arrays import new_values
from benchmarks.features.memory import largest_resident_mib
from benchmarks.features.names import SETS

PRICES = {"kbar": {}, "price": {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]}, "rolling": {}}


def features_of(name: str) -> tuple[list[str], list[str]]:
    """Return the expressions and names of a set, as pyqlib's own handlers ask for them."""
    from qlib.contrib.data.loader import Alpha158DL, Alpha360DL  # type: ignore[import-not-found,unused-ignore]

    found = Alpha158DL.get_feature_config(PRICES) if name == "alpha158" else Alpha360DL.get_feature_config()
    return list(found[0]), list(found[1])


def start(folder: Path, kernels: int) -> None:
    """Initialise pyqlib on bin files, without its disk caches."""
    import qlib  # type: ignore[import-not-found,unused-ignore]
    from qlib.config import REG_US  # type: ignore[import-not-found,unused-ignore]

    qlib.init(
        provider_uri=str(folder),
        region=REG_US,
        kernels=kernels,
        expression_cache=None,
        dataset_cache=None,
        logging_level=40,
    )


def compute(name: str, symbols: int = 0) -> tuple[Any, list[str], float]:
    """Return the frame of a set over all the bin files or the first ``symbols``, its names, and the seconds it took."""
    from qlib.data import D  # type: ignore[import-not-found,unused-ignore]

    fields, names = features_of(name)
    chosen = [f"S{code:05d}" for code in range(1, symbols + 1)] if symbols else D.instruments("all")
    began = time.perf_counter()
    frame = D.features(chosen, fields, freq="day")
    return frame, names, time.perf_counter() - began


def write(frame: Any, name: str, out: Path) -> None:
    """Write values and whose they are."""
    codes = frame.index.get_level_values("instrument").str[1:].astype(np.int32)
    matrix = new_values(out, name, codes, frame.index.get_level_values("datetime").to_numpy())
    for at in range(len(matrix)):
        matrix[at] = frame.iloc[:, at].to_numpy(np.float32)
    matrix.flush()


def main() -> None:
    """Compute one set and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features.qlib_side", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder of benchmarks.features.bars")
    parser.add_argument("name", choices=("alpha158", "alpha360"))
    parser.add_argument("--kernels", type=int, default=2, help="processes")
    parser.add_argument("--symbols", type=int, default=0, help="only the first so many; 0: all")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start(options.folder / "qlib", options.kernels)
    frame, names, seconds = compute(options.name, options.symbols)
    if names != list(SETS[options.name]):
        raise SystemExit(f"pyqlib's {options.name} has other names, or in another order")
    if options.out:
        write(frame, options.name, options.out)
    said = {"seconds": seconds, "rows": len(frame), "columns": len(names)}
    print(json.dumps({**said, "peak_mib": largest_resident_mib()}))


if __name__ == "__main__":
    main()
