"""The journal of served vectors: every bit, once, whole."""

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from trademl.edge.journal import Journal, find_journals, journal_folder, read_journal, write_journal
from trademl.errors import ArtifactError, TripwireError
from trademl.lake.layout import Layout

STRANGE = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 3.4028235e38, 0.1]


def journal(**changes: object) -> Journal:
    X = np.array([STRANGE, STRANGE[::-1]], dtype=np.float32)
    made = Journal(
        sleeve="equities",
        as_of=date(2024, 1, 5),
        run_id="equities-fwd_5d-0123456789ab",
        release=7,
        scored_at=datetime(2024, 1, 5, 22),
        symbols=("A'B", "C"),
        feature_names=tuple(f"f{place}" for place in range(len(STRANGE))),
        X=X,
        yhat=np.array([0.1, -0.25]),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "lake")


def test_every_bit_comes_back(layout: Layout) -> None:
    """Signed zeros, infinities, denormals and missing values are read as they were written, in order."""
    path = write_journal(layout, journal())
    found = read_journal(path)
    assert path == layout.root / "journal" / "equities" / "2024-01-05_00000007.parquet"
    assert found.X.view(np.uint32).tolist() == journal().X.view(np.uint32).tolist()
    assert found.same_numbers(journal())
    assert (found.scored_at, found.as_of, found.release) == (datetime(2024, 1, 5, 22), date(2024, 1, 5), 7)


def test_anyone_can_read_it_with_sql(layout: Layout) -> None:
    """The file is plain parquet: a row per symbol, FLOAT features, and what was scored with what."""
    path = write_journal(layout, journal())
    kinds = {row[0]: row[1] for row in duckdb.sql(f"describe select * from '{path}'").fetchall()}
    assert kinds["f0"] == "FLOAT"
    assert {name: kinds[name] for name in ("symbol", "yhat", "as_of", "run_id", "release", "scored_at")} == {
        "symbol": "VARCHAR",
        "yhat": "DOUBLE",
        "as_of": "DATE",
        "run_id": "VARCHAR",
        "release": "INTEGER",
        "scored_at": "TIMESTAMP",
    }
    assert path.stat().st_mode & 0o777 == 0o444


def test_the_same_numbers_leave_the_first_file(layout: Layout) -> None:
    """Scoring again, later, keeps the file of the first time."""
    path = write_journal(layout, journal())
    before = path.read_bytes()
    write_journal(layout, journal(scored_at=datetime(2024, 1, 6)))
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["a bit of a feature", "a score", "a symbol", "a zero's sign"])
def test_other_numbers_from_the_same_release_are_a_tripwire(layout: Layout, what: str) -> None:
    """A device that computes something else the second time is not believed, and the first file stays."""
    path = write_journal(layout, journal())
    before = path.read_bytes()
    X = journal().X.copy()
    if what == "a bit of a feature":
        X[0, 7] = np.nextafter(X[0, 7], np.float32(1))
    if what == "a zero's sign":
        X[0, 0] = -0.0
    changes = {
        "a score": {"yhat": np.array([0.1, np.nextafter(-0.25, 0)])},
        "a symbol": {"symbols": ("A", "C")},
    }.get(what, {"X": X})
    with pytest.raises(TripwireError, match="other numbers for 2024-01-05 from the same release 7"):
        write_journal(layout, journal(**changes))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_feature_named_like_a_fact_is_refused(layout: Layout) -> None:
    """A feature called symbol would hide the symbols."""
    names = ("symbol", *journal().feature_names[1:])
    with pytest.raises(ArtifactError, match="symbol is a feature and a column"):
        write_journal(layout, journal(feature_names=names))


def test_what_is_no_journal_is_refused(layout: Layout, tmp_path: Path) -> None:
    """A missing file, another name, other bytes, and a journal under another date are each refused."""
    path = write_journal(layout, journal())
    with pytest.raises(ArtifactError, match="no journal"):
        read_journal(path.with_name("2024-01-06_00000007.parquet"))
    with pytest.raises(ArtifactError, match="no journal"):
        read_journal(path.with_name("journal.parquet"))
    renamed = tmp_path / "2024-01-06_00000007.parquet"
    renamed.write_bytes(path.read_bytes())
    with pytest.raises(ArtifactError, match="does not hold the one session and release of its name"):
        read_journal(renamed)
    renamed.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="is not a journal"):
        read_journal(renamed)
    duckdb.sql("select 'A' as symbol").write_parquet(str(renamed))
    with pytest.raises(ArtifactError, match="is not a journal"):
        read_journal(renamed)


def test_journals_of_a_folder_are_found_oldest_first(layout: Layout) -> None:
    """A folder gives its journals by date, a file itself, and an empty folder an error."""
    with pytest.raises(ArtifactError, match="no journal in"):
        find_journals(journal_folder(layout, "equities"))
    later = write_journal(layout, journal())
    earlier = write_journal(layout, journal(as_of=date(2024, 1, 3), release=6))
    (later.parent / ".incoming-1-ab").touch()
    assert find_journals(later.parent) == [earlier, later]
    assert find_journals(later) == [later]
