"""What a data set of windows is told, and the columns that this makes of a file."""

import difflib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from trademl.config.reading import Section
from trademl.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

SPLITS = ("train", "val", "test")
TIMES = ("datetime", "date")
"""Names of the decision's column, the first that a table has."""

_NO_FEATURES = (*TIMES, "split")


class WindowConfig(Section):
    """Which rows of a table are windows, and what is in them.

    Attributes:
        horizon: sessions that the label looks ahead; names the label's column ``label_h{horizon}``.
        sequence_length: rows of a window: 1 for boosting, 60 and more for sequence models.
        label: the label's column, where it is called otherwise.
        features: columns in order; empty is every column but symbol, datetime, date, session, split and ``label*``.
        symbol: the column that windows never cross.
        session: a column of session numbers; with it, windows that cross a missing session are left out. Without, a
            window is the symbol's last rows, whatever time lies between them.
        start, end: first and last date of a decision. Windows reach back before ``start``: those features were known.
        require_label: leave out windows whose label is missing.
    """

    horizon: int = Field(ge=1)
    sequence_length: int = Field(default=1, ge=1, le=10_000)
    label: str | None = None
    features: tuple[str, ...] = ()
    symbol: str = "symbol"
    session: str | None = None
    start: date | None = None
    end: date | None = None
    require_label: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self

    @property
    def label_column(self) -> str:
        return self.label or f"label_h{self.horizon}"


class DatasetConfig(WindowConfig):
    """The same for up to three parquet files, which must have the same features in the same order.

    A window of one file never reaches into another; purge and embargo lie between them already.
    """

    train_path: Path
    val_path: Path | None = None
    test_path: Path | None = None

    def path_of(self, split: str) -> Path | None:
        """Return the file of ``split``: train, val or test; None where it is not configured."""
        paths: dict[str, Path | None] = {"train": self.train_path, "val": self.val_path, "test": self.test_path}
        return paths[split]


def read_split(config: DatasetConfig, split: str) -> "pa.Table":
    """Read what the windows of one file need, after comparing the columns of all files.

    Raises:
        ConfigError: a file or column is missing or wrong, or the files have different features.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if split not in SPLITS:
        raise ConfigError(f"split={split!r}", remedy=f"splits are {', '.join(SPLITS)}")
    faults, features, time = [], {}, ""
    for name in SPLITS:
        path = config.path_of(name)
        if path is None:
            if name == split:
                faults.append(f"{name}_path is not given, and split={split!r} is asked for")
            continue
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowInvalid) as error:
            told = "does not exist" if not path.exists() else f"is no parquet file: {error}"
            faults.append(f"{name}_path={path} {told}")
            continue
        features[name], found, more = columns_of(schema, config)
        faults += [f"{name}_path: {fault}" for fault in more]
        time = found if name == split else time
    first, *others = features or {"": ()}
    for name in others:
        if features[name] != features[first]:
            missing = [column for column in features[first] if column not in features[name]]
            extra = [column for column in features[name] if column not in features[first]]
            told = f"lacks {missing}, adds {extra}" if missing or extra else "has them in another order"
            faults.append(f"the features of {name}_path are not those of {first}_path: it {told}")
    refuse("dataset", faults)
    columns = [
        *features[split],
        config.label_column,
        config.symbol,
        time,
        *([config.session] if config.session else []),
    ]
    return pq.read_table(config.path_of(split), columns=list(dict.fromkeys(columns)), partitioning=None)


def columns_of(schema: "pa.Schema", config: WindowConfig) -> tuple[tuple[str, ...], str, list[str]]:
    """Return the features, the column of times, and what is wrong with the columns."""
    from pyarrow import types

    def number(kind: Any) -> bool:
        return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind))

    def text(kind: Any) -> bool:
        return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind))

    names = list(schema.names)
    time = next((name for name in TIMES if name in names), TIMES[0])
    keys = {time, config.symbol, config.label_column, config.session, *_NO_FEATURES}
    features = config.features or tuple(name for name in names if name not in keys and not name.startswith("label"))
    faults = [] if features else ["no column is left as a feature"]
    wanted: list[tuple[str, Any, str]] = [
        (time, lambda kind: types.is_date(kind) or types.is_timestamp(kind), "a date or timestamp"),
        (config.symbol, text, "a string"),
        (config.label_column, number, "a number"),
        *([(config.session, types.is_integer, "an integer")] if config.session else []),
        *((name, number, "a number") for name in features),
    ]
    for name, fits, need in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            faults.append(f"there is no column {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        elif not fits(schema.field(name).type):
            faults.append(f"the column {name!r} is {schema.field(name).type}, not {need}")
    twice = sorted({name for name in features if features.count(name) > 1})
    return features, time, faults + [f"features names {name!r} twice" for name in twice]


def refuse(origin: str, faults: Sequence[str]) -> None:
    """Raise all faults as one error, if there are any.

    Raises:
        ConfigError: there are.
    """
    if faults:
        raise ConfigError(
            f"{origin}: {'; '.join(faults)}", remedy="mend what is named above, in the file or the config"
        )
