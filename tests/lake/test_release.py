"""Release documents: what is written is read, and nothing that contradicts itself is."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lake.small_release import BARS, BARS_COLUMNS, CALENDAR, CREATED, MODEL, SQL, server_in
from trademl.errors import ReleaseError
from trademl.lake.manifest import Manifest
from trademl.lake.reading import is_device
from trademl.lake.release import FORMAT, MAX_DOCUMENT, Release, parse_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return server_in(tmp_path_factory.mktemp("release")).make(7)


def test_a_document_is_read_as_it_was_written(release: Release) -> None:
    """Bytes to release and back are the same bytes; there is no blank or line break to disagree about."""
    raw = release.to_bytes()
    assert parse_release(raw) == release
    assert parse_release(raw).to_bytes() == raw
    assert b"\n" not in raw
    assert json.loads(raw)["format"] == FORMAT


def test_no_path_is_in_a_document(release: Release) -> None:
    """Objects are named by hash alone, and logical names have one slash and no dots but that of their ending."""
    text = release.to_bytes().decode()
    assert "objects/" not in text
    assert ".." not in text
    assert ".parquet" not in text


def test_objects_are_listed_once_with_their_size(release: Release) -> None:
    """Tables end in .parquet and assets in nothing; a file that two tables share is one object."""
    sizes = release.objects()
    bars = release.tables[BARS].files
    assert sizes[f"{bars[0].sha256}.parquet"] == bars[0].bytes
    assert sizes[release.assets[MODEL].sha256] == release.assets[MODEL].bytes
    assert len(sizes) == len(bars) + 1 + 2
    shared = release.model_copy(update={"tables": {**release.tables, "silver.twin": release.tables[BARS]}})
    assert shared.objects() == sizes


def test_the_manifest_made_from_it_shows_its_tables(release: Release) -> None:
    """Same columns, grain, files and rows, no batch and no view, and the mark by which a device's manifest is known."""
    manifest = release.to_manifest()
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.tables[BARS].columns == BARS_COLUMNS
    assert manifest.tables[BARS].grain == ("symbol", "date")
    assert [file.path for file in manifest.tables[CALENDAR].files] == [
        f"objects/{release.tables[CALENDAR].files[0].sha256}.parquet"
    ]
    assert manifest.tables[BARS].rows == 15
    assert (manifest.batches, manifest.views, manifest.as_known_at) == ({}, {}, None)
    assert is_device(manifest)
    assert {file.sha256 for file in manifest.files()} == {
        name[:64] for name in release.objects() if name.endswith("et")
    }


def change(release: Release, **fields: Any) -> bytes:
    return json.dumps({**json.loads(release.to_bytes()), **fields}).encode()


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"tables": {"silver.x": {"columns": {"a": "INT"}, "grain": [], "files": [["x"]]}}}, "tables.silver.x.files.0"),
        ({"tables": {"secret.x": {"columns": {}, "grain": [], "files": []}}}, "should match pattern"),
        ({"tables": {"silver.x.y": {"columns": {}, "grain": [], "files": []}}}, "should match pattern"),
        ({"tables": {"silver.x": {"columns": {"A": "INT"}, "grain": [], "files": []}}}, "should match pattern"),
        ({"tables": {"silver.x": {"columns": {"a": "INT)"}, "grain": [], "files": []}}}, "not a plain column type"),
        ({"tables": {"silver.x": {"columns": {"a": "INT"}, "grain": ["b"], "files": []}}}, "grain of silver.x"),
        ({"assets": {"model/model.exe": ["0" * 64, 1]}}, "should match pattern"),
        ({"assets": {"model.onnx": ["0" * 64, 1]}}, "should match pattern"),
        ({"assets": {MODEL: ["0" * 63, 1]}}, "should match pattern"),
        ({"assets": {MODEL: ["0" * 64 + "\n", 1]}}, "should match pattern"),
        ({"assets": {MODEL: ["A" * 64, 1]}}, "should match pattern"),
        ({"assets": {MODEL: ["0" * 64, 1], SQL: ["0" * 64, 2]}}, "is listed with 2 and 1 bytes"),
        ({"model": {"run_id": "a/b", "label": "x", "horizon": 1, "status": "x"}}, "should match pattern"),
        ({"model": {"run_id": "a", "label": "x", "horizon": 0, "status": "x"}}, "greater than or equal to 1"),
        ({"seq": 0}, "greater than or equal to 1"),
        ({"format": 3}, "format 3, expected 1"),
        ({"sleeve": "../x"}, "should match pattern"),
        ({"git_revision": "x" * 65}, "at most 64"),
        ({"created": CREATED.replace(tzinfo=None).isoformat()}, "not two UTC times in order"),
        ({"expires": (CREATED - timedelta(days=1)).isoformat()}, "not two UTC times in order"),
        ({"as_of": "2024-13-01"}, "as_of"),
        ({"views": {}}, "Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_is_named(release: Release, fields: dict[str, Any], told: str) -> None:
    """One field changed in an otherwise good document: refused, with the field or the rule."""
    with pytest.raises(ReleaseError, match=told):
        parse_release(change(release, **fields))


def test_a_field_that_is_missing_is_named(release: Release) -> None:
    """No field has a silent default but the format."""
    whole = json.loads(release.to_bytes())
    for name in set(whole) - {"format"}:
        with pytest.raises(ReleaseError, match=f"{name}: Field required"):
            parse_release(json.dumps({key: value for key, value in whole.items() if key != name}).encode())


def test_a_document_has_a_largest_size(release: Release) -> None:
    """Blanks up to the limit are read, a byte more is not."""
    raw = release.to_bytes()
    assert parse_release(raw + b" " * (MAX_DOCUMENT - len(raw))) == release
    with pytest.raises(ReleaseError, match=f"has {MAX_DOCUMENT + 1} bytes, the limit is {MAX_DOCUMENT}"):
        parse_release(raw + b" " * (MAX_DOCUMENT + 1 - len(raw)))


@given(raw=st.binary(max_size=200))
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    """Whatever is given is a release or a ReleaseError."""
    with pytest.raises(ReleaseError):
        parse_release(raw)


@given(
    kind=st.one_of(
        st.text(max_size=30), st.from_regex(r"[A-Z][A-Z ]*(\([0-9, ]*\))?(\[\])?[;) '\"a-z-]?", fullmatch=True)
    )
)
def test_a_column_type_is_a_plain_name(release: Release, kind: str) -> None:
    """Whatever passes as a type, which becomes part of a cast, has neither quote, semicolon, comment nor lower case."""
    tables = {"silver.x": {"columns": {"a": kind}, "grain": [], "files": []}}
    try:
        parse_release(change(release, tables=tables))
    except ReleaseError:
        return
    assert set(kind) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789(),[]")
    assert kind.count("(") == kind.count(")") <= 1


def test_the_documented_types_pass(release: Release, tmp_path: Path) -> None:
    """Every type that the warehouse publishes can be in a release."""
    kinds = ["BIGINT", "DOUBLE", "DECIMAL(38,0)", "DECIMAL(9, 2)", "VARCHAR[]", "TIMESTAMP WITH TIME ZONE", "HUGEINT"]
    columns = {f"c_{number}": kind for number, kind in enumerate(kinds)}
    tables = {"silver.x": {"columns": columns, "grain": [], "files": []}}
    assert parse_release(change(release, tables=tables)).tables["silver.x"].columns == columns
