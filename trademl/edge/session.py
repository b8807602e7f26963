"""Score rows with an exported model: numpy and onnxruntime, one thread, nothing else."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trademl.errors import ModelError, ParityError
from trademl.models.golden import read_golden, same_bits
from trademl.models.runtime import FEATURES_KEY, INPUT, OUTPUT, PROBABILITIES, open_graph


class ScoringSession:
    """An ONNX graph written by trademl, opened for scoring.

    Attributes:
        feature_names: the columns of X, in order, as the graph itself records them.

    Raises:
        ModelError: the file is missing, is no ONNX graph, or was not exported by trademl.
    """

    def __init__(self, onnx_path: Path) -> None:
        self.path = onnx_path
        self._session = open_graph(onnx_path)
        inputs = [value.name for value in self._session.get_inputs()]
        outputs = [value.name for value in self._session.get_outputs()]
        metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        known = outputs in ([OUTPUT], [OUTPUT, PROBABILITIES])
        if inputs != [INPUT] or not known or FEATURES_KEY not in metadata:
            raise ModelError(
                f"{onnx_path} maps {inputs} to {outputs}; a trademl graph maps ['{INPUT}'] to ['{OUTPUT}'], and "
                f"'{PROBABILITIES}' with three classes, and names its features",
                remedy="give a model.onnx exported by trademl",
            )
        self.feature_names: tuple[str, ...] = tuple(json.loads(metadata[FEATURES_KEY]))

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one raw score per row of ``X`` (float32, features in ``feature_names`` order, NaN where missing).

        With three classes the score is the expected class, P(1) - P(-1).

        Raises:
            ModelError: ``X`` has another width or type.
        """
        width = len(self.feature_names)
        if X.ndim != 2 or X.shape[1] != width:
            raise ModelError(
                f"X has shape {X.shape}, {self.path.name} expects (rows, {width})",
                remedy="score with the features.sql that belongs to this model",
            )
        if X.dtype != np.float32:
            raise ModelError(
                f"X is {X.dtype}, {self.path.name} reads float32",
                remedy="read the features as FLOAT, as gold stores them",
            )
        if len(X) == 0:
            return np.empty(0)
        (scores,) = self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(X)})
        return np.asarray(scores, dtype=np.float64).reshape(len(X))

    def verify(self, golden_path: Path) -> int:
        """Score the golden vectors and return how many there are, all bit-equal.

        Raises:
            ParityError: this machine scores some of them differently.
            ArtifactError: the file does not hold golden vectors.
        """
        names, X, expected = read_golden(golden_path)
        if names != self.feature_names:
            raise ModelError(
                f"{golden_path.name} has {len(names)} features that are not those of {self.path.name}",
                remedy="keep a model and its golden vectors together",
            )
        found = self.predict(X)
        wrong = ~same_bits(found.astype(np.float32), expected.astype(np.float32))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ParityError(
                f"{int(wrong.sum())} of {len(X)} golden rows score differently here; row {row}: {found[row]!r}, "
                f"expected {expected[row]!r}",
                remedy="do not score on this machine; compare its onnxruntime version with the manifest",
            )
        return len(X)
