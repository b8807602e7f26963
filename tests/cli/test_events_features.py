"""`trademl events features` and `trademl events curate`."""

import json

import pytest
from click.testing import CliRunner, Result

from tests.sleeves.events.versions_home import FULL, MECHANICS, Events, publish
from trademl.cli.main import main
from trademl.config.home import Home

REASON = "the first table, there is nothing to compare it with"


@pytest.fixture
def ready(home: Home) -> Home:
    """A home with a snapshot of events."""
    publish(home, Events())
    return home


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home.root), "events", *arguments])


def test_a_version_is_built_listed_and_validated(ready: Home) -> None:
    """What was built, that it verifies, and where it stands in the list."""
    assert "not built" in run(ready, "features", "list").stdout
    built = run(ready, "features", "build", FULL)
    assert built.exit_code == 0, built.output
    assert f"{FULL}: 1100 events in 25 sessions, 6 features, 5 labels" in built.stdout
    assert "is there already and verifies" in run(ready, "features", "build", FULL).stdout
    checks = run(ready, "features", "validate", FULL)
    assert checks.exit_code == 0, checks.output
    assert checks.stdout.count("pass ") == 9
    listed = json.loads(run(ready, "features", "list", "--json").stdout)
    assert [(row["version"], row["built"], row["production"]) for row in listed] == [
        (MECHANICS, False, False),
        (FULL, True, False),
    ]


def test_a_version_that_fails_a_check_exits_with_1(ready: Home) -> None:
    """The check that failed is named, in words and in JSON."""
    run(ready, "features", "build", FULL)
    (ready.lake / "silver" / "features" / FULL / "date=2025-09-15" / "events.parquet").unlink()
    checks = run(ready, "features", "validate", FULL)
    assert checks.exit_code == 1
    assert "FAIL  files" in checks.stdout
    assert "fails 1 of 2 checks: files" in checks.stderr
    document = json.loads(run(ready, "features", "validate", FULL, "--json").stdout)
    assert [check["passed"] for check in document] == [False, True]


def test_curation_refuses_overrides_and_rolls_back(ready: Home) -> None:
    """A refusal exits as one of the gate does; with a reason the version is production; then back again."""
    for version in (FULL, MECHANICS):
        run(ready, "features", "build", version)
    refused = run(ready, "curate", FULL)
    assert refused.exit_code == 3
    assert "auc_direction" in refused.stderr
    done = run(ready, "curate", FULL, "--override", REASON)
    assert done.exit_code == 0, done.output
    assert f"overridden: {FULL} is the production version" in done.stdout
    assert "is the production version already" in run(ready, "curate", FULL).stdout
    assert f"* {FULL}" in run(ready, "features", "list").stdout
    run(ready, "curate", MECHANICS, "--override", REASON)
    back = run(ready, "curate", "--rollback", "--reason", "wrong columns", "--from", MECHANICS)
    assert back.exit_code == 0, back.output
    assert f"rolled_back: {FULL} is the production version, after {MECHANICS}" in back.stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "name a version"),
        ((FULL, "--rollback"), "takes neither"),
        ((FULL, "--reason", "x"), "belong to --rollback"),
    ],
)
def test_options_that_do_not_fit_are_refused(home: Home, arguments: tuple[str, ...], said: str) -> None:
    """The command line says what it cannot mean."""
    result = run(home, "curate", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_unknown_version_is_a_message(ready: Home) -> None:
    """The nearest name is offered."""
    result = run(ready, "features", "build", "v2.0_full")
    assert result.exit_code == 2
    assert f"did you mean {FULL}?" in result.stderr
