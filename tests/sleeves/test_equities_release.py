"""Publishing: what leaves the machine is signed, small, and computes the session as gold has it, bit for bit."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.edge.release_home import RELEASED_SESSIONS, SESSIONS, SYMBOLS, after_close, make_key, make_server
from trademl.config.home import Home
from trademl.edge.bundle import asset_file, open_release_bundle
from trademl.edge.features import BARS, FeatureSql, compute_features, first_session, read_matrix
from trademl.edge.golden import GOLDEN, SQL, check_release
from trademl.errors import ArtifactError, ConfigError, DataGateError, ParityError, PromotionError
from trademl.lake.keys import verify
from trademl.lake.layout import layout_of
from trademl.lake.reading import connect_files
from trademl.lake.release import Release, parse_release
from trademl.sleeves.equities_release import DRIFT, LOOKBACK, Published, publish
from trademl.warehouse.read import read_snapshot

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, str, datetime, Path, str]:
    """A built home, its run, a moment after the last close, the private key and the public one."""
    folder = tmp_path_factory.mktemp("server")
    home, run = make_server(folder / "home")
    key, public = make_key(folder, home.lake)
    return home, run, after_close(home), key, public


@pytest.fixture(scope="module")
def published(server: tuple[Home, str, datetime, Path, str]) -> tuple[Published, Release]:
    """A release of the last session."""
    home, run, moment, key, _ = server
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADEML_RELEASE_KEY", str(key))
        found = publish(home, run, now=lambda: moment)
    return found, parse_release(found.path.read_bytes())


@pytest.fixture
def signing(server: tuple[Home, str, datetime, Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a publisher."""
    monkeypatch.setenv("TRADEML_RELEASE_KEY", str(server[3]))


def test_a_release_is_signed_and_pointed_at(
    server: tuple[Home, str, datetime, Path, str], published: tuple[Published, Release]
) -> None:
    """The signature covers the document's bytes, the pointer names it, and every object has its size."""
    home, run, _, _, public = server
    layout, (found, release) = layout_of(home), published
    assert verify(found.path.read_bytes(), layout.signature(found.seq).read_bytes(), [public])
    assert layout.released.read_text() == f"{found.seq}\n"
    assert (release.as_of, release.model.run_id) == (found.as_of, run)
    assert release.expires - release.created == timedelta(days=5)
    sizes = {name: (layout.objects / name).stat().st_size for name in release.objects()}
    assert sizes == release.objects()
    documents = found.path.stat().st_size + layout.signature(found.seq).stat().st_size
    assert found.bytes_total == found.bytes_new == sum(sizes.values()) + documents
    assert len(release.tables[BARS].files) == RELEASED_SESSIONS


def test_every_session_in_reach_equals_gold(
    server: tuple[Home, str, datetime, Path, str], published: tuple[Published, Release]
) -> None:
    """Features computed from the extract alone have the bits of gold, for the last session and for earlier ones."""
    home, _, _, _, _ = server
    layout, release = layout_of(home), published[1]
    sql = FeatureSql.from_json(asset_file(layout, release, SQL).read_bytes())
    with connect_files(layout, release.to_manifest()) as con:
        first = first_session(con, sql)
    with read_snapshot(home) as snapshot:
        days = [
            row[0]
            for row in snapshot.con.execute(
                "select distinct date from gold.equities_features where date >= $day order by 1",
                {"day": first},
            ).fetchall()
        ]
        assert len(days) == RELEASED_SESSIONS - LOOKBACK
        columns = [row[0] for row in snapshot.con.execute("describe gold.equities_features").fetchall()]
        names = [name for name in columns if name not in {"symbol", "sector", "in_universe", "date", "known_at"}]
        for day in (days[0], days[len(days) // 2], days[-1]):
            expected = read_matrix(snapshot.con, names, day)
            regime = snapshot.con.execute("select regime from gold.equities_regime where date = ?", [day]).fetchall()
            con = connect_files(layout, release.to_manifest())
            symbols, X = compute_features(con, sql, day, names)
            assert symbols == expected[0]
            assert X.tobytes() == expected[1].tobytes()
            assert con.execute("select regime from gold.equities_regime where date = ?", [day]).fetchall() == regime
            con.close()
    assert X.shape[1] > 70
    assert X.shape[0] > SYMBOLS // 2


def test_a_session_without_its_lookback_is_refused(
    server: tuple[Home, str, datetime, Path, str], published: tuple[Published, Release]
) -> None:
    """Fewer bars than features look back on would give other numbers without a word."""
    layout, release = layout_of(server[0]), published[1]
    sql = FeatureSql.from_json(asset_file(layout, release, SQL).read_bytes())
    con = connect_files(layout, release.to_manifest())
    first = first_session(con, sql)
    assert first is not None
    early = first - timedelta(days=1)
    with pytest.raises(DataGateError, match=f"cannot score {early}"):
        compute_features(con, sql, early, ["momentum_5d"])
    con.close()


def test_the_golden_check_names_what_differs(
    server: tuple[Home, str, datetime, Path, str], published: tuple[Published, Release], tmp_path: Path
) -> None:
    """A device whose bars or statements differ does not accept the release, and hears which feature it is."""
    layout, release = layout_of(server[0]), published[1]
    check_release(layout, release.to_manifest(), release)
    golden = json.loads(asset_file(layout, release, GOLDEN).read_bytes())
    name = sorted(golden["features"])[0]
    golden["features"][name] = "0" * 64
    import hashlib

    raw = json.dumps(golden).encode()
    digest = hashlib.sha256(raw).hexdigest()
    layout.asset(digest).write_bytes(raw)
    forged = release.model_copy(update={"assets": {**release.assets, GOLDEN: (digest, len(raw))}})
    forged = parse_release(forged.model_dump_json().encode())
    with pytest.raises(ParityError, match=f"1 of {len(golden['features'])} features differ: {name}"):
        check_release(layout, forged.to_manifest(), forged)
    layout.asset(digest).unlink()


def test_publishing_again_adds_only_the_documents(
    server: tuple[Home, str, datetime, Path, str], published: tuple[Published, Release], signing: None
) -> None:
    """Equal content gives the same objects; only the numbered document and its signature are new."""
    home, run, moment, _, _ = server
    again = publish(home, run, now=lambda: moment + timedelta(minutes=1))
    release = parse_release(again.path.read_bytes())
    assert again.seq > published[0].seq
    assert release.objects() == published[1].objects()
    assert again.bytes_new == again.path.stat().st_size + layout_of(home).signature(again.seq).stat().st_size


def test_the_reference_of_drift_is_of_the_year_before(
    server: tuple[Home, str, datetime, Path, str], published: tuple[Published, Release]
) -> None:
    """Every model feature and its raw form has bins whose shares sum to one, and so has the prediction."""
    layout, release = layout_of(server[0]), published[1]
    reference = json.loads(asset_file(layout, release, DRIFT).read_bytes())
    bundle = open_release_bundle(layout, release)
    assert set(bundle.feature_names) <= set(reference["features"])
    assert "momentum_5d_dm" in reference["features"]
    assert 0 < reference["sessions"] <= SESSIONS
    for one in [*reference["features"].values(), reference["prediction"]]:
        assert sum(one["shares"]) == pytest.approx(1.0, abs=1e-4)
        assert len(one["shares"]) == len(one["edges"]) + 2
        assert one["worst"] >= 0


def test_what_may_not_leave_does_not(server: tuple[Home, str, datetime, Path, str], signing: None) -> None:
    """Stale data, no champion, an unknown run, a session that is not GREEN: each is refused and nothing is flipped."""
    home, run, moment, _, _ = server
    layout = layout_of(home)
    before = layout.released.read_text() if layout.released.is_file() else None
    with pytest.raises(DataGateError, match="is 30 days old; at most 5"):
        publish(home, run, now=lambda: moment + timedelta(days=29))
    with pytest.raises(PromotionError, match="has no champion"):
        publish(home, None, now=lambda: moment)
    with pytest.raises(ArtifactError, match="equities-fwd_5d-000000000000"):
        publish(home, "equities-fwd_5d-000000000000", now=lambda: moment)
    assert (layout.released.read_text() if layout.released.is_file() else None) == before


def test_the_readme_goes_from_server_to_pi(
    server: tuple[Home, str, datetime, Path, str], repository: Path, tmp_path: Path
) -> None:
    """The console block of README's section works as written, but for the moment at which its market ended."""
    home, run, moment, _, _ = server
    text = (repository / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## From server to Pi\n.*?```console\n(.*?)```", text, re.DOTALL)
    written = re.sub(r"TRADEML_NOW=\S+", f"TRADEML_NOW={moment.isoformat()}", block)
    assert written != block
    script = "set -e\n" + "\n".join(line.removeprefix("$ ") for line in written.splitlines())
    (tmp_path / "demo").symlink_to(home.root)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"model       {run}" in done.stdout
    assert list((tmp_path / "pi/lake/reports").glob("equities_*.json"))
    assert "all equal bit for bit" in done.stdout.splitlines()[-1]


def test_without_a_key_nothing_is_published(server: tuple[Home, str, datetime, Path, str]) -> None:
    """An unsigned release does not exist."""
    with pytest.raises(ConfigError, match="TRADEML_RELEASE_KEY is not set"):
        publish(server[0], server[1], now=lambda: server[2])


def test_the_lookback_is_the_projects(repository: Path) -> None:
    """The extract must hold what the panel reads: longest_lookback and seventy sessions more."""
    project = yaml.safe_load((repository / "dbt_project" / "dbt_project.yml").read_text())
    assert project["vars"]["longest_lookback"] + 70 == LOOKBACK
    assert project["vars"]["released_sessions"] > LOOKBACK
    panel = (repository / "dbt_project/models/silver/equities/slv_equity_panel.sql").read_text()
    assert "sessions_before_affected(var('longest_lookback') + 70)" in panel
