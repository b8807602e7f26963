"""Leaks of labels and weights."""

from benchmarks.leaks import LABELS, LAST, OF_LABEL, Leak

LABEL_LEAKS = (
    Leak(
        "label shifted by one session",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = n.value from {LABELS} as n where l.{OF_LABEL} and n.{OF_LABEL} "
            "and n.symbol = l.symbol and n.session_index = l.session_index + 1 and n.value is not null and l.value "
            "is not null",
        ),
    ),
    Leak(
        "label of a longer horizon under the short one's end",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = n.value from {LABELS} as n where l.{OF_LABEL} and n.label = 'fwd_20d' "
            "and n.symbol = l.symbol and n.date = l.date and n.value is not null and l.value is not null",
        ),
    ),
    Leak(
        "label entered at the decision's close, not the next open",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = (1 + l.value) * n.open / b.close - 1 from silver.equity_bars as b, "
            f"silver.equity_bars as n where l.{OF_LABEL} and l.value is not null and b.symbol = l.symbol and "
            "b.date = l.date "
            "and n.symbol = l.symbol and n.session_index = l.session_index + 1",
        ),
    ),
    Leak(
        "labels of two symbols mixed",
        "label_differs_from_prices",
        (LABELS,),
        (
            f"update {LABELS} as l set value = n.value from {LABELS} as n where l.{OF_LABEL} and n.{OF_LABEL} "
            "and l.symbol in ('S002', 'S003') and n.symbol in ('S002', 'S003') and n.symbol <> l.symbol "
            "and n.date = l.date and n.value is not null and l.value is not null",
        ),
    ),
    Leak(
        "label end declared two sessions early",
        "label_end_differs",
        (LABELS,),
        (
            f"update {LABELS} as l set end_index = l.end_index - 2, label_end_date = c.date from silver.calendar as c "
            f"where l.{OF_LABEL} and c.session_index = l.end_index - 2",
        ),
    ),
    Leak(
        "pending outcomes filled with a guess",
        "pending_outcome_used",
        (LABELS,),
        (
            f"update {LABELS} set value = 0.0, outcome = 'resolved', label_end_date = {LAST}, uniqueness_weight = 0.2, "
            f"end_index = (select max(session_index) from silver.equity_bars) where {OF_LABEL} and outcome = 'pending'",
        ),
    ),
    Leak(
        "delisted outcomes dropped",
        "outcome_missing",
        (LABELS,),
        (f"delete from {LABELS} where outcome = 'delisted'",),
    ),
    Leak(
        "the losers of each date dropped",
        "outcome_missing",
        (LABELS,),
        (f"delete from {LABELS} where {OF_LABEL} and value < -0.15",),
    ),
    Leak(
        "weights that grow with the outcome",
        "weight_differs",
        (LABELS,),
        (f"update {LABELS} set uniqueness_weight = uniqueness_weight * (1 + abs(value)) where {OF_LABEL}",),
    ),
    Leak(
        "weights that count resolved labels only",
        "weight_differs",
        (LABELS,),
        (
            f"create table resolved as select symbol, session_index as t, end_index as e from {LABELS} "
            f"where {OF_LABEL} and value is not null",
            f"""
            update {LABELS} as l set uniqueness_weight = w.weight from (
                select symbol, t, avg(1 / n) as weight from (
                    select r.symbol, r.t, r.s, count(*) as n
                    from (select *, unnest(range(t + 1, e + 1)) as s from resolved) as r
                    inner join resolved as o on r.symbol = o.symbol and o.t < r.s and o.e >= r.s
                    group by r.symbol, r.t, r.s
                ) group by symbol, t
            ) as w where l.{OF_LABEL} and l.symbol = w.symbol and l.session_index = w.t
            """,
        ),
    ),
)
