"""gold.equities_risk, built from a small market with VIX and factors: against oracles, and in different ways."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.warehouse import risk_market
from tests.warehouse.feature_homes import EVENTS, leave_out
from tests.warehouse.risk_market import ingest, landings
from tests.warehouse.small_market import SECTORS, File, Market, SectorFile, make_market, sessions
from trademl.cli.init import bundle, make_home
from trademl.config import Home
from trademl.edge.features import FeatureSql, compute_features
from trademl.warehouse import device_sql
from trademl.warehouse.content import content_hashes
from trademl.warehouse.dbt import build

# dbt leaves its log file open in the process it ran in.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
)

TABLE = "equities_risk"
TOLERANCE = 2e-6


def new_home(folder: Path, *, unit_tests: bool = False) -> Home:
    """A home of the small market that builds the table, without the models that come after gold."""
    make_home(folder, bundle())
    home = Home(folder)
    leave_out(home, "marts", "preds", "ops", *EVENTS)
    if not unit_tests:
        (home.dbt_project / "models/gold/equities/gld_equities_risk_unit_tests.yml").unlink()
    project = home.dbt_project / "dbt_project.yml"
    text = project.read_text().replace("universe_min_history: 60", "universe_min_history: 5")
    assert "feature_tables: []" in text
    project.write_text(text.replace("feature_tables: []", f"feature_tables: [{TABLE}]"))
    ingest(home, [SectorFile("sectors.csv", SECTORS, datetime(2019, 1, 2))])
    return home


@pytest.fixture(scope="module")
def market() -> Market:
    """The files of the small market."""
    return make_market()


@pytest.fixture(scope="module")
def built(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home built from every file at once."""
    home = new_home(tmp_path_factory.mktemp("risk") / "home", unit_tests=True)
    ingest(home, landings(market))
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
    return abs(float(str(got)) - value) <= TOLERANCE * max(1, abs(value))


def by_session(home: Home, names: list[str]) -> dict[tuple[str, int], dict[str, object]]:
    """The table's columns ``names`` by symbol and session of the market."""
    days = {day: number for number, day in enumerate(sessions())}
    found = rows(home, f"select symbol, date, {', '.join(names)} from gold.{TABLE}")
    return {(str(row[0]), days[row[1]]): dict(zip(names, row[2:], strict=True)) for row in found}  # type: ignore[index]


def test_every_feature_of_a_symbol_equals_the_oracle(built: Home, market: Market) -> None:
    """Features, NULLs included, equal loops over the bars as they were known at each session's decision."""
    expected = risk_market.expected_own_features(market)
    names = list(next(iter(expected.values())))
    found = by_session(built, names)
    assert set(found) == set(expected)
    wrong = [
        (key, name, value, found[key][name])
        for key, features in expected.items()
        for name, value in features.items()
        if not close_to(found[key][name], value)
    ]
    assert not wrong, (len(wrong), wrong[:10])
    known = {name: sum(features[name] is not None for features in expected.values()) for name in names}
    assert min(known.values()) > 150, known


def test_every_feature_of_the_market_equals_the_oracle(built: Home) -> None:
    """Calendar, VIX and factors equal loops over the values as known; the same for every symbol of a session."""
    expected = risk_market.expected_shared_features(risk_market.versions(), range(200))
    names = list(expected[0])
    found = by_session(built, names)
    wrong = [
        (key, name, expected[key[1]][name], got)
        for key, features in found.items()
        for name, got in features.items()
        if not close_to(got, expected[key[1]][name])
    ]
    assert not wrong, (len(wrong), wrong[:10])
    for name in names:
        values = {features[name] for features in expected.values()}
        assert len(values) > 1, name
    assert {features["vix_regime_252d"] for features in expected.values()} == {0.0, 1.0, 2.0, None}
    assert expected[104]["vix_level"] is None
    assert expected[160]["factor_value_return_60d"] is None


def test_the_columns_are_those_of_the_contract(built: Home) -> None:
    """Symbol, universe, features, twins, date and known_at; rows are those of gold.equities_features."""
    columns = [str(row[0]) for row in rows(built, f"describe gold.{TABLE}")]
    assert columns[:2] == ["symbol", "in_universe"]
    assert columns[-2:] == ["date", "known_at"]
    assert len(columns) == 188
    other = rows(built, "select symbol, date, in_universe from gold.equities_features order by all")
    assert rows(built, f"select symbol, date, in_universe from gold.{TABLE} order by all") == other


def test_twins_equal_pandas_and_numpy(built: Home) -> None:
    """Z-scores, ranks, clipped and Gaussian twins, and the residual on size, beta and momentum."""
    import pandas
    from scipy.stats import norm

    con = duckdb.connect(str(built.warehouse), read_only=True)
    frame = con.execute(
        f"select risk.*, core.sector, size_log_adv_20d, beta_60d, momentum_126d from gold.{TABLE} as risk "
        "join gold.equities_features as core using (symbol, date) order by date, symbol"
    ).df()
    con.close()
    inside = frame[frame.in_universe].copy()
    twins = [name for name in frame if name.endswith(("_dm", "_rank", "_sn", "_wz", "_gauss", "_fn"))]
    assert len(twins) == 3 * 34 + 3 * 6
    assert frame.loc[~frame.in_universe, twins].isna().all().all()
    for name in ("amihud_illiquidity_20d", "yang_zhang_volatility_20d"):
        x = inside[name].astype("float64")
        dates = x.groupby(inside["date"])
        score = ((x - dates.transform("mean")) / dates.transform("std").replace(0, math.nan)).fillna(0).where(x.notna())
        compare(inside[f"{name}_dm"], score)
        compare(inside[f"{name}_rank"], dates.rank(pct=True))
        compare(inside[f"{name}_gauss"], pandas.Series(norm.ppf((dates.rank() - 0.5) / dates.transform("count"))))
        mid = dates.transform("median")
        reach = 5 * 1.4826 * (x - mid).abs().groupby(inside["date"]).transform("median")
        cut = x.clip(mid - reach, mid + reach)
        wide = cut.groupby(inside["date"])
        score = ((cut - wide.transform("mean")) / wide.transform("std").replace(0, math.nan)).fillna(0)
        compare(inside[f"{name}_wz"], score.where(x.notna()))
        checked = 0
        for _, day in inside.groupby("date"):
            whole = day.dropna(subset=[name, "size_log_adv_20d", "beta_60d", "momentum_126d"])
            if len(whole) < 6:
                continue
            factors = whole[["size_log_adv_20d", "beta_60d", "momentum_126d"]].astype("float64").to_numpy()
            design = np.column_stack([np.ones(len(whole)), factors])
            y = whole[name].astype("float64").to_numpy()
            errors = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
            expected = errors / errors.std(ddof=1)
            np.testing.assert_allclose(whole[f"{name}_fn"].astype("float64"), expected, atol=2e-4)
            checked += 1
        assert checked > 20


def compare(got: object, expected: object) -> None:
    """Two columns are equal to 1e-5, NULLs included."""
    np.testing.assert_allclose(np.asarray(got, dtype=float), np.asarray(expected, dtype=float), atol=1e-5)


def test_increments_equal_one_full_build(market: Market, built: Home, tmp_path: Path) -> None:
    """Switched on after the first build, with series that land for sessions already built, a home has the same bits."""
    home = new_home(tmp_path / "daily")
    project = home.dbt_project / "dbt_project.yml"
    wanted = project.read_text()
    project.write_text(wanted.replace(f"feature_tables: [{TABLE}]", "feature_tables: []"))
    for file in landings(market):
        ingest(home, [file])
        if file.name in ("history.csv", "more.csv", "vix_4.csv", "last.csv", "today.csv"):
            build(home)
            project.write_text(wanted)
    assert table_hash(home) == table_hash(built)


def table_hash(home: Home, where: str = "true") -> tuple[int, str]:
    """Rows and content hash of the table."""
    found = content_hashes(home.warehouse, (TABLE,), where=where)[TABLE]
    assert found[0] > 0
    return found


def test_no_later_row_changes_an_earlier_one(market: Market, built: Home, tmp_path: Path) -> None:
    """Prices, volumes, sectors and series that come after a session can be anything: up to it no bit changes."""
    cut = 150
    day = sessions()[cut]
    home = new_home(tmp_path / "poisoned")
    for file in landings(market):
        ingest(home, [poisoned(file, cut)])
    build(home)
    past = f"date <= date '{day}'"
    assert table_hash(home, past) == table_hash(built, past)
    assert table_hash(home) != table_hash(built)


def poisoned(file: File | SectorFile | risk_market.SeriesFile, cut: int) -> File | SectorFile | risk_market.SeriesFile:
    """The same file, with other values in every row that no decision up to session ``cut`` can know."""
    if isinstance(file, SectorFile):
        return file
    if isinstance(file, risk_market.SeriesFile):
        values = [row if row.effective <= cut else replace(row, value=row.value * 0.31 + 3) for row in file.rows]
        return replace(file, rows=values)
    bars = [
        row
        if row.effective <= cut
        else replace(row, open=row.open * 3, high=row.high * 3.1, low=row.low * 2.7, close=row.close * 2.9, volume=7e6)
        for row in file.rows
    ]
    return replace(file, rows=bars)


def test_the_past_is_rebuilt_as_it_was_known(built: Home) -> None:
    """Built as known on the evening of session 139, the table equals the full build on every row dated up to then."""
    day = sessions()[139]
    report = build(built, as_known_at=datetime(day.year, day.month, day.day, 22, 0, tzinfo=UTC))
    where = f"date <= date '{day}'"
    past = content_hashes(report.warehouse, (TABLE,), where=where)
    assert past[TABLE] == table_hash(built, where)


def test_a_device_computes_the_same_bits(built: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the released bars, the returns of market and sectors before them, and the state of the market."""
    monkeypatch.setattr(device_sql, "ON_DEVICE", device_sql.ON_DEVICE | {"slv_equity_risk_sessions"})
    steps = device_sql.device_steps(built, (f"gold.{TABLE}",))
    relations = ("calendar", "equity_bar_window", "equity_market", "equity_risk_sectors", "equity_risk_sessions")
    columns = [str(row[0]) for row in rows(built, f"describe gold.{TABLE}")][2:-2]
    with duckdb.connect() as con:
        con.execute("attach ':memory:' as warehouse; use warehouse; create schema silver; create schema gold")
        con.execute(f"attach '{built.warehouse}' as server (read_only)")
        for name in relations:
            con.execute(f"create table silver.{name} as select * from server.silver.{name}")
        for session in (199, 160):
            day = sessions()[session]
            sql = FeatureSql(200, True, steps, table=f"gold.{TABLE}")
            symbols, X = compute_features(con, sql, day, columns)
            chosen = f"server.gold.{TABLE} where in_universe and date = ? order by symbol"
            expected = con.execute(f"select {', '.join(columns)} from {chosen}", [day]).fetchall()
            assert len(symbols) == len(expected) >= 6
            np.testing.assert_array_equal(X, np.array(expected, dtype=np.float32))


def test_history_may_start_anywhere(market: Market, built: Home, tmp_path: Path) -> None:
    """Without the first 40 sessions of bars, a row 131 sessions later is the same to the bit, twins included."""
    home = new_home(tmp_path / "later")
    first = 40
    for file in landings(market):
        kept = [row for row in file.rows if row.session >= first] if isinstance(file, File) else []
        ingest(home, [replace(file, rows=kept) if isinstance(file, File) else file])
    build(home, threads=1)
    where = f"date >= date '{sessions()[first + 131]}'"
    assert table_hash(home, where) == table_hash(built, where)
