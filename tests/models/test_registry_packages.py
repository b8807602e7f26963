"""Families from other packages: installed with pip, found by their entry point, trained without a change here."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import market, published  # noqa: F401
from tests.training.market import small_config
from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import ConfigError
from trademl.models.registry import MODELS, ModelRegistry, create_model, list_models, model_class, read_model_config
from trademl.sleeves.equities import EquitiesConfig, train

SOURCE = '''
"""Reversal: what has risen falls. A family as somebody else would write it, on the public contract alone."""

from pathlib import Path
from typing import Literal

from trademl.models.base import BaseModel, ModelConfig, Prepared, checked_matrix, checked_rows
from trademl.models.linear import LinearForm


class ReversalConfig(ModelConfig):
    kind: Literal["acme_reversal"] = "acme_reversal"
    feature: str
    strength: float = 1.0


class Reversal(BaseModel):
    kind = "acme_reversal"
    config_type = ReversalConfig
    suffix = ".json"
    distributions = ("acme-models",)

    def __init__(self, config, feature_names):
        super().__init__(config, feature_names)
        weights = tuple(-config.strength if name == config.feature else 0.0 for name in self.feature_names)
        zeros, ones = (0.0,) * len(weights), (1.0,) * len(weights)
        self.form = LinearForm(self.kind, config.model_dump(mode="json"), self.feature_names, weights, zeros, ones, 0.0)

    @classmethod
    def prepare(cls, X, feature_names, config):
        return Prepared(tuple(feature_names), len(checked_matrix(X, list(feature_names))))

    def fit_rows(self, data, y, rows=None, *, weight=None, valid_rows=None, progress=None):
        checked_rows(rows, data.n_rows)
        return self

    def predict(self, X):
        return self.form.predict(X)

    def importances(self):
        return self.form.importances()

    def save(self, path: Path):
        self.form.save(path)

    @classmethod
    def load(cls, path: Path):
        form = LinearForm.load(path, cls.kind)
        return cls(ReversalConfig.model_validate(form.config), form.feature_names)

    def export_onnx(self, path: Path):
        self.form.export_onnx(path)
'''


def wheel(folder: Path, name: str, entry_points: str, source: str = SOURCE) -> Path:
    """Write a wheel, which is a zip file with five members."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    members = {
        f"{module}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[trademl.models]\n{entry_points}\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


def install(folder: Path, *wheels: Path) -> Path:
    """Install wheels with pip into a folder of their own."""
    target = folder / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, *wheels],
        check=True,
    )
    return target


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment with the package acme-models."""
    target = install(tmp_path, wheel(tmp_path, "acme-models", "acme_reversal = acme_models:Reversal"))
    monkeypatch.syspath_prepend(str(target))
    yield target
    sys.modules.pop("acme_models", None)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(ModelRegistry, "_added", {})


def test_a_packages_family_trains_like_any_other(installed: Path, market: Home) -> None:  # noqa: F811
    """Its run is sealed and registered, native and ONNX scores are equal, and its version is part of the run's name."""
    path = small_config(market, model={"kind": "acme_reversal", "feature": "signal_rank"})
    result = train(market, load_section(path, EquitiesConfig), mlflow=False, command="trademl train equities")
    manifest = RunFolder.open(result.path).verify()
    assert manifest.versions["acme-models"] == "1.0"
    assert result.metrics["summary"]["rank_ic"]["mean"] < -0.2


def test_it_is_listed_and_its_configuration_is_checked(installed: Path) -> None:
    """After the families of this package; an unknown field of it is answered like an unknown field of ours."""
    assert list_models() == {kind: row.where for kind, row in MODELS.items()} | {
        "acme_reversal": "acme_models:Reversal"
    }
    assert ModelRegistry.list_models("acme_models") == [
        {"name": "acme_reversal", "family": "acme_models", "description": "", "requires_gpu": False}
    ]
    model = create_model(read_model_config({"kind": "acme_reversal", "feature": "a"}), ["a", "b"])
    assert model.predict(np.array([[2.0, 5.0]], dtype=np.float32)).tolist() == [-2.0]
    made = ModelRegistry.create("acme_models:acme_reversal", {"feature": "b", "strength": 3.0}, ["a", "b"])
    assert made.predict(np.array([[2.0, 5.0]], dtype=np.float32)).tolist() == [-15.0]
    with pytest.raises(ConfigError, match="strenght is not a field; did you mean strength"):
        read_model_config({"kind": "acme_reversal", "feature": "a", "strenght": 2})
    with pytest.raises(ConfigError, match="'acme_reversel' does not exist; did you mean acme_reversal"):
        model_class("acme_reversel")


def test_discovery_imports_and_checks_what_is_installed(installed: Path) -> None:
    """Asked for, and not before, the package is imported; its model is among the full names."""
    ModelRegistry.list_models()
    assert "acme_models" not in sys.modules
    assert "acme_models:acme_reversal" in ModelRegistry.discover()
    assert "acme_models" in sys.modules


def test_a_package_may_register_its_class_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, added: None) -> None:
    """The decorator's family and description replace the package's name once it is imported; it is still one model."""
    row = '@ModelRegistry.register("acme_reversal", "reversal", "what has risen falls")\nclass Reversal('
    source = "from trademl.models.registry import ModelRegistry\n" + SOURCE.replace("class Reversal(", row)
    path = wheel(tmp_path, "acme-models", "acme_reversal = acme_models:Reversal", source)
    monkeypatch.syspath_prepend(str(install(tmp_path, path)))
    assert ModelRegistry.create("acme_reversal", {"feature": "a"}, ["a"]).kind == "acme_reversal"
    assert [row["name"] for row in ModelRegistry.list_models("reversal")] == ["acme_reversal"]
    assert "reversal:acme_reversal" in ModelRegistry.discover()
    assert model_class("acme_reversal") is model_class("reversal:acme_reversal")
    sys.modules.pop("acme_models", None)


@pytest.mark.parametrize(
    "entry_points, kind, told",
    [
        ("acme_reversal = acme_models:Nothing", "acme_reversal", "cannot be loaded from acme_models:Nothing"),
        ("acme_reversal = nowhere:Reversal", "acme_reversal", "cannot be loaded from nowhere:Reversal"),
        ("acme_reversal = acme_models:ReversalConfig", "acme_reversal", "no class derived from BaseModel"),
        ("other = acme_models:Reversal", "other", "calls itself kind='acme_reversal', not 'other'"),
        ("ridge = acme_models:Reversal", "anything", "'ridge' of the package acme-models is one of this package too"),
        ("Acme-Reversal = acme_models:Reversal", "anything", "names a model kind 'Acme-Reversal'"),
    ],
)
def test_a_broken_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_points: str, kind: str, told: str
) -> None:
    """What is wrong is said of the package, and no traceback."""
    monkeypatch.syspath_prepend(str(install(tmp_path, wheel(tmp_path, "acme-models", entry_points))))
    with pytest.raises(ConfigError) as refused:
        model_class(kind)
    assert told in refused.value.message
    assert "acme-models" in refused.value.message
    sys.modules.pop("acme_models", None)


def test_two_packages_cannot_share_a_kind(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of them is meant cannot be known; families of this package are found all the same."""
    folder = tmp_path / "second"
    folder.mkdir()
    second = install(folder, wheel(folder, "emca-models", "acme_reversal = emca_models:Reversal"))
    monkeypatch.syspath_prepend(str(second))
    with pytest.raises(ConfigError, match=r"'acme_reversal' of the package .* is one of .* too"):
        model_class("acme_reversal")
    assert model_class("ridge").kind == "ridge"
