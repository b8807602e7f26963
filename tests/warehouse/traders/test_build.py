"""The traders' tables as `trademl build` makes them: in steps as at once, as known at a past instant, on real data."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.warehouse.traders.project import START, midnight
from tests.warehouse.traders.test_snapshots import record
from trademl.cli.init import bundle, make_home
from trademl.config import Home
from trademl.lake.layout import layout_of
from trademl.warehouse.content import content_hashes
from trademl.warehouse.dbt import build
from trademl.warehouse.ingest import ingest_files

# dbt leaves its log file open in the process it ran in.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning", "ignore:Series.values"
)

TABLES = (
    "ml_feature_snapshots",
    "traders_labels",
    "trader_feature_caps",
    "traders_windows",
    "traders_features",
)
HEADER = "address,date,daily_pnl,n_trades,win_rate,volume_usd,long_ratio"


def lines(first: int, last: int) -> list[str]:
    """Account-days of eight wallets on the days first..last; one goes silent on day 20, one begins on day 30."""
    found = []
    for number in range(8):
        for item in record(number, 140, 0.8):
            at = int(item["day"] or 0)
            if not first <= at <= last or (number == 3 and at > 20) or (number == 4 and at < 30):
                continue
            n = item["n_trades"] or 1
            values = [item["pnl"], n, (item["n_wins"] or 0) / n, item["volume"], (item["n_long"] or 0) / n]
            found.append(",".join([f"0x{number}", str(START + timedelta(days=at)), *map(str, values)]))
    return found


def land(home: Home, name: str, rows: list[str], number: int) -> None:
    """Ingest account-days at 1 o'clock of a day."""
    path = home.root / name
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    moment = (midnight(number) + timedelta(hours=1)).replace(tzinfo=UTC)
    report = ingest_files(home, "trader_days", [path], venue="plain", now=lambda: moment)
    assert report.landed == len(rows), report.as_text()


def correction(home: Home) -> None:
    """On day 100 another value of a day, and a day that nobody had seen."""
    at = START + timedelta(days=0)
    row = next(line for line in lines(60, 70) if line.startswith("0x1")).split(",")
    row[2] = "-777.5"
    land(home, "late.csv", [",".join(row), f"0x4,{at},55,4,0.5,900,0.25"], 100)


def hashes(home: Home) -> dict[str, tuple[int, str]]:
    """Rows and content of every gold table of traders."""
    return content_hashes(layout_of(home).warehouse, TABLES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Everything landed in five steps, and built once."""
    return landed(tmp_path_factory.mktemp("whole") / "home", built=False)


def landed(root: Path, *, built: bool) -> Home:
    """A home where five files land one after the other, with a build after each or one at the end."""
    make_home(root, bundle())
    home = Home(root)
    land(home, "a.csv", lines(0, 95), 96)
    if built:
        build(home)
    land(home, "b.csv", lines(96, 99), 100)
    if built:
        build(home)
    correction(home)
    if built:
        build(home)
        build(home)
    land(home, "c.csv", lines(100, 101), 102)
    if built:
        build(home)
    # Nobody trades on some days: the next file begins later.
    land(home, "d.csv", lines(106, 110), 111)
    build(home)
    return home


def test_a_build_in_steps_gives_the_tables_of_a_build_at_once(whole: Home, tmp_path: Path) -> None:
    """Row for row and bit for bit, with late rows, a correction, silent days and builds without news."""
    steps = landed(tmp_path / "home", built=True)
    assert hashes(steps) == hashes(whole)
    assert all(rows for rows, _ in hashes(whole).values())


def test_as_known_before_a_correction_the_snapshots_are_the_same(whole: Home) -> None:
    """Rebuilt as known on day 98, the snapshots of every date up to day 97 have the bits of the present ones."""
    instant = midnight(98)
    build(whole, as_known_at=instant.replace(tzinfo=UTC))
    past = layout_of(whole).as_known(instant.replace(tzinfo=UTC))
    where = f"snapshot_date < date '{(START + timedelta(days=98))}'"
    for name in ("ml_feature_snapshots", "trader_feature_caps", "traders_windows"):
        now = content_hashes(layout_of(whole).warehouse, [name], where=where)
        assert content_hashes(past.warehouse, [name], where=where) == now, name


def test_the_training_view_joins_only_labels_that_have_ended(whole: Home) -> None:
    """No row's label ends after the last day, each is known when its date ends, and weights only decay."""
    with duckdb.connect(str(layout_of(whole).warehouse), read_only=True) as con:
        ((rows, last, late, grades),) = con.execute(
            "select count(*), max(label_end_date), count(*) filter (known_at > cast(date + 1 as timestamp)), "
            "list_sort(list(distinct coverage_status)) from gold.traders_training"
        ).fetchall()
        ((newest,),) = con.execute("select max(date) from silver.trader_days").fetchall()
    assert rows > 300
    assert last <= newest
    assert late == 0
    assert grades == ["GREEN"]


@pytest.mark.real_data
def test_published_fills_and_account_days_agree_where_both_are_whole(home: Home, real_data: Path) -> None:
    """88 of the 89 days that have both agree in PnL, fills, wins and long fills; the file of fills ends on the 89th."""
    for dataset, name in (("trader_fills", "fills_sample.csv"), ("trader_days", "account_days.csv")):
        ingest_files(home, dataset, [real_data / "traders" / name], now=lambda: datetime(2026, 11, 20, tzinfo=UTC))
    build(home)
    with duckdb.connect(str(layout_of(home).warehouse), read_only=True) as con:
        both = con.execute(
            """
            with filled as (
                select address, date, count(*) as n, sum(closed_pnl) as pnl,
                    count_if(closed_pnl > 0) as wins, count_if(position_side = 'long') as longs
                from silver.trader_fills group by all
            )
            select filled.n = days.n_trades, abs(filled.pnl - days.daily_pnl) < 1e-3,
                abs(filled.wins - days.win_rate * days.n_trades) < 1e-6,
                abs(filled.longs - days.long_ratio * days.n_trades) < 1e-6, filled.date
            from filled inner join bronze.traders__days as days using (address, date)
            """
        ).fetchall()
        counts = con.execute(
            "select count(*), count(distinct address), count_if(source = 'fills'), max(date) from silver.trader_days"
        ).fetchall()
        trades = con.execute("select count(*), count_if(hold_hours is null) from silver.trader_trades").fetchall()
        perpetual = con.execute(
            """
            select count(*), max(
                abs(pnl - case side when 'long' then 1 else -1 end * (exit_notional - entry_notional)) / entry_notional
            ) from silver.trader_trades where trade_number > 0 and not contains(coin, '@')
            """
        ).fetchall()
    disagreeing = [row[-1] for row in both if not all(row[:-1])]
    assert (len(both), disagreeing) == (89, [datetime(2025, 2, 3).date()])
    # One day has fills and no account-day.
    assert counts[0][:3] == (1909, 32, 89)
    assert trades == [(28, 1)]
    # A trade's PnL as the venue counts it is what came out less what went in.
    assert perpetual[0][0] == 25
    assert perpetual[0][1] < 1e-4
