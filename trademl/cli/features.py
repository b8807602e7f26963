"""``trademl features``: list, show, diff and trace features; check their definitions; freeze a feature set."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from trademl.cli.params import Names

if TYPE_CHECKING:
    import duckdb

    from trademl.config.home import Home
    from trademl.reports.features import Feature, Filling, SetDifference, Use
    from trademl.warehouse.feature_macros import Evaluation

FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
_SHOWN = 12


@click.group(short_help="List, show, diff and trace features; check their definitions.")
def features() -> None:
    """Features: what each is, what it is made from, how it is filled, which sets list it and which runs use it.

    Read from the macros of dbt_project, so also of tables that are not built; how a column is filled, and who uses it,
    comes from the snapshot where there is one.
    """


@features.command("list", short_help="List the columns that hold features.")
@click.option("--table", metavar="NAME", help="Of this feature table only, such as equities_alpha158.")
@click.option("--family", metavar="NAME", help="Of this family only, such as rolling_trend.")
@click.option("--set", "chosen", metavar="NAME", help="Those of this feature set, in its order.")
@click.option("--twins", is_flag=True, help="Cross-sectional twins too.")
@click.option("--stats", is_flag=True, help="Share of NULL and drift of each, from the snapshot.")
@FORMAT
def list_command(
    table: str | None, family: str | None, chosen: str | None, twins: bool, stats: bool, form: str
) -> None:
    """List features: table, column, alias, family, unit, window, lookback, sets."""
    from trademl.cli.train import aligned
    from trademl.config.home import find_home
    from trademl.reports import features as reports
    from trademl.warehouse.feature_macros import evaluate

    home = find_home()
    evaluation = evaluate(home.dbt_project)
    found = _chosen(home, evaluation, table, family, chosen, twins)
    sets = reports.sets_with(home, evaluation)
    filled = _fillings(home, found) if stats else {}
    if form == "json":
        click.echo(
            json.dumps(
                [_document(one, sets, filled.get((one.table.name, one.column))) for one in found], indent=2, default=str
            )
        )
        return
    heading = ["table", "feature", "alias", "family", "unit", "window", "lookback", "sets"]
    rows = [[*heading, *(["null", "drift"] if stats else [])]]
    for one in found:
        row = [
            one.table.name,
            one.column,
            "" if one.suffix else one.definition.alias,
            one.definition.family,
            _unit(one),
            str(one.definition.window),
            str(one.definition.lookback),
            ", ".join(sets.get((one.table.name, one.column), [])),
        ]
        rows.append([*row, *(_numbers(filled.get((one.table.name, one.column))) if stats else [])])
    click.echo(aligned(rows))
    click.echo(f"{len(found)} features")


@features.command(short_help="Show one feature: formula, SQL, tests, filling, users.")
@click.argument("name")
@FORMAT
def show(name: str, form: str) -> None:
    """Show NAME: a column, table.column, or an alias such as KMID."""
    from trademl.config.home import find_home
    from trademl.reports import features as reports
    from trademl.warehouse.feature_macros import evaluate
    from trademl.warehouse.lineage import column_tests, read_models

    home = find_home()
    evaluation = evaluate(home.dbt_project)
    one = reports.find_feature(evaluation, name)
    sets = reports.sets_with(home, evaluation)
    tests = column_tests(home.dbt_project, read_models(home.dbt_project), one.table.model, one.column)
    filled, runs, lost = _from_snapshot(home, one)
    if form == "json":
        document = _document(one, sets, filled) | {
            "tests": [test.__dict__ for test in tests],
            "runs": [run.__dict__ for run in runs],
        }
        click.echo(json.dumps(document, indent=2, default=str))
    else:
        listed = sets.get((one.table.name, one.column), [])
        click.echo("\n".join(describe(one, listed, [f"{test.kind} {test.name}" for test in tests], filled, runs)))
    for line in lost:
        click.echo(f"warning: {line}", err=True)


@features.command(short_help="Compare two feature sets.")
@click.argument("first")
@click.argument("second")
@FORMAT
def diff(first: str, second: str, form: str) -> None:
    """Compare the feature sets FIRST and SECOND: columns of one alone, columns that they pin differently."""
    from trademl.config.feature_sets import read_feature_set
    from trademl.config.home import find_home
    from trademl.reports.features import compare_sets

    home = find_home()
    sets = [read_feature_set(home, name) for name in (first, second)]
    found = compare_sets(*sets)
    if form == "json":
        click.echo(json.dumps({"first": first, "second": second, **found.__dict__}, indent=2))
    else:
        click.echo("\n".join(describe_difference(first, second, [len(one.features) for one in sets], found)))


@features.command(short_help="Trace a feature: raw columns up to runs.")
@click.argument("name")
@FORMAT
def lineage(name: str, form: str) -> None:
    """Trace NAME: through gold, work, silver and bronze down to the raw columns, and on to sets and runs."""
    from trademl.config.home import find_home
    from trademl.reports import features as reports
    from trademl.warehouse.feature_macros import evaluate
    from trademl.warehouse.lineage import read_models

    home = find_home()
    evaluation = evaluate(home.dbt_project)
    one = reports.find_feature(evaluation, name)
    sets = reports.sets_with(home, evaluation).get((one.table.name, one.column), [])
    _, runs, lost = _from_snapshot(home, one, fill=False)
    tree = reports.lineage(one, read_models(home.dbt_project), sets, runs)
    click.echo(json.dumps(tree.document(), indent=2) if form == "json" else "\n".join(tree.lines()))
    for line in lost:
        click.echo(f"warning: {line}", err=True)


@features.command(short_help="Judge definitions and sets; name each fault's file and line.")
def check() -> None:
    """Judge every definition and every feature set, as `trademl build` does before it begins.

    Refused, with file, line and remedy: unknown columns and functions, a window below 1, a negative lag or lookback, a
    frame that ends after the row, a name that is wrong or taken, a missing unit, a definition that changed under a name
    that a set pins.
    """
    from trademl.config.feature_sets import feature_set_names
    from trademl.config.home import find_home
    from trademl.warehouse.feature_check import check_features

    home = find_home()
    evaluation = check_features(home)
    columns = sum(len(table.column_names()) for table in evaluation.tables)
    click.echo(f"{columns} columns of {len(evaluation.tables)} tables, {len(feature_set_names(home))} sets: no fault")


@features.command(short_help="Write a feature set, each column pinned to its definition.")
@click.argument("name")
@click.option("--columns", type=Names(), required=True, help="Columns or patterns, such as 'equities_alpha158.*'.")
@click.option("--description", required=True, help="What the set holds.")
def freeze(name: str, columns: list[str], description: str) -> None:
    """Write configs/features/NAME.yml, such as mine_v1. A set that is there is never changed."""
    from trademl.config.home import find_home
    from trademl.warehouse.feature_check import check_features
    from trademl.warehouse.feature_sets import freeze as write

    home = find_home()
    path, made, is_new = write(home, check_features(home), name, columns, description)
    click.echo(
        f"{'wrote' if is_new else 'unchanged:'} {path}: {len(made.features)} columns, digest {made.digest()[:16]}"
    )


def describe(
    one: "Feature", sets: Sequence[str], tests: Sequence[str], filled: "Filling | None", runs: "Sequence[Use]"
) -> list[str]:
    """Return a feature as lines of text."""
    from trademl.reports.features import SESSIONS

    own = one.definition
    lines = [
        f"feature    {one.table.name}.{one.column}" + (f", twin of {own.name}" if one.suffix else ""),
        f"alias      {own.alias}" if own.alias and not one.suffix else "",
        f"defined    {own.place}, family {own.family}",
        f"formula    {own.formula}",
        f"meaning    {own.description}" if own.description else "",
        f"unit       {_unit(one)}",
        f"window     {_sessions(own.window)}, lookback {_sessions(own.lookback)}",
        f"sources    {', '.join(own.sources)}",
        f"twins      {', '.join(own.name + suffix for suffix in own.suffixes if suffix)}"
        if own.suffixes != ("",)
        else "",
        f"version    {own.version}, definition {one.sha256}",
        f"sets       {', '.join(sets) or 'none'}",
        f"tests      {', '.join(tests) or 'none'}",
    ]
    if filled is None:
        lines.append(f"filling    the snapshot has no {one.relation}.{one.column}")
    else:
        drift = "not known" if filled.drift is None else f"{filled.drift:.3f}"
        lines += [
            f"filling    {filled.rows:,} rows of the universe, {filled.first} to {filled.last}, "
            f"{filled.null_rate:.2%} NULL",
            f"drift      PSI {drift}: the last {SESSIONS} sessions against the {SESSIONS} before",
        ]
    shown = [f"{run.run_id} ({run.model}, {run.label})" for run in runs[:_SHOWN]]
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    lines += [f"models     {', '.join(shown) or 'none'}{more}", "sql", *(f"  {line}" for line in own.sql.splitlines())]
    return [line for line in lines if line]


def describe_difference(first: str, second: str, sizes: Sequence[int], found: "SetDifference") -> list[str]:
    """Return the comparison of two sets as lines of text."""
    lines = [
        f"{first}: {sizes[0]} columns, {second}: {sizes[1]}, {found.common} in both, "
        f"{'in the same order' if found.same_order else 'in another order'}"
    ]
    for title, names in (
        (f"only in {first}", found.only_first),
        (f"only in {second}", found.only_second),
        ("defined otherwise", found.redefined),
    ):
        if names:
            lines += [f"{title} ({len(names)})", *(f"  {name}" for name in names)]
    return lines


def _chosen(
    home: "Home", evaluation: "Evaluation", table: str | None, family: str | None, chosen: str | None, twins: bool
) -> "list[Feature]":
    from trademl.config.feature_sets import read_feature_set
    from trademl.reports import features as reports

    found = reports.all_features(evaluation)
    _known("table", table, [one.name for one in evaluation.tables])
    _known("family", family, sorted({one.definition.family for one in found}))
    if chosen is not None:
        hashes = {one.name: one.definition_sha256() for one in evaluation.tables}
        places = {(one.table.name, one.column): one for one in found}
        found = [places[place] for place in reports.set_columns(read_feature_set(home, chosen), hashes)]
    elif not twins:
        found = [one for one in found if not one.suffix]
    return [one for one in found if table in (None, one.table.name) and family in (None, one.definition.family)]


def _known(option: str, value: str | None, known: Sequence[str]) -> None:
    import difflib

    from trademl.errors import ConfigError

    if value is not None and value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"`--{option} {value}` does not exist{hint}", remedy=f"choose one of {', '.join(known)}")


def _fillings(home: "Home", found: "Sequence[Feature]") -> "dict[tuple[str, str], Filling]":
    from trademl.reports.features import filling
    from trademl.warehouse.read import read_snapshot

    columns: dict[str, list[str]] = {}
    for one in found:
        columns.setdefault(one.table.name, []).append(one.column)
    with read_snapshot(home) as snapshot:
        return {
            (table, name): value
            for table, names in columns.items()
            for name, value in filling(snapshot.con, table, names).items()
        }


def _from_snapshot(home: "Home", one: "Feature", *, fill: bool = True) -> "tuple[Filling | None, list[Use], list[str]]":
    """Return what the snapshot knows of a feature; nothing where there is no snapshot yet."""
    from trademl.errors import SnapshotError
    from trademl.reports.features import filling, runs_with
    from trademl.warehouse.read import read_snapshot

    try:
        with read_snapshot(home) as snapshot:
            con: duckdb.DuckDBPyConnection = snapshot.con
            filled = filling(con, one.table.name, [one.column]).get(one.column) if fill else None
            runs, lost = runs_with(con, home, one.table.name, one.column)
    except SnapshotError as error:
        return None, [], [error.message]
    return filled, runs, lost


def _document(one: "Feature", sets: dict[tuple[str, str], list[str]], filled: "Filling | None") -> dict[str, Any]:
    own = one.definition
    return {
        "table": one.table.name,
        "feature": one.column,
        "twin_of": own.name if one.suffix else None,
        "alias": own.alias or None,
        "family": own.family,
        "file": own.place.file,
        "line": own.place.line,
        "formula": own.formula,
        "description": own.description or None,
        "unit": _unit(one),
        "window": own.window,
        "lookback": own.lookback,
        "sources": list(own.sources),
        "quantum": own.quantum,
        "version": own.version,
        "sql": own.sql,
        "sql_sha256": one.sha256,
        "sets": sets.get((one.table.name, one.column), []),
        "filling": None if filled is None else filled.__dict__,
    }


def _unit(one: "Feature") -> str:
    """Return the unit: ranks are fractions, other twins standard deviations."""
    if not one.suffix:
        return one.definition.unit
    return "fraction" if one.suffix == "_rank" else "standard deviations"


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"


def _numbers(filled: "Filling | None") -> list[str]:
    if filled is None:
        return ["not built", ""]
    return [f"{filled.null_rate:.2%}", "" if filled.drift is None else f"{filled.drift:.3f}"]
