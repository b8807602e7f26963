"""Golden vectors: rows and their scores, kept beside a model so that any machine can prove it scores alike.

JSON, one row a line; numbers are written so that they read back as the same float32, missing as null and the infinities
as strings.
"""

import json
import math
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ArtifactError

FORMAT = "trademl golden vectors 1"


def write_golden(
    path: Path, feature_names: tuple[str, ...], X: NDArray[np.float32], scores: NDArray[np.float64]
) -> None:
    """Write ``X`` (float32, (rows, features)) and the ``scores`` a correct engine gives for it."""
    head = json.dumps({"format": FORMAT, "features": list(feature_names)})[:-1]
    rows = ",\n".join(
        json.dumps([[_written(value) for value in row], _written(score)])
        for row, score in zip(X.tolist(), scores.tolist(), strict=True)
    )
    write_atomic(path, f'{head}, "rows": [\n{rows}\n]}}\n'.encode())


def read_golden(path: Path) -> tuple[tuple[str, ...], NDArray[np.float32], NDArray[np.float64]]:
    """Return (feature names, X, scores) as :func:`write_golden` got them.

    Raises:
        ArtifactError: the file is missing or is not such a file.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(str(name) for name in raw["features"])
        cells = [[_read(value) for value in row] for row, _ in raw["rows"]]
        X = np.array(cells, dtype=np.float32).reshape(len(cells), len(names))
        scores = np.array([_read(score) for _, score in raw["rows"]], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} does not hold golden vectors: {error}", remedy="export the model again, or sync the bundle again"
        ) from error
    return names, X, scores


def _written(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _read(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def same_bits(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return, element by element, whether two float32 arrays hold the same 32 bits (so 0.0 and -0.0 differ)."""
    return cast("NDArray[np.bool_]", a.view(np.uint32) == b.view(np.uint32))
