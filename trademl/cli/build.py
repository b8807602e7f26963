"""``trademl build``: raw files to gold tables, tested, with a snapshot at the end."""

import sys
import time

import click


@click.command()
@click.option(
    "--as-known-at",
    metavar="TS",
    help="Rebuild the warehouse as it was known at this UTC instant, beside the present one.",
)
@click.option("--full-refresh", is_flag=True, help="Rebuild everything, not only what changed.")
@click.option("--select", metavar="NODES", help="A dbt selection; it never becomes a snapshot.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help="DuckDB threads; results do not depend on it.",
)
@click.option("--memory-limit", default="4GB", show_default=True, help="DuckDB's memory limit.")
@click.option("--hashes", is_flag=True, help="Print the content hash of every gold table at the end.")
def build(
    as_known_at: str | None, full_refresh: bool, select: str | None, threads: int, memory_limit: str, hashes: bool
) -> None:
    """Build bronze, silver and gold with dbt, run the tests, and publish the snapshot that readers use.

    Only the dates that new rows can change are rebuilt. A plain `dbt build` inside dbt_project/ does the same. Before
    anything is built the definitions of features are judged, as by `trademl features check`.
    """
    from trademl.config.home import find_home
    from trademl.warehouse.content import content_hashes
    from trademl.warehouse.dbt import NodeResult
    from trademl.warehouse.dbt import build as run_build
    from trademl.warehouse.feature_check import check_unless_unchanged

    started = time.monotonic()
    interactive = sys.stderr.isatty()

    def show(node: NodeResult, number: int, _total: int) -> None:
        if interactive:
            click.echo(f"\r\x1b[K  {number:>3} {node.kind} {node.name} {node.status}", nl=False, err=True)

    home = find_home()
    if (home.dbt_project / "dbt_project.yml").is_file():
        check_unless_unchanged(home)
    report = run_build(
        home,
        as_known_at=as_known_at,
        full_refresh=full_refresh,
        select=select,
        threads=threads,
        memory_limit=memory_limit,
        progress=show,
    )
    if interactive:
        click.echo("\r\x1b[K", nl=False, err=True)
    models = sum(node.kind == "model" for node in report.nodes)
    click.echo(
        f"built {models} models in {report.model_seconds:.1f} s, {report.tests} tests passed, "
        f"{time.monotonic() - started:.1f} s in all"
    )
    if report.snapshot is not None:
        click.echo(
            f"snapshot {report.snapshot.seq}: as of {report.snapshot.as_of}, {len(report.snapshot.tables)} tables"
        )
    if hashes:
        for table, (rows, digest) in content_hashes(report.warehouse).items():
            click.echo(f"  {table:<32} {rows:>12,} rows  {digest}")
