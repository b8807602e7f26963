"""LightGBM on Alpha158 through pyqlib's own pipeline, in pyqlib's own environment.

    python -m benchmarks.features.qlib_ic FOLDER OUT --seeds published 1 2 3

The handler, dataset, processors, model, label and coefficients are pyqlib's; the parameters are those that its
benchmark publishes (examples/benchmarks/LightGBM/workflow_config_lightgbm_Alpha158.yaml), where no seed is set. OUT
gets one row per row of the test period: code.npy, day.npy, label.npy, and a prediction for each seed.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.features.names import PUBLISHED, REGIMES, SEGMENTS


def handler() -> Any:
    """Return pyqlib's Alpha158 over everything in the bin files, with its default processors."""
    from qlib.contrib.data.handler import Alpha158  # type: ignore[import-not-found,unused-ignore]

    first, last = SEGMENTS["train"][0], SEGMENTS["test"][1]
    return Alpha158(
        instruments="all",
        start_time=first,
        end_time=last,
        fit_start_time=first,
        fit_end_time=SEGMENTS["train"][1],
    )


def main() -> None:
    """Fit once per regime and seed, and say what pyqlib says of each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features.qlib_ic", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", nargs="+", default=["published"])
    parser.add_argument("--kernels", type=int, default=2)
    options = parser.parse_args()

    import qlib  # type: ignore[import-not-found,unused-ignore]
    from qlib.config import REG_US  # type: ignore[import-not-found,unused-ignore]
    from qlib.contrib.eva.alpha import calc_ic  # type: ignore[import-not-found,unused-ignore]
    from qlib.contrib.model.gbdt import LGBModel  # type: ignore[import-not-found,unused-ignore]
    from qlib.data.dataset import DatasetH  # type: ignore[import-not-found,unused-ignore]
    from qlib.data.dataset.handler import DataHandlerLP  # type: ignore[import-not-found,unused-ignore]
    from qlib.workflow import R  # type: ignore[import-not-found,unused-ignore]

    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        manager = {"uri": f"sqlite:///{scratch}/mlflow.db", "default_exp_name": "alpha158"}
        qlib.init(
            provider_uri=str(options.folder / "qlib"),
            region=REG_US,
            kernels=options.kernels,
            logging_level=40,
            exp_manager={"class": "MLflowExpManager", "module_path": "qlib.workflow.expm", "kwargs": manager},
        )
        alpha = handler()
        data = DatasetH(alpha, segments=SEGMENTS)
        label = data.prepare("test", col_set="label", data_key=DataHandlerLP.DK_R).iloc[:, 0]
        np.save(options.out / "code.npy", label.index.get_level_values("instrument").str[1:].astype(np.int32))
        np.save(options.out / "day.npy", label.index.get_level_values("datetime").to_numpy().astype("datetime64[D]"))
        np.save(options.out / "label.npy", label.to_numpy(np.float32))
        said: dict[str, dict[str, float]] = {}
        for regime, (rounds, patience) in REGIMES.items():
            if not patience:
                data = DatasetH(alpha, segments={name: SEGMENTS[name] for name in ("train", "test")})
            for seed in options.seeds:
                length = {"num_boost_round": rounds, "early_stopping_rounds": patience or rounds}
                seeded = {} if seed.startswith("published") else {"seed": int(seed)}
                model = LGBModel(loss="mse", num_threads=options.kernels, **length, **PUBLISHED, **seeded)
                with R.start(experiment_name="alpha158"):
                    model.fit(data, verbose_eval=rounds)
                score = model.predict(data, "test")
                ic, rank_ic = calc_ic(score, label)
                np.save(options.out / f"{regime}_{seed}.npy", score.reindex(label.index).to_numpy(np.float64))
                trees = model.model.best_iteration if patience else model.model.num_trees()
                said[f"{regime}_{seed}"] = {"ic": float(ic.mean()), "rank_ic": float(rank_ic.mean()), "trees": trees}
    print(json.dumps({"fits": said}))


if __name__ == "__main__":
    main()
