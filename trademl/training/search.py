"""Search spaces of hyperparameters, and the next configuration to try.

A proposal is a function of the seed, the number of the trial and the trials finished before it, and of nothing else:
the sampler is made anew for each trial. So a study that was killed and resumed proposes what an unbroken one would
have, and no state of a random generator has to survive.

Sampler: the tree-structured Parzen estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS
2011) of Optuna, over all parameters jointly; its first ten trials are random.
"""

import difflib
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, model_validator

from trademl.config.home import Home
from trademl.config.reading import Section, load_section
from trademl.errors import ConfigError
from trademl.models.base import ModelConfig
from trademl.models.registry import model_class
from trademl.rng import stream

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FOLDER = Path("tuning")
"""Where a home's search spaces lie, below configs/."""

FIXED = {
    "kind": "a study is of one family",
    "task": "it follows from the task of the run",
    "threads": "it changes no result",
    "seed": "the best of several seeds is luck",
    "monotone": "it is a choice made before the data are seen",
}
"""Fields of a model's configuration that no study searches, and why."""

_DRAWS = 50
_LISTED = 1_000_000

Params = dict[str, Any]


class Parameter(Section):
    """The values that one field of a model's configuration may take.

    Attributes:
        values: a list to choose from; or instead
        low, high: both ends of a range, included: of whole numbers when both are written as such.
        log: search the range on a logarithmic scale.
    """

    values: tuple[bool | int | float | str | None, ...] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.values is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("has `values` and a range: write one of them")
            if not self.values or len(set(map(repr, self.values))) != len(self.values):
                raise ValueError(f"values {list(self.values)} are empty or repeat: list each value once")
            return self
        if self.low is None or self.high is None:
            raise ValueError("has neither `values` nor both `low` and `high`")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} has no logarithm: write a positive number, or `log: false`")
        return self

    @property
    def size(self) -> float:
        """How many values there are; infinite for a range of real numbers."""
        if self.values is not None:
            return len(self.values)
        assert self.low is not None
        assert self.high is not None
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        return self.high - self.low + 1 if whole else math.inf

    def ends(self) -> tuple[Any, ...]:
        """Return values that show whether the field takes all: each of a list, both ends of a range."""
        return self.values if self.values is not None else (self.low, self.high)

    def listed(self) -> Sequence[Any]:
        """Return all values of a list, or of a range of whole numbers."""
        return self.values if self.values is not None else range(int(self.low or 0), int(self.high or 0) + 1)

    def distribution(self) -> "BaseDistribution":
        """Return it in Optuna's terms."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values is not None:
            return CategoricalDistribution(self.values)
        assert self.low is not None
        assert self.high is not None
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


class SearchSpace(Section):
    """What a study may choose of one family: ``parameters`` by the field of its configuration."""

    kind: str
    parameters: dict[str, Parameter] = Field(min_length=1)

    @property
    def size(self) -> float:
        """How many configurations there are; infinite when a range is of real numbers."""
        return math.prod(parameter.size for parameter in self.parameters.values())

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Return Optuna's distribution of each parameter, by name: its samplers read them in this order."""
        return {name: self.parameters[name].distribution() for name in sorted(self.parameters)}


def read_space(home: Home, kind: str, path: Path | None = None) -> SearchSpace:
    """Return the search space of ``path``, or of configs/tuning/KIND.yml.

    Raises:
        ConfigError: there is no such file, it is of another family, or names a field that the family does not have.
    """
    config_type = model_class(kind).config_type
    chosen = path or home.configs / FOLDER / f"{kind}.yml"
    if path is None and not chosen.is_file():
        raise ConfigError(
            f"there is no search space {chosen}: {kind} has fields {', '.join(_searchable(config_type)) or 'none'}",
            remedy="write one as configs/tuning/lightgbm.yml does, or give it with --space",
        )
    space = load_section(chosen, SearchSpace)
    if space.kind != kind:
        raise ConfigError(
            f"{chosen} has `kind: {space.kind}`, the study is of {kind}", remedy=f"give --model {space.kind}"
        )
    fields = _searchable(config_type)
    for name in space.parameters:
        if name in FIXED:
            raise ConfigError(f"{chosen}: {name} is not searched: {FIXED[name]}", remedy="take it out of the space")
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            raise ConfigError(
                f"{chosen}: parameters.{name} is no field of {kind}" + (f"; did you mean {near[0]}?" if near else ""),
                remedy=f"fields are {', '.join(fields)}",
            )
    return space


def check_space(space: SearchSpace, base: ModelConfig) -> None:
    """Refuse a space with a value that the family does not take, the other fields being those of ``base``.

    Raises:
        ConfigError: the message lists every such value.
    """
    wrong = []
    for name, parameter in space.parameters.items():
        for value in parameter.ends():
            try:
                type(base).model_validate({**base.model_dump(), name: value})
            except ValidationError as error:
                wrong.append(f"{name}={value!r}: {error.errors()[0]['msg']}")
    if wrong:
        raise ConfigError(
            f"search space of {space.kind}: {'; '.join(wrong)}", remedy="write values that the field takes"
        )


def configured(base: ModelConfig, params: Mapping[str, Any], *, origin: str) -> ModelConfig:
    """Return ``base`` with the chosen parameters.

    Raises:
        ConfigError: they contradict each other.
    """
    try:
        return type(base).model_validate({**base.model_dump(), **params})
    except ValidationError as error:
        chosen = ", ".join(f"{name}={value}" for name, value in params.items())
        raise ConfigError(
            f"{origin} with {chosen}: {error.errors()[0]['msg']}", remedy="take this combination out of the space"
        ) from error


def propose(
    space: SearchSpace,
    history: "Sequence[FrozenTrial]",
    *,
    seed: int,
    number: int,
    taken: Callable[[Params], bool],
) -> Params | None:
    """Return the parameters of trial ``number``, which no earlier trial has; None when the space holds no others.

    Args:
        space: what may be chosen.
        history: the finished and pruned trials before it, in order; higher values are better.
        seed: of the study.
        number: of the trial.
        taken: whether earlier trials, also failed ones, have these parameters, or nothing can. A sampler on few values
            soon repeats itself; it is then asked again, so that no configuration is fitted or counted twice.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = space.distributions()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.add_trials(history)
    for draw in range(_DRAWS):
        study.sampler = _sampler(int(stream(seed, "tuning", str(number), str(draw)).integers(2**32)))
        trial = study.ask(distributions)
        found = {name: trial.params[name] for name in distributions}
        if not taken(found):
            return found
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    left = [params for params in _everything(space) if not taken(params)]
    return left[int(stream(seed, "tuning", str(number), "left").integers(len(left)))] if left else None


def _everything(space: SearchSpace) -> Iterator[Params]:
    """Yield every configuration of a space that has been searched so far that the sampler repeats itself."""
    if space.size <= _LISTED:
        names = sorted(space.parameters)
        for values in itertools.product(*(space.parameters[name].listed() for name in names)):
            yield dict(zip(names, values, strict=True))


def _sampler(seed: int) -> Any:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False)


def _searchable(config_type: type[ModelConfig]) -> list[str]:
    return [name for name in config_type.model_fields if name not in FIXED]
