"""Fitting the ensemble: weights from predictions that no model was fitted on, and evidence from later dates.

Stage A and stage B bring what their runs left in ``preds.oof``: each block of sessions predicted by models of the
sessions before it. Retrieval answers each of the same events from those resolved before it. The first part of the dates
gives calibrators and weights; on the rest they are judged, beside each source alone, equal weights and the base rate.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, utc_now
from trademl.config.home import Home
from trademl.errors import DataGateError
from trademl.lake.names import identifier
from trademl.sleeves.events.bundle import TreeModelBundle
from trademl.sleeves.events.names import head_names
from trademl.sleeves.events.retrieval.batch import query_many
from trademl.sleeves.events.retrieval.index import RetrievalIndex
from trademl.sleeves.events.viewport.config import ViewportConfig, ViewportPlaces, places
from trademl.sleeves.events.viewport.ensemble import EQUAL, PROBABILITIES, Ensemble, Pool, fit_pool
from trademl.sleeves.events.viewport.models import load_stages, runs_of
from trademl.sleeves.events.viewport.neighbors import FILTERS
from trademl.sleeves.events.viewport.score import conditional
from trademl.validation.calibration import PROBABILITY_RANGE, apply, brier, ece, fit_isotonic, log_loss
from trademl.validation.discrimination import auc
from trademl.warehouse.read import read_snapshot

if TYPE_CHECKING:
    import pyarrow as pa

FloatArray = NDArray[np.float64]
Told = Callable[[str], None]

FIT_SHARE = 0.7
"""Share of the out-of-fold dates, the first ones, that weights are fitted on."""

MIN_ROWS = 100
"""Fewer rows than this, on either side of the cut, are no evidence."""

_RETRIEVED = {"tradeable_2": "p_tradeable_2", "strength": "strength_signed_mean"}


@dataclass(frozen=True, eq=False)
class Evidence:
    """Forecasts of one quantity out of fold; arrays have one element per row.

    Attributes:
        forecasts: by source.
        y: the outcomes.
        dates: the dates of the rows.
    """

    forecasts: dict[str, FloatArray]
    y: FloatArray
    dates: NDArray[np.datetime64]


def fit_ensemble(
    home: Home, config: ViewportConfig, *, told: Told = lambda line: None, now: Clock = utc_now
) -> tuple[Ensemble, ViewportPlaces]:
    """Fit the ensemble of the models that the configuration names and write it beside the heads.

    Args:
        home: where snapshot and models are.
        config: which heads, and how many neighbours.
        told: told what happens.
        now: the clock.

    Returns:
        The ensemble, and the places; ``places.ensemble`` is where it was written.

    Raises:
        ModelError, ArtifactError: a bundle or the index is missing.
        DataGateError: too few out-of-fold rows.
    """
    where = places(home, config)
    notes: list[str] = []
    stages = load_stages(where, config, notes)
    bundles = {name: model for name, model in stages.items() if isinstance(model, TreeModelBundle)}
    index = RetrievalIndex.load(where.index)
    with read_snapshot(home, now=now) as snapshot:
        con = snapshot.con
        heads = head_names(config.horizons, config.timeframe)
        predicted = {head: read_out_of_fold(con, bundles, head) for head in heads}
        events = sorted({str(event) for one in predicted.values() for event in one["event_id"]})
        told(f"neighbours of {len(events)} events")
        retrieved = retrieve(con, index, events, config)
    index.close()
    quantities = gather(predicted, retrieved, list(bundles))
    dates = np.unique(np.concatenate([one.dates for pieces in quantities.values() for one in pieces]))
    if len(dates) < 2:
        raise DataGateError(
            f"{len(dates)} dates were predicted out of fold: none is left to judge weights on",
            remedy="train on more sessions, or count forecasts equally: without fitted weights that is what happens",
        )
    cut = dates[min(max(int(len(dates) * FIT_SHARE), 1), len(dates) - 1)]
    pools, judged = {}, {}
    for name, pieces in quantities.items():
        pools[name], judged[name] = fit_and_judge(name, pieces, cut)
        shown = ", ".join(
            f"{own} {weight:.3f}" for own, weight in zip(pools[name].sources, pools[name].weights, strict=True)
        )
        told(f"{name}: {shown}")
    evidence = {
        "fitted_dates": [str(dates[0]), str(dates[dates < cut][-1])],
        "judged_dates": [str(cut), str(dates[-1])],
        "runs": runs_of(bundles),
        "k_neighbors": config.k_neighbors,
        "quantities": judged,
        "notes": notes,
    }
    ensemble = Ensemble(pools, evidence)
    ensemble.save(where.ensemble)
    return ensemble, where


def read_out_of_fold(
    con: duckdb.DuckDBPyConnection, bundles: Mapping[Any, TreeModelBundle], head: str
) -> dict[str, NDArray[Any]]:
    """Return event_id, dt, y and a raw score of each stage, over events that every stage predicted out of fold."""
    tables, values = [], {}
    for place, (stage, bundle) in enumerate(bundles.items()):
        values[f"run_{place}"] = bundle.heads[head].run_id
        tables.append(
            f"(select entity, any_value(dt) as dt, any_value(y) as y, avg(yhat) as {stage} from preds.oof "
            f"where sleeve = 'events' and run_id = $run_{place} and yhat is not null group by entity)"
        )
    joined = tables[0] + "".join(f" join (select * exclude (dt, y) from {one}) using (entity)" for one in tables[1:])
    rows = con.execute(f"select entity as event_id, * exclude (entity) from {joined} order by dt, entity", values)
    return {name: np.ma.asarray(column) for name, column in rows.fetchnumpy().items()}


def retrieve(
    con: duckdb.DuckDBPyConnection, index: RetrievalIndex, events: list[str], config: ViewportConfig
) -> dict[str, NDArray[Any]]:
    """Return by event what the neighbours of each event of ``events`` came to, all of them resolved before it."""
    filters = [name for name in FILTERS if name in index.metadata_cols]
    columns = ", ".join(map(identifier, dict.fromkeys(("event_id", "ts_ns", "date", *filters, *index.feature_cols))))
    asked = con.sql(
        f"select {columns} from gold.events_features where event_id in (select unnest($events))",
        params={"events": events},
    ).to_arrow_table()
    answers: pa.Table = query_many(index, asked, k=config.k_neighbors, filter_on=filters)
    return {name: answers.column(name).to_numpy(zero_copy_only=False) for name in answers.column_names}


def gather(
    predicted: Mapping[str, Mapping[str, NDArray[Any]]], retrieved: Mapping[str, NDArray[Any]], stages: Sequence[str]
) -> dict[str, list[Evidence]]:
    """Return the evidence of each quantity, a piece a head, with the heads' raw scores.

    Args:
        predicted: by head, in the order of the bundle: tradeable, direction, strength, then those of reaching.
        retrieved: what :func:`retrieve` gave.
        stages: whose scores ``predicted`` has.
    """
    place = {event: at for at, event in enumerate(retrieved["event_id"].tolist())}
    heads = list(predicted)
    found: dict[str, list[Evidence]] = {name: [] for name in ("tradeable_2", "p_break", "strength", "reach")}
    for head, quantity in zip(heads, ["tradeable_2", "p_break", "strength", *["reach"] * len(heads)], strict=False):
        rows = predicted[head]
        forecasts = {stage: _floats(rows[stage]) for stage in stages}
        if quantity != "reach":
            at = np.array([place[event] for event in rows["event_id"].tolist()], dtype=np.int64)
            forecasts["retrieval"] = _retrieved(quantity, retrieved)[at]
        found[quantity].append(Evidence(forecasts, _floats(rows["y"]), _days(rows["dt"])))
    return {name: pieces for name, pieces in found.items() if pieces}


def fit_and_judge(quantity: str, pieces: Sequence[Evidence], cut: np.datetime64) -> tuple[Pool, dict[str, Any]]:
    """Return the pool fitted before ``cut``, and how it and its parts did from then on.

    Log-odds of the stages become probabilities by a monotone curve fitted before ``cut`` too: the bundle's own has seen
    all out-of-fold rows.

    Raises:
        DataGateError: fewer than :data:`MIN_ROWS` rows before or after.
    """
    whole = _joined([_with_probabilities(one, cut) if quantity in PROBABILITIES else one for one in pieces])
    complete = np.isfinite(whole.y) & np.all([np.isfinite(one) for one in whole.forecasts.values()], axis=0)
    early, late = complete & (whole.dates < cut), complete & (whole.dates >= cut)
    if min(early.sum(), late.sum()) < MIN_ROWS:
        raise DataGateError(
            f"{quantity}: {int(early.sum())} rows before {cut} and {int(late.sum())} from then on have all forecasts; "
            f"{MIN_ROWS} are needed of each",
            remedy="train on more sessions, or count forecasts equally: without fitted weights that is what happens",
        )
    pool = fit_pool(quantity, {name: one[early] for name, one in whole.forecasts.items()}, whole.y[early])
    later = {name: one[late] for name, one in whole.forecasts.items()}
    outcome, usual = whole.y[late], float(whole.y[early].mean())
    tried = {**later, "equal": EQUAL.combine(later), "ensemble": pool.combine(later)}
    score = _probability_scores if quantity in PROBABILITIES else _size_scores
    return pool, {
        "rows_fitted": int(early.sum()),
        "rows_judged": int(late.sum()),
        "mean_fitted": usual,
        "mean_judged": float(outcome.mean()),
        "judged": {name: score(one, outcome) for name, one in tried.items()}
        | {"base_rate": score(np.full(len(outcome), usual), outcome)},
    }


def _with_probabilities(one: Evidence, cut: np.datetime64) -> Evidence:
    forecasts = {}
    for name, given in one.forecasts.items():
        early = (one.dates < cut) & np.isfinite(given) & np.isfinite(one.y)
        if name == "retrieval":
            forecasts[name] = given
        elif not early.any():
            forecasts[name] = np.full(len(given), np.nan)
        else:
            forecasts[name] = apply(fit_isotonic(given[early], one.y[early]), given, clip=PROBABILITY_RANGE)
    return Evidence(forecasts, one.y, one.dates)


def _joined(pieces: Sequence[Evidence]) -> Evidence:
    names = pieces[0].forecasts
    return Evidence(
        {name: np.concatenate([one.forecasts[name] for one in pieces]) for name in names},
        np.concatenate([one.y for one in pieces]),
        np.concatenate([one.dates for one in pieces]),
    )


def _probability_scores(p: FloatArray, y: FloatArray) -> dict[str, float | None]:
    found = {"brier": brier(p, y), "log_loss": log_loss(p, y, epsilon=1e-6), "ece": ece(p, y), "auc": auc(p, y)}
    return {name: _or_none(value) for name, value in found.items()}


def _size_scores(predicted: FloatArray, y: FloatArray) -> dict[str, float | None]:
    miss = predicted - y
    varies = predicted.min() < predicted.max() and y.min() < y.max()
    related = float(np.corrcoef(predicted, y)[0, 1]) if varies else math.nan
    found = {"mse": float(np.mean(miss**2)), "mae": float(np.mean(np.abs(miss))), "correlation": related}
    return {name: _or_none(value) for name, value in found.items()}


def _retrieved(quantity: str, retrieved: Mapping[str, NDArray[Any]]) -> FloatArray:
    if quantity != "p_break":
        return _floats(retrieved[_RETRIEVED[quantity]])
    return conditional(_floats(retrieved["p_break"]), _floats(retrieved["p_bounce"]))


def _floats(values: NDArray[Any]) -> FloatArray:
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


def _days(values: NDArray[Any]) -> NDArray[np.datetime64]:
    return np.asarray(values).astype("datetime64[D]")


def _or_none(value: float) -> float | None:
    # JSON has no NaN.
    return value if math.isfinite(value) else None
