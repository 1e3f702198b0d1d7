"""Files in the manner of the tools that people export from: read to the right rows, or refused with
the right line, and never imported as nothing."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tracking_pipeline.importing.records import ImportFileError, Into
from tracking_pipeline.importing.service import import_file

ANA = ("ana@example.com", "Ana", "St. Petersburg", "00501")
BO = ("bo@example.com", "Bö", "Zürich", "8001")
BOTH = [ANA, BO]
HEAD = ("email", "first_name", "city", "zip")
OBJECTS = [dict(zip(HEAD, row, strict=True)) for row in BOTH]
MARK = codecs.BOM_UTF8


def table(
    delimiter: str = ",", end: str = "\n", head: tuple[str, ...] = HEAD, quote: str = ""
) -> str:
    return "".join(
        delimiter.join(f"{quote}{cell}{quote}" for cell in row) + end for row in (head, *BOTH)
    )


def workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


# Name of the file, content, what is told by line, the rows.
READ: dict[str, tuple[str, str | bytes, dict[int, str], list[tuple[Any, ...]]]] = {
    "Excel, CSV UTF-8": ("a.csv", MARK + table(end="\r\n").encode(), {}, BOTH),
    "Excel, German": ("a.csv", MARK + table(";", "\r\n").encode(), {}, BOTH),
    "Excel, sep line": ("a.csv", "sep=;\r\n" + table(";", "\r\n"), {}, BOTH),
    "Excel, SEP line and mark": (
        "a.csv", MARK + b'"SEP=\t"\r\n' + table("\t").encode(), {}, BOTH
    ),
    "Excel, Unicode text": ("a.txt", table("\t", "\r\n").encode("utf-16"), {}, BOTH),
    "Excel, cut delimiters": (
        "a.csv", table() + "c@example.com\n", {}, [*BOTH, ("c@example.com", None, None, None)]
    ),
    "Excel for old Macs": ("a.csv", table(";", "\r"), {}, BOTH),
    "Excel for Mac, lines in cells": (
        "a.csv", 'email,first_name,city\rana@example.com,Ana,"St.\nPete"\r', {},
        [("ana@example.com", "Ana", "St.\nPete", None)],
    ),
    "Windows, ANSI": (
        "a.csv", table(";", "\r\n").encode("cp1252"), {3: "not UTF-8 text"}, [ANA]
    ),
    "Google Sheets": ("Sheet - Sheet1.csv", table(end="\r\n").removesuffix("\r\n"), {}, BOTH),
    "Google Sheets, TSV": ("a.tsv", table("\t"), {}, BOTH),
    "LibreOffice, all quoted": ("a.csv", table(quote='"'), {}, BOTH),
    "Numbers, title of the table": ("a.csv", "Table 1\n" + table(";"), {}, BOTH),
    "PowerShell": ("a.csv", '#TYPE Selected.Object\r\n' + table(quote='"'), {}, BOTH),
    "PowerShell, no mark": ("a.csv", table(end="\r\n").encode("utf-16-le"), {}, BOTH),
    "big-endian": ("a.csv", codecs.BOM_UTF16_BE + table().encode("utf-16-be"), {}, BOTH),
    "Supabase, table editor": (
        "leads_rows.csv",
        "id,email,first_name,city,zip,created_at,session_data\n"
        "10000000-0000-4000-8000-000000000001,ana@example.com,Ana,St. Petersburg,00501,"
        '2026-11-01 10:00:00.123456+00,"{""a"":1}"\n'
        "10000000-0000-4000-8000-000000000002,bo@example.com,Bö,Zürich,8001,"
        "2026-11-02 10:00:00+00,null\n",
        {}, BOTH,
    ),
    "psql, copy": (
        "a.csv", table() + "c@example.com,,,\n", {}, [*BOTH, ("c@example.com", None, None, None)]
    ),
    "psql, copy as text": (
        "a.tsv", table("\t") + "c@example.com\t\\N\t\\N\t\\N\n", {},
        [*BOTH, ("c@example.com", None, None, None)],
    ),
    "psql, unaligned": ("a.txt", table("|") + "(2 rows)\n", {4: "email"}, BOTH),
    "psql, csv with a footer": ("a.csv", table() + "(2 rows)\n", {4: "email"}, BOTH),
    "pgAdmin": ("data-1764000000.csv", table(quote='"'), {}, BOTH),
    "DBeaver": (
        "a.csv", table(quote='"') + '"c@example.com","[NULL]","[NULL]","[NULL]"\n', {},
        [*BOTH, ("c@example.com", None, None, None)],
    ),
    "DataGrip, pipes": ("a.csv", table("|"), {}, BOTH),
    "sqlcmd": (
        "a.csv", table().replace("\n", "\n-----,----,----,---\n", 1) + "\n(2 rows affected)\n",
        {2: "email", 6: "email"}, BOTH,
    ),
    "MySQL, batch": (
        "a.txt", table("\t") + "c@example.com\tNULL\tNULL\tNULL\n", {},
        [*BOTH, ("c@example.com", None, None, None)],
    ),
    "Hive": ("a.txt", table("\x01"), {}, BOTH),
    "Metabase": (
        "query_result.csv", table(head=("Email", "First Name", "City", "Zip")), {}, BOTH
    ),
    "BigQuery, JSON lines": (
        "bq.json", "".join(json.dumps(one) + "\n" for one in OBJECTS), {}, BOTH
    ),
    "HubSpot": (
        "hubspot-crm-exports.csv",
        table(quote='"', head=("Email", "First Name", "City", "Postal Code")), {}, BOTH,
    ),
    "Salesforce, report": (
        "report.csv",
        table(quote='"', head=("Email", "First Name", "City", "Zip/Postal Code"))
        + '\n\n"Leads by source"\n"Copyright (c) 2000-2026 salesforce.com, inc."\n',
        {6: "email", 7: "email"}, BOTH,
    ),
    "Salesforce, title above": ("r.csv", '"Leads by source","","",""\n\n' + table(), {}, BOTH),
    "Shopify": (
        "customers_export.csv",
        "First Name,Last Name,Email,Accepts Email Marketing,City,Zip,Total Spent\n"
        "Ana,Li,ana@example.com,no,St. Petersburg,00501,0.00\n"
        "Bö,Ek,bo@example.com,yes,Zürich,'8001,12.50\n",
        {}, [ANA, ("bo@example.com", "Bö", "Zürich", "'8001")],
    ),
    "Mailchimp": (
        "audience.csv",
        table(head=("Email Address", "First Name", "City", "Zip Code")), {}, BOTH,
    ),
    "Airtable": ("Grid view.csv", MARK + table().encode(), {}, BOTH),
    "Notion": ("Leads 1f.csv", MARK + table(head=("E-Mail", *HEAD[1:])).encode(), {}, BOTH),
    "Typeform": (
        "responses.csv",
        '#,"What is your email, please?",Email,First name,City,ZIP,Submit Date (UTC)\n'
        "x1,,ana@example.com,Ana,St. Petersburg,00501,2026-11-01 10:00:00\n",
        {}, [ANA],
    ),
    "a total below": ("a.csv", table() + "Total,,,2\n", {4: "email"}, BOTH),
    "data frame": (
        "a.csv", ",email,first_name,city,zip\n0,ana@example.com,Ana,St. Petersburg,00501\n"
        "1,bo@example.com,nan,NaN,<NA>\n", {}, [ANA, ("bo@example.com", None, None, None)],
    ),
    "jq": ("a.json", "\n".join(json.dumps(one, indent=2) for one in OBJECTS), {}, BOTH),
    "jq, compact": ("a.json", "\n".join(map(json.dumps, OBJECTS)), {}, BOTH),
    "array, pretty": ("a.json", json.dumps(OBJECTS, indent=4), {}, BOTH),
    "array in a mark": ("a.json", MARK + json.dumps(OBJECTS).encode(), {}, BOTH),
    "array, named as lines": ("a.ndjson", json.dumps(OBJECTS, indent=4), {}, BOTH),
    "wrapper": ("a.json", json.dumps({"data": OBJECTS, "meta": {"total": 2}}), {}, BOTH),
    "wrapper, pretty": ("a.json", json.dumps({"count": 2, "leads": OBJECTS}, indent=2), {}, BOTH),
    "wrapper in a wrapper": ("a.json", json.dumps({"data": {"leads": OBJECTS}}), {}, BOTH),
    "array, a line each, named as lines": (
        "a.ndjson", "[" + ",\n".join(map(json.dumps, OBJECTS)) + "]\n", {}, BOTH
    ),
    "one object, pretty": ("a.json", json.dumps(OBJECTS[0], indent=2), {}, [ANA]),
    "MongoDB": (
        "a.json",
        "".join(json.dumps({"lead": {"$oid": "65"}, **one}) + "\n" for one in OBJECTS), {}, BOTH,
    ),
    "JSON, named as a table": ("a.csv", json.dumps(OBJECTS), {}, BOTH),
    "JSON in UTF-16": ("a.json", json.dumps(OBJECTS).encode("utf-16"), {}, BOTH),
    "a header alone": ("a.csv", "email,first_name\n", {}, []),
    "an empty array": ("a.json", "[]", {}, []),
    "an empty wrapper": ("a.json", '{"data": [], "total": 0}', {}, []),
    "an empty file": ("a.csv", "", {}, []),
}  # fmt: skip


def test_an_export_is_read_to_its_rows(
    tmp_path: Path, database_url: str, connection: psycopg.Connection
) -> None:
    found: dict[str, Any] = {}
    for tool, (name, content, _, _) in READ.items():
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        try:
            totals = import_file(database_url, path, "leads")
        except ImportFileError as error:
            found[tool] = str(error)
            continue
        rows = connection.execute(
            "with gone as (delete from leads returning *)"
            " select email, first_name, city, zip from gone order by email"
        ).fetchall()
        found[tool] = ({one.line: one.message for one in totals.problems}, rows)
    for tool, (_, _, told, rows) in READ.items():
        assert isinstance(found[tool], tuple), f"{tool}: {found[tool]}"
        messages, kept = found[tool]
        assert kept == rows, f"{tool}: {messages}"
        assert messages.keys() == told.keys(), tool
        assert all(part in messages[line] for line, part in told.items()), f"{tool}: {messages}"


def test_what_stands_around_the_rows_of_events_is_no_event(
    tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "Events\n\nevent_name,event_id,value\nLead,px-1,\n-----,-----,-----\nTotal,,1\n"
        'Lead form sent,,\n(1 row)\n"Leads by source"\nGenerated by: Ana\n'
    )
    tables: tuple[Into, ...] = ("failed-events", "ledger")
    for into in tables:
        totals = import_file(database_url, path, into, destination="meta_capi")
        assert totals.imported == 2, into
        assert [one.line for one in totals.problems] == [5, 6, 8, 9, 10]


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "workbook": ("a.csv", workbook(), "Excel workbook"),
    "old workbook": ("a.xls", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 99, "old Excel"),
    "workbook that is a page": ("a.xls", "<html xmlns:x='x'><table>", "web page"),
    "workbook in XML": ("a.xls", MARK + b'<?xml version="1.0"?><Workbook/>', "XML"),
    "gzip": ("a.csv.gz", gzip.compress(table().encode()), "gzip"),
    "sign-in page": ("page.csv", "\n <!DOCTYPE html><title>Sign in</title>", "web page"),
    "psql, drawn": (
        "a.txt",
        "      email      | city \n-----------------+------\n ana@example.com | Pete\n(1 row)\n",
        "drawn",
    ),
    "psql, border": ("a.txt", "+-------+\n| email |\n+-------+\n| a@b.c |\n+-------+\n", "drawn"),
    "psql, expanded": ("a.txt", "-[ RECORD 1 ]------\nemail | a@example.com\n", "drawn"),
    "Markdown": ("a.md", "| email | city |\n|---|---|\n| a@example.com | Pete |\n", "drawn"),
    "no header": ("a.csv", "ana@example.com,Ana\nbo@example.com,Bo\n", "no header"),
    "other columns": ("a.csv", "sku;stock\n1;2\n", "no column is known"),
    "prose": ("a.txt", "Dear team,\nhere are the leads.\n", "no column is known"),
    "SQL": ("a.sql", "-- PostgreSQL dump\nINSERT INTO leads VALUES (1);\n", "SQL"),
    "dump": ("a.dump", b"PGDMP\x01\x0e", "dump"),
    "Parquet": ("a.parquet", b"PAR1\x15\x04", "Parquet"),
    "PDF": ("a.pdf", b"%PDF-1.7\n", "PDF"),
    "controls": ("a.csv", b"\x07\x08\x0f\x10email\n", "control character"),
    "an answer that is an error": ("a.json", '{"error":"unauthorized","code":401}', "no field"),
    "columns of cells": ("a.json", '{"sku":[1,2],"stock":[3,4]}', "no field"),
    "no JSON": ("a.ndjson", "email,city\nana@example.com,Pete\n", "no JSON"),
}


@pytest.mark.parametrize("into", ["leads", "failed-events", "ledger"])
def test_what_is_no_file_of_rows_is_refused_in_one_line(
    tmp_path: Path, database_url: str, into: Into
) -> None:
    for kind, (name, content, said) in REFUSED.items():
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(ImportFileError) as refused:
            import_file(database_url, path, into, destination="meta_capi")
        assert said in str(refused.value), kind
        assert "\n" not in str(refused.value), kind
        assert "ana@" not in str(refused.value), kind
