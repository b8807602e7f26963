"""``trademl init``: make a home from the project files that the package carries."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import click

import trademl
from trademl.errors import ConfigError

MARKER = Path("configs") / "trademl.yml"
NOT_COPIED = ("target", "logs", "dbt_packages", ".user.yml", "*.duckdb", "*.duckdb.wal", "__pycache__")

LAKE_README = """\
# lake

Data only: everything here but this file is written by trademl and kept out of version control.

    raw/<dataset>/<batch>/     landed rows and quarantine, immutable, append-only: never delete
    preds/, ops/               predictions and evidence, immutable batches: never delete
    reports/                   the daily reports of `trademl score` and `trademl edge score`
    journal/                   on a device: the feature vectors that it served: never delete
    objects/, manifests/       the published snapshots, and CURRENT, which names the one to read
    releases/                  signed releases, and RELEASED, which names the one that devices may pull
    warehouse.duckdb           the builder's own file: safe to delete, `trademl build` makes it again
"""

MODELS_README = """\
# models_artifacts

One folder per training run, `<sleeve>/<run_id>/`: checkpoints, features, config, predictions, metrics, plots, card.md
and manifest.json with the sha256 of every file. Kept out of version control. A complete run folder is never changed.
"""


@click.command(short_help="Make a home.")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
def init(directory: Path) -> None:
    """Make a home in DIR: configs/, dbt_project/, lake/ and models_artifacts/.

    A folder that is a home already is left as it is; any other folder that holds one of these names is refused.
    """
    root = directory.expanduser().resolve()
    if (root / MARKER).is_file():
        click.echo(f"{root} is a home already; nothing was changed")
        return
    made = make_home(root, bundle())
    click.echo(f"made a home in {root}: {', '.join(made)}")
    click.echo(f"next: cd {directory} && trademl simulate && trademl ingest --help")


def bundle() -> Path:
    """Return the folder with the default ``configs`` and ``dbt_project``: inside the wheel, or the checkout.

    Raises:
        ConfigError: neither is there, so the installation is broken.
    """
    package = Path(trademl.__file__).parent
    for folder in (package / "_bundled", package.parent):
        if (folder / MARKER).is_file() and (folder / "dbt_project" / "dbt_project.yml").is_file():
            return folder
    raise ConfigError(
        f"the installation in {package} carries neither configs nor dbt_project",
        remedy="install trademl again from its wheel or its checkout",
    )


def make_home(root: Path, source: Path) -> list[str]:
    """Copy the project files of ``source`` into ``root`` and return the names made there.

    The marker ``configs/trademl.yml`` is written last, so an interrupted copy is not taken for a home.

    Raises:
        ConfigError: ``root`` already holds something under one of the names.
    """
    names = ["configs", "dbt_project", "lake", "models_artifacts"]
    taken = _occupied(root, names)
    if taken:
        raise ConfigError(
            f"{root} is not a home, but already has {', '.join(taken)}",
            remedy="choose a new or empty folder, or move those aside",
        )
    for name in ("dbt_project", "configs"):
        shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns(*NOT_COPIED, MARKER.name))
    for name, text in (("lake", LAKE_README), ("models_artifacts", MODELS_README)):
        (root / name).mkdir(parents=True)
        (root / name / "README.md").write_text(text, encoding="utf-8")
    shutil.copyfile(source / MARKER, root / MARKER)
    return [f"{name}/" for name in names]


def _occupied(root: Path, names: Iterable[str]) -> list[str]:
    return [name for name in names if (root / name).exists()]
