"""Features that lie in other tables than the sleeve's own: which they are, and how they are read beside its rows."""

from collections.abc import Mapping, Sequence

from trademl.lake.names import identifier, qualified


def by_table(sources: Mapping[str, tuple[str, str]], features: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return, for each table of ``sources``, which of ``features`` lie in it, each with its column there."""
    found: dict[str, dict[str, str]] = {}
    for name in features:
        if name in sources:
            table, column = sources[name]
            found.setdefault(table, {})[name] = column
    return found


def with_sources(
    training: str, entity: str, sources: Mapping[str, tuple[str, str]], features: Sequence[str], where: str = "true"
) -> str:
    """Return the rows of a training table with the features that lie elsewhere beside its own, to follow FROM.

    Args:
        training: the training table.
        entity: its entity column, quoted.
        sources: table and column of features that it does not have.
        features: those that are asked for.
        where: a condition on the training table's rows.
    """
    tables = by_table(sources, features)
    if not tables:
        return f"(select * from {training} where {where})"
    added, joins = "", ""
    for number, (table, columns) in enumerate(tables.items()):
        added += "".join(
            f", features_{number}.{identifier(column)} as {identifier(name)}" for name, column in columns.items()
        )
        joins += (
            f" left join {qualified(table)} as features_{number} "
            f"on own.{entity} = features_{number}.{entity} and own.date = features_{number}.date"
        )
    return f"(select own.*{added} from (select * from {training} where {where}) as own{joins})"
