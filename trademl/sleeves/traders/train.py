"""Training the traders sleeve: the one training path, over ``gold.traders_training``.

A day is a session: wallets trade on all of them. The model of configs/training/traders.yml is a stack, whose run folder
holds, beside what every run has, ``checkpoints/pipeline.json`` (:mod:`trademl.sleeves.traders.stack`).
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.governance.data_audit import Bounds
from trademl.models.base import BaseModel
from trademl.models.stacking.xgboost_ridge import XGBoostRidgeModel
from trademl.sleeves.traders.compare import PathComparison, compare_paths
from trademl.sleeves.traders.names import aggregated_columns
from trademl.sleeves.traders.pipeline import LOOKBACK_DAYS, MIN_WINDOWS, describe_pipeline
from trademl.sleeves.traders.stack import PIPELINE, read_caps
from trademl.training.config import SleeveTables, TrainingConfig
from trademl.training.cross_validate import CrossValidation, Progress
from trademl.training.run import RunResult, train_sleeve
from trademl.training.trainer import Trainer

COMPARED_ROWS = 20_000
STACK = "metrics/stack.json"


class TradersConfig(TrainingConfig):
    """The training configuration of configs/training/traders.yml."""


def label_name(config: TrainingConfig) -> str:
    """Return the label that ``label`` and ``k`` mean: ``horizon`` is ``fwd_{k}d``; anything else is a label's name."""
    return f"fwd_{config.k}d" if config.label == "horizon" else config.label


TRADERS = SleeveTables(
    name="traders",
    training="gold.traders_training",
    entity="address",
    coverage="trader_days",
    features_model="gld_traders_features",
    features_table="gold.traders_features",
    label_name=label_name,
    features_date="as_of",
    calendar="silver.trader_calendar",
    coverage_table="silver.trader_coverage",
    daily_bars=False,
    ingest="trader-days",
    # A wallet's size lasts for months, and so does the size of its profits: ranks agree better than those of stocks.
    bounds=replace(Bounds(), plausible_ic=0.5, target_ic=0.8),
)


class TradersTrainer(Trainer):
    """A :class:`Trainer` that notes beside a stack what scoring wallets needs of it, and how its two forms compare."""

    def final_model(self, validated: CrossValidation) -> BaseModel:
        """Return the model fitted on all rows; a stack of the 97 features becomes a pipeline."""
        model = super().final_model(validated)
        if isinstance(model, XGBoostRidgeModel) and model.feature_names == aggregated_columns():
            last = self.data.dates[-1].item()
            caps = read_caps(self.snapshot.con, last)
            facts = describe_pipeline(caps, last, min_windows=MIN_WINDOWS, lookback_days=LOOKBACK_DAYS)
            self.folder.add_json(PIPELINE, facts)
        if isinstance(model, XGBoostRidgeModel):
            rows = np.unique(np.linspace(0, len(self.data) - 1, min(len(self.data), COMPARED_ROWS)).astype(np.int64))
            compared = compare_paths(model, np.ascontiguousarray(self.data.X[rows]))
            _, sizes = np.unique(self.data.dates, return_counts=True)
            wallets = {"wallets": len(self.data.entities), "wallets_a_day": float(np.median(sizes)), "days": len(sizes)}
            facts = {"shares": model.shares(), **wallets, "compared": compared.to_dict()}
            self.folder.add_json(STACK, facts)
        return model


def stack_lines(folder: Path) -> list[str]:
    """Return what metrics/stack.json of a run says, as lines for people; none for a model that is no stack."""
    path = folder / STACK
    if not path.is_file():
        return []
    facts = json.loads(path.read_bytes())
    compared = PathComparison(**facts["compared"])
    shares = ", ".join(f"{name.removeprefix('base_model_')} {share:.0%}" for name, share in facts["shares"].items())
    return [
        f"wallets     {facts['wallets']}, {facts['wallets_a_day']:g} on the median of {facts['days']} days",
        f"stack       {shares}",
        f"merged ONNX {compared}",
    ]


def train(
    home: Home,
    config: TradersConfig,
    *,
    progress: Progress | None = None,
    mlflow: bool = True,
    command: str = "",
    now: Clock = utc_now,
) -> RunResult:
    """Train a model of the sleeve, or finish what a killed command began; see :func:`train_sleeve`."""
    return train_sleeve(
        home, TRADERS, config, progress=progress, mlflow=mlflow, command=command, now=now, trainer=TradersTrainer
    )
