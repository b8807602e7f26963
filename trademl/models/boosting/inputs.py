"""What boosting families refuse to train on or to read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError
from trademl.models.base import Rows

_BLOCK_ROWS = 65_536


def check_stopping(early_stopping_rounds: int | None, valid_rows: Rows | None) -> None:
    """Refuse early stopping without rows to measure on, and such rows without early stopping.

    Raises:
        ModelError: one is given and the other is not.
    """
    if (early_stopping_rounds is None) != (valid_rows is None):
        raise ModelError(
            f"early_stopping_rounds={early_stopping_rounds} with {'no ' if valid_rows is None else ''}validation rows",
            remedy="give both or neither",
        )


def no_gpu(engine: str, said: str) -> ModelError:
    """Return the refusal of an engine that cannot train on a graphics card here; ``said`` is why."""
    return ModelError(
        f"device is gpu, and {engine} cannot train on one here: {said}",
        remedy=f"set `device: cpu`, or install a {engine} with GPU support on a machine with a card and its driver",
    )


def refuse_infinite(X: NDArray[np.float32], feature_names: Sequence[str]) -> None:
    """Refuse training features that are infinite, for engines that find no bins for them; missing is NaN.

    Raises:
        ModelError: there is one; the message gives the feature, the row and the value.
    """
    for start in range(0, len(X), _BLOCK_ROWS):
        infinite = np.isinf(X[start : start + _BLOCK_ROWS])
        if infinite.any():
            at, column = divmod(int(np.argmax(infinite)), X.shape[1])
            raise ModelError(
                f"feature {feature_names[column]} is {X[start + at, column]} in row {start + at}; this family trains "
                "on finite or missing values",
                remedy="make it missing (NaN), or clip it",
            )


def read_model_text(path: Path) -> str:
    """Return the text of a model file.

    Raises:
        ModelError: it is missing or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read the model file {path}: {error}", remedy="give the file of a run") from error
