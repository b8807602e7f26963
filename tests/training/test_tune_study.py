"""A study's memory on disk."""

from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from trademl.errors import ArtifactError, ConfigError
from trademl.training.search import SearchSpace
from trademl.training.tune_study import FILE, check_name, open_study, study_name

SPACE = SearchSpace.model_validate({"kind": "ridge", "parameters": {"penalty": {"values": [1.0, 2.0]}}})
SETTINGS: dict[str, Any] = {"label": "fwd_5d", "space": SPACE.model_dump(mode="json"), "seed": 7}


def test_a_study_is_there_again(tmp_path: Path) -> None:
    """What was added and told is read back by another opening, with its parameters and the very bits of its value."""
    value = 0.1 + 0.2
    with open_study(tmp_path / "s", SETTINGS, "median") as study:
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING, params={"penalty": 2.0}, distributions=SPACE.distributions(),
                user_attrs={"run_id": "r"},
            )
        )  # fmt: skip
    with open_study(tmp_path / "s", SETTINGS, "median") as study:
        assert [(trial.state, trial.params) for trial in study.trials] == [(TrialState.RUNNING, {"penalty": 2.0})]
        study.tell(0, value)
    with open_study(tmp_path / "s", SETTINGS, "none") as study:
        assert (study.trials[0].value, study.trials[0].user_attrs) == (value, {"run_id": "r"})
    assert [path.name for path in (tmp_path / "s").iterdir()] == [FILE]


def test_other_settings_are_another_study(tmp_path: Path) -> None:
    """The name of a study belongs to its settings, and the message says which differ."""
    with open_study(tmp_path / "s", SETTINGS, "median"):
        pass
    with (
        pytest.raises(ConfigError, match="other settings: seed"),
        open_study(tmp_path / "s", {**SETTINGS, "seed": 8}, "median"),
    ):
        pass
    assert study_name(SETTINGS) == study_name(dict(SETTINGS))
    assert study_name(SETTINGS) != study_name({**SETTINGS, "seed": 8})


def test_a_file_that_is_no_study_is_a_message(tmp_path: Path) -> None:
    """A damaged file is named with its remedy; it is not replaced."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / FILE).write_bytes(b"SQLite format 3\x00 torn" * 50)
    with pytest.raises(ArtifactError, match="cannot be read as a study"), open_study(tmp_path / "s", SETTINGS, "none"):
        pass
    assert (tmp_path / "s" / FILE).read_bytes().startswith(b"SQLite")


def test_what_a_killed_beginning_left_is_swept(tmp_path: Path) -> None:
    """A file that was being made when its process died is removed; the study begins."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / ".incoming-1-abc").write_bytes(b"half")
    with open_study(tmp_path / "s", SETTINGS, "none") as study:
        assert study.trials == []
    assert [path.name for path in (tmp_path / "s").iterdir()] == [FILE]


def test_odd_folders_hold_studies_too(tmp_path: Path) -> None:
    """Characters that mean something in a URL or a template are part of a path like any other."""
    folder = tmp_path / "a b%20{SCHEMA_VERSION}?x=1#y" / "s"
    with open_study(folder, SETTINGS, "none"):
        pass
    assert (folder / FILE).is_file()


@pytest.mark.parametrize("name", ["", ".hidden", "_trials", "a/b", "../x", "x" * 101])
def test_a_name_is_a_plain_folder(name: str) -> None:
    """Nothing that would leave the folder of studies, or hide in it."""
    with pytest.raises(ConfigError, match="no name of a study"):
        check_name(name)
    assert check_name("fwd_5d-lightgbm-0123") == "fwd_5d-lightgbm-0123"
