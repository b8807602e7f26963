"""Fills and account-days: venue maps, local times, fees, reasons to quarantine, corrections and late rows."""

from datetime import date, datetime
from pathlib import Path

import pytest

from tests.warehouse.ingest.desk import Desk
from trademl.errors import ConfigError, IngestError

FILLS = (
    "Account,Coin,Execution Price,Size Tokens,Side,Timestamp IST,Start Position,Direction,Closed PnL,"
    "Transaction Hash,Order ID,Fee,Trade ID"
)
DAYS = "Account,date,daily_pnl,n_trades,win_rate,total_size_usd,long_ratio,avg_fee"
PLAIN = "address,coin,side,price,size,filled_at,start_position,direction,closed_pnl,fee,fill_id"


def fill(
    account: str = "0xAB",
    coin: str = "ETH",
    price: str = "2000",
    size: str = "0.5",
    side: str = "BUY",
    at: str = "02-12-2024 04:50",
    start: str = "0",
    direction: str = "Open Long",
    pnl: str = "0",
    tx: str = "0xff",
    order: str = "7",
    fee: str = "0.5",
    trade: str = "8.95E+14",
) -> str:
    """Return a line of the published table of fills."""
    return ",".join([account, coin, price, size, side, at, start, direction, pnl, tx, order, fee, trade])


def account_day(at: str = "2024-12-02", pnl: str = "12.5", n: str = "4", **given: str) -> str:
    """Return a line of the published table of account-days."""
    values = {"win": "0.25", "volume": "1000", "long": "0.75", "fee": "0.5"} | given
    return ",".join(["0xAB", at, pnl, n, values["win"], values["volume"], values["long"], values["fee"]])


def land_fills(desk: Desk, name: str, *lines: str, **options: str) -> None:
    """Ingest lines of fills, all of which must land."""
    report = desk.ingest(desk.write(name, *lines, header=FILLS), dataset="trader_fills", **options)
    assert report.by_reason == {}, report.as_text()


def test_a_local_time_becomes_utc_and_its_day_is_the_one_that_ends(desk: Desk) -> None:
    """04:50 in India on 2 December is 23:20 UTC on 1 December, and belongs to the day that ends at 18:30 UTC."""
    land_fills(desk, "fills.csv", fill())
    assert desk.rows("select filled_at, date, day_end_at, known_at, address, side from landed", "trader_fills") == [
        (
            datetime(2024, 12, 1, 23, 20),
            date(2024, 12, 2),
            datetime(2024, 12, 2, 18, 30),
            datetime(2024, 12, 1, 23, 20),
            "0xab",
            "buy",
        )
    ]


def test_milliseconds_are_utc_whatever_the_zone(desk: Desk) -> None:
    """The venue's own field names are known too, and its epoch times are not shifted."""
    header = "user,coin,px,sz,side,time,startPosition,dir,closedPnl,fee,feeToken,tid"
    line = "0xab,ETH,2000,1,A,1733095200000,3,Close Long,5,0.4,USDC,895000000000001"
    desk.ingest(desk.write("api.csv", line, header=header), dataset="trader_fills")
    found = desk.rows("select filled_at, side, position_side, fee, fill_id from landed", "trader_fills")
    assert found == [(datetime(2024, 12, 1, 23, 20), "sell", "long", 0.4, "895000000000001")]


@pytest.mark.parametrize(
    "zone, at, day",
    [("UTC", "2024-12-02 23:59:59", date(2024, 12, 2)), ("America/New_York", "2024-12-02 12:00:00", date(2024, 12, 3))],
)
def test_a_day_is_dated_by_the_utc_date_on_which_it_ends(desk: Desk, zone: str, at: str, day: date) -> None:
    """A day that ends after UTC midnight is not known when that date's decision is made: it counts a date later."""
    folder = desk.home.root / "configs" / "venues"
    folder.mkdir()
    plain = Path(__file__).resolve().parents[3] / "configs" / "venues" / "plain.yml"
    (folder / "here.yml").write_text(plain.read_text().replace("time_zone: UTC", f"time_zone: {zone}"))
    line = f"0xab,ETH,buy,2000,1,{at},0,long,0,0.4,1"
    desk.ingest(desk.write("fills.csv", line, header=PLAIN), dataset="trader_fills", venue="here")
    ((found, known, decided),) = desk.rows(
        "select date, day_end_at, cast(date + 1 as timestamp) from landed", "trader_fills"
    )
    assert found == day
    assert known <= decided


def test_a_fee_in_the_coin_becomes_dollars(desk: Desk) -> None:
    """A purchase on the spot market is charged in the coin; a fee token, where there is one, decides instead."""
    land_fills(desk, "spot.csv", fill(direction="Buy", price="8", fee="0.25"), fill(order="8", price="8", fee="0.25"))
    assert desk.rows("select fee from landed order by fill_id", "trader_fills") == [(2.0,), (0.25,)]
    header = "user,coin,px,sz,side,time,dir,closedPnl,fee,feeToken,tid"
    lines = [
        "0xab,HYPE,8,1,B,1733095200000,Buy,0,0.5,USDC,1",
        "0xab,HYPE,8,1,B,1733095200000,Buy,0,0.5,HYPE,2",
        "0xab,HYPE,8,1,B,1733095200000,Buy,0,0.5,PURR,3",
    ]
    report = desk.ingest(desk.write("api.csv", *lines, header=header), dataset="trader_fills")
    assert report.by_reason == {"unknown_fee_token": 1}
    assert desk.rows("select fee from landed where length(fill_id) = 1 order by fill_id", "trader_fills") == [
        (0.5,),
        (4.0,),
    ]


def test_a_rounded_trade_id_identifies_nothing(desk: Desk) -> None:
    """8.95E+14 is shared by many fills: order, transaction and position before identify them instead."""
    land_fills(desk, "fills.csv", fill(), fill(start="0.5"), fill(order="8", trade="895123456789012"))
    found = desk.rows("select fill_id from landed order by 1", "trader_fills")
    assert found == [("0xff|7|0",), ("0xff|7|0.5",), ("895123456789012",)]


@pytest.mark.parametrize(
    "line, reason, said",
    [
        (fill(account=""), "missing_value", "address is empty"),
        (fill(coin=""), "missing_value", "coin is empty"),
        (fill(price="NaN"), "missing_value", "price is empty"),
        (fill(account="0x A"), "bad_address", "blanks"),
        (fill(price="ten"), "wrong_type", 'price is "ten"'),
        (fill(start="much"), "wrong_type", 'start_position is "much"'),
        (fill(side="HOLD"), "bad_side", '"HOLD"'),
        (fill(at="2024-12-02 04:50"), "bad_time", "none of the formats"),
        (fill(at="31-02-2024 04:50"), "bad_time", "none of the formats"),
        (fill(price="0"), "nonpositive_price", "price is 0.0"),
        (fill(size="-1"), "nonpositive_size", "size is -1.0"),
        (fill(pnl="2e9"), "too_large", "closed_pnl is beyond"),
        (fill(price="1e8", size="1e3"), "too_large", "price * size"),
        (fill(at="02-12-2027 04:50"), "future_date", "lies after this ingestion"),
        (fill(start=""), "no_fill_id", "absent or rounded"),
        (FILLS.upper(), "repeated_header", "repeated"),
    ],
)
def test_a_bad_fill_is_quarantined_with_its_reason(desk: Desk, line: str, reason: str, said: str) -> None:
    """One bad line between good ones goes to the quarantine with its line and a sentence; the good ones land."""
    path = desk.write("fills.csv", fill(order="1"), line, fill(order="2"), header=FILLS)
    report = desk.ingest(path, dataset="trader_fills")
    assert (report.rows_in, report.landed, report.by_reason) == (3, 2, {reason: 1})
    ((number, code, detail),) = desk.quarantine("line, reason, detail", "trader_fills")
    assert (number, code) == (3, reason)
    assert said in detail


@pytest.mark.parametrize(
    "line, reason",
    [
        (account_day(at="02.12.2024"), "bad_date"),
        (account_day(pnl="much"), "wrong_type"),
        (account_day(n="2.5"), "bad_count"),
        (account_day(n="-1"), "bad_count"),
        (account_day(win="1.5"), "bad_share"),
        (account_day(long="-0.1"), "bad_share"),
        (account_day(volume="-1"), "negative_volume"),
        (account_day(pnl="-2e9"), "too_large"),
        (account_day(at="2027-01-01"), "future_date"),
        (account_day(n=""), "missing_value"),
    ],
)
def test_a_bad_account_day_is_quarantined_with_its_reason(desk: Desk, line: str, reason: str) -> None:
    """Each reason, and the good line beside it lands."""
    report = desk.ingest(desk.write("days.csv", account_day("2024-12-01"), line, header=DAYS), dataset="trader_days")
    assert (report.landed, report.by_reason) == (1, {reason: 1})


def test_account_days_have_fees_and_are_known_when_the_day_ends(desk: Desk) -> None:
    """avg_fee times n_trades are the fees; the day in India ends at 18:30 UTC; what the file leaves out is missing."""
    desk.ingest(desk.write("days.csv", account_day(), header=DAYS), dataset="trader_days")
    header = "address,date,daily_pnl,n_trades"
    desk.ingest(desk.write("few.csv", "0xcd,2024-12-02,1,2", header=header), dataset="trader_days")
    select = "select daily_pnl, n_trades, fees, win_rate, volume_usd, date, known_at from landed order by address"
    assert desk.rows(select, "trader_days") == [
        (12.5, 4.0, 2.0, 0.25, 1000.0, date(2024, 12, 2), datetime(2024, 12, 2, 18, 30)),
        (1.0, 2.0, None, None, None, date(2024, 12, 2), datetime(2024, 12, 2, 18, 30)),
    ]


def test_duplicates_corrections_and_late_rows_are_told_apart(desk: Desk) -> None:
    """The same fill again is a duplicate, another value a correction, an earlier fill of the address a late one."""
    land_fills(desk, "one.csv", fill(order="1"), fill(order="2", at="05-12-2024 10:00"))
    lines = [
        fill(order="1", fee="0.75"),
        fill(order="2", at="05-12-2024 10:00"),
        fill(order="3", at="04-12-2024 10:00"),
        fill(order="4", at="05-12-2024 10:00"),
        fill(account="0xCD", at="01-11-2024 10:00"),
    ]
    report = desk.ingest(desk.write("two.csv", *lines, header=FILLS), dataset="trader_fills")
    assert (report.corrections, report.duplicates, report.backfills, report.first) == (1, 1, 1, 2)
    late = "select fill_id from landed where known_at = ingested_at order by 1"
    assert desk.rows(late, "trader_fills") == [("0xff|1|0",), ("0xff|3|0",)]
    assert desk.rows("select count(*) from landed where known_at > filled_at", "trader_fills") == [(2,)]


def test_bought_history_can_be_called_public_in_its_time(desk: Desk) -> None:
    """With --known-at close a late fill counts as known when it happened, and an instant before it is refused."""
    land_fills(desk, "one.csv", fill(at="05-12-2024 10:00"))
    land_fills(desk, "two.csv", fill(order="3", at="04-12-2024 10:00"), known_at="close")
    assert desk.rows("select count(*) from landed where known_at = filled_at", "trader_fills") == [(2,)]
    with pytest.raises(IngestError, match="before 1 rows were public"):
        desk.ingest(
            desk.write("three.csv", fill(order="4"), header=FILLS), dataset="trader_fills", known_at="2024-12-01"
        )


def test_two_lines_of_one_fill_that_differ_are_both_quarantined(desk: Desk) -> None:
    """Neither can be trusted."""
    path = desk.write("fills.csv", fill(fee="1"), fill(fee="2"), fill(order="8"), header=FILLS)
    report = desk.ingest(path, dataset="trader_fills")
    assert (report.landed, report.by_reason) == (1, {"conflicting_rows": 2})


def test_a_file_without_a_needed_column_is_refused(desk: Desk) -> None:
    """The message names the field and the venue's map; --map names the column."""
    path = desk.write("fills.csv", fill(), header=FILLS.replace("Coin", "Market"))
    report = desk.ingest(path, dataset="trader_fills")
    assert [(file.reason, "a column for coin" in (file.detail or "")) for file in report.files] == [
        ("missing_column", True)
    ]
    report = desk.ingest(path, dataset="trader_fills", mapping={"coin": "Market"})
    assert report.landed == 1


def test_an_unknown_venue_and_a_venue_for_bars_are_refused(desk: Desk) -> None:
    """The first lists the maps that there are."""
    path = desk.write("fills.csv", fill(), header=FILLS)
    with pytest.raises(ConfigError, match="no map of the venue 'nowhere'") as refused:
        desk.ingest(path, dataset="trader_fills", venue="nowhere")
    assert "hyperliquid, plain" in refused.value.remedy
    with pytest.raises(ConfigError, match="not a venue's name"):
        desk.ingest(path, dataset="trader_fills", venue="../x")
    with pytest.raises(IngestError, match="for traders"):
        desk.ingest(path, venue="plain")


def test_the_same_file_again_changes_nothing(desk: Desk) -> None:
    """It is known by its bytes and reading; under another venue's map it is another reading."""
    path = desk.write("fills.csv", fill(), header=FILLS)
    first = desk.ingest(path, dataset="trader_fills")
    again = desk.ingest(path, dataset="trader_fills")
    assert (first.landed, again.landed, again.batch_id) == (1, 0, None)


@pytest.mark.real_data
def test_the_published_tables_land_whole(desk: Desk, real_data: Path) -> None:
    """Every fill and every account-day lands, without a duplicate or a reason."""
    fills = desk.ingest(real_data / "traders" / "fills_sample.csv", dataset="trader_fills")
    days = desk.ingest(real_data / "traders" / "account_days.csv", dataset="trader_days")
    assert (fills.rows_in, fills.landed, fills.duplicates) == (4339, 4339, 0)
    assert (days.rows_in, days.landed, days.duplicates) == (1908, 1908, 0)
