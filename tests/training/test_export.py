"""Export: a run's graph, an engine's own file, and what is refused."""

import json
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost

from tests.models.panels import NAMES, awkward_panel
from tests.reports.conftest import Trained, trained, trained_once  # noqa: F401
from trademl.artifacts.run_folder import RunFolder
from trademl.errors import ArtifactError, ConfigError, ModelError, ParityError, TrademlError
from trademl.models.golden import read_golden
from trademl.models.registry import model_class
from trademl.models.ridge import RidgeConfig, RidgeModel
from trademl.models.runtime import INPUT, open_graph
from trademl.training.export import export_file, export_run, file_kind, made_up_rows
from trademl.validation.calibration import PROBABILITY_RANGE, apply, from_dict

X, Y = awkward_panel(2000)
ROUNDS = 6


def engine_file(kind: str, folder: Path) -> Path:
    """A model that the engine itself fitted and saved."""
    if kind == "lightgbm":
        told = {"objective": "regression", "verbosity": -1, "num_threads": 1}
        booster = lightgbm.train(told, lightgbm.Dataset(X, Y, feature_name=list(NAMES)), ROUNDS)
        booster.save_model(folder / "engine.txt")
        return folder / "engine.txt"
    path = folder / f"{kind}.json"
    if kind == "xgboost":
        matrix = xgboost.DMatrix(X, Y, feature_names=list(NAMES), nthread=1)
        xgboost.train({"objective": "reg:squarederror", "nthread": 1}, matrix, ROUNDS).save_model(path)
    else:
        grown = catboost.CatBoost(
            {"iterations": ROUNDS, "thread_count": 1, "logging_level": "Silent", "allow_writing_files": False}
            | ({"grow_policy": "Depthwise"} if kind == "depthwise" else {})
        )
        grown.fit(catboost.Pool(X, Y, feature_names=list(NAMES)))
        grown.save_model(str(path), format="json")
    return path


def test_the_graph_of_a_run_is_the_runs_own(trained_once: Trained, tmp_path: Path) -> None:  # noqa: F811
    """Made again from the native file, the graph has the bytes of checkpoints/model.onnx, and its proof with it."""
    done = export_run(RunFolder.open(trained_once.folder), tmp_path / "new" / "model.onnx")
    assert done.path.read_bytes() == (trained_once.folder / "checkpoints" / "model.onnx").read_bytes()
    assert (done.kind, done.outputs, done.calibrated_rows, done.moved) == ("lightgbm", ("score",), 0, 0.0)
    names, X, _ = read_golden(trained_once.folder / "checkpoints" / "golden.json")
    assert (done.golden_rows, done.features) == (len(X), len(names))
    assert done.parity.mismatches == 0
    assert done.parity.boundary_rows > 0
    RunFolder.open(trained_once.folder).verify()


def test_a_calibrated_graph_gives_the_stored_probabilities(trained_once: Trained, tmp_path: Path) -> None:  # noqa: F811
    """The second output is the run's calibrator applied to the score, within the published range."""
    done = export_run(RunFolder.open(trained_once.folder), tmp_path / "model.onnx", calibrated=True)
    assert done.outputs == ("score", "probability")
    _, rows, scores = read_golden(trained_once.folder / "checkpoints" / "golden.json")
    assert done.calibrated_rows == len(rows)
    given, likely = open_graph(done.path).run(None, {INPUT: rows})
    stored = from_dict(json.loads((trained_once.folder / "checkpoints" / "calibrator.json").read_text()))
    assert given.ravel().tolist() == scores.tolist()
    assert likely.ravel().tolist() == apply(stored, scores, clip=PROBABILITY_RANGE).tolist()


def test_nothing_is_written_into_run_folders(trained: Trained) -> None:  # noqa: F811
    """A file more would break the manifest of a sealed folder: refused, for this run's folder and any other."""
    for place in (trained.folder / "model.onnx", trained.home.models_artifacts / "equities" / "other" / "model.onnx"):
        with pytest.raises(ConfigError, match="run folders never change"):
            export_run(RunFolder.open(trained.folder), place)
    RunFolder.open(trained.folder).verify()


def test_an_altered_run_is_refused(trained: Trained, tmp_path: Path) -> None:  # noqa: F811
    """The folder is verified before anything is made of it."""
    path = trained.folder / "checkpoints" / "model.txt"
    path.chmod(0o644)
    path.write_text(path.read_text().replace("leaf_value=", "leaf_value= ", 1))
    with pytest.raises(ArtifactError, match=r"checkpoints/model\.txt was altered"):
        export_run(RunFolder.open(trained.folder), tmp_path / "model.onnx")
    assert list(tmp_path.glob("*.onnx")) == []


def test_vectors_that_score_otherwise_here_stop_the_export(
    trained_once: Trained,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the engine no longer gives the recorded scores, the message names how many and the version to install."""
    folder = RunFolder.open(trained_once.folder)
    names, X, scores = read_golden(folder.place("checkpoints/golden.json"))
    other = np.nextafter(scores, np.where(np.arange(len(scores)) < 3, np.inf, scores))
    monkeypatch.setattr("trademl.training.export.read_golden", lambda _: (names, X, other))
    with pytest.raises(ParityError, match=f"scores 3 of {len(X)} golden vectors") as caught:
        export_run(folder, tmp_path / "model.onnx")
    assert folder.manifest().versions["lightgbm"] in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "catboost"])
def test_an_engines_own_model_becomes_a_graph(kind: str, tmp_path: Path) -> None:
    """The graph of a foreign model scores as the engine does, up to the rounding of leaves that is reported."""
    source = engine_file(kind, tmp_path)
    assert file_kind(source) == kind
    done = export_file(source, tmp_path / "model.onnx")
    assert (done.kind, done.features, done.golden_rows) == (kind, len(NAMES), 0)
    assert done.parity.boundary_rows > 0
    (score,) = open_graph(done.path).run(None, {INPUT: X})
    native = model_class(kind).native(source).score(X)
    assert 0 < done.moved < 1e-4
    assert np.abs(score.ravel() - native).max() < max(4 * done.moved, 1e-5)
    # Leaves differ from tree to tree, so a graph of another model would be far off.
    assert np.std(native) > 0.05


def test_our_own_files_are_known_by_their_kind(tmp_path: Path) -> None:
    """A linear model's file is exported without any move."""
    model = RidgeModel(RidgeConfig(), NAMES[:4]).fit(np.ascontiguousarray(np.nan_to_num(X[:, :4])), Y)
    model.save(tmp_path / "ridge.json")
    done = export_file(tmp_path / "ridge.json", tmp_path / "model.onnx")
    assert (done.kind, done.moved, done.parity.mismatches) == ("ridge", 0.0, 0)


def test_trees_that_are_not_symmetric_are_refused(tmp_path: Path) -> None:
    """CatBoost's other ways to grow are refused with the reason, and no file is left."""
    source = engine_file("depthwise", tmp_path)
    assert file_kind(source) == "catboost"
    with pytest.raises(ModelError, match="trees that are not symmetric") as caught:
        export_file(source, tmp_path / "model.onnx")
    assert "SymmetricTree" in caught.value.remedy
    assert list(tmp_path.glob("*.onnx")) == []


@pytest.mark.parametrize(
    "content, said",
    [
        (b"\x89\xff binary", "is no text"),
        (b"a,b\n1,2\n", "neither a run nor a model file"),
        (b'{"some": 1}', "neither a run nor a model file"),
        (b"[1, 2]", "neither a run nor a model file"),
        (b"tree\nversion=v4\n", "LightGBM"),
    ],
)
def test_other_files_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    """What is no model is said to be none, with what to give instead."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(TrademlError, match=said) as caught:
        export_file(tmp_path / "file", tmp_path / "model.onnx")
    assert caught.value.remedy


def test_made_up_rows_stand_on_thresholds(tmp_path: Path) -> None:
    """Every feature that the trees ask about is at a threshold of theirs, an ulp beside one, or missing."""
    model = model_class("lightgbm").load(engine_file("lightgbm", tmp_path))
    rows = made_up_rows(model)
    trees = model.trees() or ()
    feature = int(trees[0].feature[0])
    own = {float(t) for tree in trees for f, t in zip(tree.feature, tree.threshold, strict=True) if f == feature}
    narrow = np.array(sorted(own), dtype=np.float32)
    near = {float(value) for value in np.nextafter(narrow, np.float32(np.inf))} | own
    near |= {float(value) for value in np.nextafter(narrow, np.float32(-np.inf))}
    seen = rows[:, feature]
    assert {float(value) for value in seen[np.isfinite(seen)]} <= near
    assert own & {float(value) for value in seen[np.isfinite(seen)]}
