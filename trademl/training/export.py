"""Export: the ONNX graph of a run, or of a model file of an engine, written anew and proved before it is there.

The graph is made from the native file, scored beside it on golden vectors and on every threshold, and only then gets
its name: what cannot be proved equal is refused, and no file is left behind.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.artifacts.files import write_atomic
from trademl.artifacts.run_folder import RunFolder
from trademl.errors import ArtifactError, ConfigError, ModelError, ParityError
from trademl.models.base import BaseModel
from trademl.models.golden import read_golden
from trademl.models.onnx import ParityReport, prove_parity
from trademl.models.onnx_calibrator import PROBABILITY, append_calibrator
from trademl.models.registry import list_models, model_class
from trademl.models.runtime import INPUT, OUTPUT, open_graph
from trademl.rng import stream
from trademl.training.final import clip_of
from trademl.validation.calibration import Calibrator, Clip, apply, from_dict

_WRITABLE = 0o644
_MADE_UP_ROWS = 4096
_SEED = 7


@dataclass(frozen=True)
class Exported:
    """A graph that was written.

    Attributes:
        path: the file.
        kind: the model's family.
        features: how many inputs it reads.
        outputs: names, in order.
        parity: the proof that it scores as the native file does.
        golden_rows: recorded vectors whose scores came out as recorded, bit for bit; 0 for a file that has none.
        calibrated_rows: rows whose probability came out as in Python, bit for bit; 0 without a calibrator.
        moved: for an engine's own file, by how much canonical form moves a score at most, on made-up rows; else 0.
    """

    path: Path
    kind: str
    features: int
    outputs: tuple[str, ...]
    parity: ParityReport
    golden_rows: int
    calibrated_rows: int
    moved: float


def export_run(folder: RunFolder, path: Path, *, calibrated: bool = False) -> Exported:
    """Write the graph of a finished run's final model to ``path``.

    Args:
        folder: the run's; every file of it is checked first.
        path: where to; a file there is replaced.
        calibrated: add the run's calibrator, so that the graph has the output ``probability`` too.

    Raises:
        ArtifactError: the folder does not verify, or lacks a file.
        ConfigError: ``path`` lies inside a run folder, which never changes.
        ModelError: the model, or its calibrator, cannot be exported.
        ParityError: graph, native file and recorded vectors do not score alike, bit for bit.
    """
    _refuse_sealed(path, folder)
    manifest = folder.verify()
    kind = str(manifest.config.get("model", {}).get("kind"))
    cls = model_class(kind)
    native = _present(folder, f"checkpoints/model{cls.suffix}")
    calibrator = _read_calibrator(_present(folder, "checkpoints/calibrator.json")) if calibrated else None
    names, X, recorded = read_golden(_present(folder, "checkpoints/golden.json"))
    model = cls.load(native)
    if names != model.feature_names:
        raise ArtifactError(
            f"the golden vectors of {folder.run_id} have other features than its model", remedy="train the run again"
        )
    scored = cls.native(native).score(X)
    if not _same(scored, recorded):
        raise ParityError(
            f"{kind} scores {int((scored != recorded).sum())} of {len(X)} golden vectors of {folder.run_id} other than "
            "when the run was trained",
            remedy=f"install the versions of its manifest: {manifest.versions.get(kind, 'see manifest.json')}",
        )
    clip = clip_of(str(manifest.config.get("task")))
    return _export(model, native, path, X, calibrator, golden_rows=len(X), moved=0.0, clip=clip)


def export_file(source: Path, path: Path) -> Exported:
    """Write the graph of a model file to ``path``: trademl's own, or LightGBM's text, XGBoost's or CatBoost's JSON.

    An engine's own model is brought into canonical form first (:mod:`trademl.models.trees`), which moves its scores by
    the rounding of its leaves: by how much is measured on rows drawn around its thresholds.

    Raises:
        ModelError: it is no such file, or has what no graph can repeat bit for bit.
        ParityError: canonical form and graph do not score alike, bit for bit.
    """
    cls = model_class(file_kind(source))
    model = cls.load(source)
    rows = made_up_rows(model)
    moved = float(np.abs(cls.native(source).score(rows) - model.predict(rows)).max())
    with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
        native = Path(folder) / f"model{cls.suffix}"
        model.save(native)
        return _export(model, native, path, rows, None, golden_rows=0, moved=moved, clip=clip_of(""))


def file_kind(source: Path) -> str:
    """Return the family whose native file ``source`` is.

    Raises:
        ModelError: it cannot be read, or is of no family that reads files of others.
    """
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{source} is no text: {error}",
            remedy="save LightGBM as text, XGBoost and CatBoost as JSON: `save_model` with .txt or .json",
        ) from error
    if text.startswith("tree\n"):
        return "lightgbm"
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict):
        if document.get("kind") in list_models():
            return str(document["kind"])
        for key, kind in (("learner", "xgboost"), ("oblivious_trees", "catboost"), ("features_info", "catboost")):
            if key in document:
                return kind
    raise ModelError(
        f"{source} is neither a run nor a model file that can be exported",
        remedy="give a run of `trademl runs list`, a LightGBM text, or a JSON of XGBoost or CatBoost",
    )


def made_up_rows(model: BaseModel) -> NDArray[np.float32]:
    """Return rows that reach many leaves: each feature at, or an ulp beside, one of its thresholds, or missing.

    A model without trees gets standard normal features.
    """
    draws = stream(_SEED, "export.made_up_rows")
    rows = draws.standard_normal((_MADE_UP_ROWS, len(model.feature_names))).astype(np.float32)
    trees = model.trees() or ()
    if trees:
        feature = np.concatenate([tree.feature for tree in trees])
        threshold = np.concatenate([tree.threshold for tree in trees]).astype(np.float32)
        for number in np.unique(feature):
            own = np.unique(threshold[feature == number])
            near = np.concatenate((np.nextafter(own, np.float32(-np.inf)), own, np.nextafter(own, np.float32(np.inf))))
            rows[:, number] = draws.choice(np.append(near, np.float32(np.nan)), len(rows))
    return rows


def _export(
    model: BaseModel,
    native: Path,
    path: Path,
    X: NDArray[np.float32],
    calibrator: Calibrator | None,
    *,
    golden_rows: int,
    moved: float,
    clip: Clip,
) -> Exported:
    with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
        graph = Path(folder) / "model.onnx"
        model.export_onnx(graph)
        parity = prove_parity(type(model).native(native), graph, X, latency=True)
        if calibrator is not None:
            plain, graph = graph, Path(folder) / "calibrated.onnx"
            append_calibrator(plain, calibrator, graph, clip=clip)
            _prove_calibrated(graph, calibrator, X, clip)
        session = open_graph(graph)
        outputs = tuple(output.name for output in session.get_outputs())
        write_atomic(path, graph.read_bytes(), _WRITABLE)
    return Exported(
        path=path,
        kind=model.kind,
        features=len(model.feature_names),
        outputs=outputs,
        parity=parity,
        golden_rows=golden_rows,
        calibrated_rows=0 if calibrator is None else len(X),
        moved=moved,
    )


def _prove_calibrated(graph: Path, calibrator: Calibrator, X: NDArray[np.float32], clip: Clip) -> None:
    score, likely = open_graph(graph).run([OUTPUT, PROBABILITY], {INPUT: X})
    expected = apply(calibrator, score.reshape(-1).astype(np.float64), clip=clip)
    if not _same(likely.reshape(-1), expected):
        wrong = int((likely.reshape(-1) != expected).sum())
        raise ParityError(
            f"the graph's probabilities differ from Python's on {wrong} of {len(X)} rows",
            remedy="report it: the calibrator's graph repeats Python's operations one by one",
        )


def _same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    """Tell whether two float64 arrays hold the same bits, one NaN being as good as another."""
    return bool(((left.view(np.uint64) == right.view(np.uint64)) | (np.isnan(left) & np.isnan(right))).all())


def _read_calibrator(path: Path) -> Calibrator:
    try:
        return from_dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(f"cannot read {path}: {error}", remedy="restore the run folder, or train again") from error


def _present(folder: RunFolder, name: str) -> Path:
    path = folder.place(name)
    if not path.is_file():
        raise ArtifactError(
            f"run {folder.run_id} has no {name}", remedy="choose a run that has one, or train it with this version"
        )
    return path


def _refuse_sealed(path: Path, folder: RunFolder) -> None:
    # Any file more would make the folder, or that of another run, fail its own manifest.
    runs = folder.path.parent.parent.resolve()
    if path.resolve().is_relative_to(runs):
        raise ConfigError(
            f"{path} lies in {runs}, whose run folders never change", remedy="give another place with --output"
        )
