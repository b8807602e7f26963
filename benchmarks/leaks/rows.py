"""Leaks of known times, of the universe, and of rows that should not be there."""

from benchmarks.leaks import FEATURES, LABELS, LAST, OF_LABEL, SURVIVORS, TRAINING, Leak

ROW_LEAKS = (
    Leak(
        "known times claimed a day early",
        "known_at_before_source",
        (FEATURES,),
        (f"update {FEATURES} set known_at = known_at - interval 1 day",),
    ),
    Leak(
        "features known after the decision",
        "known_after_decision",
        (TRAINING,),
        (f"update {TRAINING} set known_at = known_at + interval 1 hour where symbol = 'S005'",),
    ),
    Leak(
        "survivorship: gold keeps symbols that still trade",
        "universe_differs_from_membership",
        (FEATURES, LABELS),
        (
            f"delete from {FEATURES} where symbol not in {SURVIVORS}",
            f"delete from {LABELS} where symbol not in {SURVIVORS}",
        ),
    ),
    Leak(
        "survivorship: the dead are gone from silver too",
        "universe_differs_from_membership",
        (FEATURES, LABELS, "silver.equity_bars", "silver.universe_members"),
        tuple(
            f"delete from {table} where symbol not in {SURVIVORS}"
            for table in (FEATURES, LABELS, "silver.universe_members", "silver.equity_bars")
        ),
    ),
    Leak(
        "today's members applied to the past",
        "universe_differs_from_membership",
        (FEATURES, "silver.universe_members"),
        (
            f"create table today as select symbol from silver.universe_members where date = {LAST}",
            "delete from silver.universe_members",
            "insert into silver.universe_members select symbol, date from silver.equity_bars semi join today using "
            "(symbol)",
            f"update {FEATURES} set in_universe = symbol in (from today) and momentum_60d is not null",
        ),
    ),
    Leak(
        "rows of dead symbols left out of the features",
        "bar_without_features",
        (FEATURES,),
        (f"delete from {FEATURES} where symbol not in {SURVIVORS}",),
    ),
    Leak(
        "rows there twice",
        "row_duplicated",
        (TRAINING,),
        (f"insert into {TRAINING} select * from {TRAINING} where {OF_LABEL} and symbol = 'S007'",),
    ),
    Leak(
        "a copy of each fold's rows in the next fold",
        "label_differs_from_prices",
        (FEATURES, LABELS),
        (
            "create table copies as select l.* replace (c.date as date, c.session_index as session_index, e.date "
            "as label_end_date, "
            f"e.session_index as end_index) from {LABELS} as l, silver.calendar as c, silver.calendar as e where "
            f"l.{OF_LABEL} "
            "and l.symbol = 'S004' and c.session_index = l.session_index + 40 and e.session_index = l.end_index + 40 "
            f"and e.date <= {LAST}",
            f"delete from {LABELS} as l where l.{OF_LABEL} and l.symbol = 'S004' and l.date in (select date from "
            "copies)",
            f"insert into {LABELS} from copies",
        ),
    ),
    Leak(
        "rows from after the last session",
        "row_after_as_of",
        (TRAINING,),
        (
            f"insert into {TRAINING} select t.* replace (c.date as date, e.date as label_end_date) from {TRAINING} "
            "as t, "
            f"silver.calendar as c, silver.calendar as e where t.{OF_LABEL} and c.session_index = t.session_index + 30 "
            f"and e.session_index = t.session_index + 35 and c.date > {LAST}",
        ),
    ),
)
