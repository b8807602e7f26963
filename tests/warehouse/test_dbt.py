"""The warehouse as built from a small market, against oracles, and built in different ways."""

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from tests.oracles import equities as oracle
from tests.warehouse import small_market
from tests.warehouse.small_market import SYMBOLS, File, Market, SectorFile, make_market, sessions
from trademl.cli.init import bundle, make_home
from trademl.config import Home
from trademl.errors import BuildError
from trademl.warehouse.catalogue import feature_table, read_catalogue, with_table
from trademl.warehouse.content import content_hashes
from trademl.warehouse.dbt import build
from trademl.warehouse.ingest import ingest_files

# dbt leaves its log file open in the process it ran in.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
)

FLOAT_TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def market() -> Market:
    """The files of the small market."""
    return make_market()


def ingest(home: Home, files: Sequence[File | SectorFile]) -> None:
    """Ingest each file at its own moment."""
    for file in files:
        path = home.root / file.name
        path.write_text(file.text())
        moment = file.ingested_at.replace(tzinfo=UTC)
        report = ingest_files(home, file.dataset, [path], source="test", now=lambda moment=moment: moment)
        assert report.landed == len(file.rows), report.as_text()


def new_home(folder: Path) -> Home:
    """A home with sectors landed and a universe without a price or history rule worth naming."""
    make_home(folder, bundle())
    home = Home(folder)
    project = home.dbt_project / "dbt_project.yml"
    project.write_text(project.read_text().replace("universe_min_history: 60", "universe_min_history: 5"))
    ingest(home, [SectorFile("sectors.csv", small_market.SECTORS, datetime(2019, 1, 2))])
    return home


@pytest.fixture(scope="module")
def built(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home built from every file at once."""
    home = new_home(tmp_path_factory.mktemp("small") / "home")
    ingest(home, market.landings)
    build(home)
    return home


def rows(home: Home, query: str) -> list[tuple[object, ...]]:
    """The result of ``query`` on the builder's file."""
    con = duckdb.connect(str(home.warehouse), read_only=True)
    try:
        return con.execute(query).fetchall()
    finally:
        con.close()


def close_to(got: object, value: float | None) -> bool:
    """Whether a stored float is the oracle's value, or both are NULL."""
    if value is None or got is None:
        return value is None and got is None
    return abs(float(str(got)) - value) <= FLOAT_TOLERANCE * max(1, abs(value))


def first_session(home: Home) -> int:
    """The warehouse's number of the market's first session."""
    return int(str(rows(home, f"select session_index from silver.calendar where date = date '{sessions()[0]}'")[0][0]))


def expected_features(market: Market) -> dict[tuple[str, int], dict[str, float | None]]:
    """The oracle's raw features for every bar that was there at its own decision."""
    versions = market.versions
    series = {}
    for symbol in SYMBOLS:
        for t in range(len(sessions())):
            bars = oracle.known_bars(versions, symbol, t)
            if t in bars:
                series[symbol, t] = oracle.listing(bars, t)
    benchmark: dict[int, float] = {}
    for t in range(len(sessions())):
        members = [s.returns[-1] for (_, at), s in series.items() if at == t and len(s.sessions) >= 5]
        if members:
            benchmark[t] = sum(members) / len(members)
    return {
        key: oracle.raw_features(value, benchmark) | oracle.sector_features(market.sector_versions, *key)
        for key, value in series.items()
    }


def test_every_raw_feature_equals_the_oracle_as_known_at_each_decision(built: Home, market: Market) -> None:
    """Raw features, NULLs included, equal loops over the bars as they were known at each session's decision."""
    expected = expected_features(market)
    names = list(next(iter(expected.values())))
    offset = first_session(built)
    found = {
        (str(row[0]), int(str(row[1])) - offset): dict(zip(names, row[2:], strict=True))
        for row in rows(
            built,
            f"select symbol, session_index, {', '.join(names)} "
            "from gold.equities_features join silver.calendar using (date)",
        )
    }
    assert set(found) == set(expected)
    wrong = []
    for key, features in expected.items():
        for name, value in features.items():
            got = found[key][name]
            if not close_to(got, value):
                wrong.append((key, name, value, got))
    assert not wrong, wrong[:10]


def test_a_correction_counts_from_the_session_that_could_know_it(built: Home) -> None:
    """A bar corrected after the next session's decision changes neither session, only what comes later."""
    days = sessions()
    found = rows(
        built,
        "select date, momentum_5d from gold.equities_features where symbol = 'BBB' "
        f"and date between '{days[138]}' and '{days[140]}' order by date",
    )
    closes = dict(rows(built, "select date, close from silver.equity_bars where symbol = 'BBB'"))
    assert len(found) == 3
    now = float(str(closes[days[138]])) / float(str(closes[days[133]])) - 1
    assert abs(float(str(found[0][1])) - now) > 0.01, "session 138 must not see the correction"
    later = float(str(closes[days[140]])) / float(str(closes[days[135]])) - 1
    assert float(str(found[2][1])) == pytest.approx(later, abs=1e-6)


def test_a_symbol_that_moves_keeps_its_past_sector(built: Home) -> None:
    """A sector that changes after a session's decision counts from the next one; the rows before keep the old one."""
    names = "sector_is_information_technology, sector_is_communication_services, sector_is_energy, sector_is_utilities"
    for symbol, before, after in (("CCC", (1, 0, 0, 0), (0, 1, 0, 0)), ("EEE", (0, 0, 1, 0), (0, 0, 0, 1))):
        day = sessions()[small_market.MOVED_FROM]
        query = f"select distinct {names} from gold.equities_features where symbol = '{symbol}' and date {{}} '{day}'"
        assert rows(built, query.format("<")) == [before]
        assert rows(built, query.format(">=")) == [after]
    unknown = rows(built, f"select distinct symbol, {names} from gold.equities_features where sector_is_energy is null")
    assert sorted(unknown) == [("GGG", None, None, None, None), ("HHH", None, None, None, None)]


def test_the_page_shows_the_catalogue(built: Home, repository: Path) -> None:
    """docs/features.md has exactly the features, formulas, units and windows that the warehouse has."""
    table = feature_table(read_catalogue(built))
    page = (repository / "docs/features.md").read_text(encoding="utf-8")
    assert with_table(page, table) == page
    assert len(table.splitlines()) == 2 + 31


def test_labels_equal_the_oracle(built: Home, market: Market) -> None:
    """Fixed horizons and the triple barrier equal the oracle for symbols whose bars were never revised."""
    offset, last = first_session(built), len(sessions()) - 1
    found = {
        (str(symbol), int(str(index)) - offset, str(label)): (
            outcome,
            value,
            None if end is None else int(str(end)) - offset,
        )
        for symbol, index, label, outcome, value, end in rows(
            built, "select symbol, session_index, label, outcome, value, end_index from gold.equities_labels"
        )
    }
    compared = 0
    for symbol in SYMBOLS:
        if symbol in ("AAA", "BBB"):
            continue
        bars = oracle.known_bars(market.versions, symbol, last)
        for t in bars:
            expected = {f"fwd_{k}d": oracle.forward_return(bars, t, k, last) for k in (1, 5, 20)}
            series = oracle.listing({s: b for s, b in bars.items() if s <= t}, t)
            if len(series.sessions) > 20 and sum(series.present[-20:]) >= 16:
                sigma = oracle._deviation(series.returns[-20:])
                expected["tb_2_1_10"] = oracle.triple_barrier(bars, t, sigma, last, up=2, down=1, h=10)
            for label, (outcome, value, end) in expected.items():
                got = found[symbol, t, label]
                assert got[0] == outcome, (symbol, t, label, got, outcome, value, end)
                assert got[2] == end, (symbol, t, label, got, end)
                if value is None:
                    assert got[1] is None
                else:
                    assert float(str(got[1])) == pytest.approx(value, abs=1e-9), (symbol, t, label)
                compared += 1
    assert compared > 4000


def test_uniqueness_equals_average_concurrency_counted_by_hand(built: Home) -> None:
    """The weight of a label is the mean over its sessions of one over the labels then running (AFML, ch. 4)."""
    labels = rows(
        built,
        "select symbol, label, session_index, end_index, outcome, uniqueness_weight from gold.equities_labels "
        "where label in ('fwd_5d', 'tb_2_1_10') and outcome <> 'no_entry'",
    )
    by_series: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for symbol, label, start, end, _, _ in labels:
        span = (int(str(start)) + 1, 10**9 if end is None else int(str(end)))
        by_series.setdefault((str(symbol), str(label)), []).append(span)
    checked = 0
    for symbol, label, start, end, outcome, weight in labels:
        if outcome == "pending":
            assert weight is None
            continue
        spans = by_series[str(symbol), str(label)]
        window = range(int(str(start)) + 1, int(str(end)) + 1)
        expected = sum(1 / sum(a <= j <= b for a, b in spans) for j in window) / len(window)
        assert float(str(weight)) == pytest.approx(expected, abs=1e-9), (symbol, label, start)
        checked += 1
    assert checked > 1500


def test_cross_sectional_twins_equal_pandas(built: Home) -> None:
    """`_dm` is the sample z-score, `_rank` is rank(pct=True), `_sn` the z-score in the sector; 0 where undefined."""
    import pandas

    con = duckdb.connect(str(built.warehouse), read_only=True)
    frame = con.execute("select * from gold.equities_features order by date, symbol").df()
    con.close()
    members = frame[frame.in_universe].copy()
    members["sector"] = members["sector"].fillna("")
    for name in ("momentum_20d", "adv_20d", "gap_1d", "beta_60d"):
        values = members[name].astype("float64")
        by_date = values.groupby(members["date"])
        score = ((values - by_date.transform("mean")) / by_date.transform("std").replace(0, math.nan)).fillna(0)
        score[values.isna()] = math.nan
        pandas.testing.assert_series_equal(members[f"{name}_dm"].astype("float64"), score, check_names=False, atol=1e-5)
        rank = by_date.rank(pct=True)
        pandas.testing.assert_series_equal(
            members[f"{name}_rank"].astype("float64"), rank, check_names=False, atol=1e-6
        )
        group = values.groupby([members["date"], members["sector"]])
        neutral = ((values - group.transform("mean")) / group.transform("std").replace(0, math.nan)).fillna(0)
        neutral[values.isna()] = math.nan
        pandas.testing.assert_series_equal(
            members[f"{name}_sn"].astype("float64"), neutral, check_names=False, atol=1e-5
        )
    assert frame[~frame.in_universe]["momentum_20d_rank"].isna().all()


def test_daily_increments_equal_one_full_build(market: Market, built: Home, tmp_path: Path) -> None:
    """Ingest and build file by file: corrections, a late backfill and new sessions end with the same hashes."""
    home = new_home(tmp_path / "daily")
    unit_tests = []
    for number, file in enumerate(market.landings):
        ingest(home, [file])
        if number in (1, 3, len(market.landings) - 2, len(market.landings) - 1):
            unit_tests.append(sum(node.kind == "unit_test" for node in build(home).nodes))
    assert unit_tests[0] > 0, "a new project's unit tests run"
    assert unit_tests[1:] == [0, 0, 0], "they cannot answer otherwise while nothing but data changes"
    assert content_hashes(home.warehouse) == content_hashes(built.warehouse)
    silver, at_once = (content_hashes(one.warehouse, schema="silver") for one in (home, built))
    # Which batch a bar came in, and when, is the homes' own.
    assert silver.pop("equity_bar_origins")[0] == at_once.pop("equity_bar_origins")[0] > 0
    assert silver == at_once


def test_the_past_is_rebuilt_as_it_was_known(market: Market, built: Home) -> None:
    """Built as known on the evening of session 139, gold equals the full build on every row dated up to then."""
    cutoff = sessions()[139]
    report = build(built, as_known_at=datetime(cutoff.year, cutoff.month, cutoff.day, 22, 0, tzinfo=UTC))
    where = f"date <= date '{cutoff}'"
    dated = ("equities_features", "equities_regime")
    past = content_hashes(report.warehouse, dated, where=where)
    now = content_hashes(built.warehouse, dated, where=where)
    assert past == now
    assert past["equities_features"][0] > 0
    ended = f"label_end_date <= date '{cutoff}'"
    con = duckdb.connect()
    con.execute(f"attach '{report.warehouse}' as past (read_only)")
    con.execute(f"attach '{built.warehouse}' as present (read_only)")
    query = f"select * from {{}}.gold.equities_labels where {ended}"
    assert con.execute(f"({query.format('past')}) except ({query.format('present')})").fetchall() == []
    assert con.execute(f"({query.format('present')}) except ({query.format('past')})").fetchall() == []
    old = con.execute(
        f"select close from past.silver.equity_bars where symbol = 'BBB' and date = '{sessions()[138]}'"
    ).fetchall()
    new = con.execute(
        f"select close from present.silver.equity_bars where symbol = 'BBB' and date = '{sessions()[138]}'"
    ).fetchall()
    con.close()
    assert old != new


def test_one_thread_gives_the_same_hashes(market: Market, built: Home, tmp_path: Path) -> None:
    """Gold does not depend on the number of threads."""
    home = new_home(tmp_path / "one")
    ingest(home, market.landings)
    build(home, threads=1)
    assert content_hashes(home.warehouse) == content_hashes(built.warehouse)


@pytest.mark.fault
def test_a_build_killed_five_times_ends_as_if_never_killed(market: Market, built: Home, tmp_path: Path) -> None:
    """SIGKILL at five moments of a build: the rerun gives the same hashes, and readers never lose their snapshot."""
    home = new_home(tmp_path / "killed")
    ingest(home, market.landings)
    killed = 0
    for nodes in (3, 18, 22, 25, 30):
        script = (
            "import os, signal, sys\nfrom pathlib import Path\nfrom trademl.config import Home\n"
            "from trademl.warehouse.dbt import build\n"
            f"def stop(node, number, total):\n    if number >= {nodes}: os.kill(os.getpid(), signal.SIGKILL)\n"
            "build(Home(Path(sys.argv[1])), progress=stop)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(home.root)], capture_output=True, check=False)
        killed += done.returncode == -signal.SIGKILL
        assert not (home.lake / "CURRENT").exists()
    assert killed == 5
    build(home)
    assert content_hashes(home.warehouse) == content_hashes(built.warehouse)


def test_an_empty_lake_builds_typed_empty_tables(tmp_path: Path) -> None:
    """Before anything has landed every relation exists, empty, with its types; a changed macro is unit-tested."""
    make_home(tmp_path / "empty", bundle())
    home = Home(tmp_path / "empty")
    report = build(home)
    assert all(node.status in ("success", "pass") for node in report.nodes)
    assert rows(home, "select count(*) from gold.equities_training") == [(0,)]
    assert rows(home, "select count(*) from preds.equities") == [(0,)]
    macro = home.dbt_project / "macros" / "fixed_point.sql"
    macro.write_text(macro.read_text() + "{# another comment #}\n")
    assert any(node.kind == "unit_test" for node in build(home).nodes)


def test_a_failing_model_is_named_and_the_snapshot_stays(built: Home, tmp_path: Path) -> None:
    """A broken model gives a BuildError that names it; readers keep the last snapshot."""
    broken = Home(tmp_path / "broken")
    shutil.copytree(built.root, broken.root, ignore=shutil.ignore_patterns("as_known"))
    before = (broken.lake / "CURRENT").read_bytes()
    model = broken.dbt_project / "models" / "silver" / "slv_series.sql"
    model.write_text(model.read_text() + "\nthis is not sql\n")
    with pytest.raises(BuildError, match="series"):
        build(broken)
    assert (broken.lake / "CURRENT").read_bytes() == before
    assert os.access(broken.warehouse, os.R_OK)
