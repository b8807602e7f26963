"""Which model families exist: one table, kind -> class, and what installed packages add to it.

A package adds a family by an entry point of the group ``trademl.models``, the kind as its name and ``module:class`` as
its value. Nothing else has to change: it is configured, fitted, audited and exported like every other.
"""

import difflib
import importlib
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.models.base import BaseModel, ModelConfig

MODELS: dict[str, str] = {
    "catboost": "trademl.models.boosting.catboost:CatBoostModel",
    "lightgbm": "trademl.models.boosting.lightgbm:LightGBMModel",
    "momentum": "trademl.models.momentum:MomentumModel",
    "ridge": "trademl.models.ridge:RidgeModel",
    "xgboost": "trademl.models.boosting.xgboost:XGBoostModel",
}
"""kind -> ``module:class``; the module is imported when the kind is first used."""

GROUP = "trademl.models"
"""Entry points by which packages add families."""

_KIND = re.compile(r"[a-z][a-z0-9_]*")


def list_models() -> dict[str, str]:
    """Return every kind with its ``module:class``: those of this package, then those of installed ones, by name.

    Raises:
        ConfigError: two packages claim one kind, one claims a kind of this package, or a name is no kind.
    """
    return MODELS | {kind: entry.value for kind, entry in sorted(_installed().items())}


def model_class(kind: str) -> type[BaseModel]:
    """Return the class of ``kind``.

    Raises:
        ConfigError: there is no such kind, and the message names the nearest; or an installed package's is broken.
    """
    if kind in MODELS:
        module, _, name = MODELS[kind].partition(":")
        known: type[BaseModel] = getattr(importlib.import_module(module), name)
        return known
    packaged = _installed()
    if kind in packaged:
        return _loaded(kind, packaged[kind])
    kinds = sorted({*MODELS, *packaged})
    near = difflib.get_close_matches(kind, kinds, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"model kind {kind!r} does not exist{hint}", remedy=f"kinds are {', '.join(kinds)}")


def _installed() -> dict[str, metadata.EntryPoint]:
    found: dict[str, metadata.EntryPoint] = {}
    for entry in metadata.entry_points(group=GROUP):
        if not _KIND.fullmatch(entry.name):
            raise ConfigError(
                f"the package {_package(entry)} names a model kind {entry.name!r}",
                remedy="kinds are lower case letters, digits and underscores; mend the package's entry point",
            )
        taken = "this package" if entry.name in MODELS else _package(found[entry.name]) if entry.name in found else ""
        # The same folder twice on the path gives the same entry twice.
        if taken and not (entry.name in found and found[entry.name].value == entry.value):
            raise ConfigError(
                f"the model kind {entry.name!r} of the package {_package(entry)} is one of {taken} too",
                remedy="uninstall one of the two, or rename the kind in its entry point",
            )
        found[entry.name] = entry
    return found


def _loaded(kind: str, entry: metadata.EntryPoint) -> type[BaseModel]:
    told = f"the model kind {kind!r} of the package {_package(entry)}"
    try:
        found = entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{told} cannot be loaded from {entry.value}: {error}", remedy="install it again") from error
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ConfigError(f"{told} is {found!r}, no class derived from BaseModel", remedy="mend its entry point")
    if found.kind != kind or not issubclass(found.config_type, ModelConfig):
        raise ConfigError(
            f"{told} calls itself {found.kind!r}, with the configuration {found.config_type!r}",
            remedy="give the class the entry point's kind and a configuration derived from ModelConfig",
        )
    return found


def _package(entry: metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def read_model_config(raw: object, *, origin: str = "model") -> ModelConfig:
    """Return the frozen configuration of the family that ``raw["kind"]`` names.

    Raises:
        ConfigError: ``kind`` is missing or unknown, or a field is; ``origin`` begins the message.
    """
    if isinstance(raw, ModelConfig):
        return raw
    if not isinstance(raw, Mapping) or not isinstance(raw.get("kind"), str):
        raise ConfigError(
            f"{origin}: no `kind`", remedy=f"write `kind: lightgbm`; kinds are {', '.join(sorted(MODELS))}"
        )
    config_type = model_class(raw["kind"]).config_type
    return validate_section(dict(raw), config_type, origin=f"{origin}.{raw['kind']}")


ModelField = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(read_model_config)]
"""Type of a section's ``model`` field: read by ``kind``, written with all fields of its family."""


def create_model(config: ModelConfig, feature_names: Sequence[str]) -> BaseModel:
    """Return an unfitted model of ``config.kind``."""
    return model_class(config.kind)(config, feature_names)
