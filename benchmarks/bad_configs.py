"""Wrong configurations, one after another: does each message name the field, the value received and the fix?

    python -m benchmarks.bad_configs              # prints every message
    python -m benchmarks.bad_configs --quiet      # only those that fall short

Each case goes through the code that a command or a caller goes through: a YAML file that is read, or a call of the
registry or of a data set. Its message must hold what the case says of it: the field, the value (for a name that does
not exist, the name), and the fix: the nearest name, the limit or the choice. Exit code 1 when a message does not, when
something else than a TrademlError comes, or when nothing is refused.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.errors import TrademlError
from trademl.models.base import BaseModel, ModelConfig
from trademl.models.registry import ModelRegistry
from trademl.sleeves.equities import EQUITIES, EquitiesConfig
from trademl.training.experiment import expand, read_experiment
from trademl.training.search import check_space, read_space
from trademl.training.sequence_config import DatasetConfig
from trademl.training.sequences import TimeSeriesDataset

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@dataclass(frozen=True)
class Case:
    """One wrong configuration: where it stands, what it says, and what its message must hold."""

    area: str
    wrong: str
    provoke: Callable[[Path], object]
    field: str
    value: str
    fix: str

    def message(self, folder: Path) -> str:
        """Return the message that it is refused with; empty when it is not."""
        try:
            self.provoke(folder)
        except TrademlError as error:
            return str(error)
        return ""

    def lacks(self, message: str) -> list[str]:
        """Return what the message does not hold, of field, value and fix."""
        told = {"the field": self.field, "the value": self.value, "the fix": self.fix}
        return [name for name, text in told.items() if text not in message] if message else ["any refusal"]


def written(folder: Path, text: str | bytes) -> Path:
    """Write a configuration file and return its path."""
    path = folder / "study.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def training(text: str, field: str, value: str, fix: str, model: str = "model: {kind: lightgbm}") -> Case:
    """A training configuration of the equities sleeve: the wrong line, and a model that is right."""

    def read(folder: Path) -> object:
        path = written(folder, f"{text}\n{model}\n")
        return EQUITIES.label_name(load_section(path, EquitiesConfig))

    return Case("training", text or model, read, field, value, fix)


def model(text: str, field: str, value: str, fix: str) -> Case:
    """The model section of a training configuration, in braces."""
    found = training("", field, value, fix, model=f"model: {text}")
    return Case("model", f"model: {text}", found.provoke, field, value, fix)


def registry(name: str, config: Any, features: Any, field: str, value: str, fix: str) -> Case:
    """A call of ModelRegistry.create."""
    wrong = f"create({name!r}, {config!r}, {features!r})"
    return Case("registry", wrong, lambda _: ModelRegistry.create(name, config, features), field, value, fix)


def experiment(text: str, field: str, value: str, fix: str) -> Case:
    """An experiment: the wrong line, beside a name, models and labels that are right unless it says otherwise."""

    def read(folder: Path) -> object:
        rest = {"name": "trial", "models": "[ridge]", "labels": "[horizon]"}
        lines = [f"{key}: {item}" for key, item in rest.items() if not text.startswith(f"{key}:")]
        path = written(folder, "\n".join([text, *lines]))
        return expand(home_of(folder), EQUITIES, EquitiesConfig, read_experiment(path))

    return Case("experiment", text, read, field, value, fix)


def tuning(text: str, field: str, value: str, fix: str) -> Case:
    """A search space of LightGBM."""

    def read(folder: Path) -> object:
        space = read_space(home_of(folder), "lightgbm", written(folder, f"kind: lightgbm\nparameters: {text}\n"))
        check_space(space, ModelRegistry.create("lightgbm", {}, ["a"]).config)
        return space

    return Case("tuning", f"parameters: {text}", read, field, value, fix)


def dataset(fields: dict[str, Any], field: str, value: str, fix: str) -> Case:
    """A data set of windows: a file of three columns and a label, and one wrong field."""

    def read(folder: Path) -> object:
        import duckdb

        path = folder / "train.parquet"
        with duckdb.connect() as con:
            row = "date '2020-01-01' as date, 'A' as symbol, 'Energy' as sector, 0.5::float as momentum"
            con.sql(f"select {row}, 1.0::double as label_h5").write_parquet(str(path))
        lines = {"train_path": str(path), "horizon": 5, "features": ["momentum"], **fields}
        config = load_section(
            written(folder, "\n".join(f"{key}: {item}" for key, item in lines.items())), DatasetConfig
        )
        return TimeSeriesDataset(config)

    return Case("dataset", str(fields), read, field, value, fix)


def home_of(folder: Path) -> Home:
    """Return a home with this checkout's default configurations."""
    configs = folder / "configs"
    if not configs.exists():
        configs.symlink_to(CONFIGS)
    return Home(folder)


class UnfinishedConfig(ModelConfig):
    """A family that somebody began."""

    kind: Literal["unfinished"] = "unfinished"


class Unfinished(BaseModel):
    """It has no method yet."""

    kind = "unfinished"
    config_type = UnfinishedConfig
    suffix = ".json"


def _register_unfinished(_: Path) -> object:
    return ModelRegistry.register("unfinished", "acme")(Unfinished)


def _register_twice(_: Path) -> object:
    from trademl.models.ridge import RidgeModel

    return ModelRegistry.register("ridge", "linear")(RidgeModel)


def _absent(folder: Path) -> object:
    return load_section(folder / "absent.yml", EquitiesConfig)


CASES: tuple[Case, ...] = (
    training("lable: tb", "lable", "lable", "did you mean label?"),
    training("k: 0", "k", "k=0", "greater than or equal to 1"),
    training("k: 7", "k", "k=7", "use --k 1, 5 or 20"),
    training("k: five", "k", "k='five'", "valid integer"),
    training("start: soon", "start", "start='soon'", "valid date"),
    training("start: 2015-01-01\nend: 2014-01-01", "start", "2015-01-01", "after end 2014-01-01"),
    training("task: ranking", "task", "task='ranking'", "'regression', 'top_bottom', 'three_class' or 'binary'"),
    training("target: demeand", "target", "target='demeand'", "did you mean demeaned?"),
    training("tail_fraction: 0.9", "tail_fraction", "tail_fraction=0.9", "less than or equal to 0.5"),
    training("weight: sample_weights", "weight", "weight='sample_weights'", "did you mean sample_weight?"),
    training("regime: [low, hihg]", "regime.1", "regime.1='hihg'", "did you mean high?"),
    training("symbols: AAPL", "symbols", "symbols='AAPL'", "a list, such as ['AAPL']"),
    training("features: []", "features", "empty", "name at least one"),
    training("binning: share", "binning", "binning='share'", "did you mean shared?"),
    training("stop_fraction: 1.0", "stop_fraction", "stop_fraction=1.0", "less than 1"),
    training("validation: cpcv", "validation", "validation='cpcv'", "write its fields below it: kind, folds"),
    training("validation: {kind: kfold}", "validation.kind", "kind='kfold'", "'cpcv' or 'walk_forward'"),
    training("validation: {fold: 8}", "validation.fold", "fold", "did you mean folds?"),
    training("validation: {folds: 1}", "validation.folds", "folds=1", "greater than or equal to 2"),
    training("validation: {embargo: -1}", "validation.embargo", "embargo=-1", "greater than or equal to 0"),
    training("validation: {purge: symbol}", "validation.purge", "purge='symbol'", "'all' or 'entity'"),
    training("data_gate: {require: RED}", "data_gate.require", "require='RED'", "'GREEN' or 'AMBER'"),
    training(
        "data_gate: {max_amber_fraction: 5}", "max_amber_fraction", "max_amber_fraction=5", "less than or equal to 1"
    ),
    training("k: 5\nk: 20", "'k'", "line 1 and again in line 2", "keep one"),
    training("label: [horizon", "study.yml", "line", "mend the line"),
    training("- label\n- tb", "study.yml", "holds a list", "write `key: value`", model=""),
    training("", "model", "missing", "no default", model="label: tb"),
    model("lightgbm", "model", "model='lightgbm'", "write `kind: lightgbm`"),
    model("{n_rounds: 100}", "model", "no `kind`", "write `kind: lightgbm`"),
    model("{kind: lightgmb}", "kind", "'lightgmb'", "did you mean lightgbm?"),
    model("{kind: lightgbm, num_leafs: 31}", "model.lightgbm: num_leafs", "num_leafs", "did you mean num_leaves?"),
    model("{kind: lightgbm, num_leaves: 1}", "num_leaves", "num_leaves=1", "greater than or equal to 2"),
    model("{kind: lightgbm, learning_rate: 0}", "learning_rate", "learning_rate=0", "greater than 0"),
    model("{kind: lightgbm, subsample: 1.5}", "subsample", "subsample=1.5", "less than or equal to 1"),
    model(
        "{kind: lightgbm, early_stopping_rounds: 0}",
        "early_stopping_rounds",
        "early_stopping_rounds=0",
        "greater than or equal to 1",
    ),
    model("{kind: lightgbm, device: cuda}", "device", "device='cuda'", "'cpu' or 'gpu'"),
    model("{kind: lightgbm, monotone: {gap_1d: 2}}", "monotone.gap_1d", "gap_1d=2", "-1, 0 or 1"),
    model("{kind: xgboost, grow_policy: losguide}", "grow_policy", "grow_policy='losguide'", "did you mean lossguide?"),
    model("{kind: xgboost, max_depht: 6}", "max_depht", "max_depht", "did you mean max_depth?"),
    model("{kind: catboost, depth: 20}", "depth", "depth=20", "less than or equal to"),
    model("{kind: catboost, num_leaves: 31}", "num_leaves", "num_leaves", "fields are"),
    model("{kind: ridge, penalty: -1}", "penalty", "penalty=-1", "greater than or equal to 0"),
    model("{kind: stack, blender: lasso}", "blender", "blender='lasso'", "'non_negative'"),
    model("{kind: stack, bases: [a, b], weights: {a: 1.0}}", "weights", "ridge", "`blender: average`"),
    registry("lightgmb", {}, ["a"], "model", "'lightgmb'", "did you mean lightgbm?"),
    registry("linear:lightgbm", {}, ["a"], "model", "'linear:lightgbm'", "did you mean boosting:lightgbm?"),
    registry("ridge", {"kind": "lightgbm"}, ["a"], "kind", "kind='lightgbm'", "write `kind: ridge`"),
    registry("ridge", "penalty: 1", ["a"], "config", "str", "give a mapping"),
    registry("ridge", {"task": "three_class"}, ["a"], "task", "task='three_class'", "'regression'"),
    registry("ridge", {}, [], "feature names", "no feature names", "one name per column"),
    registry("ridge", {}, ["a", "b", "a"], "feature name", "'a'", "name each column once"),
    registry("ridge", {}, ["gap 1d"], "feature name", "'gap 1d'", "letters, digits and underscores"),
    registry("momentum", {"feature": "momentum_99d"}, ["a"], "feature", "'momentum_99d'", "features"),
    registry("lightgbm", {"monotone": {"gap": 1}}, ["a"], "monotone", "'gap'", "name features such as a"),
    Case(
        "registry",
        "register a class without methods",
        _register_unfinished,
        "Unfinished",
        "fit_rows",
        "mend what is named above",
    ),
    Case("registry", "register a name twice", _register_twice, "linear:ridge", "taken by", "RidgeModel"),
    Case("training", "a file that is not there", _absent, "--config", "absent.yml", "give an existing file"),
    dataset({"horizon": 0}, "horizon", "horizon=0", "greater than or equal to 1"),
    dataset({"horizon": 20}, "label_h20", "no column", "did you mean label_h5?"),
    dataset({"sequence_lenght": 60}, "sequence_lenght", "sequence_lenght", "did you mean sequence_length?"),
    dataset({"sequence_length": 60}, "sequence_length", "sequence_length=60", "shorten sequence_length"),
    dataset({"features": "[momentun]"}, "momentun", "'momentun'", "did you mean momentum?"),
    dataset({"features": "[sector]"}, "sector", "string", "not a number"),
    dataset(
        {"train_path": "/nowhere/train.parquet"}, "train_path", "train_path=/nowhere/train.parquet", "does not exist"
    ),
    experiment("modles: [ridge]", "modles", "modles", "did you mean models?"),
    experiment("models: [ridg]", "models", "'ridg'", "did you mean ridge?"),
    experiment("models: []", "models", "models=[]", "at least 1"),
    experiment("labels: [{labl: tb}]", "labl", "labl", "did you mean label?"),
    experiment("name: My trial", "name", "name='My trial'", "should match pattern"),
    experiment("horizons: [0]", "horizons.0", "horizons.0=0", "greater than or equal to 1"),
    experiment("overrides: {validation: {fold: 6}}", "validation.fold", "fold", "did you mean folds?"),
    experiment("overrides: {label: tb}", "overrides.label", "label", "`labels`"),
    experiment("training: training/stocks.yml", "training", "stocks.yml", "give an existing file"),
    tuning("{num_leafs: {values: [31]}}", "num_leafs", "num_leafs", "did you mean num_leaves?"),
    tuning("{num_leaves: {values: [1]}}", "num_leaves", "num_leaves=1", "greater than or equal to 2"),
    tuning("{num_leaves: {low: 63, high: 31}}", "num_leaves", "63", "below high 31"),
    tuning("{learning_rate: {low: 0, high: 1, log: true}}", "learning_rate", "0", "positive number"),
    tuning("{num_leaves: {valeus: [31]}}", "num_leaves.valeus", "valeus", "did you mean values?"),
    tuning("{seed: {values: [1, 2]}}", "seed", "seed", "take it out"),
)


def main() -> int:
    """Provoke every case; return 1 if a message falls short."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bad_configs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quiet", action="store_true", help="print only the messages that fall short")
    quiet = parser.parse_args().quiet
    short = 0
    for number, case in enumerate(CASES, start=1):
        with tempfile.TemporaryDirectory() as folder:
            message = case.message(Path(folder)).replace(f"{folder}/", "")
        lacks = case.lacks(message)
        short += bool(lacks)
        if lacks or not quiet:
            wrong = case.wrong.replace("\n", "; ")
            print(f"{number:>3} {case.area}: {wrong}\n    {message.replace(chr(10), chr(10) + '    ')}")
            print(f"    LACKS {', '.join(lacks)}" if lacks else "", flush=True)
    print(
        f"{len(CASES)} wrong configurations, {len(CASES) - short} messages with field, value and fix, {short} without"
    )
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
