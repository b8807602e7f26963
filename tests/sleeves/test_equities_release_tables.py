"""Feature tables from the build to the device: sets train, score and are released, each model with its own tables."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from tests.edge.release_home import after_close, command, last_run, make_key, make_server
from trademl.artifacts.run_folder import RunFolder
from trademl.edge.bundle import asset_file, open_release_bundle
from trademl.edge.features import FeatureSql, compute_features, first_session, read_matrix
from trademl.edge.golden import SQL
from trademl.edge.score import read_features
from trademl.lake.layout import layout_of
from trademl.lake.reading import connect_files
from trademl.lake.release import Release, parse_release
from trademl.sleeves.equities_release import DRIFT, publish
from trademl.warehouse.feature_macros import evaluate
from trademl.warehouse.feature_sets import freeze
from trademl.warehouse.read import read_snapshot

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
    ),
]

ALPHA158 = "gold.equities_alpha158"
CORE = "gold.equities_features"


class Server:
    """A home with Alpha158 and three runs: the default features, ``alpha158_v1``, and a mixture of both tables."""

    def __init__(self, folder: Path) -> None:
        self.home, self.core = make_server(folder / "home", ["equities_alpha158"])
        self.alpha = self._train("alpha158_v1")
        mixed = ["momentum_5d_rank", "equities_alpha158.rolling_*_20", "beta_60d_rank"]
        freeze(self.home, evaluate(self.home.dbt_project), "mixed_v1", mixed, "for tests")
        self.mixed = self._train("mixed_v1")
        self.key, _ = make_key(folder, self.home.lake)
        self.moment: datetime = after_close(self.home)
        self.released: dict[str, tuple[Release, FeatureSql]] = {}

    def _train(self, name: str) -> str:
        config = self.home.configs / "training" / "small.yml"
        command(self.home, f"train equities --config {config} --feature-set {name} --no-mlflow")
        return last_run(self.home)

    def release(self, run: str) -> tuple[Release, FeatureSql]:
        """Publish a run, once; return the release and its statements."""
        if run in self.released:
            return self.released[run]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRADEML_RELEASE_KEY", str(self.key))
            found = publish(self.home, run, now=lambda: self.moment)
        release = parse_release(found.path.read_bytes())
        sql = FeatureSql.from_json(asset_file(layout_of(self.home), release, SQL).read_bytes())
        self.released[run] = release, sql
        return release, sql


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One server for all tests."""
    return Server(tmp_path_factory.mktemp("tables"))


def test_the_catalogue_has_the_hashes_that_the_macros_have(server: Server) -> None:
    """dbt and plain jinja come to the same definition of every column of every table, built or not."""
    with read_snapshot(server.home) as snapshot:
        rows = snapshot.con.execute(
            "select table_name, name, sql_sha256, is_built from gold.feature_catalogue"
        ).fetchall()
    expected = {
        (table.name, column): digest
        for table in evaluate(server.home.dbt_project).tables
        for column, digest in table.definition_sha256().items()
    }
    assert {(table, name): digest for table, name, digest, _ in rows} == expected
    assert {table for table, *_, is_built in rows if is_built} == {"equities_features", "equities_alpha158"}


def test_the_default_is_the_set_core_v1(server: Server) -> None:
    """`core_v1` trains on the very matrix of the default configuration: same columns, same bytes, same data hash."""
    config = server.home.configs / "training" / "small.yml"
    command(server.home, f"train equities --config {config} --feature-set core_v1 --no-mlflow")
    folders = [
        RunFolder.open(server.home.models_artifacts / "equities" / run) for run in (server.core, last_run(server.home))
    ]
    assert folders[0].path != folders[1].path
    lists = [json.loads(folder.place("features/feature_list.json").read_bytes()) for folder in folders]
    assert lists[0] == lists[1]
    assert folders[0].manifest().data_hash == folders[1].manifest().data_hash
    models = [folder.place("checkpoints/model.onnx").read_bytes() for folder in folders]
    assert models[0] == models[1]


def test_the_audit_of_a_set_says_what_it_judged(server: Server) -> None:
    """No violation, and the note names the table whose features have no second formula."""
    folder = RunFolder.open(server.home.models_artifacts / "equities" / server.mixed)
    rows = json.loads(folder.place("metrics/leakage_audit.json").read_bytes())
    assert sum(row["violations"] for row in rows) == 0
    (told,) = [row["detail"] for row in rows if row["check_name"] == "feature_not_point_in_time"]
    assert told.startswith("2 raw features of")
    assert f"no second formula for the 29 features of {ALPHA158}" in told


def test_a_model_is_released_with_the_statements_of_its_tables(server: Server) -> None:
    """One on Alpha158 alone needs no core table; a mixture needs both; a core model does what it always did."""
    _, core = server.release(server.core)
    _, alpha = server.release(server.alpha)
    _, mixed = server.release(server.mixed)
    made = [{step.relation for step in sql.steps} for sql in (core, alpha, mixed)]
    assert CORE in made[0] & made[2]
    assert ALPHA158 in made[1] & made[2]
    assert CORE not in made[1]
    assert "work.equity_raw_features" not in made[1]
    assert ALPHA158 not in made[0]
    assert (core.table, core.others, alpha.table, alpha.others) == (CORE, {}, ALPHA158, {})
    assert len(mixed.others[ALPHA158]) == 29
    texts = {step.relation: step.sql for step in mixed.steps}
    assert all(texts[step.relation] == step.sql for step in (*core.steps, *alpha.steps))


@pytest.mark.parametrize("kind", ["alpha", "mixed"])
def test_a_device_computes_further_tables_bit_for_bit(server: Server, kind: str) -> None:
    """For the last session, the first in reach and one between, from the extract alone; the release has passed its own
    golden check, which compares the scores too."""
    release, sql = server.release(getattr(server, kind))
    layout = layout_of(server.home)
    bundle = open_release_bundle(layout, release)
    names = bundle.feature_names
    with connect_files(layout, release.to_manifest()) as con:
        first = first_session(con, sql)
    with read_snapshot(server.home) as snapshot:
        days = [
            row[0]
            for row in snapshot.con.execute(
                f"select distinct date from {ALPHA158} where date >= $day order by 1", {"day": first}
            ).fetchall()
        ]
        for day in (days[0], days[len(days) // 2], days[-1]):
            expected = read_features(snapshot.con, bundle, day)
            with connect_files(layout, release.to_manifest()) as con:
                symbols, X = compute_features(con, sql, day, names)
            assert symbols == expected[0]
            assert X.tobytes() == expected[1].tobytes()
    assert np.isfinite(X).mean() > 0.9


def test_scores_come_from_the_tables_of_the_model(server: Server) -> None:
    """The server scores a run on a set without being told more than the run."""
    for run in (server.alpha, server.mixed):
        command(server.home, f"score equities --run {run}")
    with read_snapshot(server.home) as snapshot:
        counts = snapshot.con.execute("select model_id, count(*) from preds.equities group by 1").fetchall()
        universe = len(read_matrix(snapshot.con, ["momentum_5d"], snapshot.manifest.as_of or server.moment.date())[0])
    assert dict(counts) == {server.alpha: universe, server.mixed: universe}


def test_the_reference_of_drift_names_columns_by_their_tables(server: Server) -> None:
    """Features as the model knows them, and the z-scores behind its ranks, where their table has any."""
    release, _ = server.release(server.mixed)
    reference = json.loads(asset_file(layout_of(server.home), release, DRIFT).read_bytes())
    assert {"momentum_5d_rank", "rolling_beta_20", "momentum_5d_dm", "beta_60d_dm"} <= set(reference["features"])
    assert reference["sessions"] > 0
