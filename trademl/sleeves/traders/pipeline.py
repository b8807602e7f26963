"""pipeline.json: what scoring wallets needs of a stack beside the model itself, and the hashes of its files."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from trademl.artifacts.files import sha256_file
from trademl.errors import ArtifactError, ModelError
from trademl.sleeves.traders.names import FEATURES, aggregated_columns, per_sample_columns

FORMAT = "trademl stacked pipeline 1"
PIPELINE_FILE = "pipeline.json"
MODEL_FILE = "model.json"
AGAIN = "restore the folder from a copy, convert it again, or train again"

LOOKBACK_DAYS = 90
MIN_WINDOWS = 16
"""As ``gold.traders_features`` is built: ``trader_lookback_days`` and ``trader_min_windows`` of dbt_project.yml."""


def describe_pipeline(
    caps: Mapping[str, float], caps_as_of: date | None, *, min_windows: int, lookback_days: int, **more: Any
) -> dict[str, Any]:
    """Return the document of pipeline.json."""
    return {
        "format": FORMAT,
        "per_sample_cols": list(per_sample_columns()),
        "agg_feat_cols": list(aggregated_columns()),
        "min_windows": min_windows,
        "lookback_days": lookback_days,
        "feature_caps": dict(sorted(caps.items())),
        "feature_caps_as_of": None if caps_as_of is None else caps_as_of.isoformat(),
        **more,
    }


def checked_caps(caps: Any, origin: str) -> dict[str, float]:
    """Return feature caps as numbers.

    Raises:
        ModelError: one is NaN, infinite or of an unknown feature.
    """
    if not isinstance(caps, dict):
        raise ModelError(f"{origin}: feature_caps is a {type(caps).__name__}, not a mapping", remedy=AGAIN)
    for name, cap in caps.items():
        if name not in FEATURES:
            raise ModelError(f"{origin}: feature_caps has {name!r}, which is none of the 18 features", remedy=AGAIN)
        if isinstance(cap, bool) or not isinstance(cap, int | float) or not math.isfinite(cap):
            raise ModelError(
                f"{origin}: the cap of {name} is {cap!r}, must be a finite number",
                remedy="mend feature_caps: max(95th percentile of the finite values, 10)",
            )
    return {name: float(cap) for name, cap in caps.items()}


def read_pipeline(path: Path) -> dict[str, Any]:
    """Return min_windows, lookback_days, feature_caps and files of the document ``path``.

    Raises:
        ModelError: it is cut off or no such document, its columns are not the 48 and the 97, or a number is wrong.
    """
    try:
        facts = json.loads(path.read_bytes())
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise ValueError(f"it is no {FORMAT!r}")
        columns = {name: tuple(map(str, facts[name])) for name in ("per_sample_cols", "agg_feat_cols")}
        numbers = {name: facts[name] for name in ("min_windows", "lookback_days")}
        caps = facts["feature_caps"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is no stacked pipeline, or is cut off: {error!r}", remedy=AGAIN) from error
    check_columns(columns["per_sample_cols"], columns["agg_feat_cols"], str(path))
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ModelError(f"{path}: {name}={number!r}, must be a whole number of at least 1", remedy=AGAIN)
    return {**numbers, "feature_caps": checked_caps(caps, str(path)), "files": facts.get("files")}


def check_columns(per_sample: Sequence[str], aggregated: Sequence[str], origin: str) -> None:
    """Refuse columns that are not the 48 and the 97, in order.

    Raises:
        ModelError: naming the first difference.
    """
    for given, due, what in (
        (per_sample, per_sample_columns(), "per_sample_cols"),
        (aggregated, aggregated_columns(), "agg_feat_cols"),
    ):
        if tuple(given) != due:
            raise ModelError(
                f"{origin}: {what}: {first_difference(given, due)}",
                remedy="features are read by position: give a model that was trained on the columns of "
                "gold.traders_features in their order",
            )


def check_hashes(folder: Path, facts: Mapping[str, Any]) -> None:
    """Compare the files of ``folder`` with the hashes that its document lists.

    Raises:
        ModelError: none are listed.
        ArtifactError: a file is missing or altered.
    """
    files = facts["files"]
    if not isinstance(files, dict) or MODEL_FILE not in files:
        raise ModelError(f"{folder / PIPELINE_FILE} does not list the pipeline's files", remedy=AGAIN)
    for name, digest in sorted(files.items()):
        path = folder / Path(str(name)).name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing: {PIPELINE_FILE} lists it", remedy=AGAIN)
        if sha256_file(path) != digest:
            raise ArtifactError(f"{path} was altered: its sha256 is not the one in {PIPELINE_FILE}", remedy=AGAIN)


def first_difference(given: Sequence[str], due: Sequence[str]) -> str:
    """Say where two lists of columns part, which differ."""
    for at, (one, other) in enumerate(zip(given, due, strict=False)):
        if one != other:
            return f"column {at} is {one!r}, must be {other!r}"
    return f"there are {len(given)} columns, must be {len(due)}"
