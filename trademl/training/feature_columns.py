"""The columns that a run trains on, found in the feature tables of a snapshot.

A sleeve has one core table, whose columns stand in the training table too, and may have further feature tables: one
row per entity and date as in the core table, joined when they are asked for. ``gold.feature_catalogue`` says which
column lies where and how it is defined.
"""

import difflib
import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from trademl.config.feature_sets import FeatureSet, refuse_changed, table_of
from trademl.errors import ConfigError, DataGateError
from trademl.lake.names import identifier, qualified
from trademl.training.config import SleeveTables, TrainingConfig

CATALOGUE = "gold.feature_catalogue"
SCHEMA = "gold"
_WILD = frozenset("*?[")
_SHOWN = 5


@dataclass(frozen=True)
class FeatureColumn:
    """One column of the matrix: ``name`` as the model knows it, read from ``column`` of ``table``.

    The name is the column's; where two chosen columns have one name, that of the table that is not the core's is
    ``<table>__<column>``, as a model's names are letters, digits and underscores.
    """

    name: str
    table: str
    column: str


@dataclass(frozen=True)
class _Catalogue:
    """What the snapshot's catalogue says: (table, column) -> sha256 of the definition; tables without their schema."""

    definitions: Mapping[tuple[str, str], str]

    @property
    def tables(self) -> list[str]:
        return sorted({table for table, _ in self.definitions})

    def tables_of(self, column: str) -> list[str]:
        return [table for table in self.tables if (table, column) in self.definitions]


def choose_columns(
    con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, config: TrainingConfig, feature_set: FeatureSet | None = None
) -> tuple[FeatureColumn, ...]:
    """Return the columns that the configuration's names and patterns, or its feature set, choose, each once, in order.

    Args:
        con: a snapshot's connection.
        sleeve: its core table and training table.
        config: what was asked for.
        feature_set: the set that ``config.feature_set`` names, as :func:`read_feature_set` returns it.

    Raises:
        ConfigError: a name or pattern fits no feature, a name lies in several tables, a table is not built, or a
            definition is not the one that the set pins.
    """
    if feature_set is not None:
        return _of_set(con, sleeve, feature_set)
    if config.feature_set is not None:
        raise ConfigError(
            f"the feature set {config.feature_set} was not read",
            remedy="pass what trademl.config.feature_sets.read_feature_set returns for it",
        )
    core = _core_columns(con, sleeve)
    chosen: list[tuple[str, str]] = []
    for wanted in config.features:
        chosen += _core_matches(sleeve, core, wanted) or _other_matches(con, sleeve, core, wanted)
    return _named(sleeve, chosen)


def reference(column: FeatureColumn, sleeve: SleeveTables) -> str:
    """Return how a configuration's ``features`` names the column: with its table, unless that is the core table."""
    return column.column if column.table == sleeve.features_table else f"{_bare(column.table)}.{column.column}"


def other_tables(columns: Sequence[FeatureColumn], sleeve: SleeveTables) -> dict[str, list[FeatureColumn]]:
    """Return the columns that the training table does not have, by the feature table that has them, in order."""
    found: dict[str, list[FeatureColumn]] = {}
    for column in columns:
        if column.table != sleeve.features_table or sleeve.features_joined:
            found.setdefault(column.table, []).append(column)
    return found


def require_rows(
    con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, columns: Sequence[FeatureColumn], where: str
) -> None:
    """Refuse a feature table that lacks training rows: one that is behind the core table.

    Args:
        con: a snapshot's connection.
        sleeve: the training table.
        columns: what is read.
        where: the condition on the training rows.

    Raises:
        DataGateError: naming the table, the rows that it lacks and the first date.
    """
    entity = identifier(sleeve.entity)
    for table in other_tables(columns, sleeve):
        missing, first = con.execute(
            f"select count(*), min(date) from (select date, {entity} from {sleeve.training} where {where}) as samples "
            f"anti join {qualified(table)} as features using (date, {entity})"
        ).fetchall()[0]
        if missing:
            raise DataGateError(
                f"{table} lacks {missing} of the training rows, the first of them on {first}",
                remedy="run `trademl build`, so that all feature tables are of one build",
            )


def _named(sleeve: SleeveTables, chosen: Sequence[tuple[str, str]]) -> tuple[FeatureColumn, ...]:
    """Return (table, column) pairs as columns of a matrix, each once."""
    pairs = list(dict.fromkeys(chosen))
    counts = Counter(column for _, column in pairs)
    return tuple(
        FeatureColumn(
            column if counts[column] == 1 or table == sleeve.features_table else f"{_bare(table)}__{column}",
            table,
            column,
        )
        for table, column in pairs
    )


def _core_columns(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables) -> list[str]:
    if sleeve.features_joined:
        return _numbers(con, sleeve.features_table)
    present = {row[0] for row in con.execute(f"describe {sleeve.training}").fetchall()}
    return [name for name in _numbers(con, sleeve.features_table) if name in present]


def _numbers(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    described = con.execute(f"describe {qualified(table)}").fetchall()
    return [name for name, kind, *_ in described if kind in ("FLOAT", "DOUBLE")]


def _core_matches(sleeve: SleeveTables, core: Sequence[str], wanted: str) -> list[tuple[str, str]]:
    table, _, pattern = wanted.rpartition(".")
    if table not in ("", _bare(sleeve.features_table)):
        return []
    return [(sleeve.features_table, name) for name in fnmatch.filter(core, pattern)]


def _other_matches(
    con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, core: Sequence[str], wanted: str
) -> list[tuple[str, str]]:
    """Return the columns of another feature table that ``wanted`` chooses; a pattern must name the table."""
    catalogue = _catalogue(con)
    table, _, pattern = wanted.rpartition(".")
    if not table and not _WILD & set(pattern):
        tables = [name for name in catalogue.tables_of(pattern) if name != _bare(sleeve.features_table)]
        if len(tables) > 1:
            raise _ambiguous(wanted, tables)
        if tables:
            table = tables[0]
    if not table or table == _bare(sleeve.features_table):
        raise _no_feature(wanted, core, sleeve.features_table)
    if table not in catalogue.tables:
        near = difflib.get_close_matches(table, catalogue.tables, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"features: {wanted!r} names the feature table {table!r}, which does not exist{hint}",
            remedy=f"feature tables are {', '.join(catalogue.tables) or _bare(sleeve.features_table)}",
        )
    present = _built(con, table, wanted)
    found = fnmatch.filter(present, pattern)
    if not found:
        raise _no_feature(wanted, present, f"{SCHEMA}.{table}")
    return [(f"{SCHEMA}.{table}", name) for name in found]


def _of_set(con: duckdb.DuckDBPyConnection, sleeve: SleeveTables, feature_set: FeatureSet) -> tuple[FeatureColumn, ...]:
    catalogue = _catalogue(con)
    if not catalogue.definitions:
        raise ConfigError(
            f"the snapshot has no {CATALOGUE} that says where the columns of {feature_set.id} lie",
            remedy="run `trademl build` with this version of trademl",
        )
    core = _bare(sleeve.features_table)
    columns: list[tuple[str, str]] = []
    hashes: dict[str, str] = {}
    built: dict[str, set[str]] = {core: set(_core_columns(con, sleeve))}
    for entry in feature_set.features:
        name = entry.rpartition(".")[2]
        having = {table: catalogue.definitions[table, name] for table in catalogue.tables_of(name)}
        table = table_of(feature_set, entry, having, core)
        if table is None and having and name == entry:
            raise _ambiguous(entry, list(having))
        if table is None:
            known = [column for _, column in catalogue.definitions]
            raise _no_feature(entry, known, CATALOGUE, f"the feature set {feature_set.id}")
        if table not in built:
            built[table] = set(_built(con, table, feature_set.id))
        if name not in built[table]:
            raise _not_built(f"{SCHEMA}.{table}.{name}", table, feature_set.id)
        columns.append((f"{SCHEMA}.{table}", name))
        hashes[entry] = having[table]
    refuse_changed(feature_set, hashes, CATALOGUE)
    return _named(sleeve, columns)


def _catalogue(con: duckdb.DuckDBPyConnection) -> _Catalogue:
    """Read the catalogue; one of a warehouse that knew no feature tables says nothing of them."""
    try:
        rows = con.execute(f"select table_name, name, sql_sha256 from {CATALOGUE} order by all").fetchall()
    except (duckdb.CatalogException, duckdb.BinderException):
        return _Catalogue({})
    return _Catalogue({(table, name): digest for table, name, digest in rows})


def _built(con: duckdb.DuckDBPyConnection, table: str, asked: str) -> list[str]:
    try:
        return _numbers(con, f"{SCHEMA}.{table}")
    except duckdb.CatalogException as error:
        raise _not_built(f"{SCHEMA}.{table}", table, asked) from error


def _bare(table: str) -> str:
    return table.rpartition(".")[2]


def _not_built(what: str, table: str, asked: str) -> ConfigError:
    return ConfigError(
        f"{asked} needs {what}, which the snapshot does not have",
        remedy=f"list {table} in `feature_tables` of dbt_project/dbt_project.yml, then run `trademl build`",
    )


def _ambiguous(wanted: str, tables: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"features: {wanted!r} is a column of {', '.join(tables)}",
        remedy=f"say which: {' or '.join(f'{table}.{wanted}' for table in tables)}",
    )


def _no_feature(wanted: str, known: Sequence[str], where: str, origin: str = "features") -> ConfigError:
    near = difflib.get_close_matches(wanted.rpartition(".")[2], known, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    lists = "`trademl features list`" if where == CATALOGUE else f'`trademl sql "describe {where}"`'
    return ConfigError(
        f"{origin}: {wanted!r} is none of the {len(known)} features in {where}{hint}", remedy=f"{lists} lists them"
    )
