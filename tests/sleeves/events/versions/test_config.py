"""What a version's configuration may say."""

import pytest

from trademl.config.home import Home
from trademl.errors import ConfigError
from trademl.sleeves.events.versions.config import (
    VersionConfig,
    check_name,
    read_version,
    version_names,
)


def test_the_packaged_versions_are_valid(home: Home) -> None:
    """A new home describes the two versions of the seed, each under its own name."""
    assert version_names(home) == ["v1.0_mechanics_only", "v2.0_full_ensemble"]
    assert [read_version(home, name).ablation for name in version_names(home)] == ["mechanics", "full"]


def test_the_description_is_not_part_of_the_content() -> None:
    """Two wordings of one version have one digest; another ablation has another."""
    first = VersionConfig(version="v1.0_a", description="one")
    assert first.digest() == VersionConfig(version="v1.0_a", description="two").digest()
    assert first.digest() != VersionConfig(version="v1.0_a", description="one", ablation="ta").digest()


@pytest.mark.parametrize("name", ["v1", "../v1.0_a", "v1.0_A", "v1.0_a'; drop", "v1.0_a/b", ""])
def test_a_name_that_is_no_version_is_refused(name: str) -> None:
    """A version's name is a folder's and stands in SQL: nothing but a number and plain words."""
    with pytest.raises(ConfigError, match="no name of a version"):
        check_name(name)


def test_a_file_of_another_name_is_refused(home: Home) -> None:
    """The file is called after the version that it describes."""
    folder = home.configs / "events" / "versions"
    (folder / "v3.0_other.yml").write_text("version: v3.1_other\ndescription: x\n")
    with pytest.raises(ConfigError, match=r"describes v3\.1_other"):
        read_version(home, "v3.0_other")


def test_dates_out_of_order_and_unknown_fields_are_refused(home: Home) -> None:
    """The message names the field."""
    folder = home.configs / "events" / "versions"
    (folder / "v3.0_a.yml").write_text("version: v3.0_a\ndescription: x\nstart: 2025-02-01\nend: 2025-01-01\n")
    with pytest.raises(ConfigError, match="is after end"):
        read_version(home, "v3.0_a")
    (folder / "v3.0_a.yml").write_text("version: v3.0_a\ndescription: x\nablations: full\n")
    with pytest.raises(ConfigError, match="ablation"):
        read_version(home, "v3.0_a")
