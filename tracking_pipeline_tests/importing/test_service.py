"""The whole pass: counts that add up, batches that stand on their own, and failures."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking_pipeline.importing.records import PROBLEM_FIELD, ImportFileError, Into
from tracking_pipeline.importing.service import BATCH_RECORDS, ImportTotals, import_file
from tracking_pipeline.store.database import DatabaseError
from tracking_pipeline_tests.importing.writing import Write


def events(count: int) -> list[dict[str, Any]]:
    return [{"event_name": "Lead", "event_id": f"px-{number}"} for number in range(count)]


def test_a_long_file_goes_in_batch_by_batch_and_tells_how_far_it_is(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write("a.ndjson", *events(2 * BATCH_RECORDS + 500))
    seen: list[tuple[int, int, int]] = []

    def watch(read: int, total: int) -> None:
        row = connection.execute("select count(*) from tracking_failed_events").fetchone()
        assert row is not None
        seen.append((row[0], read, total))

    totals = import_file(
        database_url, path, "failed-events", destination="meta_capi", progress=watch
    )
    assert totals.imported == 2 * BATCH_RECORDS + 500
    size = path.stat().st_size
    assert [count for count, _, _ in seen] == [1000, 2000, 2500]
    assert [total for _, _, total in seen] == [size] * 3
    assert 0 < seen[0][1] < seen[1][1] < seen[2][1] == size


def test_a_file_is_read_no_further_than_the_batch_that_is_in_hand(
    write: Write, database_url: str
) -> None:
    path = write(
        "a.csv", "event_name,event_id,note\n", *(f"a,{n},{'x' * 200}\n" for n in range(5000))
    )
    read: list[int] = []
    import_file(
        database_url,
        path,
        "failed-events",
        destination="meta_capi",
        progress=lambda position, _: read.append(position),
    )
    assert len(read) == 5
    assert read[0] < path.stat().st_size / 2


def test_only_the_first_fifty_problems_are_kept(write: Write, database_url: str) -> None:
    path = write("a.ndjson", *["{\n"] * 120, {"email": "a@example.com"})
    totals = import_file(database_url, path, "leads")
    assert (totals.imported, totals.rejected) == (1, 120)
    assert [problem.line for problem in totals.problems] == list(range(1, 51))


def test_a_lost_connection_is_a_database_error_and_whole_batches_stay(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write("a.ndjson", *events(BATCH_RECORDS + 1))

    def cut(_read: int, _total: int) -> None:
        connection.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

    with pytest.raises(DatabaseError, match="import the file again"):
        import_file(database_url, path, "failed-events", destination="meta_capi", progress=cut)
    again = import_file(database_url, path, "failed-events", destination="meta_capi")
    assert again == ImportTotals(imported=1, rejected=0, skipped=BATCH_RECORDS)


def test_a_database_that_is_not_there_is_a_database_error(write: Write) -> None:
    with pytest.raises(DatabaseError, match="cannot connect"):
        import_file("postgresql://u:secret@127.0.0.1:1/none", write("a.csv", "email\n"), "leads")


def test_a_database_without_our_tables_is_a_database_error(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    connection.execute("drop table leads cascade")
    with pytest.raises(DatabaseError, match="tracking-pipeline migrate"):
        import_file(database_url, write("a.csv", "email\na@x.y\n"), "leads")


def test_a_file_that_cannot_be_read_imports_nothing(tmp_path: Path, database_url: str) -> None:
    with pytest.raises(ImportFileError):
        import_file(database_url, tmp_path / "absent.csv", "leads")


def test_a_dry_run_counts_as_the_import_does_and_keeps_nothing(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    # The second is refused by the table, after rows of its batch were taken; the last is known.
    path = write("a.csv", "email,zip\na@x.y,1\nb@x.y,", "1" * 90, "\nc@x.y,\na@x.y,1\n")
    connection.execute("alter table leads alter zip type varchar(12)")
    rehearsed = import_file(database_url, path, "leads", dry_run=True)
    assert connection.execute("select from leads").fetchall() == []
    assert import_file(database_url, path, "leads") == rehearsed
    assert (rehearsed.imported, rehearsed.rejected, rehearsed.skipped) == (2, 1, 1)
    assert rehearsed.rejected_by_reason == {"zip cannot be stored as character varying(12)": 1}


REJECTED: dict[str, tuple[str | bytes, ...]] = {
    "a.csv": ('email;note\nok@x.y;\nbad-one;"two\nlines; ""q"""\nbad-two;', b"\xe9", "\n"),
    "a.tsv": ("\ufeffemail\tnote\r\nbad-one\tx\r\nbad-two\t\r\n",),
    "a.ndjson": ('{"email":"bad-one","note":["x"]}\n{"email":"bad-two",\n{"email":"ok@x.y"}\n',),
    "a.json": ('[{"email": "bad-one",\n "note": 1}, {"email":"ok@x.y"}, {"email": "bad-two"}]',),
}


@pytest.mark.parametrize("name", REJECTED)
def test_rejected_rows_are_corrected_and_imported_again(
    write: Write, database_url: str, connection: psycopg.Connection, name: str, tmp_path: Path
) -> None:
    first, second = tmp_path / f"rejects-{name}", tmp_path / f"again-{name}"
    totals = import_file(database_url, write(name, *REJECTED[name]), "leads", rejects=first)
    assert totals.rejected == 2
    assert first.stat().st_mode & 0o077 == 0
    # As they are, they are refused again, and the file is the same.
    again = import_file(database_url, first, "leads", rejects=second)
    assert (again.imported, again.rejected) == (0, 2)
    written = first.read_bytes()
    if name != "a.ndjson":
        assert second.read_bytes() == written
    assert written.count(PROBLEM_FIELD.encode()) == (1 if name in ("a.csv", "a.tsv") else 2)
    corrected = written.replace(b"bad-one", b"one@x.y").replace(b"bad-two", b"two@x.y")
    corrected = corrected.replace(b"\xe9", b"e").replace(b'"two@x.y",', b'"two@x.y"}')
    first.write_bytes(corrected)
    last = import_file(database_url, first, "leads", rejects=second)
    assert (last.imported, last.rejected) == (2, 0), last
    assert last.ignored_columns == totals.ignored_columns == ("note",)
    assert b"@" not in second.read_bytes()
    emails = connection.execute("select email from leads where email <> 'ok@x.y' order by 1")
    assert emails.fetchall() == [("one@x.y",), ("two@x.y",)]


def test_a_pipe_is_read_as_a_file_is(write: Write, database_url: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = b"email,name\r" + b"".join(b"%d@x.y,A\r" % number for number in range(3_000))
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    totals = import_file(database_url, pipe, "leads", dry_run=True)
    writer.join()
    assert (totals.imported, totals.rejected) == (3_000, 0)


def test_rejects_that_cannot_be_written_are_told_before_a_row_is_imported(
    write: Write, database_url: str, connection: psycopg.Connection, tmp_path: Path
) -> None:
    path = write("a.csv", "email\na@x.y\n")
    with pytest.raises(ImportFileError, match="cannot write"):
        import_file(database_url, path, "leads", rejects=tmp_path / "no" / "such")
    assert connection.execute("select from leads").fetchall() == []


NAMES = st.sampled_from(
    [
        "id",
        "event_id",
        "event_name",
        "event_payload",
        "user_data",
        "destination",
        "retry_count",
        "created_at",
        "lead_id",
        "status",
        "email",
        "session_data",
        "zip",
        "metadata",
        "data",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["meta_capi", "2026-01-01", "a@example.com", "pending", "{}", "\ud800"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
LINES = (
    st.dictionaries(NAMES, VALUES, max_size=6).map(json.dumps)
    | VALUES.map(json.dumps)
    | st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12)
)


@pytest.mark.parametrize("into", ["failed-events", "leads", "ledger"])
@given(lines=st.lists(LINES, max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_each_line_is_imported_rejected_or_skipped(
    write: Write, database_url: str, into: Into, lines: list[str]
) -> None:
    # One object at least: a file without any is refused as a whole.
    path = write("a.ndjson", *(line + "\n" for line in ["{}", *lines, "{}"]))
    totals = import_file(database_url, path, into, destination="meta_capi")
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    counted = totals.imported + totals.rejected + totals.skipped
    assert counted == sum(bool(line.strip()) for line in text.split(b"\n"))
    assert len(totals.problems) == totals.rejected
