"""The steps of a run, one at a time."""

import json

import numpy as np
import pytest

from tests.training.market import small_config, with_barriers, with_second_table, write_set
from trademl.artifacts.run_folder import RunFolder
from trademl.config.feature_sets import read_feature_set
from trademl.config.home import Home
from trademl.config.reading import load_section
from trademl.edge.score import open_bundle, read_features
from trademl.errors import ConfigError
from trademl.sleeves.equities import EQUITIES, EquitiesConfig, train
from trademl.training.trainer import Trainer
from trademl.warehouse.read import read_snapshot


def test_the_steps_by_hand_are_the_run(market: Home) -> None:
    """Prepare, audit, train, evaluate and finish leave the files of `train`, byte for byte but for what has a clock."""
    config = load_section(small_config(market), EquitiesConfig)
    with read_snapshot(market) as snapshot:
        trainer = Trainer(market, snapshot, EQUITIES, config)
        data = trainer.prepare_data()
        audited = trainer.audit()
        assert trainer.build_model().feature_names == data.feature_names
        validated = trainer.train()
        trainer.finish(validated, trainer.evaluate(validated), audited)
        name, folder = trainer.prepared.run_id, trainer.folder.path
    by_hand = RunFolder(folder).verify().files
    again = train(market, config, mlflow=False)
    assert (again.run_id, again.already_trained) == (name, True)
    assert {"checkpoints/model.onnx", "metrics/metrics.json", "card.md", "predictions/splits.parquet"} <= set(by_hand)
    assert trainer.prepared.run_id == folder.name


def test_a_run_on_a_feature_set_says_which_and_where(market: Home) -> None:
    """Manifest and card name the set and its digest, scoring.json the tables of the features, features.sql all of them;
    the run scores from there, and a run that lists the same columns has the same matrix."""
    with_second_table(market)
    write_set(market, "mixed_v1", ["slow", "signal_rank", "noise", "equities_second.noise"])
    config = load_section(small_config(market, features=[], feature_set="mixed_v1"), EquitiesConfig)
    result = train(market, config, mlflow=False)
    digest = read_feature_set(market, "mixed_v1").digest()
    manifest = RunFolder(result.path).manifest()
    assert manifest.summary["feature_set"] == "mixed_v1"
    assert manifest.summary["feature_set_sha256"] == digest
    assert manifest.config["feature_set"] == "mixed_v1"
    facts = json.loads((result.path / "config" / "scoring.json").read_text())
    assert facts["features_table"] == "gold.equities_features"
    assert facts["feature_tables"] == {"gold.equities_second": ["slow", "equities_second__noise"]}
    assert facts["feature_set_sha256"] == digest
    assert f"| features | 4 of mixed_v1 ({digest[:16]})" in (result.path / "card.md").read_text()
    sql = (result.path / "features" / "features.sql").read_text()
    assert "-- gold.equities_second\n" in sql
    assert "-- gold.equities_features\n" in sql
    with read_snapshot(market) as snapshot:
        day = snapshot.con.execute("select max(date) from gold.equities_features").fetchall()[0][0]
        symbols, X = read_features(snapshot.con, open_bundle(result.path), day)
        expected = snapshot.con.execute(
            "select f.symbol, s.slow, f.signal_rank, f.noise, s.noise from gold.equities_features f "
            "join gold.equities_second s using (symbol, date) where date = ? order by 1",
            [day],
        ).fetchall()
    assert symbols == tuple(row[0] for row in expected)
    np.testing.assert_array_equal(X, np.array([row[1:] for row in expected], dtype=np.float32))
    listed = ["slow", "signal_rank", "noise", "equities_second.noise"]
    again = train(market, load_section(small_config(market, features=listed), EquitiesConfig), mlflow=False)
    assert again.run_id != result.run_id
    assert RunFolder(again.path).manifest().data_hash == manifest.data_hash


def test_a_run_without_a_set_says_nothing_of_one(market: Home) -> None:
    """Its scoring.json and manifest are what they were before there were sets."""
    result = train(market, load_section(small_config(market), EquitiesConfig), mlflow=False)
    facts = json.loads((result.path / "config" / "scoring.json").read_text())
    assert set(facts) == {"sleeve", "run_id", "label", "horizon", "features_table", "entity", "task", "target"}
    manifest = RunFolder(result.path).manifest()
    assert not {"feature_set", "feature_set_sha256"} & {*manifest.summary, *manifest.config}


def test_a_set_that_does_not_exist_stops_the_run(market: Home) -> None:
    """Before anything is loaded."""
    config = load_section(small_config(market, features=[], feature_set="nothing_v1"), EquitiesConfig)
    with pytest.raises(ConfigError, match="`feature_set=nothing_v1` is no feature set"):
        train(market, config, mlflow=False)


def test_early_stopping_ends_in_the_median_number_of_rounds(market: Home) -> None:
    """Splits stop on their own tails; the final model has as many rounds as the median split, fitted on all rows."""
    model = {"kind": "lightgbm", "n_rounds": 60, "num_leaves": 7, "min_data_in_leaf": 20, "learning_rate": 0.3}
    model |= {"early_stopping_rounds": 3, "threads": 1}
    result = train(market, load_section(small_config(market, model=model), EquitiesConfig), mlflow=False)
    kept = [
        json.loads(path.read_text())["rounds"] for path in sorted((result.path / "checkpoints").glob("split_*.json"))
    ]
    assert all(1 <= rounds < 60 for rounds in kept)
    summary = RunFolder(result.path).manifest().summary
    assert summary["rounds"] == max(1, round(float(np.median(kept))))


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "catboost"])
def test_three_classes_end_to_end(market: Home, kind: str) -> None:
    """A triple-barrier run has accuracy beside the majority class, precision and recall per class, and a proved graph
    with probabilities."""
    with_barriers(market)
    model = {"kind": kind, "n_rounds": 12, "threads": 1}
    config = load_section(small_config(market, label="tb", task="three_class", model=model), EquitiesConfig)
    result = train(market, config, mlflow=False)
    classes = result.metrics["classes"]
    assert [one["label"] for one in classes[0]["classes"]] == [-1, 0, 1]
    assert all(path["accuracy"] > path["majority"] for path in classes)
    assert result.metrics["summary"]["rank_ic"]["mean"] > 0.2
    parity = json.loads((result.path / "metrics" / "parity.json").read_text())
    assert (parity["mismatches"], parity["max_abs_difference"]) == (0, 0.0)
    assert (result.path / "metrics" / "classes.csv").read_text().count("\n") == 1 + 3 * len(classes)
    card = (result.path / "card.md").read_text()
    assert "which barrier is met first" in card
    assert f"Accuracy {result.metrics['summary']['accuracy']['mean']:.4f}" in card


def test_economics_are_those_of_the_daily_returns(market: Home) -> None:
    """Without marts there are none, and the run says nothing of them."""
    result = train(market, load_section(small_config(market), EquitiesConfig), mlflow=False)
    assert result.economics == {}
