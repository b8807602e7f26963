"""Which column is which field."""

import pytest

from tests.warehouse.ingest.desk import Desk, bar
from trademl.errors import ConfigError, IngestError
from trademl.schema import RAW
from trademl.warehouse.ingest.mapping import parse_map


def test_columns_are_found_whatever_their_case_and_under_common_names(desk: Desk) -> None:
    """Timestamp is a date, Ticker a symbol; adjusted_close is not a close."""
    header = "Ticker,Timestamp,OPEN,High,low,adjusted_close,Close,Vol"
    desk.ingest(desk.write("a.csv", "AAA,2026-11-18,10,11,9,5,10,100", header=header))
    assert desk.rows("select symbol, close, volume from landed") == [("AAA", 10.0, 100.0)]


def test_a_map_names_a_column_of_another_name(desk: Desk) -> None:
    """--map open=First takes the open from First."""
    header = "symbol,date,First,high,low,close,volume"
    desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18"), header=header), mapping={"open": "first"})
    assert desk.rows("select open from landed") == [(10.0,)]


def test_a_mapped_column_that_a_file_does_not_have_refuses_the_file(desk: Desk) -> None:
    """The message shows the columns there are."""
    report = desk.ingest(desk.write("a.csv", bar("AAA", "2026-11-18")), mapping={"open": "Opening"})
    assert "its columns are symbol, date, open" in str(report.refused[0].detail)
    assert "correct --map open=Opening" in str(report.refused[0].detail)


def test_files_per_symbol_take_the_symbol_from_an_option_or_from_their_names(desk: Desk) -> None:
    """Without either, the refusal says how."""
    line, header = "2026-11-18,10,11,9,10,100", "date,open,high,low,close,volume"
    path = desk.write("DA-BF.B-T-2021.csv", line, header=header)
    assert "--symbol-from-name REGEX" in str(desk.ingest(path).refused[0].detail)
    desk.ingest(path, symbol_from_name="DA-(.+)-T-")
    desk.ingest(path, symbol="HPQ")
    assert desk.rows("select symbol from landed order by 1") == [("BF.B",), ("HPQ",)]
    assert "does not match" in str(desk.ingest(path, symbol_from_name="^X(.)").refused[0].detail)


@pytest.mark.parametrize(
    "items, said",
    [
        (("opne=O",), "no field 'opne'"),
        (("open",), "not FIELD=SOURCECOLUMN"),
        (("open=A", "open=B"), "names open twice"),
    ],
)
def test_a_wrong_map_is_a_usage_error(items: tuple[str, ...], said: str) -> None:
    """The message says what is wrong with it; a misspelt field gets its nearest neighbour."""
    with pytest.raises(ConfigError, match=said):
        parse_map(items, RAW["equity_bars"])


@pytest.mark.parametrize("expression", ["(", "no-group", "(a)(b)"])
def test_an_expression_for_names_needs_exactly_one_group(desk: Desk, expression: str) -> None:
    """Anything else is refused before a file is opened."""
    with pytest.raises(ConfigError, match="--symbol-from-name"):
        desk.ingest(desk.write("a.csv", bar("A", "2026-11-18")), symbol_from_name=expression)


def test_a_name_is_for_series_and_a_series_needs_one(desk: Desk) -> None:
    """A series file without a series column is refused with the remedy --name."""
    with pytest.raises(IngestError, match="--name 'VIX' is for series"):
        desk.ingest(desk.write("a.csv", bar("A", "2026-11-18")), name="VIX")
    report = desk.ingest(desk.write("v.csv", "2026-11-18,20", header="date,value"), dataset="series")
    assert "give the series a name with --name" in str(report.refused[0].detail)
