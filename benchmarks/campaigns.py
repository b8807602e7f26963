"""Is luck promoted, and is skill? Simulated research campaigns against the promotion gate.

A campaign is what a researcher does: try many configurations on one market, submit the best. Each one simulates a
market (trademl.warehouse.simulate), fits every configuration under CPCV 8 choose 2 with the product's own splitter,
turns the out-of-fold scores of each path into net daily long-short returns, picks the configuration with the highest
Sharpe ratio, scores it in shadow on sessions that no fit saw, and hands the evidence to the gate
(trademl.governance.gate.judge) with the policy of configs/promotion.yml.

    python -m benchmarks.campaigns --study null  --campaigns 400            # nothing planted
    python -m benchmarks.campaigns --study power --campaigns 100            # rank IC 0.05 planted
    python -m benchmarks.campaigns --study null --report                    # what is finished so far

The null study fits every twentieth campaign with LightGBM (3.5 minutes each) and the others with ridge (5 seconds);
--model takes one for all. The power study is ridge's.

A finished campaign is one line of the --out file and is not run again; start several workers with --worker i/n. Exit
code 1 when a bound fails: for `null` the upper 95 % limit of the promoted share (Clopper-Pearson, one-sided) is at most
1 %, for `power` the promoted share is at least 80 %.

The features and returns here are plain numpy over simulated returns, not the warehouse's: half a million fits must
take an hour. With --cost 0 nothing but the statistics stands between luck and promotion.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from trademl.config.reading import load_section
from trademl.governance.assignments import write_assignments
from trademl.governance.audit import audit_splits
from trademl.governance.gate import Calibration, Evidence, PromotionPolicy, Shadow, judge
from trademl.rng import stream
from trademl.validation.calibration import apply, brier, ece, fit_isotonic
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.drift import population_stability_index
from trademl.validation.spans import LabelSpans
from trademl.validation.splits import Split
from trademl.warehouse.simulate.config import SimulationConfig
from trademl.warehouse.simulate.market import draw_listings, draw_noise
from trademl.warehouse.simulate.signal import plant

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]

POLICY = Path(__file__).resolve().parents[1] / "configs" / "promotion.yml"
SYMBOLS, SESSIONS, SHADOW, HORIZON, EMBARGO, WARM_UP = 250, 1260, 60, 5, 10, 126
CONFIGURATIONS = 50
BOOSTED_EVERY = 20
QUANTILE = 0.2
PLANTED_IC = 0.05
PROMOTED_AT_MOST, PROMOTED_AT_LEAST = 0.01, 0.80


@dataclass(frozen=True, eq=False)
class Market:
    """One market after the warm-up. ``X`` is (sessions, symbols, features), ranks centred per session, 0 where unknown.

    ``label`` is the simple return from the next open to the close HORIZON sessions after, NaN where there is none;
    ``usable`` the members with a full history; ``day`` and ``intraday`` simple returns of a session from the close
    before and from its open, 0 for absent symbols.
    """

    X: NDArray[np.float32]
    label: Floats
    usable: NDArray[np.bool_]
    day: Floats
    intraday: Floats


def simulate(seed: int, planted_ic: float) -> Market:
    """Simulate one market and its features."""
    config = SimulationConfig.model_validate(
        {"symbols": SYMBOLS, "sessions": SESSIONS, "seed": seed, "planted_ic": planted_ic, "corrections": 0}
    )
    listings = draw_listings(config)
    noise = draw_noise(config, listings)
    alive = listings.alive(SESSIONS)
    age = np.arange(SESSIONS)[:, None] - listings.first
    members = alive & listings.members(SESSIONS)
    intraday = plant(config, noise, alive, members & (age >= 60)).intraday
    log_day = np.where(alive, noise.gap + intraday, 0.0)
    level = np.cumsum(log_day, axis=0)
    forward = np.full(level.shape, np.nan)
    forward[:-HORIZON] = level[HORIZON:] - level[:-HORIZON] - np.where(alive, noise.gap, 0.0)[1 : 1 - HORIZON or None]
    entered = np.zeros_like(alive)
    entered[:-1] = alive[1:]
    usable = members & (age >= WARM_UP)
    raw = _features(level, log_day, noise.gap, config.seed)
    X = np.stack([_ranks(values, usable) for values in raw], axis=2).astype(np.float32)
    keep = slice(WARM_UP, SESSIONS)
    return Market(
        X=X[keep],
        label=np.where(usable & entered, np.expm1(forward), np.nan)[keep],
        usable=usable[keep],
        day=np.expm1(log_day)[keep],
        intraday=np.expm1(np.where(alive, intraday, 0.0))[keep],
    )


def _features(level: Floats, day: Floats, gap: Floats, seed: int) -> list[Floats]:
    def back(values: Floats, window: int) -> Floats:
        moved = np.full(values.shape, np.nan)
        moved[window:] = values[:-window]
        return moved

    def total(values: Floats, window: int) -> Floats:
        cumulated = np.vstack([np.zeros(values.shape[1]), np.cumsum(values, axis=0)])
        found = np.full(values.shape, np.nan)
        found[window - 1 :] = cumulated[window:] - cumulated[:-window]
        return found

    market = day.mean(axis=1, keepdims=True)
    rng = stream(seed, "campaign", "volume")
    activity = 0.5 * level + rng.normal(0.0, 1.0, level.shape[1]) + rng.normal(0.0, 0.3, level.shape)
    found = [level - back(level, window) for window in (1, 5, 20, 60, 120)]
    found += [np.sqrt(total(day**2, window)) for window in (5, 20, 60)]
    found += [level - total(level, window) / window for window in (20, 60)]
    found += [total(gap, 20), total(day * market, 60), total(np.abs(day), 20), activity, activity - back(activity, 20)]
    return found


def _ranks(values: Floats, usable: NDArray[np.bool_]) -> Floats:
    """Rank within each session's usable symbols, centred on 0, from -0.5 to 0.5; 0 where there is no rank."""
    known = usable & np.isfinite(values)
    order = np.argsort(np.argsort(np.where(known, values, np.inf), axis=1, kind="stable"), axis=1)
    count = known.sum(axis=1, keepdims=True)
    return np.where(known, (order + 0.5) / np.maximum(count, 1) - 0.5, 0.0)


def draw_configurations(seed: int, features: int) -> list[dict[str, Any]]:
    """Draw what the researcher tries: a set of features, a penalty, a target."""
    rng = stream(seed, "campaign", "configurations")
    found = []
    for _ in range(CONFIGURATIONS):
        size = int(rng.integers(2, features + 1))
        found.append(
            {
                "features": np.sort(rng.permutation(features)[:size]),
                "penalty": float(10.0 ** rng.uniform(-4, 1)),
                "target": ("demeaned", "rank")[int(rng.integers(2))],
                "trees": int(rng.integers(20, 60)),
                "leaves": int(rng.integers(3, 9)),
            }
        )
    return found


class Ridge:
    """Ridge fits from sums per session: a fit on any set of sessions is one addition of small matrices."""

    def __init__(self, X: NDArray[np.float32], targets: dict[str, Floats], rows: NDArray[np.bool_]) -> None:
        self.X = X
        kept = np.where(rows[:, :, None], X, 0.0).astype(np.float64)
        self.gram = np.einsum("tsi,tsj->tij", kept, kept, optimize=True)
        self.moment = {
            name: np.einsum("tsi,ts->ti", kept, np.where(rows, y, 0.0), optimize=True) for name, y in targets.items()
        }
        self.rows = rows.sum(axis=1)

    def predict(self, trained: NDArray[np.bool_], tested: NDArray[np.int64], tried: list[dict[str, Any]]) -> Scores:
        """Return scores of all symbols on the tested sessions, shape (configurations, sessions, symbols)."""
        gram = self.gram[trained].sum(axis=0)
        moment = {name: values[trained].sum(axis=0) for name, values in self.moment.items()}
        beta = np.zeros((self.X.shape[2], len(tried)), dtype=np.float32)
        for number, one in enumerate(tried):
            chosen = one["features"]
            penalty = one["penalty"] * self.rows[trained].sum() / 12.0 * np.eye(len(chosen))
            beta[chosen, number] = np.linalg.solve(
                gram[np.ix_(chosen, chosen)] + penalty, moment[one["target"]][chosen]
            )
        return np.asarray(np.moveaxis(self.X[tested] @ beta, 2, 0))


class Boosted:
    """The same contract with LightGBM, fitted on every HORIZON-th session: no labels overlap, a fifth of the time."""

    def __init__(self, X: NDArray[np.float32], targets: dict[str, Floats], rows: NDArray[np.bool_]) -> None:
        self.X, self.targets = X, targets
        self.rows = rows & (np.arange(len(rows)) % HORIZON == 0)[:, None]

    def predict(self, trained: NDArray[np.bool_], tested: NDArray[np.int64], tried: list[dict[str, Any]]) -> Scores:
        """Return scores as :meth:`Ridge.predict` does."""
        return np.stack([self._one(self.rows & trained[:, None], tested, one) for one in tried])

    def _one(self, rows: NDArray[np.bool_], tested: NDArray[np.int64], tried: dict[str, Any]) -> Scores:
        import lightgbm

        chosen = tried["features"]
        parameters = {
            "objective": "regression",
            "num_leaves": tried["leaves"],
            "learning_rate": 0.05,
            "min_data_in_leaf": 400,
            "max_bin": 63,
            "num_threads": 1,
            "verbose": -1,
            "seed": 7,
            "deterministic": True,
        }
        data = lightgbm.Dataset(self.X[rows][:, chosen], self.targets[tried["target"]][rows], params=parameters)
        model = lightgbm.train(parameters, data, tried["trees"])
        test = self.X[tested][:, :, chosen]
        return np.asarray(model.predict(test.reshape(-1, len(chosen))), dtype=np.float32).reshape(test.shape[:2])


def strategy_returns(market: Market, scores: Floats | Scores, cost: float) -> Floats:
    """Return net daily long-short returns of scores (sessions, symbols); NaN scores take no part.

    A fifth of the capital is placed on each session's top and bottom fifth, from the next open to the close HORIZON
    sessions after the decision; every traded dollar costs ``cost``. One row for each session after the first.
    """
    weights = _weights(scores, market.usable)
    entered = np.sum(weights[:-1] * market.intraday[1:], axis=1)
    held = np.zeros(len(weights) - 1)
    for lag in range(2, HORIZON + 1):
        held[lag - 1 :] += np.sum(weights[:-lag] * market.day[lag:], axis=1)
    placed = np.abs(weights).sum(axis=1)
    traded = placed[:-1].copy()
    traded[HORIZON - 1 :] += placed[: len(placed) - HORIZON]
    return np.asarray((entered + held - cost * traded) / HORIZON)


def _weights(scores: Floats | Scores, usable: NDArray[np.bool_]) -> Floats:
    known = usable & np.isfinite(scores)
    filled = np.where(known, scores, np.inf).astype(np.float32)
    ordered = np.sort(filled, axis=1)
    count = known.sum(axis=1, keepdims=True)
    size = np.floor(QUANTILE * count).astype(np.int64)
    low = np.take_along_axis(ordered, np.maximum(size - 1, 0), axis=1)
    high = np.take_along_axis(ordered, np.maximum(count - size, 0), axis=1)
    share = np.where(size >= 5, 0.5 / np.maximum(size, 1), 0.0)
    return np.asarray(share * ((known & (filled >= high)).astype(np.float64) - (filled <= low)))


def research(
    seed: int,
    planted_ic: float,
    model: str,
    cost: float,
    policy: PromotionPolicy,
    *,
    stop: int = 0,
    purge: bool = True,
    scale: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda X: X,
    distort: Callable[[Floats], Floats] = lambda p: p,
    absent: int = 0,
) -> tuple[Evidence, dict[str, Any]]:
    """Run one campaign and return the evidence on its best configuration.

    Args:
        seed, planted_ic: of the market. model: ridge or lightgbm. cost: of a traded dollar.
        policy: how many strategies without a signal there must be.
        stop: sessions of data that the research did not use, newest first: its data are stale.
        purge: False trains on the rows whose labels overlap the test blocks, and on those right after them.
        scale: changes the features that the model sees in shadow, as a changed source would.
        distort: changes the calibrated probabilities.
        absent: sessions of the newest data on which a third of the members have no bar.
    """
    market = simulate(seed, planted_ic)
    sessions = len(market.label)
    end = sessions - SHADOW - stop  # no label of the research ends in the shadow
    label = np.where(np.arange(sessions)[:, None] < end - HORIZON, market.label, np.nan)
    rows = np.isfinite(label)
    mean = np.nanmean(np.where(rows.any(axis=1, keepdims=True), label, 0.0), axis=1, keepdims=True)
    demeaned = label - mean
    targets = {"demeaned": demeaned, "rank": _ranks(label, rows) * float(np.nanstd(demeaned)) * math.sqrt(12.0)}
    fitted = (Ridge if model == "ridge" else Boosted)(market.X, targets, rows)
    tried = draw_configurations(seed, market.X.shape[2])
    decisions = np.flatnonzero(rows.any(axis=1))
    spans = LabelSpans(decisions, decisions + HORIZON, np.zeros(len(decisions), dtype=np.int64))
    splitter = CombinatorialPurgedCV(n_folds=8, n_test_folds=2, embargo=EMBARGO)
    splits = list(splitter.split(spans))
    if not purge:
        everything = np.arange(len(decisions))
        splits = [split._replace(train=np.setdiff1d(everything, split.test)) for split in splits]
    path_of, folds = splitter.path_of(), splitter.folds(spans)
    scores = np.full((len(tried), splitter.n_paths, sessions, SYMBOLS), np.nan, dtype=np.float32)
    for split in splits:
        trained = np.zeros(sessions, dtype=np.bool_)
        trained[decisions[split.train]] = True
        tested = decisions[split.test]
        path = path_of[split.split_id, folds[split.test]]
        scores[:, path, tested] = fitted.predict(trained, tested, tried)
    used = slice(int(decisions[0]), int(decisions[-1]) + 1)
    inner = Market(market.X, label[used], market.usable[used], market.day[used], market.intraday[used])
    by_path = [[strategy_returns(inner, path[used], cost) for path in of_trial] for of_trial in scores]
    trials = np.mean(by_path, axis=1).T
    wanted = max(len(tried), policy.min_no_signal)
    shape = inner.label.shape
    blank = np.stack([strategy_returns(inner, no_signal(seed, k, shape), cost) for k in range(wanted)], axis=1)
    sharpe = trials.mean(axis=0) / trials.std(axis=0, ddof=1)
    best = int(np.argmax(sharpe))
    later = np.arange(sessions - SHADOW, sessions)
    fitted.X = fitted.X.copy()
    fitted.X[later] = scale(fitted.X[later])
    live = np.full((sessions, SYMBOLS), np.nan)
    live[later] = fitted.predict(np.isin(np.arange(sessions), decisions), later, [tried[best]])[0]
    shadowed = Market(market.X, market.label[later], market.usable[later], market.day[later], market.intraday[later])
    mean_score: Floats = np.asarray(np.mean(scores[best][:, used], axis=0, dtype=np.float64))
    expected = mean_score[np.isfinite(mean_score) & inner.usable]
    violations, checks = audited(splits, spans, splitter.n_paths)
    evidence = Evidence(
        run_id=f"campaign-{seed}-best-{best}",
        sleeve="equities",
        label=f"fwd_{HORIZON}d",
        returns=trials[:, best],
        turnover=2.0 / HORIZON,
        trials=trials,
        no_signal=blank,
        n_trials=len(tried),
        leakage_violations=violations,
        leakage_checks=checks,
        artifact_fault=None,
        data_faults=_not_green(market, absent, seed),
        data_age=stop,
        calibration=calibration_of(mean_score, inner.label, folds, distort),
        shadow=Shadow(
            SHADOW,
            strategy_returns(shadowed, live[later], cost),
            population_stability_index(expected, live[later][shadowed.usable]),
        ),
    )
    year = math.sqrt(policy.periods_per_year)
    return evidence, {"best_sharpe": float(sharpe[best] * year), "median_sharpe": float(np.median(sharpe) * year)}


def audited(splits: list[Split], spans: LabelSpans, paths: int) -> tuple[int, int]:
    """Audit the splits in SQL as a training run does, one row a session; return violations and checks."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        stored = write_assignments(Path(folder) / "splits.parquet", splits, len(spans))
        con.register("session", {"start_ordinal": spans.start, "end_ordinal": spans.end})
        sql = (
            "(select row_number() over (order by start_ordinal) - 1 as row_id, 'all' as entity, start_ordinal, "
            "end_ordinal, timestamp '2000-01-01' as known_at, timestamp '2000-01-01' as decision_at from session)"
        )
        found = audit_splits(con, stored, sql, embargo=EMBARGO, run_id="campaign", paths=paths)
    return sum(row.violations for row in found), len(found)


def _not_green(market: Market, absent: int, seed: int) -> int:
    """Grade the newest sessions as silver.coverage does (GREEN: at least 0.98 of the members), and count the others."""
    if not absent:
        return 0
    members = market.usable[-absent:]
    present = members & (stream(seed, "campaign", "absent").random(members.shape) > 1 / 3)
    return int(np.sum(present.sum(axis=1) / members.sum(axis=1) < 0.98))


def no_signal(seed: int, number: int, shape: tuple[int, ...]) -> Floats:
    """Return scores without a signal, constant for 1, 5, 20 or 60 sessions: as quick and as slow as real ones."""
    held = (1, 5, 20, 60)[number % 4]
    draws = stream(seed, "campaign", "no signal", str(number)).normal(size=(shape[0] // held + 2, shape[1]))
    return np.repeat(draws, held, axis=0)[number % held :][: shape[0]]


def calibration_of(
    score: Floats, label: Floats, folds: NDArray[np.int64], distort: Callable[[Floats], Floats] = lambda p: p
) -> Calibration:
    """Measure cross-fitted isotonic probabilities of a positive label against the cross-fitted base rate."""
    known = np.isfinite(score) & np.isfinite(label)
    fold = np.broadcast_to(folds[:, None], score.shape)[known]
    x, rose = score[known], (label[known] > 0).astype(np.float64)
    likely, base = np.empty(len(x)), np.empty(len(x))
    for number in np.unique(fold):
        out = fold == number
        likely[out] = apply(fit_isotonic(x[~out], rose[~out]), x[out])
        base[out] = rose[~out].mean()
    likely = distort(likely)
    return Calibration(ece(likely, rose, n_bins=20, strategy="quantile"), brier(likely, rose), brier(base, rose))


def limits(promoted: int, campaigns: int) -> tuple[float, float]:
    """Return the one-sided 95 % Clopper-Pearson limits of a share, by bisection of the binomial tail."""

    def tail(share: float, at_least: int) -> float:
        return sum(
            math.comb(campaigns, k) * share**k * (1 - share) ** (campaigns - k) for k in range(at_least, campaigns + 1)
        )

    def solve(target: float, at_least: int) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(middle, at_least) < target else (low, middle)
        return (low + high) / 2

    lower = 0.0 if promoted == 0 else solve(0.05, promoted)
    upper = 1.0 if promoted == campaigns else solve(0.95, promoted + 1)
    return lower, upper


def report(rows: list[dict[str, Any]], study: str) -> bool:
    """Print what was promoted, which bars refused the rest, and the verdict."""
    promoted = sum(row["promoted"] for row in rows)
    lower, upper = limits(promoted, len(rows))
    refused = Counter(bar for row in rows for bar in row["failed"])
    alone = Counter(row["failed"][0] for row in rows if len(row["failed"]) == 1)
    seeds = f"seeds {rows[0]['seed']} to {rows[-1]['seed']}"
    models = ", ".join(f"{n} {model}" for model, n in sorted(Counter(row["model"] for row in rows).items()))
    print(f"{study}: {len(rows)} campaigns of {CONFIGURATIONS} configurations, {models}, {seeds}")
    print(f"promoted {promoted} = {promoted / len(rows):.2%}, one-sided 95 % limits {lower:.2%} and {upper:.2%}")
    sharpes = np.array([row["best_sharpe"] for row in rows])
    low, high = np.quantile(sharpes, [0.05, 0.95])
    print(f"best Sharpe ratio submitted, net: median {np.median(sharpes):.2f}, 5 to 95 %: {low:.2f} to {high:.2f}")
    print("bars that refused (alone): " + ", ".join(f"{bar} {n} ({alone[bar]})" for bar, n in refused.most_common()))
    holds = upper <= PROMOTED_AT_MOST if study == "null" else promoted / len(rows) >= PROMOTED_AT_LEAST
    bound = f"upper limit <= {PROMOTED_AT_MOST:.0%}" if study == "null" else f"share >= {PROMOTED_AT_LEAST:.0%}"
    print(f"{'holds' if holds else 'FAILS'}  {bound}")
    return holds


def main() -> int:
    """Run what is not finished yet, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=["null", "power"], default="null")
    parser.add_argument("--model", choices=["mixed", "ridge", "lightgbm"], default=None, help="of all campaigns")
    parser.add_argument("--campaigns", type=int, default=None, help="default 400 for null, 100 for power")
    parser.add_argument(
        "--cost", type=float, default=5e-4, help="of a traded dollar; default 0.0005, five basis points"
    )
    parser.add_argument("--worker", default="0/1", help="this process takes campaigns i, i + n, ... of i/n")
    parser.add_argument("--out", type=Path, default=None, help="finished campaigns (JSON lines)")
    parser.add_argument("--report", action="store_true", help="only report what is finished")
    options = parser.parse_args()
    policy = load_section(POLICY, PromotionPolicy)
    count = options.campaigns or (400 if options.study == "null" else 100)
    chosen = options.model or ("mixed" if options.study == "null" else "ridge")
    out = options.out or Path(f"campaigns_{options.study}_{chosen}_{options.cost:g}.jsonl")
    mine, workers = (int(part) for part in options.worker.split("/"))
    finished = {row["seed"]: row for row in map(json.loads, out.read_text().splitlines())} if out.is_file() else {}
    first = 10_000 if options.study == "null" else 20_000
    began = time.monotonic()
    seeds = range(first, first + count)
    left = [seed for seed in seeds[mine::workers] if seed not in finished and not options.report]
    for done, seed in enumerate(left, start=1):
        planted = 0.0 if options.study == "null" else PLANTED_IC
        model = chosen if chosen != "mixed" else "ridge" if seed % BOOSTED_EVERY else "lightgbm"
        evidence, facts = research(seed, planted, model, options.cost, policy)
        decision = judge(evidence, policy)
        bars = {bar.name: bar.value for bar in decision.bars}
        row = {
            "seed": seed,
            "model": model,
            "promoted": decision.passed,
            "failed": [bar.name for bar in decision.failed],
            **facts,
        }
        finished[seed] = {**row, "bars": bars}
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(finished[seed]) + "\n")
        pace = (time.monotonic() - began) / done
        text = f"campaign {seed}: {'promoted' if decision.passed else 'refused by ' + ', '.join(row['failed'])}"
        print(f"{text}; {pace * (len(left) - done) / 60:.0f} min left", file=sys.stderr)
    rows = [finished[seed] for seed in seeds if seed in finished]
    return 0 if rows and report(rows, options.study) else 1


if __name__ == "__main__":
    sys.exit(main())
