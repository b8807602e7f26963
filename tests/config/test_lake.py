"""configs/lake.yml: its defaults, its limits, and where a source may be."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trademl.config import Home, load_section
from trademl.config.lake import LakeConfig, ScoringLimits, Source, parse_source, read_lake_config
from trademl.config.reading import validate_section
from trademl.errors import ConfigError

KEY = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="


def built(**fields: Any) -> LakeConfig:
    return validate_section(fields, LakeConfig, origin="test")


def test_the_file_that_comes_with_a_home_holds_the_defaults(repository: Path, home: Home) -> None:
    """configs/lake.yml says what the code says, and every field is in it."""
    shipped = load_section(repository / "configs" / "lake.yml", LakeConfig)
    assert shipped == LakeConfig() == read_lake_config(home)
    text = (repository / "configs" / "lake.yml").read_text()
    for name in (*LakeConfig.model_fields, *ScoringLimits.model_fields):
        assert f"{name}:" in text


def test_a_home_without_the_file_has_the_defaults(home: Home) -> None:
    """A home of an earlier version goes on working."""
    (home.configs / "lake.yml").unlink()
    assert read_lake_config(home) == LakeConfig()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("/srv/lake", Source("path", "/srv/lake")),
        ("/mnt/my disk/lake", Source("path", "/mnt/my disk/lake")),
        ("ssh://pi/srv/lake", Source("ssh", "/srv/lake", "pi")),
        ("ssh://me@10.0.0.7:2222/srv/lake/", Source("ssh", "/srv/lake", "10.0.0.7", "me", 2222)),
        (
            "ssh://trade_ml@lake.example.org/home/t.m/lake",
            Source("ssh", "/home/t.m/lake", "lake.example.org", "trade_ml"),
        ),
        ("s3://bucket", Source("s3", "", "bucket")),
        ("s3://my.bucket-1/deep/lake/", Source("s3", "deep/lake", "my.bucket-1")),
    ],
)
def test_a_source_is_taken_apart(text: str, expected: Source) -> None:
    """Three forms: a folder, a host with a folder, a bucket with a prefix."""
    assert parse_source(text) == expected
    assert built(source=text).source == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lake",
        "./lake",
        "~/lake",
        "/srv/../etc",
        "/srv/\nlake",
        "ssh://-oProxyCommand=touch${IFS}x/srv",
        "ssh://host",
        "ssh://host:0/srv",
        "ssh://host:70000/srv",
        "ssh://host:22x/srv",
        "ssh://-user@host/srv",
        "ssh://us er@host/srv",
        "ssh://a@b@host/srv",
        "ssh://host/-rf",
        "ssh://host/srv/-e",
        "ssh://host/srv;touch x",
        "ssh://host/srv$(touch x)",
        "ssh://host/srv/`id`",
        "ssh://host/srv/*",
        "ssh://host/a b",
        "ssh://host/a/../../etc",
        "ssh://host//srv",
        "host:/srv",
        "rsync://host/srv",
        "http://host/srv",
        "file:///srv",
        "s3://",
        "s3://Bucket/x",
        "s3://bucket/../x",
        "s3://bucket/x?versionId=1",
    ],
)
def test_what_is_no_source_is_refused(text: str) -> None:
    """Nothing that a shell, rsync or ssh could take for an option, a command or a way out passes."""
    with pytest.raises(ConfigError, match="source="):
        built(source=text)


@given(st.text(max_size=40))
def test_no_accepted_host_or_path_looks_like_an_option(text: str) -> None:
    """Whatever is put in place of host, user or path: what passes has plain characters and no leading dash."""
    for url in (f"ssh://{text}/srv", f"ssh://{text}@host/srv", f"ssh://host/{text}"):
        try:
            found = parse_source(url)
        except ValueError:
            continue
        words = [found.host, found.user or "user", *found.path.strip("/").split("/")]
        assert found.path.startswith("/")
        assert all(word and not word.startswith("-") and word != ".." for word in words)
        assert all(
            character.isascii() and (character.isalnum() or character in "._+@=,-/") for character in "".join(words)
        )


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"sources": "/x"}, "did you mean source"),
        ({"source": 5}, "source=5"),
        ({"trusted_keys": ["abc"]}, "no public key"),
        ({"trusted_keys": [KEY[:-4]]}, "no public key"),
        ({"trusted_keys": ["*" + KEY[1:]]}, "no public key"),
        ({"trusted_keys": KEY}, "trusted_keys"),
        ({"trusted_keys": ["A" * 100]}, "at most 64"),
        ({"bandwidth_limit_kib": 0}, "greater than or equal to 1"),
        ({"bandwidth_limit_kib": "100"}, "valid integer"),
        ({"keep_releases": 0}, "greater than or equal to 1"),
        ({"keep_releases": True}, "valid integer"),
        ({"keep_releases": 2.0}, "valid integer"),
        ({"expires_after_days": 0}, "greater than or equal to 1"),
        ({"expires_after_days": 367}, "less than or equal to 366"),
        ({"max_age_days": 0}, "greater than or equal to 1"),
        ({"max_clock_skew_minutes": -1}, "greater than or equal to 0"),
        ({"max_clock_skew_minutes": 1441}, "less than or equal to 1440"),
        ({"scoring": {"mode": "remote"}}, "'local' or 'fetch'"),
        ({"scoring": {"max_turnover": 1.5}}, "less than or equal to 1"),
        ({"scoring": {"max_turnover": 0.0}}, "greater than 0"),
        ({"scoring": {"max_feature_psi": float("nan")}}, "finite number"),
        ({"scoring": {"max_prediction_psi": "0.5"}}, "valid number"),
        ({"scoring": {"min_rows": 0}}, "greater than or equal to 1"),
        ({"scoring": {"min_row": 5}}, "did you mean min_rows"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], told: str) -> None:
    """Types are strict and ranges are sensible: a device runs unattended on what is written here."""
    with pytest.raises(ConfigError, match=told):
        built(**fields)


def test_everything_can_be_set() -> None:
    """Each field takes another value than its default."""
    config = built(
        source="ssh://pi@host/lake",
        trusted_keys=[KEY],
        bandwidth_limit_kib=200,
        keep_releases=7,
        expires_after_days=2,
        max_age_days=None,
        max_clock_skew_minutes=0,
        scoring={"mode": "fetch", "max_turnover": 1, "max_feature_psi": 0.1, "max_prediction_psi": 2.5, "min_rows": 5},
    )
    assert config.trusted_keys == (KEY,)
    assert config.scoring == ScoringLimits(
        mode="fetch", max_turnover=1.0, max_feature_psi=0.1, max_prediction_psi=2.5, min_rows=5
    )
    assert built(trusted_keys=None).trusted_keys == ()
