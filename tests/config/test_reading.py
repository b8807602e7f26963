"""Configuration files become sections, or one error that says everything."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pytest
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from trademl.config import Section, load_section
from trademl.config.reading import validate_section
from trademl.errors import ConfigError


class Folds(Section):
    """A nested section."""

    n_folds: int = Field(default=8, ge=2)
    embargo: int = 10


class Study(Section):
    """A section as sleeves have it."""

    label: str = "fwd_5d"
    rounds: int = 200
    folds: Folds = Folds()


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_a_section(tmp_path: Path) -> None:
    """Keys of the file replace defaults, also in nested sections."""
    found = load_section(write(tmp_path, "rounds: 50\nfolds: {n_folds: 5}\n"), Study)
    assert found == Study(label="fwd_5d", rounds=50, folds=Folds(n_folds=5, embargo=10))


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    """A file with nothing but a comment is the section's defaults."""
    assert load_section(write(tmp_path, "# nothing yet\n"), Study) == Study()


def test_options_win_over_the_file_unless_not_given(tmp_path: Path) -> None:
    """An override replaces the file's value; None means that the option was not typed."""
    path = write(tmp_path, "label: ret_1d\nrounds: 50\n")
    found = load_section(path, Study, {"rounds": 7, "label": None})
    assert (found.label, found.rounds) == ("ret_1d", 7)


def test_a_misspelt_key_gets_its_neighbour(tmp_path: Path) -> None:
    """An unknown key is refused, with the nearest field of the section that it stands in."""
    path = write(tmp_path, "roudns: 50\nfolds: {embrago: 3}\n")
    with pytest.raises(ConfigError, match=r"roudns is not a field; did you mean rounds\?") as caught:
        load_section(path, Study)
    assert "folds.embrago is not a field; did you mean embargo?" in caught.value.message


def test_a_key_like_no_other_gets_the_list(tmp_path: Path) -> None:
    """Where nothing is near, the message lists the fields."""
    with pytest.raises(ConfigError, match="zzz is not a field; fields are folds, label, rounds"):
        load_section(write(tmp_path, "zzz: 1\n"), Study)


def test_all_wrong_values_are_listed_at_once(tmp_path: Path) -> None:
    """Two wrong fields are two parts of one message with the values received, and the exit code is 2."""
    with pytest.raises(ConfigError) as caught:
        load_section(write(tmp_path, "rounds: many\nfolds: {n_folds: 1}\n"), Study)
    assert "rounds='many'" in caught.value.message
    assert "folds.n_folds=1" in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text,said", [("- a\n- b\n", "holds a list, not a mapping"), ("a: [1\n", "is not valid YAML")])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A list, and text that is not YAML, are named for what they are."""
    with pytest.raises(ConfigError, match=said):
        load_section(write(tmp_path, text), Study)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path that does not exist is in the message."""
    with pytest.raises(ConfigError, match=r"no configuration file .*absent\.yml"):
        load_section(tmp_path / "absent.yml", Study)


def test_a_section_cannot_be_changed() -> None:
    """Sections are frozen: what was read is what runs."""
    with pytest.raises(ValidationError, match="frozen"):
        Study().rounds = 3


def _by_kind(raw: Any) -> Folds:
    return validate_section(raw, Folds, origin="inner")


class Plan(Section):
    """A section whose fields are of every kind."""

    name: str
    purge: Literal["all", "entity"] = "all"
    first: int = 0
    last: int = 9
    again: Folds | None = None
    many: tuple[Folds, ...] = ()
    named: dict[str, Folds] = Field(default_factory=dict)
    read: Annotated[Folds, BeforeValidator(_by_kind)] = Folds()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"first {self.first} is after last {self.last}")
        return self


@pytest.mark.parametrize(
    "text, told",
    [
        ("purge: all", "study.yml: name is missing, and has no default"),
        ("name: a\npurge: entities", "purge='entities': Input should be 'all' or 'entity'; did you mean entity?"),
        ("name: a\nfirst: 10", "study.yml: first 10 is after last 9"),
        ("name: a\nagain: 8", "again=8: is a section; write its fields below it: n_folds, embargo"),
        ("name: a\nagain: {n_fold: 8}", "again.n_fold is not a field; did you mean n_folds?"),
        ("name: a\nmany: {n_folds: 8}", "many={'n_folds': 8}: Input should be a list, such as [{'n_folds': 8}]"),
        ("name: a\nmany: [{embrago: 1}]", "many.0.embrago is not a field; did you mean embargo?"),
        ("name: a\nnamed: {x: {embrago: 1}}", "named.x.embrago is not a field; did you mean embargo?"),
        ("name: a\nread: {n_folds: 1}", "study.yml: inner: n_folds=1: Input should be greater than or equal to 2"),
        ("name: a\nname: b", "the key 'name' stands in line 1 and again in line 2"),
        ("name: a\nmany:\n  - embargo: 1\n    embargo: 2", "the key 'embargo' stands in line 3 and again in line 4"),
    ],
)
def test_the_message_names_field_value_and_fix(tmp_path: Path, text: str, told: str) -> None:
    """Missing fields, choices, sections of sections, fields that read themselves, and keys that stand twice."""
    with pytest.raises(ConfigError) as caught:
        load_section(write(tmp_path, text), Plan)
    assert told in caught.value.message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are named for what they are."""
    path = tmp_path / "study.yml"
    path.write_bytes(b"label: \xff\xfe")
    with pytest.raises(ConfigError, match=r"study\.yml is not UTF-8 text"):
        load_section(path, Study)
