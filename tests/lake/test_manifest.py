"""Manifests: what a snapshot consists of, and how it is checked."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from trademl.errors import SnapshotError
from trademl.lake.files import sha256_file
from trademl.lake.layout import Layout
from trademl.lake.manifest import (
    FileEntry,
    Manifest,
    TableEntry,
    ViewEntry,
    current_seq,
    flip_current,
    next_seq,
    read_manifest,
    resolve,
    verify_files,
    write_manifest,
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


def manifest(layout: Layout, seq: int = 1) -> Manifest:
    """A manifest of one table with one real file."""
    layout.objects.mkdir(parents=True, exist_ok=True)
    path = layout.objects / "one.parquet"
    path.write_bytes(b"0123456789")
    entry = FileEntry(path="objects/one.parquet", sha256=sha256_file(path), bytes=10, rows=1)
    return Manifest(
        seq=seq,
        created=datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC),
        as_of=date(2020, 1, 1),
        as_known_at=None,
        git_revision="abc",
        build_id="b",
        invocation_id="i",
        definition_hash="d",
        warehouse_stamp="1:2",
        duckdb_version="2.0.0",
        tables={"gold.x": TableEntry(columns={"a": "INTEGER", "b c": "DOUBLE"}, grain=("a",), files=(entry,))},
        batches={"preds.equities": ()},
        views={"gold.v": ViewEntry(sql="create view gold.v as select 1", columns={"1": "INTEGER"})},
        coverage={"equity_bars": {"status": "GREEN", "coverage_ratio": 0.99}},
    )


def test_a_manifest_reads_back_as_it_was_written(layout: Layout) -> None:
    """Writing and reading are inverse, column order included."""
    written = manifest(layout)
    path = write_manifest(layout, written)
    assert path.name == "00000001.json"
    read = read_manifest(layout, 1)
    assert read == written
    assert list(read.tables["gold.x"].columns) == ["a", "b c"]


def test_a_number_is_never_used_twice(layout: Layout) -> None:
    """A manifest is not overwritten, and the next number lies above every one on disk, published or not."""
    write_manifest(layout, manifest(layout, 1))
    with pytest.raises(SnapshotError, match="exists already"):
        write_manifest(layout, manifest(layout, 1))
    write_manifest(layout, manifest(layout, 7))
    flip_current(layout, 1)
    assert next_seq(layout) == 8


def test_no_pointer_means_no_snapshot(layout: Layout) -> None:
    """Without CURRENT there is no number, and reading says which command makes a snapshot."""
    assert current_seq(layout) is None
    with pytest.raises(SnapshotError, match="trademl build"):
        read_manifest(layout)


@pytest.mark.parametrize("text", ["", "one", "-1", "1 2", "\x00"])
def test_a_pointer_that_is_no_number_is_refused(layout: Layout, text: str) -> None:
    """CURRENT holds digits or is refused with what it holds."""
    layout.root.mkdir(parents=True)
    layout.current.write_text(text)
    with pytest.raises(SnapshotError, match="not a number"):
        current_seq(layout)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seq": 1}', '{"format": 2}'])
def test_a_damaged_manifest_is_refused(layout: Layout, text: str) -> None:
    """A file that is not a whole manifest of this format is refused, naming the file."""
    layout.manifests.mkdir(parents=True)
    layout.manifest(1).write_text(text)
    with pytest.raises(SnapshotError, match=r"00000001\.json is not a manifest"):
        read_manifest(layout, 1)


def test_a_manifest_under_another_number_is_refused(layout: Layout) -> None:
    """A manifest copied over another one is noticed by its own number."""
    layout.manifests.mkdir(parents=True)
    layout.manifest(2).write_text(manifest(layout, 1).model_dump_json())
    with pytest.raises(SnapshotError, match="seq 1; expected format 1 and seq 2"):
        read_manifest(layout, 2)


def test_files_are_verified_by_size_and_on_demand_by_content(layout: Layout) -> None:
    """A missing or shortened file is always noticed, a changed one of the same size when content is asked for."""
    checked = manifest(layout)
    path = layout.objects / "one.parquet"
    verify_files(layout, checked, content=True)
    path.write_bytes(b"012345678X")
    verify_files(layout, checked)
    with pytest.raises(SnapshotError, match="sha256"):
        verify_files(layout, checked, content=True)
    path.write_bytes(b"0123")
    with pytest.raises(SnapshotError, match="has 4 bytes, the manifest says 10"):
        verify_files(layout, checked)
    path.unlink()
    with pytest.raises(SnapshotError, match="is missing"):
        verify_files(layout, checked)


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.parquet", "objects/../../x"])
def test_a_path_out_of_the_lake_is_refused(layout: Layout, path: str) -> None:
    """A manifest cannot make a reader open a file outside the lake."""
    with pytest.raises(SnapshotError, match="not inside the lake"):
        resolve(layout, FileEntry(path=path, sha256="0", bytes=0, rows=0))
