"""The portfolio file: it survives spreadsheets, and says what is wrong with it as a whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.services.portfolio.rows import (
    COLUMNS,
    UnreadableFile,
    guarded,
    read_portfolio,
    text_of,
    unguarded,
    write_portfolio,
)

FORMULAS = ["=1+1", "+254712345678", "-5", "@SUM(A1)", "\tx", "\rx", "\uff1d1", "'=1", "''-x"]

cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufffd"), max_size=30
).map(lambda text: " ".join(text.split()))


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_cell_that_a_spreadsheet_would_calculate_is_made_harmless(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize("cell", ["", "Asha", "1,500", "'quoted'", "O'Brien", "a=b", "5-3"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert guarded(cell) == unguarded(cell) == cell


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS[1:]), cells), max_size=5))
def test_what_is_written_is_what_is_read(rows: list[dict[str, str]]) -> None:
    rows = [{"record": "customer", **row} for row in rows]
    portfolio = read_portfolio(write_portfolio(rows))
    assert portfolio.errors == []
    read = [{name: cell for name, cell in row.cells.items() if cell} for row in portfolio.rows]
    assert read == [{name: cell for name, cell in row.items() if cell} for row in rows]
    assert [row.line for row in portfolio.rows] == list(range(2, len(rows) + 2))


def test_a_character_that_was_lost_long_ago_does_not_make_the_file_unreadable() -> None:
    [row] = read_portfolio(write_portfolio([{"record": "village", "name": "Kis\ufffdmu"}])).rows
    assert row.cell("name") == "Kis?mu"


@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_the_reader(content: bytes) -> None:
    try:
        read_portfolio(content)
    except UnreadableFile as error:
        assert error.detail


@pytest.mark.parametrize(
    "content",
    [
        b"record;name\nvillage;Kisumu, West\n",
        b'\xef\xbb\xbfrecord,name\r\nvillage,"Kisumu, West"\r\n',
        b"Name , RECORD\nKisumu@, village\n".replace(b"Kisumu@", b'"Kisumu, West"'),
    ],
)
def test_comma_or_semicolon_any_order_and_any_line_ends_will_do(content: bytes) -> None:
    [row] = read_portfolio(content).rows
    assert (row.cell("record"), row.cell("name")) == ("village", "Kisumu, West")
    assert row.cell("parent") == ""


def test_empty_rows_and_empty_columns_are_left_out_and_rows_keep_their_numbers() -> None:
    portfolio = read_portfolio(b"record,name,,\nvillage,A,,\n,,,\n\nvillage,B\n")
    assert [(row.line, row.cell("name")) for row in portfolio.rows] == [(2, "A"), (5, "B")]
    assert portfolio.errors == []


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (b"record,colour\nvillage,red\n", 1, "colour", "not a column"),
        (b"record,name,name\nvillage,a,b\n", 1, "name", "more than once"),
        (b"record,name\nvillage,A,B\n", 2, "", "below no heading"),
        (b"record,,name\nvillage,B,A\n", 2, "", "below no heading"),
        (b"record,name\nvillage," + b"x" * 2001 + b"\n", 2, "name", "2000 characters"),
    ],
)
def test_what_is_wrong_with_heading_or_size_is_told(
    content: bytes, line: int, column: str, message: str
) -> None:
    [error] = read_portfolio(content).errors
    assert (error.line, error.column) == (line, column)
    assert message in error.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04workbook", "save the sheet as CSV"),
        ("record,name\n".encode("utf-16"), "UTF-16"),
        ("record,name\nvillage,Ñandú\n".encode("latin-1"), "line 2"),
        (b"record,name\nvillage,\x00\n", "not a text file"),
        ("record,name\nvillage,�and�\n".encode(), "not UTF-8"),
        (b'record,name\nvillage,"A" x\n', "not CSV"),
        (b"", "must name the columns"),
        (b"name,village\nA,B\n", "must name the columns"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        read_portfolio(content)
    assert message in refused.value.detail


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert text_of(b"\xef\xbb\xbfrecord") == "record"
