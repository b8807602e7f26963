"""What the configurations of all boosting families have: monotone constraints."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from trademl.errors import ModelError
from trademl.models.base import ModelConfig

Sign = Literal[-1, 0, 1]


def _sorted_and_signed(monotone: dict[str, Sign]) -> dict[str, Sign]:
    # A constraint of 0 is none, and the order of the constraints says nothing.
    return {name: monotone[name] for name in sorted(monotone) if monotone[name]}


class BoostingConfig(ModelConfig):
    """Fields of every boosting family.

    ``monotone`` maps a feature to 1 (the score never falls as it rises), -1 (never rises) or 0 (free, as are all that
    are not named). Empty, it is left out of every written form, so that it changes neither hash nor file.
    """

    monotone: Annotated[dict[str, Sign], AfterValidator(_sorted_and_signed)] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_empty_constraints(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        if not fields.get("monotone"):
            fields.pop("monotone", None)
        return fields


def monotone_signs(monotone: dict[str, Sign], feature_names: Sequence[str]) -> list[int]:
    """Return one sign per feature, in feature order.

    Raises:
        ModelError: a constraint is for a feature that the model does not have.
    """
    unknown = [name for name in monotone if name not in set(feature_names)]
    if unknown:
        raise ModelError(
            f"monotone names {unknown[0]!r}, which is not among the {len(feature_names)} features",
            remedy=f"name features such as {', '.join(list(feature_names)[:5])}",
        )
    return [int(monotone.get(name, 0)) for name in feature_names]
