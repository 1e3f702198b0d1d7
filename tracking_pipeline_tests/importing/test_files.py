"""How a file is read: which kind it is, where its records start, what is wrong with which line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking_pipeline.importing import csv_records, files, records
from tracking_pipeline.importing.csv_records import CsvFile
from tracking_pipeline.importing.files import open_records
from tracking_pipeline.importing.records import ImportFileError, Problem, Record, read_lines
from tracking_pipeline_tests.importing.writing import Write


def read(path: Path) -> list[Record | Problem]:
    with open_records(path) as file:
        return list(file.records)


def fields(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The good records, as (line, fields)."""
    return [(one.line, one.fields) for one in read(path) if isinstance(one, Record)]


def problems(path: Path) -> list[tuple[int, str]]:
    return [(one.line, one.message) for one in read(path) if isinstance(one, Problem)]


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_are_no_matter(write: Write) -> None:
    path = write("a.ndjson", b"\xef\xbb\xbf", '{"a":1}\r\n', "\r\n", "  \n", '{"a":2}')
    assert fields(path) == [(1, {"a": 1}), (4, {"a": 2})]
    assert problems(path) == []


def test_the_first_character_tells_a_file_without_a_known_extension(write: Write) -> None:
    assert fields(write("export", '{"a":1}\n')) == [(1, {"a": 1})]
    assert fields(write("export.txt", "\ufeff a,b\n1,2\n")) == [(2, {"a": "1", "b": "2"})]


def test_an_extension_counts_before_the_first_character(write: Write) -> None:
    assert fields(write("a.CSV", "{a},b\n1,2\n")) == [(2, {"{a}": "1", "b": "2"})]


def test_each_bad_line_is_told_by_its_number(write: Write) -> None:
    path = write(
        "a.jsonl",
        '{"a":1}\n',
        '{"a":\n',
        "[1]\n",
        b'{"a":"\xff"}\n',
        '{"a":"\\ud800"}\n',
        '{"a":NaN}\n',
        '{"a":18446744073709551616}\n',
        '{"a":' * 1100 + "1" + "}" * 1100 + "\n",
        '{"a":18446744073709551615}\n',
    )
    assert [line for line, _ in fields(path)] == [1, 9]
    said = problems(path)
    assert [line for line, _ in said] == [2, 3, 4, 5, 6, 7, 8]
    expected = ("valid JSON", "JSON object", "UTF-8", "surrogate", "valid JSON", "64 bits", "JSON")
    assert all(part in message for part, (_, message) in zip(expected, said, strict=True))


def test_digits_in_text_are_no_large_integer(write: Write) -> None:
    value = "1" * 40
    assert fields(write("a.ndjson", {"a": value})) == [(1, {"a": value})]


def test_a_line_that_is_too_long_costs_only_itself(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "LONGEST_LINE_BYTES", 100)
    path = write("a.ndjson", {"a": 1}, {"a": "x" * 1000}, {"a": 2})
    assert [line for line, _ in fields(path)] == [1, 3]
    assert [line for line, _ in problems(path)] == [2]
    table = write("a.csv", "a,b\n1,2\n", "x" * 1000, "\n3,4\n")
    assert [line for line, _ in fields(table)] == [2, 4]
    assert [line for line, _ in problems(table)] == [3]


def test_a_json_array_is_read_with_the_line_of_each_object(write: Write) -> None:
    path = write("a.json", '\ufeff[\n  {"a": 1},\n\n  {\n "a": [2]}, {"a":3}\n, 5 ]\n')
    assert fields(path) == [(2, {"a": 1}), (4, {"a": [2]}), (5, {"a": 3})]
    assert problems(path) == [(6, "not a JSON object: write one object a line")]
    assert read(write("b.json", "[ ]")) == []


@pytest.mark.parametrize("rest", [' {"a": ', ' {"a":2} {"a":3}]', "", " nonsense]"])
def test_what_stands_before_the_break_of_an_array_is_kept(write: Write, rest: str) -> None:
    path = write("a.json", '[{"a":1},\n' + rest)
    assert fields(path)[0] == (1, {"a": 1})
    assert [line for line, _ in problems(path)] == [2]


def test_an_array_over_its_bound_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LARGEST_ARRAY_BYTES", 5)
    with pytest.raises(ImportFileError, match="one object a line"):
        read(write("a.json", '[{"a":1}]'))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found(write: Write, delimiter: str) -> None:
    rows = (("a", "b,;\tc", "d"), ("1", "2,;\t3", "4"))
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    assert fields(write("a.csv", text.getvalue())) == [(2, dict(zip(*rows, strict=True)))]


def test_a_cell_is_text_as_it_is_written(write: Write) -> None:
    path = write("a.csv", "zip,name,plus,x\n00501,NA,+1 555,\n")
    assert fields(path) == [(2, {"zip": "00501", "name": "NA", "plus": "+1 555", "x": ""})]


def test_rows_after_a_quoted_line_end_keep_their_line_numbers(write: Write) -> None:
    path = write("a.csv", '\r\n"a",b\r\n\r\n"1\r\n\r\n1",2\r\n3,4\r\n')
    assert fields(path) == [(4, {"a": "1\r\n\r\n1", "b": "2"}), (7, {"a": "3", "b": "4"})]


def test_a_row_with_more_cells_than_the_header_costs_only_itself(write: Write) -> None:
    path = write("a.csv", "a,b\n1,2\n1,2,3,4,5\n1,2,,,\n3\n")
    assert [line for line, _ in fields(path)] == [2, 4, 5]
    [(line, message)] = problems(path)
    assert line == 3
    assert "more cells than the header" in message


def test_a_row_that_is_not_utf_8_costs_only_itself(write: Write) -> None:
    path = write("a.csv", "a,b\n1,2\n", b"Jos\xe9,2\n", "José,2\n")
    assert [line for line, _ in fields(path)] == [2, 4]
    assert problems(path) == [(3, "not UTF-8 text: save the file as UTF-8")]


def test_a_quote_that_is_never_closed_costs_only_its_line(write: Write) -> None:
    path = write("a.csv", 'a,b\n1,2\n"3,4\n5,6\n7,8\n')
    assert [line for line, _ in fields(path)] == [2, 4, 5]
    assert problems(path) == [(3, "a quote is opened and not closed: close or remove it")]


def test_an_inch_sign_inside_a_cell_is_no_quote(write: Write) -> None:
    path = write("a.csv", 'a,b\n7" pipe,2\n3,4\n')
    assert fields(path) == [(2, {"a": '7" pipe', "b": "2"}), (3, {"a": "3", "b": "4"})]


def test_a_block_that_is_cut_inside_a_quoted_cell_loses_no_row(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "LONGEST_LINE_BYTES", 40)
    # The inch sign makes the count of quotes odd, so that blocks are cut for their size alone.
    path = write("a.csv", 'a,b\n7" pipe,1\n', *['"one\ntwo\n3",2\n'] * 20)
    assert problems(path) == []
    assert [line for line, _ in fields(path)] == [2, *range(3, 63, 3)]


def test_a_header_whose_quote_is_never_closed_is_refused(write: Write) -> None:
    with pytest.raises(ImportFileError, match="header has a quote"):
        read(write("a.csv", 'email,"name\na@example.com,Ana\n'))


def test_a_delimiter_inside_a_quoted_name_does_not_count(write: Write) -> None:
    path = write("a.csv", 'x,"a;b;c;b"\n1,2\n')
    assert fields(path) == [(2, {"x": "1", "a;b;c;b": "2"})]


def test_two_columns_of_one_name_are_refused(write: Write) -> None:
    with pytest.raises(ImportFileError, match="one name"):
        read(write("a.csv", "a,b,a\n1,2,3\n"))


@pytest.mark.parametrize(
    ("beginning", "said"),
    [
        (b"PK\x03\x04...", "Excel"),
        (b"\x1f\x8b...", "compressed"),
        (b"\xe9,b\n1,2", "UTF-8"),
    ],
)
def test_what_is_no_text_file_is_refused_with_the_remedy(
    write: Write, beginning: bytes, said: str
) -> None:
    with pytest.raises(ImportFileError, match=said):
        read(write("a.csv", beginning))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="No such file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(ImportFileError, match="directory"):
        read(tmp_path)


def test_an_empty_file_has_no_records(write: Write) -> None:
    assert read(write("a.csv", "\n \n")) == read(write("a.ndjson", "")) == []


CELLS = st.text(st.sampled_from('ab1 ",;\t\n'), max_size=6)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=30))
@settings(max_examples=100, deadline=None)
def test_what_a_csv_writer_writes_is_read_again_with_its_line(
    rows: list[tuple[str, str, str]],
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("a", "b", "c"))
    expected = []
    for row in rows:
        line = text.getvalue().count("\n") + 1
        writer.writerow(row)
        if any(cell.strip() for cell in row):
            expected.append((line, dict(zip("abc", row, strict=True))))
    records = CsvFile(read_lines(io.BytesIO(text.getvalue().encode()))).records()
    assert [(one.line, one.fields) for one in records if isinstance(one, Record)] == expected


@given(content=st.binary(max_size=300) | st.text(st.sampled_from('a,";\n\r\x00{}[]:1é')))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("name", ["a.csv", "a.ndjson", "a.json"])
def test_no_content_breaks_a_reader(write: Write, name: str, content: bytes | str) -> None:
    path = write(name, content)
    try:
        found = read(path)
    except ImportFileError:
        return
    assert all(one.line >= 1 for one in found)
    assert [one.line for one in found] == sorted(one.line for one in found)
    # An object may go over many lines, and a line be a whole list of them.
    text = path.read_bytes()
    if name == "a.ndjson" and b"\x00" not in text:
        lines = text.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").split(b"\n")
        records = sum(isinstance(one, Record) for one in found)
        assert records <= text.count(b"{")
        assert len(found) - records <= sum(bool(line.strip()) for line in lines)
