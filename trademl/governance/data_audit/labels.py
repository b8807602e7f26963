"""Labels and their ends, recomputed from the bars as they were known when the label ended.

Return labels (``fwd_{k}d``, ``ret_{k}d``) are judged on every row, triple barriers on the sampled days. A label that a
correction or a late bar touches is judged from the landed versions.

Checks:

    label_differs_from_prices  a value that is not the return that the bars give: shifted, of another symbol or horizon
    label_end_differs          a label that claims to end on another session than the one on which it was known
    pending_outcome_used       rows whose outcome could not be known by the last session
    outcome_missing            members of a cross-section whose outcome is known and which have no row
"""

import re
from dataclasses import dataclass

from trademl.governance.audit import AuditRow
from trademl.governance.data_audit.record import cumulated
from trademl.governance.data_audit.scope import PriceTables, Rules, Scope

_EQUAL = "abs({0} - {1}) <= 1e-8 * (1 + abs({1}))"
_LATE_AT_MOST = 20_000
_NAMES = ("label_differs_from_prices", "label_end_differs", "pending_outcome_used", "outcome_missing")


@dataclass(frozen=True)
class _Rule:
    """How a label of a known name is made."""

    kind: str
    sessions: int


def rule_of(label: str, rules: Rules) -> _Rule | None:
    """Return what the name of a label says, None where no independent formula is known.

    >>> rule_of("fwd_20d", Rules())
    _Rule(kind='fwd', sessions=20)
    """
    if found := re.fullmatch(r"(fwd|ret)_(\d+)d", label):
        return _Rule(found[1], int(found[2]))
    barrier = f"tb_{int(rules.barrier_take_profit)}_{int(rules.barrier_stop)}_{rules.barrier_sessions}"
    return _Rule("tb", rules.barrier_sessions) if label == barrier else None


def audit_labels(scope: Scope, prices: PriceTables) -> list[AuditRow]:
    """Recompute the labels of every training row, and of every member of a cross-section that has none."""
    rule = rule_of(scope.label, prices.rules)
    if rule is None:
        return [scope.found(name, 0, 0, f"no independent formula for {scope.label}") for name in _NAMES]
    _asked(scope, prices, rule)
    _exits(scope, rule, prices.rules)
    if rule.kind == "tb":
        _barriers(scope, prices.rules)
    else:
        _returns(scope, rule)
    _late_labels(scope, prices, rule)
    return _compare(scope, rule)


def _asked(scope: Scope, prices: PriceTables, rule: _Rule) -> None:
    """Make ``asked``: training rows and members of cross-sections (of the sampled days, for a triple barrier)."""
    days = f" semi join {scope.table('days')} using (t)" if rule.kind == "tb" else ""
    scope.make(
        "universe",
        f"""
        select codes.entity, sessions.session_index as t
        from {scope.sleeve.features_table} as features
        inner join {scope.table("codes")} as codes on features.{scope.entity} = codes.name
        inner join {prices.calendar} as sessions on features.date = sessions.date
        where features.in_universe and {scope.in_dates("features.date")}
        """,
    )
    scope.make(
        "asked",
        f"""
        select
            coalesce(rows.entity, members.entity) as entity, coalesce(rows.t, members.t) as t,
            rows.entity is not null as has_row, members.entity is not null as is_due,
            rows.value, rows.end_index
        from (select distinct entity, t, value, end_index from {scope.table("rows")}{days}) as rows
        full join (from {scope.table("universe")}{days}) as members
            on rows.entity = members.entity and rows.t = members.t
        """,
    )


def _exits(scope: Scope, rule: _Rule, rules: Rules) -> None:
    """Make ``exits``: entry on the next session, and the exit at the planned one or the next bar of the listing.

    A listing that ended before is left at its last price, which is known on the tenth session without a bar.
    """
    series = scope.table("series")
    scope.make(
        "exits",
        f"""
        with listings as (
            select
                entity, listing, min(t) as first_t, max(t) as last_t,
                max_by(cum, t) as last_cum, max_by(suspects, t) as last_suspects
            from {series} group by entity, listing
        ),
        followed as (
            select
                asked.entity, asked.t, own.listing, own.cum as own_cum, own.suspects as own_suspects,
                entry.entity is not null as has_entry, entry.cum + ln(entry.open / entry.close) as entry_cum,
                entry.suspects as entry_suspects, asked.t + {rule.sessions} as planned
            from (select distinct entity, t from {scope.table("asked")}) as asked
            inner join {series} as own on asked.entity = own.entity and asked.t = own.t
            left join {series} as entry on asked.entity = entry.entity and entry.t = asked.t + 1
        ),
        planned as (
            select
                followed.*, listings.first_t, listings.last_t, listings.last_cum, listings.last_suspects,
                case when leaving.listing = followed.listing then leaving.t end as exit_t,
                leaving.cum as exit_cum, leaving.suspects as exit_suspects
            from followed
            asof left join {series} as leaving on followed.entity = leaving.entity and leaving.t >= followed.planned
            inner join listings on followed.entity = listings.entity and followed.listing = listings.listing
        )
        select
            entity, t, listing, first_t, own_cum, own_suspects, has_entry, entry_cum, entry_suspects,
            case
                when exit_t is not null then exit_t
                when last_t + {rules.delisted_after_sessions} <= (select max(t) from {series})
                    then last_t + {rules.delisted_after_sessions}
            end as end_index,
            case when exit_t is not null then exit_cum else last_cum end as exit_cum,
            case when exit_t is not null then exit_suspects else last_suspects end as exit_suspects
        from planned
        """,
    )


def _returns(scope: Scope, rule: _Rule) -> None:
    """Make ``expected``: value and end of a return label; both NULL while it is pending."""
    base = "entry" if rule.kind == "fwd" else "own"
    scope.make(
        "expected_labels",
        f"""
        select
            entity, t,
            case when has_entry then end_index end as end_index,
            not has_entry or coalesce(exit_suspects > {base}_suspects, false) as has_no_return,
            case
                when has_entry and end_index is not null and not exit_suspects > {base}_suspects
                    then exp(exit_cum - {base}_cum) - 1
            end as value
        from {scope.table("exits")}
        """,
    )


def _barriers(scope: Scope, rules: Rules) -> None:
    """Make ``expected`` of the triple barrier (AFML, section 3.4): a session that reaches both is a stop."""
    series, n = scope.table("series"), rules.barrier_sessions
    opened, lowest, highest = (f"bars.cum + ln(bars.{price} / bars.close)" for price in ("open", "low", "high"))
    scope.make(
        "expected_labels",
        f"""
        with measured as (
            select
                asked.entity, asked.t,
                sqrt(greatest(
                    sum(bars.log_return * bars.log_return) - pow(sum(bars.log_return), 2) / 20, 0
                ) / 19) as sigma
            from (
                select entity, t, listing, unnest(range(t - 19, t + 1)) as s from {scope.table("exits")}
                where t - first_t >= 20
            ) as asked
            inner join {series} as bars
                on asked.entity = bars.entity and asked.s = bars.t and asked.listing = bars.listing
            group by asked.entity, asked.t
            having count(*) >= 16
        ),
        levels as (
            select exits.*,
                entry_cum + ln(1 + {rules.barrier_take_profit} * sigma) as upper,
                entry_cum + ln(1 - {rules.barrier_stop} * sigma) as lower
            from {scope.table("exits")} as exits
            inner join measured using (entity, t)
            where sigma > 0 and {rules.barrier_stop} * sigma < 1
        ),
        touches as (
            select
                levels.entity, levels.t, min(bars.t) as hit_t, min_by(bars.suspects, bars.t) as hit_suspects,
                min_by(
                    case when {lowest} <= lower then least({opened}, lower) else greatest({opened}, upper) end, bars.t
                ) as hit_cum
            from (select *, unnest(range(t + 1, t + {n + 1})) as s from levels where has_entry) as levels
            inner join {series} as bars
                on levels.entity = bars.entity and levels.s = bars.t and levels.listing = bars.listing
            where {lowest} <= lower or {highest} >= upper
            group by levels.entity, levels.t
        ),
        left_at as (
            select
                levels.entity, levels.t, has_entry, entry_cum, entry_suspects,
                coalesce(hit_t, end_index) as end_index,
                coalesce(hit_cum, exit_cum) as exit_cum,
                coalesce(hit_suspects, exit_suspects) as exit_suspects
            from levels
            left join touches on levels.entity = touches.entity and levels.t = touches.t
        )
        select
            entity, t,
            case when has_entry then end_index end as end_index,
            not has_entry or coalesce(exit_suspects > entry_suspects, false) as has_no_return,
            case
                when has_entry and end_index is not null and not exit_suspects > entry_suspects
                    then exp(exit_cum - entry_cum) - 1
            end as value
        from left_at
        """,
    )


def _late_labels(scope: Scope, prices: PriceTables, rule: _Rule) -> None:
    """Make ``touched``, labels with a late bar between decision and end, and ``late_labels``, what was known of those.

    The landed versions decide, as known at the end that the row claims; a triple barrier is not judged there.
    """
    gone = prices.rules.delisted_after_sessions
    scope.make(
        "touched",
        f"""
        select distinct asked.entity, asked.t
        from {scope.table("asked")} as asked
        inner join {scope.table("late")} as late
            on asked.entity = late.entity
            and late.t between asked.t - {20 if rule.kind == "tb" else 0}
            and greatest(asked.t + {rule.sessions + gone}, coalesce(asked.end_index, 0))
        """,
    )
    judged = "false" if prices.landed_bars is None or rule.kind == "tb" else "true"
    bars = scope.make(
        "late_bars",
        f"""
        with claimed as (
            from {scope.table("asked")} semi join {scope.table("touched")} using (entity, t)
            where has_row and {judged} order by hash(entity, t) limit {_LATE_AT_MOST}
        ),
        dated as (
            select claimed.entity, claimed.t as day, claimed.end_index, sessions.decision_at
            from claimed inner join {prices.calendar} as sessions on claimed.end_index = sessions.session_index
        )
        select dated.entity, dated.day, dated.end_index, versions.* exclude (entity, decision_at, superseded_at)
        from (select *, unnest(range(day, end_index + 1)) as s from dated) as dated
        inner join {scope.table("versions")} as versions on dated.entity = versions.entity and dated.s = versions.t
        where versions.known_at <= dated.decision_at and versions.superseded_at > dated.decision_at
        """,
    )
    base = "cum + ln(open / close)" if rule.kind == "fwd" else "cum"
    entry = 1 if rule.kind == "fwd" else 0
    planned = f"t >= day + {rule.sessions}"
    scope.make(
        "late_labels",
        f"""
        with cumulated as ({cumulated(bars, "entity, day", prices.rules)}),
        measured as (
            select
                entity, day as t, any_value(end_index) as end_index,
                max({base}) filter (where t = day + {entry}) as entry_cum,
                max(suspects) filter (where t = day + {entry}) as entry_suspects,
                coalesce(min_by(cum, t) filter (where {planned}), max_by(cum, t)) as exit_cum,
                coalesce(min_by(suspects, t) filter (where {planned}), max_by(suspects, t)) as exit_suspects,
                count(*) filter (where {planned}) > 0 or max(t) + {gone} <= any_value(end_index) as is_over,
                count(*) filter (where t = day + 1) > 0 as has_entry
            from cumulated group by entity, day
        )
        select
            entity, t, is_over,
            case when has_entry and not exit_suspects > entry_suspects then exp(exit_cum - entry_cum) - 1 end as value
        from measured
        """,
    )


def _compare(scope: Scope, rule: _Rule) -> list[AuditRow]:
    """Set every label against its recomputation and count what differs, by kind."""
    matched = scope.make(
        "matched",
        f"""
        select
            asked.*, due.value as due_value, due.end_index as due_end,
            coalesce(due.has_no_return, false) as has_no_return
        from (from {scope.table("asked")} anti join {scope.table("touched")} using (entity, t)) as asked
        left join {scope.table("expected_labels")} as due on asked.entity = due.entity and asked.t = due.t
        """,
    )
    pending = "due_end is null and not has_no_return"
    rows, wrong, end_wrong, pending_used, due, missing, examples = scope.one(f"""
        select
            count_if(has_row),
            count_if(has_row and not ({pending}) and not coalesce({_EQUAL.format("value", "due_value")}, false)),
            count_if(has_row and due_end is not null and end_index is distinct from due_end),
            count_if(has_row and {pending}),
            count_if(is_due and due_value is not null),
            count_if(is_due and not has_row and due_value is not null),
            list(distinct name order by name) filter (where has_row
                and not coalesce({_EQUAL.format("value", "due_value")} and end_index = due_end, false)
                or is_due and not has_row and due_value is not null)[1:5]
        from {matched} inner join {scope.table("codes")} using (entity)
    """)
    late, late_wrong, late_end = scope.one(f"""
        select
            count(*),
            count_if(is_over and not coalesce({_EQUAL.format("asked.value", "late.value")}, false)),
            count_if(not is_over)
        from {scope.table("late_labels")} as late inner join {scope.table("asked")} as asked using (entity, t)
        where asked.has_row
    """)
    touched = scope.one(
        f"select count_if(has_row) from {scope.table('asked')} semi join {scope.table('touched')} using (entity, t)"
    )[0]
    kind = "sampled rows" if rule.kind == "tb" else "rows"
    text = (
        f"{rows} {kind} of {scope.label} recomputed from the bars, {late} with late bars from what was known at the end"
    )
    if touched > late:
        text += f", {touched - late} of those not judged"
    named = f"; {', '.join(examples)}" if examples else ""
    return [
        scope.found(_NAMES[0], wrong + late_wrong, rows + late, f"{text}; {wrong + late_wrong} values differ{named}"),
        scope.found(_NAMES[1], end_wrong + late_end, rows + late, f"{text}; {end_wrong + late_end} ends differ{named}"),
        scope.found(
            _NAMES[2],
            pending_used,
            rows,
            f"{pending_used} of {rows} {kind} have an outcome that no bar can have told{named}",
        ),
        scope.found(
            _NAMES[3], missing, due, f"{missing} of {due} known outcomes of members have no training row{named}"
        ),
    ]
