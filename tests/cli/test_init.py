import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from trademl.cli.init import LAKE_README, MODELS_README, bundle, make_home
from trademl.cli.main import main
from trademl.config import find_home
from trademl.errors import ConfigError


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_init_makes_a_home_that_is_found(tmp_path: Path) -> None:
    """`trademl init DIR` makes a folder that find_home accepts, with the project's SQL and configuration."""
    root = tmp_path / "new" / "home"
    result = CliRunner().invoke(main, ["init", str(root)])
    assert result.exit_code == 0, result.output
    home = find_home(root)
    assert home.root == root
    assert (home.dbt_project / "dbt_project.yml").is_file()
    assert (home.lake / "README.md").is_file()
    assert (home.models_artifacts / "README.md").is_file()


def test_init_of_an_empty_folder_is_fine(tmp_path: Path) -> None:
    """A folder that exists and is empty becomes a home."""
    assert CliRunner().invoke(main, ["init", str(tmp_path)]).exit_code == 0
    assert find_home(tmp_path).root == tmp_path


def test_init_twice_changes_nothing(tmp_path: Path) -> None:
    """A home is left as it is, edits included, and the command says so."""
    CliRunner().invoke(main, ["init", str(tmp_path)])
    (tmp_path / "configs" / "trademl.yml").write_text("home: 1\n# mine\n")
    before = files_of(tmp_path)
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert result.exit_code == 0
    assert "is a home already; nothing was changed" in result.stdout
    assert files_of(tmp_path) == before


def test_init_refuses_a_folder_with_configs_of_another_kind(tmp_path: Path) -> None:
    """A folder that has configs/ but is no home is refused with exit 2 and not touched."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yml").write_text("a: 1\n")
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert result.exit_code == 2
    assert "already has configs" in result.stderr
    assert "remedy:" in result.stderr
    assert list(files_of(tmp_path)) == ["configs/mine.yml"]


def test_what_tools_leave_behind_is_not_copied(tmp_path: Path) -> None:
    """dbt's target and logs, databases and caches stay where they are."""
    source = tmp_path / "source"
    (source / "configs").mkdir(parents=True)
    (source / "configs" / "trademl.yml").write_text("home: 1\n")
    for name in ("dbt_project.yml", "target/manifest.json", "logs/dbt.log", "models/a.sql", "dev.duckdb"):
        path = source / "dbt_project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    make_home(tmp_path / "home", source)
    copied = {name for name in files_of(tmp_path / "home") if name.startswith("dbt_project")}
    assert copied == {"dbt_project/dbt_project.yml", "dbt_project/models/a.sql"}


def test_the_marker_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that dies half-way leaves no home behind."""

    copy = shutil.copyfile

    def fail(source: Path, target: Path, **options: bool) -> object:
        if Path(target).name == "trademl.yml":
            raise OSError("disk full")
        return copy(source, target, **options)

    monkeypatch.setattr("trademl.cli.init.shutil.copyfile", fail)
    with pytest.raises(OSError, match="disk full"):
        make_home(tmp_path / "home", bundle())
    assert not (tmp_path / "home" / "configs" / "trademl.yml").exists()


def test_a_broken_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bundle and checkout the error says to install again."""
    monkeypatch.setattr("trademl.cli.init.trademl.__file__", str(tmp_path / "trademl" / "__init__.py"))
    with pytest.raises(ConfigError, match="carries neither configs nor dbt_project"):
        bundle()


def test_readmes_of_the_checkout_are_those_of_a_home(repository: Path) -> None:
    """lake/README.md and models_artifacts/README.md are the same in the repository and in every home."""
    assert (repository / "lake" / "README.md").read_text() == LAKE_README
    assert (repository / "models_artifacts" / "README.md").read_text() == MODELS_README
