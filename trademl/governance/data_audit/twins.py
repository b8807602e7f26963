"""Cross-sectional twins, recomputed from the raw column over the universe of each sampled date.

Check ``twin_differs_from_cross_section``: a ``_dm`` (z-score), ``_rank`` (average-tie rank over the count) or ``_sn``
(z-score within the sector) that is not that of its own date. Moments of the whole sample, of other dates, or of symbols
outside the universe show here.
"""

from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.scope import Scope
from trademl.lake.names import identifier

TWINS = ("_dm", "_rank", "_sn")
_CHECK = "twin_differs_from_cross_section"
_TOLERANCE = 1e-4
_RANK_TOLERANCE = 1e-6


def base_of(feature: str) -> str:
    """Return the raw feature of a cross-sectional twin; a raw feature is its own.

    >>> base_of("momentum_5d_rank"), base_of("momentum_5d")
    ('momentum_5d', 'momentum_5d')
    """
    for suffix in TWINS:
        if feature.endswith(suffix):
            return feature.removesuffix(suffix)
    return feature


def audit_twins(scope: Scope) -> AuditRow:
    """Recompute every twin among the run's features whose raw column its feature table has."""
    own = scope.sleeve.features_table
    tables = {own: list(scope.core_features)}
    tables |= {table: list(columns.values()) for table, columns in scope.other_tables.items()}
    found = [_of_table(scope, table, features) for table, features in tables.items() if features or table == own]
    judged = [one for one in found if one.compared] or found[:1]
    return scope.found(
        _CHECK,
        sum(one.violations for one in judged),
        sum(one.compared for one in judged),
        "; ".join(one.detail for one in judged),
    )


def _of_table(scope: Scope, table: str, features: list[str]) -> AuditRow:
    present, relation = scope.columns(table), table
    if "sector" not in present and "sector" in scope.columns(scope.sleeve.features_table):
        # Only the sleeve's own table says it.
        core = f"(select {scope.entity}, date, sector from {scope.sleeve.features_table})"
        relation = f"(select * from {table} inner join {core} as core using ({scope.entity}, date))"
        present = scope.columns(relation)
    twins = [name for name in features if name in present and base_of(name) != name and base_of(name) in present]
    if "sector" not in present:
        twins = [name for name in twins if not name.endswith("_sn")]
    if not twins or "in_universe" not in present:
        return scope.found(_CHECK, 0, 0, f"the run has no twin of a raw column of {table}")
    bases = list(dict.fromkeys(map(base_of, twins)))
    sector = "coalesce(features.sector, '')" if "sector" in present else "''"
    members = scope.make(
        "cross_sections",
        f"""
        select features.{scope.entity} as entity, features.date, {sector} as sector,
            {", ".join(f"features.{identifier(name)}::double as {identifier(name)}" for name in [*bases, *twins])}
        from {relation} as features semi join {scope.table("days")} as days on features.date = days.date
        where features.in_universe
        """,
    )

    def tall(names: list[str], value: str) -> str:
        listed = ", ".join(identifier(name) for name in names)
        columns = f"select entity, date, sector, {listed} from {members}"
        return f"(unpivot ({columns}) on {listed} into name name value {value})"

    suffixes = " ".join(f"when ends_with(name, '{suffix}') then '{suffix}'" for suffix in TWINS)
    compared, differing, worst = scope.one(f"""
        with placed as (
            select
                entity, date, name as base, value,
                avg(value) over by_date as mean, stddev_samp(value) over by_date as sd,
                max(value) over by_date > min(value) over by_date as varies,
                avg(value) over by_sector as sector_mean, stddev_samp(value) over by_sector as sector_sd,
                max(value) over by_sector > min(value) over by_sector as varies_in_sector,
                rank() over (partition by date, name order by value)
                    + (count(*) over (partition by date, name, value) - 1) / 2 as position,
                count(*) over by_date as n
            from {tall(bases, "value")}
            window by_date as (partition by date, name), by_sector as (partition by date, name, sector)
        ),
        stored as (
            select *, case {suffixes} end as kind, left(name, -length(kind)) as base from {tall(twins, "twin")}
        ),
        listed as (select unnest({[[base_of(name), name] for name in twins]}) as pair),
        due as (
            select
                placed.entity, placed.date, listed.pair[2] as name,
                case
                    when ends_with(listed.pair[2], '_rank') then position / n
                    when ends_with(listed.pair[2], '_sn') then
                        case when varies_in_sector then (value - sector_mean) / sector_sd else 0 end
                    when varies then (value - mean) / sd
                    else 0
                end as twin
            from placed inner join listed on placed.base = listed.pair[1]
        ),
        matched as (
            select
                coalesce(due.name, stored.name) as name,
                coalesce(abs(stored.twin - due.twin) <= case when stored.kind = '_rank' then {_RANK_TOLERANCE}
                    else {_TOLERANCE} * (1 + abs(due.twin)) end, false) as is_equal
            from due
            full join stored on due.entity = stored.entity and due.date = stored.date and due.name = stored.name
        ),
        counted as (
            select name, count(*) as n, count(*) filter (where not is_equal) as wrong from matched group by name
        )
        select sum(n), sum(wrong), list(name || ' in ' || wrong order by wrong desc) filter (where wrong > 0)[1:5]
        from counted
    """)
    text = f"{len(twins)} twins recomputed over the universes of the sampled dates, {compared} values"
    text += f"; differing: {', '.join(worst)}" if worst else ""
    return scope.found(_CHECK, differing, compared, text)
