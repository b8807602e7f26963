"""What every family of the registry must do."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from tests.models.panels import NAMES, awkward_panel
from trademl.config.reading import load_section
from trademl.edge.session import ScoringSession
from trademl.errors import ModelError
from trademl.models.base import BaseModel, ModelConfig, Prepared, Task
from trademl.models.onnx import prove_parity
from trademl.models.registry import MODELS, create_model, model_class, read_model_config
from trademl.training.config import TrainingConfig

ROWS = 1500
X, Y = awkward_panel(ROWS)
UP = (Y > 0).astype(np.float64)
SIDE = np.digitize(Y, [-0.5, 1.0]) - 1.0
WEIGHT = np.linspace(0.1, 3.0, ROWS)

SMALL = {
    "n_rounds": 8,
    "threads": 1,
    "min_data_in_leaf": 20,
    "min_child_weight": 5,
    "feature": NAMES[0],
    "bases": [{"n_rounds": 8, "max_depth": depth, "min_child_weight": 5, "seed": depth} for depth in (2, 3)],
    "inner": {"folds": 3, "test_folds": 1, "embargo": 2},
}
"""Fields that make a small model of this panel, where a family has them."""


def small(kind: str, **fields: Any) -> ModelConfig:
    known = model_class(kind).config_type.model_fields
    return read_model_config({"kind": kind, **{name: SMALL[name] for name in SMALL if name in known}, **fields})


def tasks(kind: str) -> list[Task]:
    """The tasks that the family's configuration takes."""
    taken: list[Task] = []
    for task in get_args(Task):
        try:
            model_class(kind).config_type.model_validate({"kind": kind, "task": task})
        except ValidationError:
            continue
        taken.append(task)
    return taken


KINDS = [kind for kind in sorted(MODELS) if kind != "stack"]
"""All but the stack, which is put together from finished models and never fitted on features: tests/models/stacking."""

BOOSTED = [kind for kind in KINDS if "n_rounds" in model_class(kind).config_type.model_fields]
CASES = [(kind, task) for kind in KINDS for task in tasks(kind)]


def labels(task: Task) -> np.ndarray:
    return {"regression": Y, "binary": UP, "three_class": SIDE}[task]


def fitted(kind: str, task: Task = "regression", **fields: Any) -> BaseModel:
    return create_model(small(kind, task=task, **fields), NAMES).fit(X, labels(task), weight=WEIGHT)


def saved(model: BaseModel, folder: Path) -> bytes:
    path = folder / f"{len(list(folder.iterdir()))}{model.suffix}"
    model.save(path)
    return path.read_bytes()


def test_the_boosting_families_take_all_tasks() -> None:
    """The cases below are not empty: three boosting families of three tasks each."""
    assert {"lightgbm", "xgboost", "catboost"} <= set(BOOSTED)
    assert all((kind, task) in CASES for kind in BOOSTED for task in ("regression", "binary", "three_class"))


@pytest.mark.parametrize("kind, task", CASES)
def test_prepared_once_every_form_of_a_model_scores_the_same(kind: str, task: Task, tmp_path: Path) -> None:
    """Fitted on some rows of a shared matrix: memory, file, engine and ONNX agree in every bit, wherever thresholds
    lie and whatever the floats are; the file is readable text that nobody can write to."""
    family, config = model_class(kind), small(kind, task=task)
    prepared = family.prepare(X, NAMES, config)
    assert isinstance(prepared, Prepared)
    assert (prepared.n_rows, prepared.feature_names) == (ROWS, NAMES)
    model = family(config, NAMES).fit_rows(prepared, labels(task), np.arange(0, ROWS, 2), weight=WEIGHT)
    scores = model.predict(X)
    assert scores.dtype == np.float64
    assert scores.shape == (ROWS,)
    assert np.isfinite(scores).all()
    assert model.predict(X[:0]).shape == (0,)
    assert np.array_equal(np.concatenate([model.predict(X[at : at + 1]) for at in range(50)]), scores[:50])
    native, exported = tmp_path / f"model{family.suffix}", tmp_path / "model.onnx"
    model.save(native)
    model.export_onnx(exported)
    assert native.read_text(encoding="utf-8").isprintable() or "\n" in native.read_text(encoding="utf-8")
    assert native.stat().st_mode & 0o777 == 0o444
    loaded = family.load(native)
    assert loaded.feature_names == NAMES
    assert loaded.config == config.model_copy(update={"threads": 0} if "threads" in type(config).model_fields else {})
    assert np.array_equal(loaded.predict(X), scores)
    assert saved(loaded, tmp_path) == native.read_bytes()
    assert np.array_equal(ScoringSession(exported).predict(X), scores)
    report = prove_parity(family.native(native), exported, X)
    assert report.mismatches == 0
    assert report.boundary_rows > 0
    assert (report.thresholds > 0) == (model.trees() is not None)
    assert tuple(model.importances()) == NAMES
    assert max(model.importances().values()) > 0


@pytest.mark.parametrize("kind, task", CASES)
def test_threads_and_repetition_change_no_byte(kind: str, task: Task, tmp_path: Path) -> None:
    """1, 2 and 3 threads, and a second fit in between others, save the same file."""
    has_threads = "threads" in model_class(kind).config_type.model_fields
    threads = [{"threads": count} for count in (1, 2, 3, 1)] if has_threads else [{}, {}]
    assert len({saved(fitted(kind, task, **one), tmp_path) for one in threads}) == 1


@pytest.mark.parametrize("kind", BOOSTED)
def test_another_seed_gives_another_model_of_the_same_bins(kind: str, tmp_path: Path) -> None:
    """The seed drives sampling and not the bins."""
    one, two = small(kind, seed=1), small(kind, seed=2)
    shared = model_class(kind).prepare(X, NAMES, one)
    files = [saved(create_model(config, NAMES).fit_rows(shared, Y), tmp_path) for config in (one, two)]
    assert files[0] != files[1]
    assert files[1] == saved(create_model(two, NAMES).fit(X, Y), tmp_path)


@pytest.mark.parametrize("kind, task", CASES)
def test_only_the_rows_of_the_fit_are_read(kind: str, task: Task, tmp_path: Path) -> None:
    """Labels and weights of other rows may be anything; the order of the rows does not matter."""
    y, rows = labels(task), np.arange(0, ROWS, 3)
    config = small(kind, task=task)
    shared = model_class(kind).prepare(X, NAMES, config)
    spoilt, spoilt_weight = np.full(ROWS, np.nan), np.full(ROWS, -1.0)
    spoilt[rows], spoilt_weight[rows] = y[rows], WEIGHT[rows]
    one = create_model(config, NAMES).fit_rows(shared, y, rows, weight=WEIGHT)
    two = create_model(config, NAMES).fit_rows(shared, spoilt, rows[::-1], weight=spoilt_weight)
    assert saved(one, tmp_path) == saved(two, tmp_path)


@pytest.mark.parametrize("kind, task", [case for case in CASES if case[0] != "momentum" and case[1] != "three_class"])
def test_heavy_rows_win(kind: str, task: Task) -> None:
    """Rows say 0 or 1 at random; where those that say 1 weigh a thousand times more, scores are near 1's."""
    says = np.random.default_rng(3).random(ROWS) < 0.5
    model = create_model(small(kind, task=task), NAMES).fit(
        X, says.astype(np.float64), weight=np.where(says, 1000.0, 1.0)
    )
    plain = create_model(small(kind, task=task), NAMES).fit(X, says.astype(np.float64))
    near_one, even = (0.9, 0.7) if task == "regression" else (np.log(9), np.log(2))
    assert np.median(model.predict(X)) > near_one
    assert np.median(plain.predict(X)) < even


@pytest.mark.parametrize("kind", KINDS)
def test_infinite_and_missing_features_have_scores_of_the_same_bits(kind: str, tmp_path: Path) -> None:
    """A row of infinities, of NaN or of zeros of both signs scores alike in memory and in ONNX."""
    model = fitted(kind)
    model.export_onnx(tmp_path / "model.onnx")
    odd = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, -1e-45, 3.4e38], dtype=np.float32)
    rows = np.ascontiguousarray(np.repeat(odd[:, None], len(NAMES), axis=1))
    native, exported = model.predict(rows), ScoringSession(tmp_path / "model.onnx").predict(rows)
    assert np.array_equal(native, exported, equal_nan=True)
    assert model.trees() is None or np.isfinite(native).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": Y[:-1]}, r"y has shape \(1499,\)"),
        ({"y": np.where(np.arange(ROWS) == 7, np.nan, Y)}, "label of row 7 is nan, must be finite"),
        ({"weight": -np.ones(ROWS)}, "weight of row 0 is -1.0"),
        ({"weight": np.zeros(ROWS)}, "all 1500 weights are 0"),
        ({"rows": np.array([], dtype=int)}, "rows is empty"),
        ({"rows": np.array([0, ROWS])}, "rows has position 1500"),
    ],
)
def test_wrong_training_input_is_named(kind: str, arguments: dict[str, Any], message: str) -> None:
    """A wrong label, weight or row is a ModelError that gives the position and the value."""
    if kind == "momentum" and "rows" not in arguments:
        return  # It reads no label and no weight.
    config = small(kind)
    shared = model_class(kind).prepare(X, NAMES, config)
    with pytest.raises(ModelError, match=message):
        create_model(config, NAMES).fit_rows(shared, **{"y": Y, **arguments})


@pytest.mark.parametrize("kind", KINDS)
def test_matrix_must_be_float32_in_c_order_and_as_wide_as_the_model(kind: str) -> None:
    """Nothing is converted in silence, neither when binning nor when scoring."""
    model = fitted(kind)
    for wrong, message in (
        (X.astype(np.float64), "X is float64"),
        (np.asfortranarray(X), "not C-order"),
        (np.ascontiguousarray(X[:, 1:]), "expected"),
    ):
        with pytest.raises(ModelError, match=message):
            model.predict(wrong)  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=message):
            model.prepare(wrong, NAMES, model.config)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_are_no_model_are_refused(kind: str, tmp_path: Path) -> None:
    """An absent, empty, cut, foreign or binary file is a ModelError, never a crash of the engine."""
    family = model_class(kind)
    whole = saved(fitted(kind), tmp_path)
    damaged = [b"", b"{}", b"[]", b"<html>404</html>", whole[: len(whole) // 2], b"\xff\xfe\x00", b"null", b"tree\n"]
    for content in damaged:
        path = tmp_path / "damaged"
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        for read in (family.load, family.native):
            with pytest.raises(ModelError):
                read(path)
    with pytest.raises(ModelError):
        family.load(tmp_path / "absent")


@pytest.mark.parametrize("kind", KINDS)
def test_another_familys_configuration_or_matrix_is_refused(kind: str) -> None:
    """A family neither takes another's configuration, nor fits from another's prepared matrix or other columns."""
    other = "ridge" if kind != "ridge" else "lightgbm"
    with pytest.raises(ModelError, match=f"a {other} configuration for a {kind} model"):
        model_class(kind)(small(other), NAMES)
    if kind == "momentum":
        return  # It prepares nothing.
    foreign = model_class(other).prepare(X, NAMES, small(other))
    with pytest.raises(ModelError):
        create_model(small(kind), NAMES).fit_rows(foreign, Y)
    turned = model_class(kind).prepare(X, NAMES[::-1], small(kind))
    with pytest.raises(ModelError):
        create_model(small(kind), NAMES).fit_rows(turned, Y)


@pytest.mark.parametrize("kind", BOOSTED)
def test_an_unfitted_model_says_so(kind: str, tmp_path: Path) -> None:
    """Nothing can be asked of a model before it is fitted."""
    model = create_model(small(kind), NAMES)
    for ask in (lambda: model.predict(X), model.importances, model.trees, lambda: model.save(tmp_path / "m")):
        with pytest.raises(ModelError, match="not fitted"):
            ask()


@pytest.mark.parametrize("kind", BOOSTED)
def test_binary_labels_are_zero_or_one(kind: str) -> None:
    """A binary task refuses any other label, and its scores order like the chance of class 1."""
    model = fitted(kind, "binary", n_rounds=30)
    scores = model.predict(X)
    assert scores[UP == 1].mean() > scores[UP == 0].mean() + 0.2
    with pytest.raises(ModelError, match=r"label of row 0 is .*, must be 0 or 1"):
        create_model(small(kind, task="binary"), NAMES).fit(X, Y)


@pytest.mark.parametrize("kind", BOOSTED)
def test_progress_counts_every_round(kind: str) -> None:
    """Progress is called with 1 of 8 to 8 of 8."""
    seen: list[tuple[int, int]] = []
    create_model(small(kind), NAMES).fit(X, Y, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize("kind, task", [case for case in CASES if case[0] in BOOSTED])
def test_early_stopping_keeps_the_best_round(kind: str, task: Task, tmp_path: Path) -> None:
    """Noise stops early, on any number of threads in the same round; validation rows and the setting come together."""
    noise = np.random.default_rng(0).standard_normal(ROWS)
    y = {"regression": noise, "binary": (noise > 0) + 0.0, "three_class": np.digitize(noise, [-0.5, 0.5]) - 1.0}[task]
    train, valid = np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)
    files = set()
    for threads in (1, 2):
        config = small(kind, task=task, n_rounds=150, early_stopping_rounds=5, learning_rate=0.3, threads=threads)
        shared = model_class(kind).prepare(X, NAMES, config)
        model = create_model(config, NAMES).fit_rows(shared, y, train, weight=WEIGHT, valid_rows=valid)
        trees = model.trees()
        assert trees is not None
        assert 1 <= len(trees) < 50
        files.add(saved(model, tmp_path))
    assert len(files) == 1
    with pytest.raises(ModelError, match="early_stopping_rounds=5 with no validation rows"):
        create_model(config, NAMES).fit_rows(shared, y)
    with pytest.raises(ModelError, match="early_stopping_rounds=None with validation rows"):
        create_model(small(kind, task=task), NAMES).fit_rows(shared, y, valid_rows=valid)


@pytest.mark.parametrize("kind", BOOSTED)
@pytest.mark.parametrize("sign", [1, -1])
def test_monotone_scores_never_turn(kind: str, sign: int) -> None:
    """Held monotone against its own effect, a feature's score never moves the other way; without, it does."""
    values = np.ascontiguousarray(X[:, [0, 7]])
    y = -sign * values[:, 0] + np.sin(3 * values[:, 0]) + values[:, 1]
    grid = np.linspace(-3, 3, 400, dtype=np.float32)
    free, held = (
        create_model(small(kind, n_rounds=40, **more), ["a", "b"]).fit(values, y)
        for more in ({}, {"monotone": {"a": sign}})
    )
    steps = {"free": [], "held": []}
    for at in (-1.0, 0.0, 1.0):
        line = np.column_stack([grid, np.full(400, at, dtype=np.float32)])
        steps["free"].append(sign * np.diff(free.predict(line)))
        steps["held"].append(sign * np.diff(held.predict(line)))
    assert np.min(steps["held"]) >= 0
    assert np.min(steps["free"]) < -0.05


@pytest.mark.parametrize("kind", BOOSTED)
def test_constraints_are_checked_and_leave_no_trace_when_there_are_none(kind: str, tmp_path: Path) -> None:
    """An unknown feature or sign is refused; no constraint, or one of 0, is the same run and the same file."""
    with pytest.raises(ModelError, match="monotone names 'absent', which is not among the 10 features"):
        create_model(small(kind, monotone={"absent": 1}), NAMES)
    with pytest.raises(Exception, match=r"monotone\.day"):
        small(kind, monotone={"day": 2})
    plain, zero = small(kind), small(kind, monotone={"day": 0})
    assert plain == zero
    assert "monotone" not in plain.model_dump()
    assert "monotone" not in json.loads(zero.model_dump_json())
    assert TrainingConfig(model=plain).hash() == TrainingConfig(model=zero).hash()
    assert saved(create_model(zero, NAMES).fit(X, Y, weight=WEIGHT), tmp_path) == saved(fitted(kind), tmp_path)
    held = small(kind, monotone={"normal": 1, "day": -1})
    assert TrainingConfig(model=held).hash() != TrainingConfig(model=plain).hash()
    assert (
        TrainingConfig(model=held).hash() == TrainingConfig(model=small(kind, monotone={"day": -1, "normal": 1})).hash()
    )
    assert read_model_config(held.model_dump(mode="json")) == held


@pytest.mark.parametrize("kind", BOOSTED)
def test_the_file_of_a_family_states_its_defaults(kind: str, repository: Path) -> None:
    """configs/models/KIND.yml names every field but the run's task, and holds the values that apply without it."""
    import yaml

    path = repository / "configs" / "models" / f"{kind}.yml"
    config_type = model_class(kind).config_type
    stated = yaml.safe_load(path.read_text())
    assert set(stated) == set(config_type.model_fields) - {"task"}
    assert load_section(path, config_type) == read_model_config({"kind": kind})


@pytest.mark.parametrize("kind", KINDS)
def test_every_family_names_its_engine(kind: str) -> None:
    """Boosting engines decide the numbers of a run, so their packages are named; numpy alone needs no name."""
    assert bool(model_class(kind).distributions) == (kind in BOOSTED or kind == "xgboost_ridge")
