"""The equities sleeve: daily bars of a universe, ranked within each date by what a label says comes next."""

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import Progress
from trademl.training.run import RunResult, train_sleeve

HORIZONS = (1, 5, 20)
"""Sessions of the labels ``fwd_{k}d``: in at the next open, out at the close k sessions after the decision."""

TRIPLE_BARRIER = "tb_2_1_10"


class EquitiesConfig(TrainingConfig):
    """The training configuration of configs/training/equities.yml."""


def label_name(config: TrainingConfig) -> str:
    """Return the label that ``label`` and ``k`` mean.

    ``horizon`` is ``fwd_{k}d``, ``tb`` the triple barrier; anything else is taken as a label's own name.

    Raises:
        ConfigError: there is no horizon label of ``k`` sessions.
    """
    if config.label == "tb":
        return TRIPLE_BARRIER
    if config.label != "horizon":
        return config.label
    if config.k not in HORIZONS:
        raise ConfigError(
            f"`label=horizon` with `k={config.k}`: gold.equities_labels has no fwd_{config.k}d",
            remedy=f"use --k {', '.join(map(str, HORIZONS[:-1]))} or {HORIZONS[-1]}",
        )
    return f"fwd_{config.k}d"


EQUITIES = SleeveTables(
    name="equities",
    training="gold.equities_training",
    entity="symbol",
    coverage="equity_bars",
    features_model="gld_equities_features",
    features_table="gold.equities_features",
    label_name=label_name,
)


def train(
    home: Home,
    config: EquitiesConfig,
    *,
    progress: Progress | None = None,
    mlflow: bool = True,
    command: str = "",
    now: Clock = utc_now,
) -> RunResult:
    """Train a model of the sleeve, or finish what a killed command began; see :func:`train_sleeve`."""
    return train_sleeve(home, EQUITIES, config, progress=progress, mlflow=mlflow, command=command, now=now)
