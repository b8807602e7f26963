"""The record of prices and members, laid out for recomputation: what was known when, knowing nothing of the build.

Temporary tables:

``versions``: every version of every bar, with the times from which (``known_at``) and until which (``superseded_at``)
it was the one to know. ``late``: versions that were not known at their own session's decision. ``series``: the bars as
known at their own decision, with the running log return ``cum`` of each listing. ``members``: members on the sampled
days, as known at each one's decision (entity NULL for those of whom no bar has landed).
"""

from trademl.governance.data_audit.scope import PriceTables, Rules, Scope

SPLIT_RATIOS = (1.5, 2, 3, 4, 5, 7, 10)
SPLIT_TOLERANCE = 0.02
FOREVER = "timestamp '9999-12-31'"

_LOOK_BACK = 160


def lay_out(scope: Scope, prices: PriceTables) -> None:
    """Make the tables above, from 160 sessions before the first audited decision onwards."""
    start = f"(select min(t) - {_LOOK_BACK} from {scope.table('rows')})"
    columns = "open, high, low, close, volume, dividend_amount, split_coefficient, known_at"
    landed = scope.make(
        "landed",
        f"""
        select codes.entity, sessions.session_index as t, sessions.decision_at, {columns}, bars.ingested_at
        from {prices.landed_bars or prices.bars} as bars
        inner join {scope.table("codes")} as codes on bars.symbol = codes.name
        inner join {prices.calendar} as sessions on bars.date = sessions.date
        where sessions.session_index >= {start}
        """,
    )
    # A window over the few keys with several versions only: nearly every bar has one.
    scope.make(
        "versions",
        f"""
        with repeated as (select entity, t from {landed} group by entity, t having count(*) > 1),
        superseded as (
            select *, coalesce(
                lead(known_at) over (partition by entity, t order by known_at, ingested_at), {FOREVER}
            ) as superseded_at
            from {landed} semi join repeated using (entity, t)
        )
        select * exclude (ingested_at) from superseded
        union all
        select * exclude (ingested_at), {FOREVER} from {landed} anti join repeated using (entity, t)
        """,
    )
    scope.make("late", f"select entity, t, known_at from {scope.table('versions')} where known_at > decision_at")
    own = f"""(
        select * exclude (decision_at, superseded_at) from {scope.table("versions")}
        where known_at <= decision_at and superseded_at > decision_at
    )"""
    scope.make("series", cumulated(own, "entity", prices.rules))
    _members(scope, prices)


def cumulated(bars: str, key: str, rules: Rules) -> str:
    """Return a SELECT of ``bars`` with log returns, the listing each belongs to, and their running sums.

    ``bars`` has one row per ``key`` and session t. Added: next_t (of the next bar), log_return (NULL on a listing's
    first bar and on a suspect one), log_gap (to the open), is_suspect, listing (a count), and the running sums cum (of
    log returns), cum_split (of log splits) and suspects.
    A bar more than ``delisted_after_sessions`` sessions after the last one begins a new listing.
    """
    total = "ln((close + dividend_amount) * split_coefficient / nullif(previous_close, 0))"
    gap = "ln((open + dividend_amount) * split_coefficient / nullif(previous_close, 0))"
    ratios = " or ".join(
        f"abs(abs(ln(open / nullif(previous_close, 0))) - ln({ratio})) < {SPLIT_TOLERANCE}" for ratio in SPLIT_RATIOS
    )
    suspect = f"""coalesce(
        case
            when split_coefficient <> 1 then abs({total}) > {rules.split_mismatch_threshold}
            else abs({total}) > {rules.jump_threshold} and ({ratios})
        end, false)"""
    return f"""
        with followed as (
            select
                *, lag(close) over by_bar as last_close, t - lag(t) over by_bar as since, lead(t) over by_bar as next_t
            from {bars}
            window by_bar as (partition by {key} order by t)
        ),
        chained as (
            select * exclude (last_close, since),
                case when since <= {rules.delisted_after_sessions} then last_close end as previous_close
            from followed
        ),
        returned as (
            select *, {suspect} as is_suspect, {total} as total_return, {gap} as total_gap from chained
        )
        select
            * exclude (total_return, total_gap),
            case when not is_suspect then total_return end as log_return,
            case when not is_suspect then total_gap end as log_gap,
            sum((previous_close is null)::integer) over so_far as listing,
            sum(case when is_suspect then 0.0 else coalesce(total_return, 0.0) end) over so_far as cum,
            sum(ln(split_coefficient)) over so_far as cum_split,
            sum(is_suspect::integer) over so_far as suspects
        from returned
        window so_far as (partition by {key} order by t rows unbounded preceding)
    """


def _members(scope: Scope, prices: PriceTables) -> None:
    """Members of the sampled days; where no membership has landed, everybody with a bar is one."""
    days = scope.table("days")
    found = f"""
        select members.symbol as name, days.t from {prices.members} as members inner join {days} as days using (date)
    """
    if prices.landed_members:
        found = f"""
            with spells as (
                select *, coalesce(
                    lead(known_at) over (partition by symbol, start_date order by known_at, ingested_at), {FOREVER}
                ) as superseded_at
                from {prices.landed_members}
            )
            select distinct spells.symbol as name, days.t
            from spells
            inner join {days} as days
                on days.date >= spells.start_date and days.date < coalesce(spells.end_date, date '9999-12-31')
                and spells.known_at <= days.decision_at and spells.superseded_at > days.decision_at
        """
    if scope.one(f"select count(*) from {prices.landed_members or prices.members}")[0]:
        codes = scope.table("codes")
        found = f"select codes.entity, found.t from ({found}) as found left join {codes} as codes using (name)"
    else:
        found = (
            f"select distinct series.entity, series.t from {scope.table('series')} as series semi join {days} using (t)"
        )
    scope.make("members", found)
