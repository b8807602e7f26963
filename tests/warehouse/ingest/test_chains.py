"""Option chains: what lands as the vendor printed it, and what is no quote at all."""

from datetime import date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.warehouse.ingest.desk import Desk
from trademl.cli.ingest import ingest

HEADER = "underlying,quotedate,optionroot,expiration,type,strike,underlying_last,bid,ask,openinterest,impliedvol"
GOOD = "SPX,2019-05-28,SPX190621C02800000,2019-06-21,call,2800,2802.4,40.1,41,1000,0.15"


def test_a_chain_is_known_after_the_close_of_its_session(desk: Desk) -> None:
    """Field names of vendors are found; the row counts as known 15 minutes after the close, 20:00 UTC in May."""
    desk.ingest(desk.write("c.csv", GOOD, header=HEADER), dataset="option_quotes")
    found = desk.rows(
        "select symbol, date, contract, expiration, strike, option_type, underlying_price, bid, ask, open_interest, "
        "implied_vol, gamma, known_at from landed",
        "option_quotes",
    )
    assert found == [
        (
            "SPX",
            date(2019, 5, 28),
            "SPX190621C02800000",
            date(2019, 6, 21),
            2800.0,
            "call",
            2802.4,
            40.1,
            41.0,
            1000.0,
            0.15,
            None,
            datetime(2019, 5, 28, 20, 15),
        )
    ]


@pytest.mark.parametrize(
    "old, new",
    [(",40.1,", ",0,"), (",0.15", ",0"), (",0.15", ",36"), ("2019-06-21,", "2019-05-28,"), (",call,", ",P,")],
)
def test_what_can_be_judged_later_lands(desk: Desk, old: str, new: str) -> None:
    """No bid, a volatility of 0 or 3600 %, the contract's last day: all of that is what the vendor quoted."""
    report = desk.ingest(desk.write("c.csv", GOOD.replace(old, new), header=HEADER), dataset="option_quotes")
    assert (report.landed, report.quarantined) == (1, 0)


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("2019-05-28", "2019-05-27", "not_a_session"),
        ("2019-05-28", "28.5.2019", "bad_date"),
        ("2019-05-28", "2026-11-20", "future_date"),
        ("2019-06-21,", "2019-05-24,", "expired"),
        (",call,", ",both,", "bad_option_type"),
        (",2800,", ",0,", "nonpositive_price"),
        (",40.1,", ",-1,", "negative_value"),
        (",40.1,", ",,", "missing_value"),
        (",2800,", ",many,", "wrong_type"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(desk: Desk, old: str, new: str, reason: str) -> None:
    """Holidays, quotes after the end of the contract, and values that are none."""
    bad = GOOD.replace(old, new)
    desk.ingest(desk.write("c.csv", bad, header=HEADER), dataset="option_quotes")
    assert desk.quarantine(dataset="option_quotes") == [(2, reason)]


def test_two_values_of_one_contract_and_day_are_both_refused(desk: Desk) -> None:
    """None of them can be trusted; two equal rows are one."""
    path = desk.write("c.csv", GOOD, GOOD.replace(",1000,", ",2000,"), header=HEADER)
    desk.ingest(path, dataset="option_quotes")
    assert desk.quarantine(dataset="option_quotes") == [(2, "conflicting_rows"), (3, "conflicting_rows")]
    equal = desk.ingest(desk.write("d.csv", GOOD, GOOD, header=HEADER), dataset="option_quotes")
    assert (equal.landed, equal.duplicates) == (1, 1)


def test_the_command_lands_a_chain(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`trademl ingest option-chain` from a shell."""
    monkeypatch.setenv("TRADEML_HOME", str(desk.home.root))
    monkeypatch.setenv("TRADEML_NOW", "2026-11-20T12:00:00Z")
    result = CliRunner().invoke(ingest, ["option-chain", str(desk.write("c.csv", GOOD, header=HEADER))])
    assert result.exit_code == 0, result.output
    assert desk.rows("select count(*) from landed", "option_quotes") == [(1,)]


@pytest.mark.real_data
def test_a_real_chain_loses_no_row(desk: Desk, real_data: Path) -> None:
    """All 5,040 quotes of SPY in 2021 land; the crossed ones too, which nobody reads a price from."""
    report = desk.ingest(real_data / "options" / "spy_2021_subset.parquet", dataset="option_quotes")
    assert (report.rows_in, report.landed) == (5_040, 5_040)
    assert desk.rows("select count(*) from landed where bid > ask", "option_quotes") == [(17,)]
