"""pipeline.json: columns, windows, caps and hashes."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.sleeves.traders.columns import AGGREGATED, PER_SAMPLE
from trademl.errors import ArtifactError, ModelError
from trademl.sleeves.traders.pipeline import (
    check_columns,
    check_hashes,
    checked_caps,
    describe_pipeline,
    first_difference,
    read_pipeline,
)


def document(**changes: Any) -> dict[str, Any]:
    made = describe_pipeline({"profit_factor": 50.0}, date(2025, 3, 1), min_windows=16, lookback_days=90)
    return {**made, **changes}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "pipeline.json"
    path.write_text(json.dumps(document(**changes)))
    return path


def test_it_states_what_scoring_needs(tmp_path: Path) -> None:
    """48 and 97 columns in order, windows, days and caps; read back they are the same."""
    made = document()
    assert (made["per_sample_cols"], made["agg_feat_cols"]) == (PER_SAMPLE, AGGREGATED)
    assert made["feature_caps_as_of"] == "2025-03-01"
    assert read_pipeline(written(tmp_path)) == {
        "min_windows": 16,
        "lookback_days": 90,
        "feature_caps": {"profit_factor": 50.0},
        "files": None,
    }


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"feature_caps": {"profit_factor": float("nan")}}, "the cap of profit_factor is nan, must be a finite number"),
        ({"feature_caps": {"profit_factor": float("inf")}}, "the cap of profit_factor is inf"),
        ({"feature_caps": {"profit_factor": "50"}}, "the cap of profit_factor is '50'"),
        ({"feature_caps": {"profits": 50.0}}, "'profits', which is none of the 18"),
        ({"feature_caps": [50.0]}, "feature_caps is a list"),
        (
            {"agg_feat_cols": [AGGREGATED[1], AGGREGATED[0], *AGGREGATED[2:]]},
            "column 0 is 'roi_7d_dm_trend', must be 'roi_7d_dm_mean'",
        ),
        ({"agg_feat_cols": AGGREGATED[:-1]}, "there are 96 columns, must be 97"),
        ({"per_sample_cols": PER_SAMPLE[::-1]}, "per_sample_cols: column 0"),
        ({"min_windows": 0}, "min_windows=0"),
        ({"min_windows": True}, "min_windows=True"),
        ({"lookback_days": 90.5}, r"lookback_days=90\.5"),
        ({"format": "other"}, "no stacked pipeline, or is cut off"),
    ],
)
def test_a_wrong_document_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """NaN in caps, features in another order, odd numbers: each is named."""
    with pytest.raises(ModelError, match=told):
        read_pipeline(written(tmp_path, **changes))


def test_a_cut_document_is_refused(tmp_path: Path) -> None:
    """Half a file is no file."""
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match="no stacked pipeline, or is cut off"):
        read_pipeline(path)


def test_hashes_are_compared(tmp_path: Path) -> None:
    """A file that is missing, altered or not listed at all is refused."""
    import hashlib

    (tmp_path / "model.json").write_bytes(b"model")
    right = {"files": {"model.json": hashlib.sha256(b"model").hexdigest()}}
    check_hashes(tmp_path, right)
    with pytest.raises(ModelError, match="does not list"):
        check_hashes(tmp_path, {"files": None})
    (tmp_path / "model.json").write_bytes(b"modem")
    with pytest.raises(ArtifactError, match=r"model\.json was altered"):
        check_hashes(tmp_path, right)
    (tmp_path / "model.json").unlink()
    with pytest.raises(ArtifactError, match=r"model\.json is missing"):
        check_hashes(tmp_path, right)


def test_caps_and_columns_alone() -> None:
    """Whole numbers are caps too; the right columns pass."""
    assert checked_caps({"profit_factor": 50}, "here") == {"profit_factor": 50.0}
    check_columns(PER_SAMPLE, AGGREGATED, "here")
    assert first_difference(["a", "b"], ["a", "c"]) == "column 1 is 'b', must be 'c'"
