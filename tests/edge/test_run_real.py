"""Server and device, with the real features: published, pulled, scored, replayed; equal bit for bit, or named."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import duckdb
import pytest

from tests.edge.release_home import after_close, make_key, make_server
from trademl.cli.init import bundle, make_home
from trademl.config.home import Home
from trademl.config.lake import read_lake_config
from trademl.edge.features import FeatureSql, compute_features
from trademl.edge.golden import check_release
from trademl.edge.run import Matrix, score_release
from trademl.lake.keys import KEY_VARIABLE
from trademl.lake.layout import layout_of
from trademl.lake.pull import pull
from trademl.lake.reading import open_snapshot
from trademl.sleeves.equities_release import publish
from trademl.sleeves.equities_scoring import score_equities
from trademl.sleeves.equities_skew import replay_journals

pytestmark = [
    pytest.mark.slow,
    # dbt leaves its log open, and mlflow's pandas warns of its own.
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
    ),
]

SKEWED = "momentum_20d"


@dataclass(frozen=True)
class Pair:
    """A server that published, and a device that pulled."""

    server: Home
    device: Home
    run: str
    now: datetime
    as_of: date


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    root = tmp_path_factory.mktemp("pair")
    server, run = make_server(root / "server")
    key, public = make_key(root, server.lake)
    now = after_close(server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, str(key))
        published = publish(server, run, now=lambda: now)
    device = Home(root / "device")
    make_home(device.root, bundle())
    settings = f"source: {server.lake}\ntrusted_keys: ['{public}']\n"
    (device.configs / "lake.yml").write_text(settings, encoding="utf-8")
    pull(layout_of(device), read_lake_config(device), check=check_release, now=lambda: now)
    return Pair(server, device, run, now, published.as_of)


def test_server_and_device_give_the_same_picks(pair: Pair) -> None:
    """Every score, spread, probability and rank of the two reports is the same number, and so is the context."""
    ours = score_release(pair.device, now=lambda: pair.now)
    theirs = score_equities(pair.server, pair.as_of, pair.run, now=lambda: pair.now)
    assert ours.rows > 20
    for name in ("picks", "coverage", "regime", "counts", "label", "horizon", "as_of", "scored_at"):
        assert ours.report[name] == theirs.report[name], name
    assert json.loads(ours.json_path.read_text())["picks"] == theirs.report["picks"]


def test_the_journal_is_confirmed_by_the_servers_gold(pair: Pair) -> None:
    """Replayed on the server, no feature and no score of the device differs in one bit."""
    journal = score_release(pair.device, now=lambda: pair.now).journal
    (report,) = replay_journals(pair.server, journal, now=lambda: pair.now)
    assert report.skewed == ()
    assert len(report.features) > 10


def skewed(con: duckdb.DuckDBPyConnection, sql: FeatureSql, as_of: date, names: Sequence[str]) -> Matrix:
    """Compute features with one statement changed on the device: the momentum of 20 sessions is that of 60."""
    before, after = "exp((cast(log_index - log_index_20 as", "exp((cast(log_index - log_index_60 as"
    steps = [replace(step, sql=step.sql.replace(before, after)) for step in sql.steps]
    assert [step.sql for step in steps] != [step.sql for step in sql.steps]
    return compute_features(con, replace(sql, steps=tuple(steps)), as_of, names)


def test_a_statement_changed_on_the_device_is_reported_by_name(pair: Pair) -> None:
    """Of an earlier session, which has no golden values, the journal tells: the changed feature and what it feeds."""
    with open_snapshot(layout_of(pair.device)) as snapshot:
        asked = "select max(date) from silver.coverage where date < ? and status = 'GREEN' and dataset = 'equity_bars'"
        ((day,),) = snapshot.con.execute(asked, [pair.as_of]).fetchall()
    config = pair.device.configs / "lake.yml"
    config.write_text(config.read_text() + "scoring: {max_feature_psi: 100.0, max_prediction_psi: 100.0}\n")
    result = score_release(pair.device, day, now=lambda: pair.now, compute=skewed)
    (report,) = replay_journals(pair.server, result.journal, now=lambda: pair.now)
    named = [feature.feature for feature in report.skewed]
    assert named[0] == f"{SKEWED}_rank"
    assert set(named) <= {f"{SKEWED}_rank", "yhat"}
    assert report.skewed[0].mismatches > report.rows / 2
