"""The first system's folder of a stacked model, as its plan writes it: XGBoost, scikit-learn and pickle themselves."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tests.sleeves.traders.columns import AGGREGATED, PER_SAMPLE

N_BASE = 8


def write_seed_model(folder: Path, *, protocol: int = pickle.DEFAULT_PROTOCOL, **changes: Any) -> dict[str, Any]:
    """Write base models, stacked_pipeline.pkl and model_v3.meta.json; return what the pickle holds.

    ``changes`` replace entries of the pickle.
    """
    import xgboost as xgb
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.RandomState(42)
    X = rng.randn(50, len(AGGREGATED)).astype(np.float32)
    y = rng.randn(50).astype(np.float32)
    base_models = []
    for number in range(N_BASE):
        model = xgb.XGBRegressor(n_estimators=5, max_depth=1, random_state=number)
        model.fit(X, y)
        model.save_model(str(folder / f"base_model_{number}.json"))
        base_models.append(model)
    X_meta = np.hstack([X, np.column_stack([model.predict(X) for model in base_models])])
    scaler = StandardScaler()
    meta = Ridge(alpha=60.0)
    meta.fit(scaler.fit_transform(X_meta), y)
    pipeline = {
        "meta_learner": meta,
        "scaler": scaler,
        "agg_feat_cols": AGGREGATED,
        "per_sample_cols": PER_SAMPLE,
        "min_windows": 3,
        **changes,
    }
    (folder / "stacked_pipeline.pkl").write_bytes(pickle.dumps(pipeline, protocol))
    document = {"model_version": "v3_stacked", "feature_caps": {"profit_factor": 50.0}}
    (folder / "model_v3.meta.json").write_text(json.dumps(document))
    return pipeline


def seed_scores(folder: Path, pipeline: dict[str, Any], X: np.ndarray) -> np.ndarray:
    """Score ``X`` as the first system does: XGBoost, hstack, scaler, Ridge; in its own float32."""
    import xgboost as xgb

    predicted = []
    for number in range(N_BASE):
        model = xgb.XGBRegressor()
        model.load_model(str(folder / f"base_model_{number}.json"))
        predicted.append(model.predict(X))
    X_meta = np.hstack([X, np.column_stack(predicted)])
    scores: np.ndarray = pipeline["meta_learner"].predict(pipeline["scaler"].transform(X_meta))
    return scores
