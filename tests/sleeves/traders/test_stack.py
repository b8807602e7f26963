"""The published plan's tests of the stacked pipeline, re-enacted, and what is refused."""

import json
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.sleeves.traders.columns import AGGREGATED, PER_SAMPLE
from tests.sleeves.traders.wallets import Wallets, address, write_wallets
from trademl.config.home import Home
from trademl.edge.session import ScoringSession
from trademl.errors import ArtifactError, ModelError
from trademl.sleeves.traders.stack import (
    checked_scores,
    load_stacked_pipeline,
    predict_stacked_scores,
    read_caps,
    read_matrix,
)
from trademl.training.run import RunResult
from trademl.warehouse.read import read_snapshot

LAST = date(2025, 4, 10)


class TestLoadStackedPipeline:
    """The plan's class of this name."""

    def test_loads_all_components(self, converted: Path) -> None:
        """8 base models, meta-learner, scaler, 97 and 48 columns, and the pickle's min_windows."""
        pipeline = load_stacked_pipeline(str(converted))
        assert pipeline is not None
        assert len(pipeline.base_models) == 8
        assert len(pipeline.meta_learner.coefficients) == 105
        assert list(pipeline.scaler)[-1] == "base_model_7"
        assert pipeline.min_windows == 3
        assert list(pipeline.agg_feat_cols) == AGGREGATED
        assert list(pipeline.per_sample_cols) == PER_SAMPLE

    def test_returns_none_when_there_is_no_pipeline(self, tmp_path: Path) -> None:
        """An empty folder, or none at all, holds no pipeline."""
        assert load_stacked_pipeline(str(tmp_path)) is None
        assert load_stacked_pipeline(tmp_path / "absent") is None

    def test_feature_caps_loaded(self, converted: Path) -> None:
        """The caps are those of model_v3.meta.json."""
        pipeline = load_stacked_pipeline(converted)
        assert pipeline is not None
        assert pipeline.feature_caps == {"profit_factor": 50.0}


class TestPredictStackedScores:
    """The plan's class of this name; its windows lie in gold.traders_features."""

    def test_returns_predictions_for_eligible_traders(self, wallets: Home, converted: Path) -> None:
        """Address and a finite prediction for each trader of the date, by address; a time means its date."""
        results = predict_stacked_scores(str(converted), datetime(2025, 4, 10, 13, 30), home=wallets)
        assert [set(row) for row in results] == [{"address", "ml_predicted_pnl"}] * 14
        assert [row["address"] for row in results] == [address(number) for number in range(14)]
        assert all(np.isfinite(row["ml_predicted_pnl"]) for row in results)
        assert len({row["ml_predicted_pnl"] for row in results}) > 5
        assert results == predict_stacked_scores(converted, LAST, home=wallets)

    def test_returns_empty_when_no_snapshots(self, wallets: Home, home: Home, converted: Path) -> None:
        """A date without snapshots, a warehouse never built, and one without the traders' tables."""
        assert predict_stacked_scores(converted, LAST + timedelta(days=1), home=wallets) == []
        assert predict_stacked_scores(converted, LAST, home=home) == []
        with duckdb.connect(str(wallets.warehouse)) as con:
            con.execute("drop table gold.traders_features")
            con.execute("insert into meta.builds values ('b2', 'b2', now(), now(), null, 'd', '', 'success')")
        assert predict_stacked_scores(converted, LAST, home=wallets) == []

    def test_returns_empty_when_insufficient_windows(self, home: Home, converted: Path) -> None:
        """Fewer windows than the pipeline asks for: nobody is scored."""
        write_wallets(home, Wallets(wallets=6, days=30, new=6))
        document = json.loads((converted / "pipeline.json").read_text())
        assert len(predict_stacked_scores(converted, date(2025, 1, 20), home=home)) == 6
        (converted / "pipeline.json").unlink()
        (converted / "pipeline.json").write_text(json.dumps({**document, "min_windows": 11}))
        assert predict_stacked_scores(converted, date(2025, 1, 20), home=home) == []

    def test_returns_empty_without_a_bundle(self, wallets: Home, tmp_path: Path) -> None:
        """No pipeline, no scores."""
        assert predict_stacked_scores(tmp_path, LAST, home=wallets) == []

    def test_another_lookback_is_refused(self, wallets: Home, converted: Path) -> None:
        """Training and scoring read the same features: 90 days, or a model of its own."""
        with pytest.raises(ModelError, match=r"lookback_days=30: the pipeline was trained on features of 90 days"):
            predict_stacked_scores(converted, LAST, 30, home=wallets)


def test_a_trained_run_is_a_pipeline(trained: tuple[Home, RunResult]) -> None:
    """Its folder loads, its scores are those of its ONNX graph to the bit, and it knows the caps of its last date."""
    home, result = trained
    pipeline = load_stacked_pipeline(result.path)
    assert pipeline is not None
    assert (len(pipeline.base_models), pipeline.min_windows, pipeline.lookback_days) == (8, 16, 90)
    # Labels of seven days: the last decision is 2025-04-03, day 93 of the year.
    assert pipeline.feature_caps == {"profit_factor": 10.0 + 93}
    scored = predict_stacked_scores(result.path, LAST, home=home)
    assert len(scored) == 12
    with read_snapshot(home) as snapshot:
        addresses, X = read_matrix(snapshot.con, AGGREGATED, LAST, min_windows=16)
        assert read_caps(snapshot.con, date(2025, 1, 3)) == {"profit_factor": 13.0}
    merged = ScoringSession(pipeline.path / "model.onnx").predict(X)
    assert [(row["address"], row["ml_predicted_pnl"]) for row in scored] == list(
        zip(addresses, merged.tolist(), strict=True)
    )


def test_the_pickle_itself_is_never_loaded(seed_folder: Path) -> None:
    """A folder of the first system is refused with the command that converts it."""
    with pytest.raises(ModelError, match=r"is a pickle, which is never loaded(.|\n)*trademl traders convert"):
        load_stacked_pipeline(seed_folder)


def test_an_altered_bundle_is_refused(converted: Path) -> None:
    """Every file but the document counts by its hash, and the document by what it says."""
    for name in ("model.json", "base_model_2.json", "ridge.json", "scaler.json", "model.onnx", "golden.json"):
        path = converted / name
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(ArtifactError, match=f"{name} is missing"):
            load_stacked_pipeline(converted)
        path.write_bytes(whole.replace(b"0", b"1", 1))
        with pytest.raises(ArtifactError, match=f"{name} was altered"):
            load_stacked_pipeline(converted)
        path.unlink()
        path.write_bytes(whole)
    assert load_stacked_pipeline(converted) is not None
    (converted / "pipeline.json").unlink()
    with pytest.raises(ModelError, match=r"holds base models and no pipeline\.json"):
        load_stacked_pipeline(converted)


def test_an_altered_run_is_refused(trained: tuple[Home, RunResult]) -> None:
    """A run folder is verified against its manifest: an altered, extra or missing file."""
    home, result = trained
    folder = home.models_artifacts / "traders" / result.run_id
    ridge = folder / "checkpoints" / "ridge.json"
    whole = ridge.read_bytes()
    ridge.unlink()
    ridge.write_bytes(whole.replace(b"1", b"2", 1))
    with pytest.raises(ArtifactError, match=r"checkpoints/ridge\.json was altered"):
        load_stacked_pipeline(folder)
    ridge.unlink()
    with pytest.raises(ArtifactError, match=r"checkpoints/ridge\.json is missing"):
        load_stacked_pipeline(folder)
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(ArtifactError, match=r"checkpoints/pipeline\.json is missing"):
        load_stacked_pipeline(folder)


def test_a_score_that_is_no_number_is_refused() -> None:
    """The message names the trader."""
    with pytest.raises(ModelError, match="1 of 2 scores are not numbers, 0xb among them"):
        checked_scores(np.array([1.0, np.nan]), ["0xa", "0xb"])
