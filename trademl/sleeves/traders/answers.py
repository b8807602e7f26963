"""The scores of one date, whoever gave them: a run, a converted pipeline, or the frozen model of the first system."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.clock import Clock, utc_now
from trademl.edge.score import Scores, prediction_rows, rank_pct
from trademl.errors import ModelError
from trademl.governance.router import FrozenScorer, frozen_scores
from trademl.lake.names import identifier, quoted

ENTITY = "address"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TraderAnswer:
    """Scores in order of address; arrays have one element each, NaN where a model does not state it.

    Attributes:
        model_id, label, horizon: of the model; the horizon is in days.
        as_of: the date.
        entities: addresses.
        yhat: the predicted label: USD over the days after the date, less the date's mean.
        yhat_std: spread of out-of-fold residuals.
        prob_up: probability that the label is above 0.
        rank_pct: rank of yhat over the number of traders.
    """

    model_id: str
    label: str
    horizon: int
    as_of: date
    entities: tuple[str, ...]
    yhat: Floats
    yhat_std: Floats
    prob_up: Floats
    rank_pct: Floats

    def __len__(self) -> int:
        return len(self.entities)

    def rows(self, *, now: Clock = utc_now) -> list[dict[str, Any]]:
        """Return the scores as rows of ``preds.traders``; what is not stated is None."""
        return [
            {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}
            for row in prediction_rows(self, ENTITY, now=now)
        ]


def of_run(scores: Scores) -> TraderAnswer:
    """Return the scores of a run as an answer."""
    return TraderAnswer(
        scores.model_id,
        scores.label,
        scores.horizon,
        scores.as_of,
        scores.entities,
        scores.yhat,
        scores.yhat_std,
        scores.prob_up,
        scores.rank_pct,
    )


def of_scores(
    model_id: str, label: str, horizon: int, day: date, addresses: Sequence[str], yhat: Floats
) -> TraderAnswer:
    """Return bare scores as an answer: their model states neither spread nor probability."""
    unknown = np.full(len(yhat), np.nan)
    return TraderAnswer(model_id, label, horizon, day, tuple(addresses), yhat, unknown, unknown, rank_pct(yhat))


def of_frozen(con: duckdb.DuckDBPyConnection, scorer: FrozenScorer, day: date) -> TraderAnswer:
    """Score the snapshots of ``day`` by the frozen model; an infinite value counts as its cap in the warehouse.

    Raises:
        ModelError: the snapshot lacks a table or column, or the scorer does not answer.
    """
    columns = ", ".join(
        f"cast(case when isinf({identifier(name)}) then caps.found[{quoted(name)}] else {identifier(name)} end as "
        "float)"
        for name in scorer.features
    )
    try:
        rows = con.execute(
            f"select address, {columns} from gold.ml_feature_snapshots cross join "
            "(select map(list(feature), list(cap)) as found from gold.trader_feature_caps where snapshot_date = $day) "
            "as caps where snapshot_date = $day order by address",
            {"day": day},
        ).fetchall()
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise ModelError(
            f"gold.ml_feature_snapshots lacks what {scorer.name} reads: {str(error).splitlines()[0]}",
            remedy="run `trademl build` with this version of trademl",
        ) from error
    addresses = tuple(str(row[0]) for row in rows)
    X = np.array([row[1:] for row in rows], dtype=np.float32).reshape(len(rows), len(scorer.features))
    if not addresses:
        return of_scores(scorer.name, scorer.label, scorer.horizon, day, (), np.empty(0))
    scores = frozen_scores(scorer, X)
    return TraderAnswer(
        scorer.name,
        scorer.label,
        scorer.horizon,
        day,
        addresses,
        scores.yhat,
        scores.yhat_std,
        scores.prob_up,
        rank_pct(scores.yhat),
    )
