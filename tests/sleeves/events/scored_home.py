"""A home with everything that a viewport needs, made small: heads of both stages, an index, bars and targets."""

from datetime import datetime, timedelta

import duckdb
import numpy as np

from trademl.config.home import Home
from trademl.sleeves.events.heads import model_dir, publish
from trademl.sleeves.events.retrieval.index import RetrievalIndex
from trademl.sleeves.events.retrieval.summary import LABELS
from trademl.sleeves.events.train import EventsResult
from trademl.sleeves.events.viewport.config import ViewportConfig
from trademl.warehouse.read import read_snapshot

CONFIG = ViewportConfig(horizons=(60,), k_neighbors=10)
INDEX = "retrieval_index_stage_b_full"


def add_what_scoring_needs(home: Home, trained: EventsResult) -> None:
    """Publish the same runs as stage A, make an index of the events, and add bars and targets of the last session.

    Outcomes in the index follow the planted speed, so that neighbours know something.
    """
    runs = [(head, result.path) for head, result in trained.runs.items()]
    publish(model_dir(home), runs, stage="stage_a", ablation="full")
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute("alter table gold.events_features add column ts_ns bigint")
        con.execute("update gold.events_features set ts_ns = epoch_ns(known_at)")
        con.execute(
            "create table silver.intraday_bars as select distinct symbol, date, 1 as bar_minutes, known_at as ends_at "
            "from gold.events_features where date = (select max(date) from gold.events_features)"
        )
        con.execute(
            "create table gold.events_targets as select * exclude (event_id), event_id as level_id, "
            "cast(100 as decimal(18, 6)) as level_price, cast(99.5 as decimal(18, 6)) as close_price, "
            "cast(0.5 as decimal(18, 6)) as atr_price, 1.0::float as direction_sign, 1.0::float as distance "
            "from gold.events_features where date = (select max(date) from gold.events_features)"
        )
        con.execute("update meta.builds set build_id = 'b2', finished_at = now()")
    with read_snapshot(home) as snapshot:
        events = snapshot.con.sql("select * from gold.events_features").df()
    rng = np.random.default_rng(8)
    speed = events["approach_velocity"].to_numpy()
    for name in LABELS:
        events[name] = rng.uniform(30, 600, len(events))
    events["outcome"] = np.where(speed + rng.normal(size=len(events)) > 0, "BREAK", "BOUNCE")
    events["strength_signed"] = speed + rng.normal(size=len(events))
    events["tradeable_2"] = (events["atr"] + rng.normal(size=len(events)) > 0).astype(float)
    events["resolved_at"] = events["known_at"] + timedelta(minutes=40)
    index = RetrievalIndex(list(trained.heads[0].feature_names))
    index.stage, index.ablation = "stage_b", "full"
    index.fit(events)
    index.save(home.models_artifacts / INDEX)
    index.close()


def a_bar(home: Home) -> datetime:
    """The end of a bar with targets."""
    with read_snapshot(home) as snapshot:
        found: datetime = snapshot.con.execute("select max(ends_at) from silver.intraday_bars").fetchall()[0][0]
    return found
