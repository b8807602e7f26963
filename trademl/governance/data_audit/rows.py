"""Rows that should not be there, and features that are not those of their source.

Checks:

    row_duplicated               an entity and date that has several rows
    row_after_as_of              rows decided, ended or known after the last session of the data
    feature_differs_from_source  training rows whose features are not those of the feature table, same entity and date
    bar_without_features         bars known at their decision without a row of features: symbols or dates were dropped
"""

from datetime import date

from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.scope import PriceTables, Scope
from trademl.lake.names import identifier, qualified, quoted


def audit_rows(scope: Scope, as_of: date | None) -> list[AuditRow]:
    """Count duplicates, rows from the future, and features that were swapped on the way to training.

    Args:
        scope: the audit.
        as_of: last session with data; None: the last one with a bar, where prices are given.
    """
    return [_duplicates(scope), _future(scope, as_of), _sources(scope)]


def audit_bars(scope: Scope, prices: PriceTables) -> AuditRow:
    """Count bars of the audited dates without a row of features."""
    bars, missing, examples = scope.one(f"""
        with known as (
            select series.entity, series.t, sessions.date
            from {scope.table("series")} as series
            inner join {prices.calendar} as sessions on series.t = sessions.session_index
            where {scope.in_dates("sessions.date")}
        ),
        present as (
            select codes.entity, features.date
            from {scope.sleeve.features_table} as features
            inner join {scope.table("codes")} as codes on features.{scope.entity} = codes.name
        )
        select
            (select count(*) from known), count(*), list(distinct codes.name order by codes.name)[1:5]
        from (from known anti join present using (entity, date)) as missing
        inner join {scope.table("codes")} as codes using (entity)
    """)
    named = f", of {', '.join(examples)}" if examples else ""
    text = f"{missing} of {bars} bars have no row in {scope.sleeve.features_table}{named}"
    return scope.found("bar_without_features", missing, bars, text)


def _duplicates(scope: Scope) -> AuditRow:
    rows, extra, examples = scope.one(f"""
        select sum(n), sum(n - 1), list(name || ' ' || date order by name, date) filter (where n > 1)[1:3]
        from (select entity, date, count(*) as n from {scope.table("rows")} group by entity, date)
        inner join {scope.table("codes")} using (entity)
    """)
    named = f": {', '.join(examples)}" if examples else ""
    return scope.found("row_duplicated", extra, rows, f"{extra} of {rows} rows repeat an entity and date{named}")


def _future(scope: Scope, as_of: date | None) -> AuditRow:
    last = as_of
    if last is None and scope.prices is not None:
        last = scope.all(f"select max(date) from {scope.prices.bars}")[0][0]
    if last is None:
        return scope.found("row_after_as_of", 0, 0, "the last session of the data is not given")
    rows, late = scope.one(f"""
        select count(*), count_if(
            date > date '{last}' or label_end_date > date '{last}'
            or known_at > (select max(decision_at) from {scope.calendar} where date <= date '{last}')
        )
        from {scope.table("rows")}
    """)
    return scope.found("row_after_as_of", late, rows, f"{late} of {rows} rows are from after {last}")


def _sources(scope: Scope) -> AuditRow:
    table = scope.sleeve.features_table
    sourced, trained = scope.columns(table), scope.columns(scope.sleeve.training)
    shared = [name for name in scope.core_features if name in sourced and name in trained]
    others = [name for name in scope.core_features if name not in sourced]
    text = f"; not in {table}: {', '.join(others)}" if others else ""
    rows, violations, told = 0, 0, []
    for other, columns in scope.other_tables.items():
        compared, wrong, said = _joined(scope, other, len(columns))
        rows, violations = rows + compared, violations + wrong
        told.append(said)
    if not shared:
        own = [] if told else ["no feature to compare"]
        return scope.found("feature_differs_from_source", violations, rows, "; ".join([*own, *told]) + text)

    def bits(alias: str) -> str:
        return f"hash({', '.join(f'{alias}.{identifier(name)}' for name in shared)})"

    compared, without, differ = scope.one(f"""
        select
            count(*),
            count_if(features.{scope.entity} is null),
            count_if(features.{scope.entity} is not null and {bits("training")} <> {bits("features")})
        from {scope.sleeve.training} as training
        left join {table} as features
            on training.{scope.entity} = features.{scope.entity}
            and training.date = features.{identifier(scope.sleeve.features_date)}
        where training.label = {quoted(scope.label)} and {scope.in_dates("training.date")}
    """)
    own = [f"{len(shared)} features of {compared} rows: {differ} rows differ from {table}, {without} are not there"]
    return scope.found(
        "feature_differs_from_source",
        violations + without + differ,
        rows + compared,
        "; ".join([*own, *told]) + text,
    )


def _joined(scope: Scope, table: str, features: int) -> tuple[int, int, str]:
    """Count the training rows that a further feature table lacks, has twice, or knows only after the decision.

    The training table has no copy of its features, so there is nothing else to compare.
    """
    without, repeated, late = scope.one(f"""
        with other as (
            select {scope.entity} as name, date, count(*) as n, max(known_at) as known_at
            from {qualified(table)}
            where {scope.in_dates("date")}
            group by all
        )
        select
            count_if(other.name is null), count_if(other.n > 1), count_if((other.known_at > rows.decision_at) is true)
        from {scope.table("rows")} as rows
        inner join {scope.table("codes")} as codes using (entity)
        left join other on codes.name = other.name and rows.date = other.date
    """)
    rows = int(scope.one(f"select count(*) from {scope.table('rows')}")[0])
    text = (
        f"{features} features of {rows} rows read from {table}: {without} rows are not there, {repeated} are there "
        f"twice, {late} are known only after their decision"
    )
    return rows, int(without + repeated + late), text
