"""Where things lie in the lake."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from trademl.errors import SnapshotError
from trademl.lake.layout import Layout, instant_name

LAYOUT = Layout(Path("/lake"))


@pytest.mark.parametrize(
    "instant",
    [
        "2015-06-30",
        "2015-06-30T00:00:00Z",
        "2015-06-29T20:00:00-04:00",
        datetime(2015, 6, 30),
        datetime(2015, 6, 30, tzinfo=UTC),
        datetime(2015, 6, 30, 2, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_equal_instants_share_one_folder(instant: str | datetime) -> None:
    """However an instant is written, its view lies in one folder named by its UTC time."""
    assert instant_name(instant) == "20150630T000000Z"
    assert LAYOUT.as_known(instant).current == Path("/lake/as_known/20150630T000000Z/CURRENT")


def test_views_share_objects_and_batches_but_not_manifests() -> None:
    """A time-machine view has its own pointer, manifests and warehouse; objects, batches and raw data are shared."""
    view = LAYOUT.as_known("2015-06-30")
    assert view.objects == LAYOUT.objects == Path("/lake/objects")
    assert view.batches("preds.equities") == LAYOUT.batches("preds.equities") == Path("/lake/preds/equities")
    assert view.raw("equity_bars") == Path("/lake/raw/equity_bars")
    assert view.manifest(7) == Path("/lake/as_known/20150630T000000Z/manifests/00000007.json")
    assert LAYOUT.manifest(7) == Path("/lake/manifests/00000007.json")
    assert view.warehouse != LAYOUT.warehouse == Path("/lake/warehouse.duckdb")


@pytest.mark.parametrize("name", ["preds.nothing", "equities", "../escape"])
def test_unknown_batch_table_is_refused(name: str) -> None:
    """A name that is not a batch table has no folder, and the message lists those that do."""
    with pytest.raises(SnapshotError, match=r"preds\.equities"):
        LAYOUT.batches(name)


def test_unknown_raw_dataset_is_refused() -> None:
    """A name that is not a raw dataset has no folder, and the message lists those that do."""
    with pytest.raises(SnapshotError, match="equity_bars"):
        LAYOUT.raw("bars")


def test_releases_lie_beside_manifests_and_share_objects() -> None:
    """Document, signature and pointers of releases; a table is an object with an ending, all else is one without."""
    digest = "ab" * 32
    assert LAYOUT.release(7) == Path("/lake/releases/00000007.json")
    assert LAYOUT.signature(7) == Path("/lake/releases/00000007.json.sig")
    assert LAYOUT.released == Path("/lake/RELEASED")
    assert LAYOUT.rolled_back == Path("/lake/ROLLED_BACK")
    assert LAYOUT.object(digest) == Path(f"/lake/objects/{digest}.parquet")
    assert LAYOUT.asset(digest) == Path(f"/lake/objects/{digest}")
    assert LAYOUT.parts == Path("/lake/objects/.part")
