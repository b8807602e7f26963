"""A bundle: everything of one trained run that scoring needs, verified before it is used.

It is read from a run folder, whose manifest has the hash of every file, or from the objects of a release, whose names
are their hashes. The checks are the same: nothing altered, one feature list, and a graph that scores its golden vectors
bit for bit on this machine.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trademl.artifacts.files import sha256_file
from trademl.artifacts.run_folder import RunFolder
from trademl.edge.session import ScoringSession
from trademl.errors import ArtifactError
from trademl.lake.layout import Layout
from trademl.lake.release import Release
from trademl.validation.calibration import Calibrator, from_dict
from trademl.validation.residuals import ResidualTable

MODEL = "checkpoints/model.onnx"
GOLDEN = "checkpoints/golden.json"
CALIBRATOR = "checkpoints/calibrator.json"
RESIDUALS = "checkpoints/yhat_std.json"
FEATURES = "features/feature_list.json"
SCORING = "config/scoring.json"

ASSETS: dict[str, str] = {
    name: f"model/{name.rpartition('/')[2]}" for name in (MODEL, GOLDEN, CALIBRATOR, RESIDUALS, FEATURES, SCORING)
}
"""The file of a run folder and the asset of a release that holds the same bytes."""

_RESTORE = "restore the run folder, or train again"
_PULL = "run `trademl lake verify`, then `trademl lake pull`"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified run, opened for scoring.

    Attributes:
        run_id: the run, which is also the model's id.
        sleeve, label, horizon: what it predicts; the horizon is in sessions.
        features_table, entity: where its features lie, and their entity column.
        feature_tables: further tables, each with the features that lie in it instead.
        feature_names: the columns, in the model's order.
    """

    run_id: str
    sleeve: str
    label: str
    horizon: int
    features_table: str
    entity: str
    feature_names: tuple[str, ...]
    session: ScoringSession
    calibrator: Calibrator
    residuals: ResidualTable
    feature_tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[str, ...]:
        """Every table that scoring reads features from."""
        return (self.features_table, *self.feature_tables)


def open_bundle(path: Path) -> Bundle:
    """Verify the run folder at ``path`` and open what scoring needs of it.

    Raises:
        ArtifactError: a file is missing, altered or extra, or says something else than the others.
        ParityError: this machine scores the golden vectors differently.
    """
    folder = RunFolder.open(path)
    manifest = folder.verify()
    bundle = _open(folder.place, manifest.run_id, _RESTORE)
    if (bundle.run_id, bundle.sleeve) != (manifest.run_id, manifest.sleeve):
        raise ArtifactError(
            f"{SCORING} is of {bundle.sleeve}/{bundle.run_id}, the folder of {manifest.sleeve}/{manifest.run_id}",
            remedy=_RESTORE,
        )
    return bundle


def open_release_bundle(layout: Layout, release: Release) -> Bundle:
    """Verify the model's objects of a pulled release and open them.

    Raises:
        ArtifactError: an object is missing or altered, or says something else than the release or the others.
        ParityError: this machine scores the golden vectors differently.
    """
    bundle = _open(lambda name: asset_file(layout, release, ASSETS[name]), release.model.run_id, _PULL)
    told = (bundle.run_id, bundle.sleeve, bundle.label, bundle.horizon)
    model = release.model
    if told != (model.run_id, release.sleeve, model.label, model.horizon):
        raise ArtifactError(
            f"{ASSETS[SCORING]} of release {release.seq} is of {told[1]}/{told[0]} ({told[2]}, {told[3]} sessions), "
            f"the release of {release.sleeve}/{model.run_id} ({model.label}, {model.horizon} sessions)",
            remedy=_PULL,
        )
    return bundle


def asset_file(layout: Layout, release: Release, name: str) -> Path:
    """Return the object that holds asset ``name``, after comparing its size and sha256 with the release.

    Raises:
        ArtifactError: the release has no such asset, or its object is missing or altered.
    """
    asset = release.assets.get(name)
    if asset is None:
        raise ArtifactError(
            f"release {release.seq} has no asset {name}", remedy="pull a release of this version of trademl"
        )
    path = layout.asset(asset.sha256)
    try:
        same = path.stat().st_size == asset.bytes and sha256_file(path) == asset.sha256
    except OSError as error:
        raise ArtifactError(f"{name} of release {release.seq} cannot be read: {error}", remedy=_PULL) from error
    if not same:
        raise ArtifactError(f"{name} of release {release.seq} was altered: {path}", remedy=_PULL)
    return path


def _open(place: Callable[[str], Path], run: str, remedy: str) -> Bundle:
    def read_json(name: str) -> Any:
        try:
            return json.loads(place(name).read_bytes())
        except (OSError, ValueError) as error:
            raise ArtifactError(f"cannot read {name} of {run}: {error}", remedy=remedy) from error

    facts, names = read_json(SCORING), read_json(FEATURES)
    session = ScoringSession(place(MODEL))
    if not isinstance(names, list) or tuple(names) != session.feature_names:
        raise ArtifactError(
            f"{FEATURES} of {run} is not the list of features, in order, that {MODEL} was trained on", remedy=remedy
        )
    session.verify(place(GOLDEN))
    try:
        return Bundle(
            run_id=str(facts["run_id"]),
            sleeve=str(facts["sleeve"]),
            label=str(facts["label"]),
            horizon=int(facts["horizon"]),
            features_table=str(facts["features_table"]),
            entity=str(facts["entity"]),
            feature_names=session.feature_names,
            session=session,
            calibrator=from_dict(read_json(CALIBRATOR)),
            residuals=ResidualTable.from_dict(read_json(RESIDUALS)),
            feature_tables={str(table): tuple(map(str, has)) for table, has in facts.get("feature_tables", {}).items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{SCORING} of {run} is damaged: {error!r}", remedy=remedy) from error
