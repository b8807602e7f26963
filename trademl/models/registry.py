"""Which model families exist: one table, kind -> class."""

import difflib
import importlib
from collections.abc import Mapping, Sequence
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


def model_class(kind: str) -> type[BaseModel]:
    """Return the class of ``kind``.

    Raises:
        ConfigError: there is no such kind; the message names the nearest.
    """
    if kind not in MODELS:
        near = difflib.get_close_matches(kind, MODELS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"model kind {kind!r} does not exist{hint}", remedy=f"kinds are {', '.join(sorted(MODELS))}")
    module, _, name = MODELS[kind].partition(":")
    found: type[BaseModel] = getattr(importlib.import_module(module), name)
    return found


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
