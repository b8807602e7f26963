"""An index on disk: whole or absent, and what was altered is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sleeves.events.past_events import FEATURES, make_events
from trademl.errors import ArtifactError
from trademl.sleeves.events.retrieval.files import read_index_file
from trademl.sleeves.events.retrieval.index import RetrievalIndex


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The ``index.json`` of a small index."""
    index = RetrievalIndex(FEATURES)
    index.fit(make_events(40))
    return index.save(tmp_path / "index")


def test_a_version_is_parquet_and_json_only(saved: Path) -> None:
    """No object file: the events as parquet, the rest as JSON, nothing unfinished beside them."""
    names = sorted(path.name for path in saved.parent.iterdir())
    found, parquet = read_index_file(saved.parent)
    assert names == sorted([f"{found.sha256[:16]}.parquet", f"{found.sha256[:16]}.json", "index.json"])
    assert parquet.read_bytes()[:4] == b"PAR1"
    assert json.loads(saved.read_text())["feature_names"] == list(FEATURES)


def test_the_same_events_are_the_same_version(saved: Path) -> None:
    """Saving again changes no byte; other events become a version beside the first, and the current one."""
    before = {path.name: path.read_bytes() for path in saved.parent.iterdir()}
    index = RetrievalIndex(FEATURES)
    index.fit(make_events(40).sample(frac=1, random_state=2))
    index.save(saved.parent)
    assert {path.name: path.read_bytes() for path in saved.parent.iterdir()} == before
    index.fit(make_events(41))
    index.save(saved.parent)
    assert len(list(saved.parent.glob("*.parquet"))) == 2
    assert RetrievalIndex.load(saved.parent).rows == 41
    first = next(path for path in before if path.endswith(".json") and path != "index.json")
    assert RetrievalIndex.load(saved.parent / first).rows == 40


def test_a_write_that_is_cut_off_leaves_the_old_version(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error before the pointer moves leaves the index as it was, and no unfinished file."""
    index = RetrievalIndex(FEATURES)
    index.fit(make_events(50))

    def breaks(path: str) -> None:
        Path(path).write_bytes(b"PAR1 half")
        raise OSError("disk full")

    monkeypatch.setattr(index.store, "write", breaks)
    with pytest.raises(OSError, match="disk full"):
        index.save(saved.parent)
    assert RetrievalIndex.load(saved).rows == 40
    assert len(list(saved.parent.iterdir())) == 3


def _altered(saved: Path, **fields: Any) -> None:
    text = json.loads(saved.read_text()) | fields
    saved.chmod(0o644)
    saved.write_text(json.dumps(text))


def test_what_is_altered_is_refused(saved: Path) -> None:
    """A parquet file with one other byte, of another size, or somewhere else is not read."""
    _, parquet = read_index_file(saved)
    whole = parquet.read_bytes()
    parquet.chmod(0o644)
    parquet.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="is not the file"):
        RetrievalIndex.load(saved)
    parquet.write_bytes(whole[:100])
    with pytest.raises(ArtifactError, match="100 bytes"):
        RetrievalIndex.load(saved)
    _altered(saved, file="../outside.parquet")
    with pytest.raises(ArtifactError, match="does not lie beside it"):
        RetrievalIndex.load(saved)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"format": 2}, "does not describe"),
        ({"mean": [0.0]}, "other numbers of features"),
        ({"surprise": 1}, "does not describe"),
    ],
)
def test_a_wrong_description_is_refused(saved: Path, fields: dict[str, Any], words: str) -> None:
    """A format from the future, lists of other lengths and unknown fields are named."""
    _altered(saved, **fields)
    with pytest.raises(ArtifactError, match=words):
        RetrievalIndex.load(saved)


def test_no_index_names_its_remedy(tmp_path: Path) -> None:
    """A folder without an index says how to make one; text that is not JSON is no index."""
    with pytest.raises(ArtifactError, match="trademl events index"):
        RetrievalIndex.load(tmp_path)
    (tmp_path / "index.json").write_text("not JSON")
    with pytest.raises(ArtifactError, match="does not describe"):
        RetrievalIndex.load(tmp_path)
