"""The files of trained heads: native text, ONNX graph and metadata of each, and a list of what belongs together.

    MODEL_DIR/{head}_{stage}_{ablation}.txt        the model, in its engine's own text
    MODEL_DIR/{head}_{stage}_{ablation}.onnx       the graph that scores, proved bit-equal when the run was trained
    MODEL_DIR/{head}_{stage}_{ablation}.json       features in order, dates, metrics, calibrator, hashes of those two
    MODEL_DIR/metadata_{stage}_{ablation}.json     run and hash of the metadata of every head

A file is replaced in one rename and the list comes last; a reader that finds files of two trainings refuses them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from trademl.artifacts.files import sha256_file, write_atomic
from trademl.artifacts.run_folder import RunFolder
from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import ArtifactError, ModelError
from trademl.lake.files import FileLock
from trademl.models.registry import model_class
from trademl.sleeves.events.names import file_stem, is_regression
from trademl.training.final import clip_of
from trademl.validation.calibration import Calibrator, Clip, from_dict

FOLDER = "boosted_trees"
"""Of the bundle below models_artifacts/, unless a command names another."""

DATES = "config/dates.json"
"""In a run's folder: on which dates the model was fitted, and which were predicted out of fold."""

_AGAIN = "run the same `trademl train events` again: what is trained already is only written anew"


@dataclass(frozen=True, eq=False)
class Head:
    """The metadata of one head.

    Attributes:
        head: its name and its label's.
        stage, ablation, timeframe: which of the bundles it belongs to; no timeframe for heads of a horizon.
        run_id: the training run.
        feature_names: inputs of the graph, in order.
        train_dates: dates that the final model was fitted on; val_dates: dates predicted by models of earlier dates.
        metrics: of the predictions of ``val_dates``.
        timestamp: when the run began; data_hash: of its matrix and labels.
        calibrator: from score to probability, and ``clip`` its range; None for a regression, whose score is the answer.
        files: ``native`` and ``onnx``: name and sha256.
    """

    head: str
    stage: str
    ablation: str
    timeframe: str | None
    run_id: str
    kind: str
    feature_names: tuple[str, ...]
    train_dates: tuple[str, ...]
    val_dates: tuple[str, ...]
    metrics: Mapping[str, Any]
    timestamp: str
    data_hash: str
    calibrator: Calibrator | None
    clip: Clip
    files: Mapping[str, Mapping[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata as JSON can hold it."""
        return {
            **self.__dict__,
            "feature_names": list(self.feature_names),
            "train_dates": list(self.train_dates),
            "val_dates": list(self.val_dates),
            "metrics": dict(self.metrics),
            "calibrator": None if self.calibrator is None else self.calibrator.to_dict(),
            "clip": list(self.clip),
            "files": {name: dict(file) for name, file in self.files.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], origin: str) -> "Head":
        """Read metadata back.

        Raises:
            ModelError: a field is missing or wrong.
        """
        try:
            fields = dict(stored)
            for name in ("feature_names", "train_dates", "val_dates"):
                fields[name] = tuple(str(item) for item in fields[name])
            low, high = fields["clip"]
            fields["clip"] = (float(low), float(high))
            if fields["calibrator"] is not None:
                fields["calibrator"] = from_dict(fields["calibrator"])
            return cls(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{origin} is no metadata of a head: {error!r}", remedy=_AGAIN) from error


def model_dir(home: Home) -> Path:
    """Return the folder of the bundles of a home."""
    return home.models_artifacts / FOLDER


def metadata_name(stage: str, ablation: str) -> str:
    """Return the name of the list of a bundle's heads."""
    return f"metadata_{stage}_{ablation}.json"


def publish(
    folder: Path,
    runs: Sequence[tuple[str, Path]],
    *,
    stage: str,
    ablation: str,
    timeframe: str | None = None,
    now: Clock = utc_now,
) -> list[Head]:
    """Write the files of finished runs into a bundle's folder; heads that lie there and are not named stay.

    Args:
        folder: the bundle's.
        runs: head and run folder of each.
        stage, ablation, timeframe: what the bundle is called.
        now: the clock, for the list.

    Raises:
        ArtifactError: a run folder does not verify or lacks a file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        heads = [_publish_one(folder, head, path, stage, ablation, timeframe) for head, path in runs]
        place = folder / metadata_name(stage, ablation)
        listed = _listed(place) if place.is_file() else {}
        for head in heads:
            name = f"{file_stem(head.head, stage, ablation)}.json"
            listed[head.head] = {"run_id": head.run_id, "sha256": sha256_file(folder / name)}
        document = {
            "stage": stage,
            "ablation": ablation,
            "written": _stamp(now()),
            "heads": dict(sorted(listed.items())),
        }
        write_atomic(place, _json(document))
    return heads


def listed_heads(folder: Path, stage: str, ablation: str) -> tuple[str, ...]:
    """Return the heads of a bundle by name.

    Raises:
        ModelError: there is no such bundle.
        ArtifactError: its list cannot be read.
    """
    return tuple(sorted(_listed(_list_of(folder, stage, ablation))))


def read_head(folder: Path, head: str, stage: str, ablation: str) -> Head:
    """Return the metadata of a head after checking it and its files against the bundle's list.

    Raises:
        ModelError: the head was not trained.
        ArtifactError: a file is missing, damaged or of another training than the list names.
    """
    listed = _listed(_list_of(folder, stage, ablation))
    if head not in listed:
        raise ModelError(
            f"the bundle {stage} {ablation} in {folder} has no head {head}; it has {', '.join(listed) or 'none'}",
            remedy=f"train it: `trademl train events --stage {stage} --ablation {ablation}` with its --horizons or "
            "--timeframe; or ask for others",
        )
    path = folder / f"{file_stem(head, stage, ablation)}.json"
    _check(path, str(listed[head].get("sha256")))
    found = Head.from_dict(_document(path), str(path))
    for file in found.files.values():
        _check(folder / file["name"], file["sha256"])
    return found


def _publish_one(folder: Path, head: str, path: Path, stage: str, ablation: str, timeframe: str | None) -> Head:
    run = RunFolder.open(path)
    manifest = run.verify()
    kind = str(manifest.config["model"]["kind"])
    suffix = model_class(kind).suffix
    stem = file_stem(head, stage, ablation)
    # The metadata is the .json; an engine whose text is JSON too gets a name of its own.
    native = f"{stem}{suffix}" if suffix != ".json" else f"{stem}.{kind}.json"
    files = {}
    for role, source, name in (
        ("native", f"checkpoints/model{suffix}", native),
        ("onnx", "checkpoints/model.onnx", f"{stem}.onnx"),
    ):
        place = run.place(source)
        write_atomic(folder / name, place.read_bytes())
        files[role] = {"name": name, "sha256": sha256_file(place)}
    dates = _document(run.place(DATES))
    task = str(manifest.config["task"])
    written = Head(
        head=head,
        stage=stage,
        ablation=ablation,
        timeframe=timeframe if timeframe is not None and head.endswith(f"_{timeframe}") else None,
        run_id=run.run_id,
        kind=kind,
        feature_names=tuple(json.loads(run.place("features/feature_list.json").read_bytes())),
        train_dates=tuple(dates["train_dates"]),
        val_dates=tuple(dates["val_dates"]),
        metrics={**_metrics(run), "rows": manifest.summary["rows"]},
        timestamp=_stamp(manifest.created),
        data_hash=manifest.data_hash,
        calibrator=None if is_regression(head) else from_dict(_document(run.place("checkpoints/calibrator.json"))),
        clip=clip_of(task),
        files=files,
    )
    write_atomic(folder / f"{stem}.json", _json(written.to_dict()))
    return written


def _metrics(run: RunFolder) -> dict[str, Any]:
    found = dict(_document(run.place("metrics/metrics.json"))["headline"])
    calibrated = _document(run.place("metrics/calibration.json"))
    if run.manifest().config["task"] == "binary":
        found |= {f"{name}_calibrated": calibrated[name] for name in ("brier", "log_loss", "ece")}
    return found


def _list_of(folder: Path, stage: str, ablation: str) -> Path:
    place = folder / metadata_name(stage, ablation)
    if not place.is_file():
        raise ModelError(
            f"{folder} has no bundle of {stage} {ablation}",
            remedy=f"run `trademl train events --stage {stage} --ablation {ablation}`, or name another folder",
        )
    return place


def _listed(place: Path) -> dict[str, dict[str, str]]:
    heads = _document(place).get("heads")
    if not isinstance(heads, dict):
        raise ArtifactError(f"{place} lists no heads", remedy=_AGAIN)
    return heads


def _check(path: Path, digest: str) -> None:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing", remedy=_AGAIN)
    if sha256_file(path) != digest:
        raise ArtifactError(f"{path} is not the file that its bundle names: it is of another training", remedy=_AGAIN)


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read {path}: {error}", remedy=_AGAIN) from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} holds no JSON object", remedy=_AGAIN)
    return found


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode()


def _stamp(moment: datetime) -> str:
    return moment.isoformat()
