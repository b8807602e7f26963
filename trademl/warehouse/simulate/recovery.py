"""How much of the planted signal a training run found, measured on the product's own labels and predictions."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from trademl.errors import SnapshotError
from trademl.validation.metrics import information_coefficient, summarise_ic
from trademl.warehouse.simulate.signal import standard_error

_ORACLE = """
select labels.date - date '1970-01-01' as day, truth.signal as score, labels.value as y
from gold.equities_labels as labels
inner join read_parquet($truth) as truth on truth.symbol = labels.symbol and truth.date = labels.date
where labels.label = $label and labels.value is not null
order by day, labels.symbol
"""

_MODEL = """
select oof.path_id, oof.dt - date '1970-01-01' as day, oof.yhat as score, oof.y, truth.signal
from preds.oof as oof
left join read_parquet($truth) as truth on truth.symbol = oof.entity and truth.date = oof.dt
where oof.sleeve = 'equities' and oof.run_id = $run_id
order by oof.path_id, day, oof.entity
"""

_LATEST = """
select run_id from preds.oof where sleeve = 'equities' and label = $label
group by run_id order by max(scored_at) desc, run_id limit 1
"""


@dataclass(frozen=True)
class Recovery:
    """Mean rank ICs. Standard errors are Newey-West, with as many lags as the label has sessions.

    Attributes:
        run_id: the run whose out-of-fold predictions were measured.
        oracle_ic, oracle_error: the planted signal against the label, wherever both exist.
        oracle_ic_on_tested: the same on the rows that the run predicted: what the model is compared with.
        model_ic: out-of-fold predictions against the label, mean over the paths.
        model_error: standard error of the first path's mean; the paths share their data.
        model_spread: standard deviation of the mean over the paths, 0 for one path.
        paths: number of paths.
    """

    run_id: str
    oracle_ic: float
    oracle_error: float
    oracle_ic_on_tested: float
    model_ic: float
    model_error: float
    model_spread: float
    paths: int

    @property
    def share(self) -> float:
        """The model's rank IC as a share of the oracle's on the same rows."""
        return self.model_ic / self.oracle_ic_on_tested


def measure_recovery(
    con: duckdb.DuckDBPyConnection, truth_table: Path, label: str, horizon: int, run_id: str | None = None
) -> Recovery:
    """Compare the oracle and a run (the latest of ``label`` by default) on an unguarded snapshot connection.

    Raises:
        SnapshotError: the snapshot has no out-of-fold predictions of such a run, or no label that the truth covers.
    """
    truth = str(truth_table)
    if run_id is None:
        latest = con.execute(_LATEST, {"label": label}).fetchall()
        if not latest:
            raise SnapshotError(f"preds.oof has no run on {label}", remedy="run `trademl train equities`")
        run_id = str(latest[0][0])
    oracle = con.execute(_ORACLE, {"truth": truth, "label": label}).fetchnumpy()
    model = con.execute(_MODEL, {"truth": truth, "run_id": run_id}).fetchnumpy()
    if not len(oracle["y"]) or not len(model["y"]):
        raise SnapshotError(
            f"run {run_id} has {len(model['y'])} predictions, and {len(oracle['y'])} labels have a planted signal",
            remedy="give the truth table of the market that was ingested",
        )
    whole = _daily(oracle["score"], oracle["y"], oracle["day"], horizon)
    paths = [model["path_id"] == path for path in np.unique(model["path_id"])]
    found = [_daily(model["score"][on], model["y"][on], model["day"][on], horizon) for on in paths]
    same = _daily(_filled(model["signal"][paths[0]]), model["y"][paths[0]], model["day"][paths[0]], horizon)
    means = [mean for mean, _ in found]
    return Recovery(
        run_id=run_id,
        oracle_ic=whole[0],
        oracle_error=whole[1],
        oracle_ic_on_tested=same[0],
        model_ic=float(np.mean(means)),
        model_error=found[0][1],
        model_spread=float(np.std(means, ddof=1)) if len(means) > 1 else 0.0,
        paths=len(means),
    )


def _daily(score: object, outcome: object, day: object, horizon: int) -> tuple[float, float]:
    """Return mean rank IC and its standard error."""
    series = information_coefficient(_filled(score), _filled(outcome), np.asarray(day))
    summary = summarise_ic(series.spearman, lags=horizon)
    return summary.mean, standard_error(summary)


def _filled(values: object) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return doubles with NaN for NULL; DuckDB gives a masked array where there are NULLs."""
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))
