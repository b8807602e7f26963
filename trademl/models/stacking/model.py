"""A stack as a model family: it reads the features of all its bases and answers with the blend of their scores.

The native file is one JSON document that holds the bases' own native texts, the scaler and the meta-learner; the ONNX
form is one graph. A base takes its columns from the union of the bases' features, in order of first appearance.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.errors import ModelError
from trademl.models.base import (
    BaseModel,
    Floats,
    ModelConfig,
    Native,
    Prepared,
    Progress,
    Rows,
    checked_matrix,
)
from trademl.models.registry import model_class
from trademl.models.stacking.blend import Blend, read_document
from trademl.models.stacking.config import StackConfig, check_task
from trademl.models.trees import Tree

FORMAT = "trademl stack 1"


class StackModel(BaseModel):
    """One stack: base models, scaler and meta-learner. It is put together by :meth:`of`, never fitted on features."""

    kind = "stack"
    config_type = StackConfig
    suffix = ".json"
    distributions = ("lightgbm",)
    config: StackConfig

    def __init__(self, config: ModelConfig, feature_names: Sequence[str]) -> None:
        super().__init__(config, feature_names)
        check_task(self.config.blender, self.config.task)
        self._bases: tuple[BaseModel, ...] = ()
        self._blend: Blend | None = None

    @classmethod
    def of(cls, config: StackConfig, bases: Sequence[BaseModel], blend: Blend) -> Self:
        """Return the stack of fitted ``bases``, in the order of ``config.bases``, under ``blend``.

        Raises:
            ModelError: the blend has other inputs, there is no base, or a base is itself a stack.
        """
        if not bases or len(bases) != len(config.bases) or blend.inputs != config.bases:
            raise ModelError(
                f"{len(bases)} models and a blend of {', '.join(blend.inputs)} for the bases "
                f"{', '.join(config.bases) or 'none'}",
                remedy="give one model for each base, in order, and a blend of these inputs",
            )
        if any(isinstance(base, StackModel) for base in bases):
            raise ModelError("a base of a stack is itself a stack", remedy="stack the runs that it is made of")
        parted = next((base.kind for base in bases if base.has_parts), None)
        if parted:
            raise ModelError(
                f"a base is a {parted} model, whose native form is several files; a stack holds one text for each base",
                remedy="leave this run out of the stack",
            )
        model = cls(config, union_of_features([base.feature_names for base in bases]))
        model._bases, model._blend = tuple(bases), blend
        return model

    @property
    def bases(self) -> tuple[BaseModel, ...]:
        """The base models, in order."""
        return self._bases

    @property
    def blend(self) -> Blend:
        """Scaler and meta-learner.

        Raises:
            ModelError: the stack has not been put together.
        """
        if self._blend is None:
            raise ModelError("this stack is not fitted", remedy="use `trademl train stacker`, StackModel.of or load")
        return self._blend

    @classmethod
    def prepare(cls, X: NDArray[np.float32], feature_names: Sequence[str], config: ModelConfig) -> Prepared:
        return Prepared(tuple(feature_names), len(checked_matrix(X, feature_names)))

    def fit_rows(
        self,
        data: Prepared,
        y: Floats,
        rows: Rows | None = None,
        *,
        weight: Floats | None = None,
        valid_rows: Rows | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Refuse: what a stack learns from are its bases' out-of-fold scores, which features do not hold.

        Raises:
            ModelError: always.
        """
        raise ModelError(
            "a stack is fitted on its bases' out-of-fold scores, not on features",
            remedy="train the bases with `trademl train SLEEVE`, then `trademl train stacker --runs A,B,C`",
        )

    def base_scores(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return each base's score of each row of ``X``, shape (rows, bases)."""
        matrix = checked_matrix(X, self.feature_names)
        scores = np.empty((len(matrix), len(self.blend.inputs)))
        for number, (base, columns) in enumerate(zip(self.bases, self._columns(), strict=True)):
            scores[:, number] = base.predict(np.ascontiguousarray(matrix[:, columns]))
        return scores

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.blend.predict(self.base_scores(X))

    def importances(self) -> dict[str, float]:
        """Return each feature's share: of each base's importances, by the base's share of the blend; they sum to 1."""
        parts = [base.importances() for base in self.bases]
        return blended_importances(self.feature_names, parts, list(self.blend.shares().values()))

    def save(self, path: Path) -> None:
        bases = [
            {"run": run, "kind": base.kind, "native": _native_text(base)}
            for run, base in zip(self.blend.inputs, self.bases, strict=True)
        ]
        document = {
            "format": FORMAT,
            "config": self.config.model_dump(mode="json"),
            "features": list(self.feature_names),
            "blend": self.blend.to_dict(),
            "bases": bases,
        }
        write_atomic(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> Self:
        config, blend, texts = _read(path)
        bases = []
        with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
            for kind, text in texts:
                family = model_class(kind)
                bases.append(family.load(_unfolded(Path(folder), family, text)))
        return cls.of(config, bases, blend)

    @classmethod
    def native(cls, path: Path) -> Native:
        """Read ``path`` with each base scored as its family's native file is: by its own engine."""
        _, blend, texts = _read(path)
        with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
            parts = [model_class(kind).native(_unfolded(Path(folder), model_class(kind), text)) for kind, text in texts]
        names = union_of_features([part.feature_names for part in parts])
        columns = [columns_of(part.feature_names, names) for part in parts]

        def score(rows: NDArray[np.float32]) -> NDArray[np.float64]:
            scores = np.empty((len(rows), len(parts)))
            for number, part in enumerate(parts):
                scores[:, number] = part.score(np.ascontiguousarray(rows[:, columns[number]]))
            return blend.predict(scores)

        trees = _moved([part.trees for part in parts], columns)
        return Native(path=path, feature_names=names, trees=trees, score=score)

    def export_onnx(self, path: Path) -> None:
        from trademl.models.stacking.graph import export_stack

        export_stack(self.bases, self._columns(), self.blend, self.feature_names, path)

    def trees(self) -> tuple[Tree, ...] | None:
        """Return the trees of all bases, over the stack's features; None when no base is made of trees."""
        return _moved([base.trees() for base in self.bases], self._columns())

    def _columns(self) -> list[NDArray[np.int64]]:
        return [columns_of(base.feature_names, self.feature_names) for base in self.bases]


def union_of_features(names: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return every feature of the bases once, in order of first appearance.

    >>> union_of_features([("a", "b"), ("c", "a")])
    ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(name for of_base in names for name in of_base))


def columns_of(names: Sequence[str], among: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of each of ``names`` in ``among``, which has them all."""
    place = {name: number for number, name in enumerate(among)}
    return np.array([place[name] for name in names], dtype=np.int64)


def blended_importances(
    feature_names: Sequence[str], bases: Sequence[dict[str, float]], shares: Sequence[float]
) -> dict[str, float]:
    """Return, per feature, the sum over bases of the base's share times the feature's share of the base."""
    found = dict.fromkeys(feature_names, 0.0)
    for base, share in zip(bases, shares, strict=True):
        total = sum(base.values())
        for name, value in base.items():
            found[name] += share * value / total if total > 0 else 0.0
    return found


def _native_text(base: BaseModel) -> str:
    with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
        path = Path(folder) / f"model{base.suffix}"
        base.save(path)
        return path.read_text(encoding="utf-8")


def _unfolded(folder: Path, family: type[BaseModel], text: str) -> Path:
    path = folder / f"model_{len(list(folder.iterdir()))}{family.suffix}"
    path.write_text(text, encoding="utf-8")
    return path


def _read(path: Path) -> tuple[StackConfig, Blend, list[tuple[str, str]]]:
    document: dict[str, Any] = read_document(path)
    try:
        if document["format"] != FORMAT:
            raise ValueError(f"it is {document['format']!r}")
        config = StackConfig.model_validate(document["config"])
        texts = [(str(base["kind"]), str(base["native"])) for base in document["bases"]]
        runs = tuple(str(base["run"]) for base in document["bases"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is no saved stack: {error!r}", remedy="give the model file of a run") from error
    if runs != config.bases:
        raise ModelError(f"{path} holds the bases {runs}, its configuration {config.bases}", remedy="train again")
    return config, Blend.from_dict(document["blend"], origin=str(path)), texts


def _moved(trees: Sequence[tuple[Tree, ...] | None], columns: Sequence[NDArray[np.int64]]) -> tuple[Tree, ...] | None:
    """Return the bases' trees with their features numbered as the stack's."""
    known = [(of_base, place) for of_base, place in zip(trees, columns, strict=True) if of_base is not None]
    if not known:
        return None
    return tuple(replace(tree, feature=place[tree.feature]) for of_base, place in known for tree in of_base)
