"""Where things lie in the lake.

::

    lake/raw/<dataset>/<batch_id>/rows.parquet       landed, append-only
    lake/preds/<name>/*.parquet                      predictions, immutable batches
    lake/ops/<name>/*.parquet                        evidence, immutable batches
    lake/objects/<sha256>.parquet                    published tables, named by their content
    lake/objects/<sha256>                            what else a release needs: models, SQL, golden values
    lake/objects/.part/                              objects of which a pull has fetched a part
    lake/manifests/<seq>.json, lake/CURRENT          what a reader sees
    lake/releases/<seq>.json{,.sig}, lake/RELEASED   what devices may pull; on a device: what it pulled
    lake/ROLLED_BACK                                 on a device: the release it does not go back up to
    lake/as_known/<instant>/{manifests,CURRENT}      the same for a build as known at an instant
    lake/warehouse.duckdb                            the builder's own, disposable
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trademl.clock import parse_instant
from trademl.config.home import Home
from trademl.errors import ConfigError, SnapshotError
from trademl.schema import BATCHES, RAW


def instant_name(instant: datetime | str) -> str:
    """Return a folder name for a UTC instant; equal instants give equal names whatever their zone.

    >>> instant_name("2015-06-30")
    '20150630T000000Z'

    Raises:
        ConfigError: the text is not a date or timestamp.
    """
    try:
        moment = parse_instant(instant) if isinstance(instant, str) else instant
    except ValueError as error:
        raise ConfigError(
            f"{instant!r} is not a date or timestamp", remedy="write it in ISO 8601, as in 2015-06-30T16:15:00Z"
        ) from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    fraction = f"{moment.microsecond:06d}" if moment.microsecond else ""
    return f"{moment:%Y%m%dT%H%M%S}{fraction}Z"


@dataclass(frozen=True)
class Layout:
    """The paths of one lake; ``known_as_of`` names the time-machine view, None is the present.

    Only manifests, the pointer and the warehouse file differ between views: raw data, batches and objects are shared.
    """

    root: Path
    known_as_of: str | None = None

    def as_known(self, instant: datetime | str) -> "Layout":
        """Return the layout of the warehouse as it was known at ``instant`` (naive means UTC)."""
        return Layout(self.root, instant_name(instant))

    @property
    def base(self) -> Path:
        """The folder that holds this view's manifests, pointer and warehouse file."""
        return self.root if self.known_as_of is None else self.root / "as_known" / self.known_as_of

    @property
    def warehouse(self) -> Path:
        """The builder's database file of this view."""
        return self.base / "warehouse.duckdb"

    @property
    def manifests(self) -> Path:
        return self.base / "manifests"

    @property
    def current(self) -> Path:
        """The pointer: a text file that holds the sequence number of the manifest to read."""
        return self.base / "CURRENT"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def parts(self) -> Path:
        """Where a pull collects objects that are not whole yet; the next pull goes on with them."""
        return self.objects / ".part"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def released(self) -> Path:
        """The pointer for devices: the sequence number of the release to pull. Only a publisher has one."""
        return self.root / "RELEASED"

    @property
    def rolled_back(self) -> Path:
        """On a device that was rolled back: the number of the release that it left."""
        return self.root / "ROLLED_BACK"

    @property
    def publish_lock(self) -> Path:
        """Held while objects are written, a pointer is flipped, or objects are removed."""
        return self.root / ".publish.lock"

    def manifest(self, seq: int) -> Path:
        """Return the path of manifest ``seq``."""
        return self.manifests / f"{seq:08d}.json"

    def object(self, sha256: str) -> Path:
        """Return the path of the published object with this content."""
        return self.objects / f"{sha256}.parquet"

    def asset(self, sha256: str) -> Path:
        """Return the path of a released object that is no table."""
        return self.objects / sha256

    def release(self, seq: int) -> Path:
        """Return the path of release document ``seq``, the exact bytes that were signed."""
        return self.releases / f"{seq:08d}.json"

    def signature(self, seq: int) -> Path:
        """Return the path of the signature of release ``seq``."""
        return self.releases / f"{seq:08d}.json.sig"

    def raw(self, dataset: str) -> Path:
        """Return the folder of a raw dataset's batches.

        Raises:
            SnapshotError: ``dataset`` is not one of ``trademl.schema.RAW``.
        """
        if dataset not in RAW:
            raise SnapshotError(f"no raw dataset {dataset!r}", remedy=f"datasets are {', '.join(RAW)}")
        return self.root / "raw" / dataset

    def batches(self, table: str) -> Path:
        """Return the folder of a batch table such as ``preds.equities``.

        Raises:
            SnapshotError: ``table`` is not one of ``trademl.schema.BATCHES``.
        """
        if table not in BATCHES:
            raise SnapshotError(f"no batch table {table!r}", remedy=f"batch tables are {', '.join(BATCHES)}")
        schema, name = table.split(".")
        return self.root / schema / name

    def batch_files(self, table: str) -> list[Path]:
        """Return the batches of ``table`` that are complete, oldest first."""
        folder = self.batches(table)
        return sorted(folder.glob("[0-9]*.parquet")) if folder.is_dir() else []


def layout_of(home: Home) -> Layout:
    """Return the layout of a home's lake."""
    return Layout(home.lake)
