"""Files and footers against what a release says; the attacks themselves are in test_pull.py."""

import hashlib
import os
from pathlib import Path

import pytest

from tests.lake.small_release import BARS, Server, server_in
from trademl.errors import ReleaseError
from trademl.lake.checks import check_footers, digest_of, fault_of, faulty_objects
from trademl.lake.files import write_atomic
from trademl.lake.release import Part

RAW = b"some bytes"
DIGEST = hashlib.sha256(RAW).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return server_in(tmp_path)


def test_a_file_is_what_it_should_be_or_told_why_not(tmp_path: Path) -> None:
    """Missing, a folder, a link to the right bytes, a pipe, another size, another hash; and the right one."""
    path = tmp_path / "object"
    assert fault_of(path, 10, DIGEST) == "is missing"
    path.mkdir()
    assert fault_of(path, 10, DIGEST) == "is not a plain file"
    path.rmdir()
    (tmp_path / "right").write_bytes(RAW)
    path.symlink_to(tmp_path / "right")
    assert fault_of(path, 10, DIGEST) == "is not a plain file"
    path.unlink()
    os.mkfifo(path)
    assert fault_of(path, 10, DIGEST) == "is not a plain file"
    path.unlink()
    path.write_bytes(RAW + b"!")
    assert fault_of(path, 10, DIGEST) == "has 11 bytes, the release says 10"
    path.write_bytes(b"some Bytes")
    assert fault_of(path, 10, DIGEST) == f"has sha256 {hashlib.sha256(b'some Bytes').hexdigest()}"
    path.write_bytes(RAW)
    assert fault_of(path, 10, DIGEST) is None


def test_an_objects_name_states_its_hash() -> None:
    """With or without the ending of a table."""
    assert digest_of(f"{DIGEST}.parquet") == digest_of(DIGEST) == DIGEST


def test_only_faulty_objects_are_told(server: Server) -> None:
    """Of six objects the two that were touched."""
    release = server.make(1)
    names = sorted(release.objects())
    (server.layout.objects / names[0]).unlink()
    write_atomic(server.layout.objects / names[1], b"x")
    found = faulty_objects(server.layout, release.objects())
    assert set(found) == set(names[:2])
    assert found[names[0]] == "is missing"


def test_good_footers_pass(server: Server) -> None:
    """Nested columns, a 128-bit integer that parquet stores as a decimal, and a table without files."""
    release = server.make(1)
    check_footers(server.layout, release)
    empty = release.tables[BARS].model_copy(update={"files": ()})
    check_footers(server.layout, release.model_copy(update={"tables": {BARS: empty}}))


def test_every_file_of_a_table_is_looked_at(server: Server) -> None:
    """The one of three whose columns differ is named, wherever it stands."""
    release = server.make(1)
    other = Part("x", *server.table_object("select 'a' as symbol, date '2024-01-01' as date, 1 as close"))
    files = release.tables[BARS].files
    for place in range(4):
        table = release.tables[BARS].model_copy(update={"files": (*files[:place], other, *files[place:])})
        with pytest.raises(ReleaseError, match=f"object {other.sha256} of {BARS} has"):
            check_footers(server.layout, release.model_copy(update={"tables": {BARS: table}}))
