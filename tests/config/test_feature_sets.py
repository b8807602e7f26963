"""Feature sets as files."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trademl.config.feature_sets import (
    FeatureSet,
    changed_definitions,
    feature_set_names,
    read_feature_set,
    refuse_changed,
)
from trademl.config.home import Home
from trademl.errors import ConfigError

ONE, TWO = "1" * 64, "2" * 64


def document(**fields: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "version": 1,
        "description": "two columns",
        "features": ["a", "equities_risk.b"],
        "definitions": {"a": ONE, "equities_risk.b": TWO},
        **fields,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Home:
    """A home without a feature set."""
    (tmp_path / "configs" / "features").mkdir(parents=True)
    return Home(tmp_path)


def write(home: Home, stem: str = "small_v1", **fields: Any) -> None:
    (home.configs / "features" / f"{stem}.yml").write_text(yaml.safe_dump(document(**fields)))


def test_a_set_is_read_by_its_name(folder: Home) -> None:
    """The file's name is the set's name and version; its list keeps its order."""
    write(folder)
    found = read_feature_set(folder, "small_v1")
    assert (found.id, found.features) == ("small_v1", ("a", "equities_risk.b"))
    assert feature_set_names(folder) == ["small_v1"]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"features": ["a", "a"], "definitions": {"a": ONE}}, "features lists a more than once"),
        ({"features": ["a", "c", "equities_risk.b"]}, "definitions has no hash of c; `trademl features show"),
        ({"features": ["a"]}, "definitions has equities_risk.b, which features does not list"),
        ({"features": []}, "features"),
        ({"features": ["A"], "definitions": {"A": ONE}}, "features.0='A'"),
        ({"features": ["*_rank"], "definitions": {}}, "features.0"),
        ({"definitions": {"a": ONE, "equities_risk.b": "cafe"}}, "definitions.equities_risk.b='cafe'"),
        ({"version": 0}, "version=0"),
        ({"name": "Small"}, "name='Small'"),
        ({"descriptoin": "x"}, "descriptoin is not a field; did you mean description"),
        ({"version": 2}, "which is the set small_v2"),
    ],
)
def test_a_wrong_set_is_refused(folder: Home, fields: dict[str, Any], message: str) -> None:
    """Each fault names the field, the value and what it must be."""
    write(folder, **fields)
    with pytest.raises(ConfigError) as caught:
        read_feature_set(folder, "small_v1")
    assert message in str(caught.value)


def test_a_set_that_does_not_exist_has_a_nearest_name(folder: Home) -> None:
    """The message has the nearest set, and the remedy all of them; with none, where to write one."""
    with pytest.raises(ConfigError, match="is no feature set"):
        read_feature_set(folder, "small_v2")
    write(folder)
    with pytest.raises(ConfigError, match="did you mean small_v1") as caught:
        read_feature_set(folder, "small_v2")
    assert caught.value.remedy == "sets are small_v1"
    with pytest.raises(ConfigError, match="is no feature set"):
        read_feature_set(folder, "../trademl")


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_digest_is_of_list_order_and_definitions(order: list[str]) -> None:
    """Two sets have one digest exactly if they list the same columns, in one order, with the same definitions."""

    def made(features: list[str], **hashes: str) -> str:
        definitions = {name: hashlib.sha256(name.encode()).hexdigest() for name in features} | hashes
        return FeatureSet.model_validate(document(features=features, definitions=definitions)).digest()

    first = made(["a", "b", "c", "d"])
    assert (made(order) == first) == (order == ["a", "b", "c", "d"])
    assert made(order, a=ONE) != made(order)
    assert FeatureSet.model_validate(document(description="other")).digest() == (
        FeatureSet.model_validate(document()).digest()
    )


def test_only_what_is_there_and_differs_has_changed() -> None:
    """A definition that is not known is not judged; a changed one is named with both hashes."""
    chosen = FeatureSet.model_validate(document())
    assert changed_definitions(chosen, {"a": ONE}) == []
    (changed,) = changed_definitions(chosen, {"a": TWO, "equities_risk.b": TWO})
    assert (changed.feature, changed.expected, changed.found) == ("a", ONE, TWO)
    refuse_changed(chosen, {"a": ONE, "equities_risk.b": TWO}, "here")
    with pytest.raises(
        ConfigError, match=r"small_v1 pins 1 definition that here has otherwise: a: expected 1{16}, found 2{16}"
    ):
        refuse_changed(chosen, {"a": TWO}, "here")
