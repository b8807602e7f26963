"""The tests mirror the package."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "trademl"
TESTS = REPOSITORY / "tests"

# Folders of tests that do not belong to one package.
OTHER_TESTS = {"architecture", "docs", "end_to_end", "oracles", "warehouse"}

# Modules without a test file of their own name, and where they are tested.
TESTED_ELSEWHERE = {
    "__main__.py": "cli/test_main.py runs `python -m trademl`",
    "cli/ingest.py": "warehouse/ingest/test_command.py, beside the homes that it needs",
    "cli/reference.py": "docs/test_reference.py compares its page",
    "errors.py": "cli/test_main.py: messages, remedies and exit codes",
    "governance/data_audit/history.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/labels.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/matrix.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/prices.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/record.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/rows.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/scope.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/signal.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/twins.py": "governance/test_data_audit.py, each check by its name",
    "governance/data_audit/weights.py": "governance/test_data_audit.py, each check by its name",
    "models/boosting/catboost_config.py": "models/test_registry_contract.py and models/boosting/test_catboost.py",
    "models/boosting/lightgbm_config.py": "models/test_registry_contract.py and models/boosting/test_lightgbm.py",
    "models/boosting/xgboost_config.py": "models/test_registry_contract.py and models/boosting/test_xgboost.py",
    "log.py": "cli/test_main.py: the option --verbose",
    "warehouse/ingest/stage.py": "warehouse/ingest/test_files.py, test_records.py and test_run.py: what is read lands",
}


def module_paths() -> list[Path]:
    return sorted(
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py" and "_bundled" not in path.parts
    )


def files_of_tests() -> list[Path]:
    return sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))


def test_every_module_has_its_tests() -> None:
    """trademl/<package>/<module>.py is tested by tests/<package>/test_<module>.py, or by test_<module>_<topic>.py."""
    without = [
        str(module)
        for module in module_paths()
        if module.as_posix() not in TESTED_ELSEWHERE
        and not [
            *(TESTS / module.parent).glob(f"test_{module.stem}.py"),
            *(TESTS / module.parent).glob(f"test_{module.stem}_*.py"),
        ]
    ]
    assert without == []


def test_every_test_file_belongs_somewhere() -> None:
    """A test file under the name of a package tests a module of that package, or the package as a whole."""
    stray = []
    for test in files_of_tests():
        if test.parts[0] in OTHER_TESTS or len(test.parts) == 1:
            continue
        folder = PACKAGE / test.parent
        names = {path.stem for path in folder.glob("*") if path.stem != "__init__"} | {folder.name}
        topic = test.stem.removeprefix("test_")
        if not folder.is_dir() or not any(topic == name or topic.startswith(f"{name}_") for name in names):
            stray.append(str(test))
    assert stray == []


def test_the_list_of_exceptions_is_current() -> None:
    """Every module that is tested elsewhere still exists."""
    assert set(TESTED_ELSEWHERE) - {path.as_posix() for path in module_paths()} == set()
