"""Which model families exist: one table of rows, and what installed packages and this process add to it.

A family has a ``kind``, by which configurations name it, and a full name ``family:name``, as ``boosting:lightgbm``.
A package adds one by an entry point of the group ``trademl.models``, the kind as its name and ``module:class`` as its
value; code that runs here, such as a notebook, adds one with :meth:`ModelRegistry.register`. Nothing else changes: it
is configured, fitted, audited and exported like every other. Nothing is imported before it is used.
"""

import difflib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, SerializeAsAny

from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.models.base import BaseModel, ModelConfig

ModelT = TypeVar("ModelT", bound=type[BaseModel])


@dataclass(frozen=True)
class ModelRow:
    """One family of models.

    Attributes:
        kind: its name in configurations; the name, or ``family:name`` where another family has a model of this name.
        family: the group it belongs to, such as ``boosting``; of an installed package's model, the package's name.
        where: ``module:class``.
        description: one line.
        requires_gpu: whether it cannot be fitted without one.
        package: whose it is.
    """

    kind: str
    family: str
    where: str
    description: str = ""
    requires_gpu: bool = False
    package: str = "this package"

    @property
    def name(self) -> str:
        return self.kind.rpartition(":")[2]

    @property
    def full_name(self) -> str:
        return f"{self.family}:{self.name}"


MODELS: dict[str, ModelRow] = {
    row.kind: row
    for row in (
        ModelRow(
            "catboost", "boosting", "trademl.models.boosting.catboost:CatBoostModel", "symmetric trees of CatBoost"
        ),
        ModelRow(
            "lightgbm", "boosting", "trademl.models.boosting.lightgbm:LightGBMModel", "leaf-wise trees of LightGBM"
        ),
        ModelRow(
            "momentum", "baseline", "trademl.models.momentum:MomentumModel", "one feature as it is, nothing fitted"
        ),
        ModelRow("ridge", "linear", "trademl.models.ridge:RidgeModel", "ridge regression and ordinary least squares"),
        ModelRow("stack", "stacking", "trademl.models.stacking.model:StackModel", "a blend of finished models' scores"),
        ModelRow("xgboost", "boosting", "trademl.models.boosting.xgboost:XGBoostModel", "depth-wise trees of XGBoost"),
        ModelRow(
            "xgboost_ridge",
            "stacking",
            "trademl.models.stacking.xgboost_ridge:XGBoostRidgeModel",
            "XGBoost models and their features under one ridge regression",
        ),
    )
}
"""kind -> row; the module is imported when the kind is first used."""

GROUP = "trademl.models"
"""Entry points by which packages add families."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class ModelRegistry:
    """Families by name: register, create, list. A front to this module's table; configurations name a ``kind``."""

    _added: ClassVar[dict[str, tuple[ModelRow, type[BaseModel]]]] = {}

    @classmethod
    def register(
        cls, name: str, family: str, description: str = "", requires_gpu: bool = False
    ) -> Callable[[ModelT], ModelT]:
        """Return a decorator that adds a class to the families of this process.

        The class's ``kind`` is ``name``; or ``family:name``, when another family has a model of this name already.

        Raises:
            ConfigError: the decorated class is no BaseModel, lacks methods or attributes, or its kind or full name is
                taken. All faults are listed at once.

        >>> @ModelRegistry.register("mean", "baseline")
        ... class MeanModel: ...
        Traceback (most recent call last):
            ...
        trademl.errors.ConfigError: baseline:mean cannot be registered: MeanModel is no class derived from BaseModel
          remedy: mend what is named above, in the class or in the decorator
        """

        def decorate(model: ModelT) -> ModelT:
            where = f"{getattr(model, '__module__', '?')}:{getattr(model, '__qualname__', '?')}"
            kind = getattr(model, "kind", name)
            row = ModelRow(kind if kind == f"{family}:{name}" else name, family, where, description, requires_gpu)
            faults = [*_faults_of_names(name, family), *_faults_of_class(model, row), *_faults_of_place(row)]
            if faults:
                raise ConfigError(
                    f"{family}:{name} cannot be registered: {'; '.join(faults)}",
                    remedy="mend what is named above, in the class or in the decorator",
                )
            cls._added[row.kind] = (row, model)
            return model

        return decorate

    @classmethod
    def create(cls, name: str, config: Mapping[str, Any] | ModelConfig, feature_names: Sequence[str]) -> BaseModel:
        """Return an unfitted model.

        Args:
            name: ``name`` or ``family:name``.
            config: the family's parameters, as a mapping (without ``kind``, or with the same) or as its section.
            feature_names: the columns in order.

        Raises:
            ConfigError: there is no such name, several families have it, or a parameter is wrong.
            ModelError: the configuration is another family's, or a feature name is wrong.
        """
        row = _resolved(name)
        if isinstance(config, Mapping):
            asked = config.get("kind", row.kind)
            if asked not in (row.kind, row.full_name):
                raise ConfigError(
                    f"model {name!r} is of kind {row.kind!r}, its configuration has kind={asked!r}",
                    remedy=f"leave `kind` out or write `kind: {row.kind}`",
                )
            config = read_model_config({**config, "kind": row.kind})
        elif not isinstance(config, ModelConfig):
            raise ConfigError(
                f"config of model {name!r} is a {type(config).__name__}",
                remedy="give a mapping such as {'n_rounds': 100} or a ModelConfig; {} is all defaults",
            )
        return _class_of(row)(config, feature_names)

    @classmethod
    def list_models(cls, family: str | None = None) -> list[dict[str, Any]]:
        """Return name, family, description and requires_gpu of every model, or of one family's, by full name.

        Raises:
            ConfigError: there is no such family, or an installed package's entry point is wrong.
        """
        rows = sorted(_rows().values(), key=lambda row: row.full_name)
        families = sorted({row.family for row in rows})
        if family is not None and family not in families:
            raise ConfigError(
                f"model family {family!r} does not exist{_near(family, families)}",
                remedy=f"families are {', '.join(families)}",
            )
        return [
            {key: getattr(row, key) for key in ("name", "family", "description", "requires_gpu")}
            for row in rows
            if family in (None, row.family)
        ]

    @classmethod
    def discover(cls) -> list[str]:
        """Import what installed packages add, check it, and return the full names of all models.

        Without this call a package's model is imported when it is first used.

        Raises:
            ConfigError: an entry point or its class is wrong; the message names the package.
        """
        for row in _installed().values():
            _class_of(row)
        return sorted(row.full_name for row in _rows().values())


def list_models() -> dict[str, str]:
    """Return every kind with its ``module:class``: those of this package, then the others by kind.

    Raises:
        ConfigError: two packages claim one kind, one claims a kind of this package, or a name is no kind.
    """
    return {kind: row.where for kind, row in _rows().items()}


def model_class(kind: str) -> type[BaseModel]:
    """Return the class of ``kind``.

    Raises:
        ConfigError: there is no such kind, and the message names the nearest; or an installed package's is broken.
    """
    return _class_of(_row(kind))


def read_model_config(raw: object, *, origin: str = "model") -> ModelConfig:
    """Return the frozen configuration of the family that ``raw["kind"]`` names.

    Raises:
        ConfigError: ``kind`` is missing or unknown, or a field is; ``origin`` begins the message.
    """
    if isinstance(raw, ModelConfig):
        return raw
    remedy = f"write `kind: lightgbm`; kinds are {', '.join(sorted(MODELS))}"
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{origin}={raw!r} is a {type(raw).__name__}, not a mapping with a `kind`", remedy=remedy)
    if not isinstance(raw.get("kind"), str):
        told = f"kind={raw['kind']!r} is no name" if "kind" in raw else "no `kind`"
        raise ConfigError(f"{origin}: {told}", remedy=remedy)
    row = _row(raw["kind"])
    return validate_section({**raw, "kind": row.kind}, _class_of(row).config_type, origin=f"{origin}.{row.kind}")


ModelField = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(read_model_config)]
"""Type of a section's ``model`` field: read by ``kind``, written with all fields of its family."""


def create_model(config: ModelConfig, feature_names: Sequence[str]) -> BaseModel:
    """Return an unfitted model of ``config.kind``."""
    return model_class(config.kind)(config, feature_names)


def _rows() -> dict[str, ModelRow]:
    return MODELS | {kind: row for kind, (row, _) in sorted(ModelRegistry._added.items())} | _installed()


def _row(kind: str) -> ModelRow:
    """Return the row of a kind or full name; those of this package are found whatever others have installed."""
    if kind in MODELS:
        return MODELS[kind]
    rows = _rows()
    if kind in rows:
        return rows[kind]
    for row in rows.values():
        if row.full_name == kind:
            return row
    raise _unknown(f"model kind {kind!r}", kind, rows)


def _resolved(name: str) -> ModelRow:
    """Return the row of a name or full name."""
    rows = _rows()
    found = [row for row in rows.values() if name == (row.full_name if ":" in name else row.name)]
    if not found:
        raise _unknown(f"model {name!r}", name, rows)
    if len(found) > 1:
        matches = ", ".join(sorted(row.full_name for row in found))
        raise ConfigError(f"model {name!r} is ambiguous: it matches {matches}", remedy="write one of these in full")
    return found[0]


def _unknown(told: str, asked: str, rows: Mapping[str, ModelRow]) -> ConfigError:
    same = [row.full_name for row in rows.values() if row.name == asked.rpartition(":")[2]]
    near = f"; did you mean {same[0]}?" if same else _near(asked, [*rows, *(row.full_name for row in rows.values())])
    return ConfigError(f"{told} does not exist{near}", remedy=f"kinds are {', '.join(sorted(rows))}")


def _near(asked: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(asked, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _class_of(row: ModelRow) -> type[BaseModel]:
    if row.kind in MODELS:
        module, _, name = row.where.partition(":")
        known: type[BaseModel] = getattr(importlib.import_module(module), name)
        return known
    if row.kind in ModelRegistry._added:
        return ModelRegistry._added[row.kind][1]
    told = f"the model kind {row.kind!r} of the package {row.package}"
    try:
        found = metadata.EntryPoint(row.kind, row.where, GROUP).load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{told} cannot be loaded from {row.where}: {error}", remedy="install it again") from error
    faults = _faults_of_class(found, row)
    if faults:
        raise ConfigError(f"{told} is wrong: {'; '.join(faults)}", remedy="mend the package, or uninstall it")
    checked: type[BaseModel] = found
    return checked


def _installed() -> dict[str, ModelRow]:
    """Return the rows that entry points add, by kind, but for classes that are registered here already."""
    found: dict[str, ModelRow] = {}
    for entry in metadata.entry_points(group=GROUP):
        package = entry.dist.name if entry.dist is not None else "unknown"
        if not _NAME.fullmatch(entry.name):
            raise ConfigError(
                f"the package {package} names a model kind {entry.name!r}",
                remedy="kinds are lower case letters, digits and underscores; mend the package's entry point",
            )
        row = ModelRow(entry.name, re.sub(r"[^a-z0-9]+", "_", package.lower()), entry.value, package=package)
        taken = MODELS.get(row.kind) or found.get(row.kind) or ModelRegistry._added.get(row.kind, (None,))[0]
        # The same folder twice on the path gives the same entry twice; an imported package may have registered itself.
        if taken and taken.where != row.where:
            raise ConfigError(
                f"the model kind {entry.name!r} of the package {package} is one of {taken.package} too",
                remedy="uninstall one of the two, or rename the kind in its entry point",
            )
        found[entry.name] = taken or row
    return dict(sorted(found.items()))


def _faults_of_names(name: str, family: str) -> list[str]:
    return [
        f"{what} {value!r} is not lower case letters, digits and underscores"
        for what, value in (("the name", name), ("the family", family))
        if not _NAME.fullmatch(value)
    ]


def _faults_of_class(model: object, row: ModelRow) -> list[str]:
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return [f"{getattr(model, '__name__', repr(model))} is no class derived from BaseModel"]
    told = model.__name__
    faults = []
    missing = sorted(getattr(model, "__abstractmethods__", ()))
    if missing:
        faults.append(f"{told} lacks the methods {', '.join(missing)}")
    absent = [name for name in ("kind", "config_type", "suffix") if not hasattr(model, name)]
    if absent:
        faults.append(f"{told} lacks the attributes {', '.join(absent)}")
    if hasattr(model, "kind") and model.kind != row.kind:
        faults.append(f"{told} calls itself kind={model.kind!r}, not {row.kind!r}")
    config_type = getattr(model, "config_type", ModelConfig)
    if not (isinstance(config_type, type) and issubclass(config_type, ModelConfig)):
        faults.append(f"{told} has config_type={config_type!r}, which is not derived from ModelConfig")
    return faults


def _faults_of_place(row: ModelRow) -> list[str]:
    return [
        f"{row.full_name if other.full_name == row.full_name else f'the kind {row.kind!r}'} is taken by {other.where} "
        f"of {other.package}"
        for other in _rows().values()
        if other.full_name == row.full_name or other.kind == row.kind
        # The entry point of this very class is no other model.
        if other.where != row.where or other.package == row.package
    ]
