"""What the configurations of all boosting families have: monotone constraints and the device."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from trademl.errors import ModelError
from trademl.models.base import ModelConfig

Sign = Literal[-1, 0, 1]
Device = Literal["cpu", "gpu"]


def _sorted_and_signed(monotone: dict[str, Sign]) -> dict[str, Sign]:
    # A constraint of 0 is none, and the order of the constraints says nothing.
    return {name: monotone[name] for name in sorted(monotone) if monotone[name]}


class BoostingConfig(ModelConfig):
    """Fields of every boosting family.

    ``monotone`` maps a feature to 1 (the score never falls as it rises), -1 (never rises) or 0 (free, as are all that
    are not named). Three classes take none: the engines would hold the margin of each class, and with all three rising
    the score P(1) - P(-1) still turns.

    ``device: gpu`` grows the trees on a graphics card. It gives up that a second fit, or one on another machine, has
    the same bits: cards add in an order of their own. A fitted model is canonical all the same, and its ONNX graph
    equals it bit for bit.

    No constraint and ``device: cpu`` are left out of every written form, so that they change neither hash nor file.
    """

    device: Device = "cpu"

    monotone: Annotated[dict[str, Sign], AfterValidator(_sorted_and_signed)] = Field(default_factory=dict)

    @model_serializer(mode="wrap")
    def _without_the_usual(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        if not fields.get("monotone"):
            fields.pop("monotone", None)
        if fields.get("device") == "cpu":
            del fields["device"]
        return fields


def check_constraints(config: BoostingConfig, feature_names: Sequence[str]) -> None:
    """Refuse constraints that cannot be kept.

    Raises:
        ModelError: one is for a feature that the model does not have, or the task has three classes.
    """
    monotone_signs(config.monotone, feature_names)
    if config.monotone and config.task == "three_class":
        raise ModelError(
            f"monotone names {', '.join(config.monotone)}, and the task is three_class: engines hold the margin of "
            "each class, which does not hold the score P(1) - P(-1)",
            remedy="leave monotone empty, or fit a regression or a binary task",
        )


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
