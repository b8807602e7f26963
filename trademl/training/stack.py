"""One run of a stack: the same steps, folder, ledger, audit and proofs as any run, with bases in place of fits.

What differs: the bases are other runs, verified; their out-of-fold scores are audited as the run's second kind of
data; the out-of-fold predictions are made by fold-consistent meta-learners (:mod:`trademl.training.stack_folds`); and
the final model is the bases' own final models under a meta-learner fitted on every row, with each base's score averaged
over the splits that test it.
"""

import hashlib
import io
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trademl.config.home import Home
from trademl.config.reading import validate_section
from trademl.errors import ConfigError
from trademl.governance.audit import AuditRow, raise_if_leaking
from trademl.models.base import BaseModel
from trademl.models.onnx import prove_parity
from trademl.models.stacking.config import StackConfig, check_task
from trademl.models.stacking.fit import fit_blend
from trademl.models.stacking.model import StackModel, blended_importances, union_of_features
from trademl.training.config import MODEL_TASKS, SleeveTables, TrainingConfig
from trademl.training.cross_validate import CrossValidation, SplitResult
from trademl.training.dataset import TrainingData, spans_sql
from trademl.training.feature_columns import FeatureColumn, reference
from trademl.training.stack_audit import AuditedBase, AuditedStack, audit_stack
from trademl.training.stack_bases import SPLITS, AlignedScores, BaseRun, align, check_validation, open_base
from trademl.training.stack_folds import (
    BlendedFold,
    blend_folds,
    checked_splitter,
    fold_inputs,
    mean_scores,
    mean_shares,
    meta_splits,
    write_meta_assignments,
)
from trademl.training.trainer import Trainer
from trademl.validation.cpcv import CombinatorialPurgedCV
from trademl.validation.metrics import information_coefficient

META_SPLITS = "predictions/meta_splits.parquet"
ODD_ROWS = 4096


def stack_config(
    home: Home, sleeve: SleeveTables, model: Mapping[str, Any], own: Mapping[str, Any] | None = None
) -> TrainingConfig:
    """Return the training configuration of a stack: that of its first base, with the features of all.

    Args:
        home: where the runs are.
        sleeve: their sleeve.
        model: the fields of :class:`StackConfig`, with at least two ``bases``.
        own: fields in which the stack is another run than its first base, such as ``task`` or ``target``.

    Raises:
        ConfigError: a field is wrong, fewer than two runs are named, or a run does not exist.
        ModelError: the blender does not do the task.
        ArtifactError: a run is not finished, or does not verify.
    """
    chosen = validate_section({"kind": "stack", **model}, StackConfig, origin="stacker")
    if len(chosen.bases) < 2:
        raise ConfigError(
            f"runs names {len(chosen.bases)} runs; a stack blends at least two",
            remedy='give two or more with --runs A,B,C: `trademl sql "select run_id from ops.runs"` lists them',
        )
    bases = [open_base(home, sleeve.name, run) for run in chosen.bases]
    merged = {
        **bases[0].config.model_dump(),
        **{name: value for name, value in (own or {}).items() if value is not None},
        "features": _features(sleeve, bases),
        "feature_set": None,
        "model": chosen.model_dump(),
    }
    config = validate_section(merged, TrainingConfig, origin="stacker")
    check_task(chosen.blender, MODEL_TASKS[config.task])
    return config


def _features(sleeve: SleeveTables, bases: Sequence[BaseRun]) -> list[str]:
    """Return the features of all bases, each once, as a configuration names them.

    Raises:
        ConfigError: two bases call columns of different tables by one name: one matrix cannot hold both.
    """
    found: dict[str, tuple[str, FeatureColumn]] = {}
    for base in bases:
        for column in base.columns():
            run, other = found.setdefault(column.name, (base.run_id, column))
            if other != column:
                raise ConfigError(
                    f"runs: {run} and {base.run_id} both have a feature {column.name!r}, the one of {other.table}, the "
                    f"other of {column.table}",
                    remedy="train one of the two on a list that has both columns, or leave it out",
                )
    names = union_of_features([base.feature_names for base in bases])
    return [reference(found[name][1], sleeve) for name in names]


class StackTrainer(Trainer):
    """A :class:`Trainer` whose model is a stack; the configuration's ``model`` is a :class:`StackConfig`."""

    @cached_property
    def stack(self) -> StackConfig:
        """The configuration of the stack.

        Raises:
            ConfigError: the run's model is none.
        """
        if not isinstance(self.model, StackConfig):
            raise ConfigError(
                f"model.kind={self.model.kind!r} is no stack", remedy="train it with `trademl train SLEEVE`"
            )
        return self.model

    @cached_property
    def bases(self) -> tuple[BaseRun, ...]:
        """The verified runs, in order, validated as the stack is.

        Raises:
            ConfigError: one does not exist, is a stack, or was validated otherwise.
            ArtifactError: one does not verify.
        """
        found = tuple(open_base(self.home, self.sleeve.name, run) for run in self.stack.bases)
        for base in found:
            check_validation(base, self.config)
        return found

    @cached_property
    def folds(self) -> CombinatorialPurgedCV:
        """The splitter of bases and stack.

        Raises:
            ConfigError: it holds out no two folds together.
        """
        return checked_splitter(self.splitter)

    @cached_property
    def aligned(self) -> tuple[AlignedScores, ...]:
        """The bases' out-of-fold scores over the stack's rows; see :func:`trademl.training.stack_bases.align`."""
        con = self.snapshot.con
        return tuple(align(con, self.sleeve, base, self.data, self.folds) for base in self.bases)

    def prepare_data(self) -> TrainingData:
        """Check the bases, then load the rows of the label, after the data gate."""
        checked_splitter(self.splitter)
        self.told.stage(f"verifying {len(self.stack.bases)} runs")
        _ = self.bases
        return super().prepare_data()

    def audit_inputs(self) -> list[AuditRow]:
        """Store the meta-learners' splits, and judge them and the base scores that they are given.

        Raises:
            LeakageError: a check counted a violation.
            ConfigError: a base has other rows, folds or label spans than the stack.
        """
        self.told.stage("laying the bases' out-of-fold scores over the rows")
        scores = [one.scores for one in self.aligned]
        meta = write_meta_assignments(self.folder.place(META_SPLITS), self.folds, self.data)
        self.told.stage("auditing what the meta-learners are given")
        stack = AuditedStack(
            run_id=self.folder.run_id,
            sleeve=self.sleeve.name,
            meta=meta,
            splits=self.folder.place(SPLITS),
            spans=spans_sql(self.sleeve, self.config, self.data.label, self.prepared.gate.excluded, self.data.columns),
            bases=tuple(AuditedBase(base.run_id, base.splits(), base.spans(self.sleeve)) for base in self.bases),
            n_folds=self.folds.n_folds,
            embargo=int(self.folds.embargo),
            purge=self.folds.purge,
        )
        given = (fold_inputs(self.folds, self.data, scores, split) for split in meta_splits(self.folds, self.data))
        rows = audit_stack(self.snapshot.con, stack, given, now=self.now)
        raise_if_leaking(rows)
        return rows

    def train(self) -> CrossValidation:
        """Fit the meta-learner of each fold and return the stack's out-of-fold predictions, path for path.

        Raises:
            ModelError: a meta-learner cannot be fitted.
        """
        self.told.stage(f"blending {len(self.bases)} runs by {self.stack.blender} on {self.folds.n_folds} folds")
        scores = [one.scores for one in self.aligned]
        found: list[BlendedFold] = []
        seconds: list[float] = []
        self.told.splits(self.folds.n_folds, 0)
        try:
            began = time.monotonic()
            for fold in blend_folds(self.folds, self.data, scores, self.stack):
                found.append(fold)
                seconds.append(time.monotonic() - began)
                self.told.split_done(float(np.mean([self._rank_ic(one.scores[0], one.rows) or 0.0 for one in found])))
                began = time.monotonic()
        finally:
            self.told.splits_end()
        blended, split_of = self._paths(found)
        results = [self._split(number, blended, split_of, found, seconds) for number in range(self.folds.n_splits)]
        self.folder.add_json("metrics/stack.json", self._description(found))
        return CrossValidation(blended, split_of, tuple(results), None, 0)

    def final_model(self, validated: CrossValidation) -> BaseModel:
        """Return the bases' final models under a meta-learner fitted on every fitted row.

        Raises:
            ModelError: a base cannot be read, or the meta-learner not fitted.
            ParityError: some row with odd floats scores otherwise in ONNX.
        """
        scores = mean_scores([one.scores for one in self.aligned])
        rows = np.flatnonzero(self.data.fitted & np.isfinite(scores).any(axis=1))
        data = self.data
        blend = fit_blend(scores[rows], data.target[rows], data.weight[rows], self.stack, self.stack.bases)
        model = StackModel.of(self.stack, [base.model() for base in self.bases], blend)
        # The run's own proof visits the trees' features; this one gives odd floats to those of linear bases too.
        with tempfile.TemporaryDirectory(prefix="trademl-") as folder:
            native, exported = Path(folder) / f"model{model.suffix}", Path(folder) / "model.onnx"
            model.save(native)
            model.export_onnx(exported)
            some = np.ascontiguousarray(data.X[np.linspace(0, len(data) - 1, min(len(data), ODD_ROWS)).astype(int)])
            prove_parity(replace(StackModel.native(native), trees=None), exported, some)
        return model

    def _paths(self, folds: Sequence[BlendedFold]) -> tuple[NDArray[np.float64], NDArray[np.int16]]:
        shape = (self.folds.n_paths, len(self.data))
        scores, split_of = np.full(shape, np.nan), np.full(shape, -1, dtype=np.int16)
        serving = self.folds.paths()
        for fold in folds:
            scores[:, fold.rows] = fold.scores
            split_of[:, fold.rows] = np.where(np.isfinite(fold.scores), serving[fold.fold][:, None], -1)
        return scores, split_of

    def _split(
        self,
        number: int,
        scores: NDArray[np.float64],
        split_of: NDArray[np.int16],
        folds: Sequence[BlendedFold],
        seconds: Sequence[float],
    ) -> SplitResult:
        """Write the checkpoint of one split, as a run of any model does, and return its record."""
        tested = self.folds.test_folds[number]
        rows, path = np.nonzero((split_of == number).T)
        predicted = scores[path, rows]
        buffer = io.BytesIO()
        np.save(buffer, predicted, allow_pickle=False)
        content = buffer.getvalue()
        parts = [one.importances[number] for one in self.aligned]
        shares = mean_shares([folds[fold] for fold in tested])
        result = SplitResult(
            split_id=number,
            test_groups=tested,
            train_rows=min(folds[fold].train_rows for fold in tested),
            test_rows=len(rows),
            rank_ic=self._rank_ic(predicted, rows),
            seconds=round(sum(seconds[fold] for fold in tested) / self.folds.n_paths, 3),
            importances=blended_importances(self.data.feature_names, parts, list(shares.values())),
            predictions_sha256=hashlib.sha256(content).hexdigest(),
        )
        self.folder.add_bytes(f"checkpoints/split_{number:03d}.npy", content)
        self.folder.add_text(f"checkpoints/split_{number:03d}.json", json.dumps(result.to_dict(), indent=1))
        return result

    def _rank_ic(self, scores: NDArray[np.float64], rows: NDArray[np.int64]) -> float | None:
        known = np.isfinite(scores)
        if not known.any():
            return None
        at = rows[known]
        daily = information_coefficient(scores[known], self.data.value[at], self.data.dates[at]).spearman
        defined = daily[np.isfinite(daily)]
        return float(defined.mean()) if len(defined) else None

    def _description(self, folds: Sequence[BlendedFold]) -> dict[str, Any]:
        rows = len(self.data)
        return {
            "blender": self.stack.blender,
            "bases": [
                {
                    "run_id": base.run_id,
                    "kind": base.config.model.kind,
                    "rows": found.rows,
                    "missing": rows - found.rows,
                }
                for base, found in zip(self.bases, self.aligned, strict=True)
            ],
            "folds": [
                {
                    "fold": fold.fold,
                    "train_rows": fold.train_rows,
                    "test_rows": len(fold.rows),
                    "level": fold.blend.level,
                    "weights": dict(zip(fold.blend.inputs, fold.blend.weights, strict=False)),
                    "shares": fold.blend.shares(),
                }
                for fold in folds
            ],
            "not_predicted": int((~np.isfinite(np.concatenate([fold.scores[0] for fold in folds]))).sum()),
        }
