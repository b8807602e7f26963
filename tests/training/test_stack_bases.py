"""The runs of a stack, laid over its rows: what is matched, and what is refused."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.training.panels import panel
from trademl.artifacts.run_folder import RunFolder, RunManifest
from trademl.config.home import Home
from trademl.errors import ArtifactError, ConfigError
from trademl.sleeves.equities import EQUITIES
from trademl.training.config import TrainingConfig
from trademl.training.dataset import TrainingData
from trademl.training.splits import make_splits
from trademl.training.stack_bases import BaseRun, align, check_validation, open_base
from trademl.validation.cpcv import CombinatorialPurgedCV

CV = CombinatorialPurgedCV(4, 2, 2)
VALIDATION = {"folds": 4, "test_folds": 2, "embargo": 2}


@dataclass
class Case:
    """A base that scores the rows of ``data``, and the lake that shows its predictions."""

    con: duckdb.DuckDBPyConnection
    base: BaseRun
    data: TrainingData
    scores: np.ndarray

    def align(self, data: TrainingData | None = None, splitter: CombinatorialPurgedCV = CV) -> np.ndarray:
        return align(self.con, EQUITIES, self.base, data or self.data, splitter).scores


def config(**fields: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"label": "fwd_3d", "validation": VALIDATION, "model": {"kind": "ridge"}, **fields}
    )


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """Forty sessions of five symbols; one score is not a number."""
    data = panel(sessions=40, symbols=5, horizon=3)
    scores = np.random.default_rng(0).standard_normal((CV.n_paths, len(data))).astype(np.float32).astype(np.float64)
    scores[1, 7] = np.nan
    serving = CV.paths()[CV.folds(data.spans)].T
    folder = RunFolder.create(tmp_path, "equities", "run-a")
    for split in make_splits(CV, data):
        row, path = np.nonzero((serving == split.split_id).T)
        record = {"importances": {"first": 1.0 + split.split_id, "second": 0.0}}
        with folder.writing(f"checkpoints/split_{split.split_id:03d}.npy") as place, place.open("wb") as stream:
            np.save(stream, scores[path, row].astype(np.float32))
        folder.add_json(f"checkpoints/split_{split.split_id:03d}.json", record)
    manifest = RunManifest(
        run_id="run-a",
        sleeve="equities",
        created=datetime(2026, 1, 1, tzinfo=UTC),
        git_revision="",
        data_hash="",
        versions={},
        config={},
        summary={"rows": len(data)},
        files={},
    )
    base = BaseRun("run-a", folder, manifest, config(), "fwd_3d", data.feature_names, ())
    with duckdb.connect() as con:
        con.execute("create schema preds; create schema silver; create schema gold")
        con.execute(
            "create table silver.calendar as select range::integer as session_index, "
            "date '2020-01-01' + range::integer as date, timestamp '2020-01-01' as decision_at from range(60)"
        )
        con.register(
            "keys",
            {
                "symbol": np.array(data.entities)[data.spans.entity].astype(object),
                "date": data.dates.astype("datetime64[s]"),
                "label_end": data.label_end.astype("datetime64[s]"),
                **{f"score_{path}": scores[path].copy() for path in range(CV.n_paths)},
                **{f"split_{path}": serving[path].copy() for path in range(CV.n_paths)},
            },
        )
        con.execute(
            "create table gold.equities_training as select symbol, date::date as date, 'fwd_3d' as label, "
            "1.0 as value, label_end::date as label_end_date, timestamp '2020-01-01' as known_at from keys"
        )
        paths = " union all ".join(
            f"select 'equities' as sleeve, symbol as entity, date::date as dt, 'run-a' as run_id, {path} as path_id, "
            f"split_{path} as split_id, score_{path} as yhat, label_end::date as label_end from keys"
            for path in range(CV.n_paths)
        )
        con.execute(f"create table preds.oof as {paths}")
        con.unregister("keys")
        yield Case(con, base, data, scores)


def test_scores_are_laid_over_rows_by_date_and_entity(case: Case) -> None:
    """Path by path, whatever the order in the lake; what is no number is missing."""
    case.con.execute("create or replace table preds.oof as select * from preds.oof order by hash(entity, dt, path_id)")
    np.testing.assert_array_equal(case.align(), case.scores)
    found = align(case.con, EQUITIES, case.base, case.data, CV)
    assert found.rows == len(case.data)
    assert [one["first"] for one in found.importances] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_rows_that_only_one_side_has_are_missing_or_left_out(case: Case) -> None:
    """The stack has two symbols that the base has and one that it has not."""
    rows = np.flatnonzero(np.isin(case.data.spans.entity, (1, 4)))
    data = panel(sessions=40, symbols=3, horizon=3)
    data = replace(data, entities=("S01", "S04", "S99"))
    found = align(case.con, EQUITIES, case.base, data, CV)
    np.testing.assert_array_equal(found.scores[:, data.spans.entity < 2], case.scores[:, rows])
    assert np.isnan(found.scores[:, data.spans.entity == 2]).all()
    assert found.rows == len(rows)


def test_the_score_of_three_classes_is_the_expected_class(case: Case) -> None:
    """Their checkpoints hold probabilities of -1, 0 and 1."""
    path = case.base.folder.place("checkpoints/split_000.npy")
    path.unlink()
    np.save(path, np.array([[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]], dtype=np.float32))
    np.testing.assert_array_equal(case.base.checkpoint(0), [0.25, -0.5])


def test_a_run_of_other_rows_is_refused(case: Case) -> None:
    """None of the stack's symbols; or rows that came or went since it was trained."""
    with pytest.raises(ConfigError, match="predicts none of the 200 rows"):
        case.align(replace(case.data, entities=("V", "W", "X", "Y", "Z")))
    case.con.execute("delete from gold.equities_training where symbol = 'S00' and date = date '2020-01-03'")
    with pytest.raises(ConfigError, match="was trained on 200 rows of fwd_3d; the snapshot has 199"):
        case.align()


def test_a_run_of_other_folds_is_refused(case: Case) -> None:
    """The stack has two sessions more, so its folds begin elsewhere: the first date that differs is named."""
    with pytest.raises(ConfigError, match=r"validation\.folds: run run-a has other folds .* the first on 2020-01-11"):
        case.align(panel(sessions=44, symbols=5, horizon=3))


def test_a_run_of_other_label_spans_is_refused(case: Case) -> None:
    """Labels that end a session later on the stack's side."""
    later = replace(case.data, label_end=case.data.label_end + 1, label="fwd_4d")
    with pytest.raises(ConfigError, match=r"label: the labels of run run-a \(fwd_3d\) end on other .* \(fwd_4d\)"):
        case.align(later)


@pytest.mark.parametrize(
    "change",
    [
        "update preds.oof set yhat = yhat + 1e-12 where path_id = 2 and entity = 'S03' and dt = date '2020-01-09'",
        "update preds.oof set split_id = 5 where path_id = 0 and entity = 'S03' and dt = date '2020-01-09'",
        "delete from preds.oof where path_id = 1 and dt = date '2020-01-09'",
        "delete from preds.oof where path_id = 1",
        "delete from preds.oof",
    ],
)
def test_predictions_that_are_not_sealed_are_refused(case: Case, change: str) -> None:
    """One number, one split, some rows, a path, or all."""
    case.con.execute(change)
    with pytest.raises(ArtifactError, match=r"preds\.oof"):
        case.align()


@pytest.mark.parametrize(
    "field, value, told",
    [
        ("kind", "walk_forward", "'walk_forward', the stack 'cpcv'"),
        ("folds", 6, "has 6, the stack 4"),
        ("test_folds", 3, "has 3, the stack 2"),
        ("embargo", 0, "has 0, the stack 2"),
        ("purge", "entity", "'entity', the stack 'all'"),
    ],
)
def test_every_field_of_the_validation_is_compared(case: Case, field: str, value: Any, told: str) -> None:
    """The message names the field and both values, the remedy what to train again."""
    other = replace(case.base, config=config(validation={**VALIDATION, field: value}))
    check_validation(case.base, config())
    with pytest.raises(ConfigError, match=f"validation.{field}: run run-a has {value!r}|{told}") as refused:
        check_validation(other, config())
    assert f"train ridge again with validation.{field}" in refused.value.remedy


@pytest.mark.parametrize("run", ["", "absent", "../equities/run-a", ".run-a.lock"])
def test_a_name_that_is_no_run_is_refused(tmp_path: Path, run: str) -> None:
    """Also one that would lead elsewhere."""
    home = Home(tmp_path)
    sealed = home.models_artifacts / "equities" / "run-b"
    sealed.mkdir(parents=True)
    (sealed / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(ConfigError, match="there is no run") as refused:
        open_base(home, "equities", run)
    assert "run-b" in refused.value.remedy
