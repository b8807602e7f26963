"""What a data set of windows is told, and the columns that this makes of files."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.training.sequence_config import DatasetConfig, WindowConfig, columns_of, read_split
from trademl.training.sequences import TimeSeriesDataset

COLUMNS: dict[str, Any] = {
    "datetime": pa.array([0], type=pa.timestamp("us")),
    "symbol": ["A"],
    "momentum": [0.5],
    "volatility": pa.array([0.5], type=pa.float32()),
    "is_member": [True],
    "count": [3],
    "label_h5": [1.0],
    "label_h20": [1.0],
    "split": ["train"],
}


def table(**changed: Any) -> pa.Table:
    """One row, with columns replaced, or left out where None."""
    return pa.table({name: values for name, values in (COLUMNS | changed).items() if values is not None})


def test_features_are_what_is_neither_key_nor_label() -> None:
    """Every other column, in the file's order; the session column too is a key where it is named."""
    assert columns_of(table().schema, WindowConfig(horizon=5)) == (
        ("momentum", "volatility", "is_member", "count"),
        "datetime",
        [],
    )
    named = WindowConfig(horizon=5, session="count", features=("volatility", "momentum"))
    assert columns_of(table().schema, named)[0] == ("volatility", "momentum")
    assert "count" not in columns_of(table().schema, WindowConfig(horizon=5, session="count"))[0]
    later = table(datetime=None, date=pa.array([0], type=pa.date32()))
    assert columns_of(later.schema, WindowConfig(horizon=20, symbol="symbol"))[1:] == ("date", [])


def test_a_label_may_be_called_otherwise() -> None:
    """`label` names the column; without it the horizon does."""
    assert WindowConfig(horizon=20).label_column == "label_h20"
    renamed = table(target=[1.0])
    config = WindowConfig(horizon=5, label="target")
    assert config.label_column == "target"
    assert "target" not in TimeSeriesDataset.from_arrow(renamed, config).feature_names


def test_everything_wrong_with_the_columns_is_said_at_once() -> None:
    """Absent columns with the nearest name, wrong types and repeated features are one message."""
    odd = table(datetime=["2020-01-02"], symbol=[1], label_h5=["up"], momentum=["x"])
    config = WindowConfig(horizon=5, session="volatility", features=("momentum", "volatilty", "count", "count"))
    with pytest.raises(ConfigError) as caught:
        TimeSeriesDataset.from_arrow(odd, config)
    for told in (
        "the column 'datetime' is string, not a date or timestamp",
        "the column 'symbol' is int64, not a string",
        "the column 'label_h5' is string, not a number",
        "the column 'volatility' is float, not an integer",
        "the column 'momentum' is string, not a number",
        "there is no column 'volatilty'; did you mean volatility?",
        "features names 'count' twice",
    ):
        assert told in caught.value.message
    assert caught.value.remedy
    bare = pa.table({"date": pa.array([0], type=pa.date32()), "symbol": ["A"], "label_h5": [1.0]})
    with pytest.raises(ConfigError, match="no column is left as a feature"):
        TimeSeriesDataset.from_arrow(bare, WindowConfig(horizon=5))


def test_everything_wrong_with_the_files_is_said_at_once(tmp_path: Path) -> None:
    """A file that is absent, one that is no parquet, and columns of the third are one message."""
    (tmp_path / "val.parquet").write_text("datetime,symbol\n")
    pq.write_table(table(label_h5=None), tmp_path / "test.parquet")
    paths = {f"{name}_path": tmp_path / f"{name}.parquet" for name in ("train", "val", "test")}
    with pytest.raises(ConfigError) as caught:
        TimeSeriesDataset(DatasetConfig(**paths, horizon=5))  # type: ignore[arg-type]
    assert "train.parquet does not exist" in caught.value.message
    assert "val.parquet is no parquet file" in caught.value.message
    assert "test_path: there is no column 'label_h5'; did you mean label_h20?" in caught.value.message


@pytest.mark.parametrize(
    "other, told",
    [
        (
            table(momentum=None, extra=[1.0]),
            r"val_path are not those of train_path: it lacks \['momentum'\], adds \['extra",
        ),
        (table(momentum=None, split=None).append_column("momentum", pa.array([1.0])), "it has them in another order"),
    ],
)
def test_files_must_have_the_same_features(tmp_path: Path, other: pa.Table, told: str) -> None:
    """A column that one file lacks, adds or has elsewhere is told before anything is read."""
    pq.write_table(table(), tmp_path / "train.parquet")
    pq.write_table(other, tmp_path / "val.parquet")
    config = DatasetConfig(train_path=tmp_path / "train.parquet", val_path=tmp_path / "val.parquet", horizon=5)
    with pytest.raises(ConfigError, match=told):
        TimeSeriesDataset(config)


def test_only_what_windows_need_is_read(tmp_path: Path) -> None:
    """The other labels and the split stay in the file."""
    pq.write_table(table(), tmp_path / "train.parquet")
    config = DatasetConfig(train_path=tmp_path / "train.parquet", horizon=5, features=("count",))
    assert read_split(config, "train").column_names == ["count", "label_h5", "symbol", "datetime"]
    with pytest.raises(ConfigError, match="test_path is not given, and split='test' is asked for"):
        TimeSeriesDataset(config, "test")
    with pytest.raises(ConfigError, match="split='valid'") as caught:
        TimeSeriesDataset(config, "valid")  # type: ignore[arg-type]
    assert caught.value.remedy == "splits are train, val, test"


@pytest.mark.parametrize(
    "field, value, told",
    [
        ("horizon", 0, "horizon=0: Input should be greater than or equal to 1"),
        ("sequence_length", 0, "sequence_length=0: Input should be greater than or equal to 1"),
        ("sequense_length", 60, r"sequense_length is not a field; did you mean sequence_length\?"),
        ("end", "1999-01-01", "start 2000-01-01 is after end 1999-01-01"),
        ("start", "soon", "start='soon'"),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, told: str) -> None:
    """Each message has the field, the value, and the limit or the nearest name."""
    raw = {"train_path": "train.parquet", "horizon": 5, "start": "2000-01-01", field: value}
    with pytest.raises(ConfigError, match=told):
        validate_section(raw, DatasetConfig, origin="dataset")
