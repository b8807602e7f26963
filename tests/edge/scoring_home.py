"""A home with four scorable sessions and one registered run whose model can be worked out by hand.

The model is ``yhat = alpha + 2 beta``, the calibrator ``prob_up = yhat + 0.5`` between -0.5 and 0.5.
"""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import numpy as np

from trademl.artifacts.run_folder import RunFolder
from trademl.config.home import Home
from trademl.governance.ledger import record_run
from trademl.lake.layout import layout_of
from trademl.lake.snapshot import take_snapshot
from trademl.models.golden import write_golden
from trademl.models.runtime import FEATURES_KEY, INPUT, OUTPUT
from trademl.validation.calibration import Knots
from trademl.validation.residuals import ResidualTable

RUN = "equities-fwd_5d-0123456789ab"
FEATURES = ("alpha", "beta")
TUESDAY, WEDNESDAY, AMBER, LATEST = (date(2024, 1, day) for day in (2, 3, 4, 5))
NOW = datetime(2024, 1, 5, 22, 0, tzinfo=UTC)

RESIDUALS = ResidualTable(
    ("low", "mid", "high"), np.array([0.0]), np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]])
)

WAREHOUSE = """
create schema meta; create schema silver; create schema gold;
create table meta.builds(build_id varchar, invocation_id varchar, started_at timestamp, finished_at timestamp,
    affected_from date, definition_hash varchar, as_known_at varchar, status varchar);
insert into meta.builds values ('b-1', 'i-1', timestamp '2024-01-05 21:20:00', timestamp '2024-01-05 21:21:00',
    null, 'd', '', 'success');
create table silver.calendar as
    select day::date as date, n as session_index from (values
        (date '2024-01-02', 0), (date '2024-01-03', 1), (date '2024-01-04', 2), (date '2024-01-05', 3),
        (date '2024-01-08', 4)) as t(day, n);
create table silver.coverage as
    select 'equity_bars' as dataset, date, 4 as expected, if(session_index = 2, 3, 4)::hugeint as present,
        if(session_index = 2, 0.75, 1.0)::double as coverage_ratio, 0.8::double as universe_coverage,
        if(session_index = 2, 'AMBER', 'GREEN') as status, if(session_index = 2, 'absent 1: D', '') as reasons
    from silver.calendar where date < date '2024-01-08';
create table gold.equities_regime(date date, regime varchar, market_volatility float);
insert into gold.equities_regime values
    ('2024-01-02', null, null), ('2024-01-03', 'mid', 0.2), ('2024-01-04', 'mid', 0.2), ('2024-01-05', 'high', 0.3);
create table gold.equities_features(
    symbol varchar, date date, in_universe boolean, alpha float, beta float, gamma float);
insert into gold.equities_features values
    ('D', '2024-01-02', true, 0.375, 0, 9), ('A', '2024-01-02', true, 0.125, 0, 9),
    ('B', '2024-01-02', true, 0.1875, 0, 9), ('C', '2024-01-02', true, 0.25, 0, 9),
    ('C', '2024-01-03', true, 0.25, 0, 9), ('A', '2024-01-03', true, 0, 0.25, 9),
    ('D', '2024-01-03', true, -0.5, 0, 9), ('B', '2024-01-03', true, 0.5, -0.125, 9),
    ('E', '2024-01-03', false, 4, 4, 9),
    ('A', '2024-01-04', true, 0.5, 0, 9),
    ('A', '2024-01-05', true, 0.125, 0, 9), ('F', '2024-01-05', true, 0.25, 0, 9);
"""


def write_warehouse(home: Home, *changes: str) -> None:
    """Write the warehouse anew, apply ``changes`` to it, and publish it."""
    home.lake.mkdir(parents=True, exist_ok=True)
    home.warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(home.warehouse)) as con:
        con.execute(WAREHOUSE)
        for statement in changes:
            con.execute(statement)
    take_snapshot(layout_of(home), now=lambda: NOW)


def write_graph(path: Path, features: tuple[str, ...] = FEATURES, weights: tuple[float, ...] = (1.0, 2.0)) -> None:
    """Write the linear model as an ONNX graph, with its features named in its metadata."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    matrix = numpy_helper.from_array(np.array(weights, dtype=np.float32).reshape(-1, 1), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", [INPUT, "weights"], [OUTPUT])],
        "linear",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        [matrix],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {FEATURES_KEY: json.dumps(list(features))})
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path))


def write_run(
    home: Home,
    run_id: str = RUN,
    *,
    features: tuple[str, ...] = FEATURES,
    listed: tuple[str, ...] | None = None,
    golden_score: float = 5.0,
    recorded: datetime = datetime(2024, 1, 1, tzinfo=UTC),
    registered: bool = True,
) -> Path:
    """Write a finished run, register it, and return its folder."""
    folder = RunFolder.create(home.models_artifacts, "equities", run_id)
    with folder.writing("checkpoints/model.onnx") as place:
        write_graph(place, features)
    golden = np.array([[1, 2]], dtype=np.float32)
    write_golden(folder.place("checkpoints/golden.json"), features, golden, np.array([golden_score]))
    folder.add_json("checkpoints/calibrator.json", Knots(np.array([-0.5, 0.5]), np.array([0.0, 1.0])).to_dict())
    folder.add_json("checkpoints/yhat_std.json", RESIDUALS.to_dict())
    folder.add_json("features/feature_list.json", list(listed or features))
    folder.add_json(
        "config/scoring.json",
        {
            "sleeve": "equities",
            "run_id": run_id,
            "label": "fwd_5d",
            "horizon": 5,
            "features_table": "gold.equities_features",
            "entity": "symbol",
        },
    )
    folder.finish(created=recorded, data_hash="d", config={}, revision="unknown", versions={})
    if registered:
        record_run(
            layout_of(home),
            run_id=run_id,
            sleeve="equities",
            label="fwd_5d",
            status="registered",
            git_revision="unknown",
            data_hash="d",
            config_hash="c",
            path=folder.path.relative_to(home.root).as_posix(),
            metrics={},
            started_at=recorded,
            now=lambda: recorded,
        )
    return folder.path
