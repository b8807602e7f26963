"""Names and literals inside SQL text."""


def quoted(text: str) -> str:
    """Return ``text`` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return one name (a column, a schema) as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def qualified(relation: str) -> str:
    """Return a ``schema.name`` relation with both parts quoted.

    >>> qualified("gold.equities_features")
    '"gold"."equities_features"'
    """
    schema, _, name = relation.partition(".")
    return f"{identifier(schema)}.{identifier(name)}"
