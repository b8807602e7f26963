"""Which column of a source file is which field of a dataset."""

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from trademl.config.venues import VenueMap
from trademl.errors import ConfigError, IngestError
from trademl.schema import RawDataset
from trademl.warehouse.ingest.files import FileRefused, Inspected

SYNONYMS: dict[str, tuple[str, ...]] = {
    "symbol": ("ticker", "sym"),
    "date": ("timestamp", "datetime", "day", "session", "trade_date"),
    "volume": ("vol",),
    "dividend_amount": ("dividends", "dividend"),
    "split_coefficient": ("stock_splits", "split_factor", "split", "splits"),
    "start_date": ("start", "date_added", "from_date"),
    "end_date": ("end", "date_removed", "to_date"),
    "name": ("security", "company", "company_name"),
    "sector": ("gics_sector",),
    "series": ("series_name",),
    "value": ("close",),
    "ts": ("timestamp", "datetime", "time", "date"),
}
"""Names tried in this order when a file has no column of the field's own name. Case, blanks and signs do not count."""


@dataclass(frozen=True)
class Reading:
    """How the files of one command are read, beyond what their headers say.

    Attributes:
        mapping: field -> source column, from ``--map``.
        constants: field -> value for every row, from ``--symbol`` and ``--name``.
        symbol_from_name: a regular expression whose first group, searched in the file's name, is the symbol.
        date_format: a strptime format for dates that are not ISO 8601.
        calendar: the exchange calendar that dates are checked against.
        venue: how fills and account-days are written; None for every other dataset.
        time_zone: the zone of times that do not say their own; None for datasets of days.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    symbol_from_name: str | None = None
    date_format: str | None = None
    calendar: str = "XNYS"
    venue: VenueMap | None = None
    time_zone: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the reading as plain JSON: it is part of a file's identity."""
        told: dict[str, object] = {
            "mapping": dict(sorted(self.mapping.items())),
            "constants": dict(sorted(self.constants.items())),
            "symbol_from_name": self.symbol_from_name,
            "date_format": self.date_format,
            "calendar": self.calendar,
        }
        if self.venue is not None:
            digest = hashlib.sha256(self.venue.model_dump_json().encode()).hexdigest()
            told["venue"] = {"name": self.venue.venue, "sha256": digest}
        if self.time_zone is not None:
            told["time_zone"] = self.time_zone
        return told


@dataclass(frozen=True)
class Columns:
    """The resolved fields of one file: a field's column position, or its constant; absent fields are in neither."""

    position: Mapping[str, int]
    constant: Mapping[str, str]


def parse_map(items: tuple[str, ...], dataset: RawDataset) -> dict[str, str]:
    """Read ``--map FIELD=SOURCECOLUMN`` options.

    Raises:
        ConfigError: no ``=``, a field that the dataset does not have, or a field mapped twice.
    """
    mapping: dict[str, str] = {}
    for item in items:
        name, separator, column = item.partition("=")
        if not separator or not name or not column:
            raise ConfigError(f"--map {item!r} is not FIELD=SOURCECOLUMN", remedy="write for example --map open=Open")
        if name in mapping:
            raise ConfigError(f"--map names {name} twice ({mapping[name]!r} and {column!r})", remedy="keep one of them")
        mapping[name] = column
    check_fields(mapping, dataset)
    return mapping


def check_fields(mapping: Mapping[str, str], dataset: RawDataset) -> None:
    """Refuse mapped fields that ``dataset`` does not have.

    Raises:
        ConfigError: with the nearest field name.
    """
    for name in mapping:
        if name not in dataset.columns:
            near = difflib.get_close_matches(name, dataset.columns, n=1)
            hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(dataset.columns)}"
            raise ConfigError(f"--map {name}={mapping[name]}: {dataset.name} has no field {name!r}", remedy=hint)


def check_reading(reading: Reading, dataset: RawDataset) -> None:
    """Refuse a reading that cannot be meant for ``dataset``.

    Raises:
        ConfigError: an unknown mapped field, a constant for a mapped or unknown field, an expression without a group.
    """
    check_fields(reading.mapping, dataset)
    for name in reading.constants:
        if name not in dataset.columns:
            remedy = f"fields are {', '.join(dataset.columns)}"
            raise ConfigError(f"{dataset.name} has no field {name!r} to set", remedy=remedy)
        if name in reading.mapping:
            raise ConfigError(f"{name} is both mapped to a column and set to a constant", remedy="give only one")
    if reading.symbol_from_name is None:
        return
    if "symbol" not in dataset.columns:
        raise ConfigError(f"{dataset.name} has no symbol", remedy="leave out --symbol-from-name")
    try:
        groups = re.compile(reading.symbol_from_name).groups
    except re.error as error:
        raise ConfigError(
            f"--symbol-from-name {reading.symbol_from_name!r} is not a regular expression: {error}",
            remedy="write one group, such as 'DA-(.+)-T-'",
        ) from error
    if groups != 1 or "symbol" in reading.constants or "symbol" in reading.mapping:
        raise ConfigError(
            f"--symbol-from-name {reading.symbol_from_name!r} has {groups} groups, or the symbol is given twice",
            remedy="write one group, such as 'DA-(.+)-T-', and neither --symbol nor --map symbol=...",
        )


def resolve(file: Inspected, dataset: RawDataset, reading: Reading) -> Columns:
    """Find the column of each field of ``dataset`` in ``file``: mapped, of the same name, or a synonym.

    Raises:
        FileRefused: a required field has no column, or more than one; or the file's name does not give the symbol.
    """
    by_name: dict[str, list[int]] = {}
    for index, column in enumerate(file.columns):
        by_name.setdefault(_plain(column), []).append(index)
    constant = dict(reading.constants)
    if reading.symbol_from_name is not None:
        found = re.search(reading.symbol_from_name, file.source.path.name)
        if found is None or not found.group(1):
            raise FileRefused(
                "missing_column",
                f"its name {file.source.path.name!r} does not match --symbol-from-name {reading.symbol_from_name!r}",
                "mend the expression",
                "a name that gives the symbol",
            )
        constant["symbol"] = found.group(1)
    position: dict[str, int] = {}
    missing: list[str] = []
    for name in dataset.columns:
        if name in constant:
            continue
        found_at = _find(name, file, reading, by_name)
        if found_at is not None:
            position[name] = found_at
        elif name in dataset.required or name in dataset.key:
            missing.append(name)
    if missing:
        expected = f"a column for {', '.join(missing)}"
        raise FileRefused("missing_column", shown_columns(file), _missing_remedy(missing), expected)
    return Columns(position, constant)


def column_of(name: str, file: Inspected, candidates: tuple[str, ...]) -> int | None:
    """Return the position of the first of ``candidates`` that ``file`` has; case, blanks and signs do not count.

    Raises:
        FileRefused: the file has it more than once.
    """
    for candidate in candidates:
        indexes = [index for index, column in enumerate(file.columns) if _plain(column) == _plain(candidate)]
        if indexes:
            return _only(name, file, indexes)
    return None


def _find(name: str, file: Inspected, reading: Reading, by_name: Mapping[str, list[int]]) -> int | None:
    wanted = reading.mapping.get(name)
    if wanted is not None:
        if file.columns.count(wanted) == 1:
            return file.columns.index(wanted)
        indexes = by_name.get(_plain(wanted), [])
        if not indexes:
            raise FileRefused(
                "missing_column",
                shown_columns(file),
                f"correct --map {name}={wanted}",
                f"a column {wanted!r} for {name}",
            )
        return _only(name, file, indexes)
    for candidate in (name, *SYNONYMS.get(name, ())):
        indexes = by_name.get(candidate, [])
        if indexes:
            return _only(name, file, indexes)
    return None


def _only(name: str, file: Inspected, indexes: list[int]) -> int:
    if len(indexes) > 1:
        columns = ", ".join(repr(file.columns[index]) for index in indexes)
        raise FileRefused(
            "missing_column",
            f"{len(indexes)} columns could be {name}: {columns}",
            f"name one with --map {name}=COLUMN",
            f"one column for {name}",
        )
    return indexes[0]


def shown_columns(file: Inspected) -> str:
    """Return the columns of ``file`` as words of a message."""
    columns = ", ".join(column[:40] for column in file.columns[:12])
    more = f" and {len(file.columns) - 12} more" if len(file.columns) > 12 else ""
    return f"its columns are {columns}{more}"


def _missing_remedy(missing: list[str]) -> str:
    name = missing[0]
    if name == "symbol":
        return "name it with --map symbol=COLUMN, or give --symbol NAME or --symbol-from-name REGEX"
    if name == "series":
        return "give the series a name with --name"
    return f"name it with --map {name}=COLUMN"


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def require_series_name(dataset: RawDataset, name: str | None) -> dict[str, str]:
    """Return the constant that ``--name`` sets.

    Raises:
        IngestError: ``--name`` for a dataset other than series.
    """
    if name is None:
        return {}
    if dataset.name != "series":
        raise IngestError(f"--name {name!r} is for series, not for {dataset.name}", remedy="leave out --name")
    return {"series": name}
