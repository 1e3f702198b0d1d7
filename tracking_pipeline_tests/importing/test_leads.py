"""Lines into `leads`: any usual header, the site's own columns, and what is refused."""

from __future__ import annotations

import psycopg
import pytest

from tracking_pipeline.importing.records import Problem
from tracking_pipeline.importing.service import ImportTotals, import_file
from tracking_pipeline_tests.importing.writing import Write


def test_the_usual_headers_of_an_export_are_understood(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write(
        "leads.csv",
        "E-Mail,First Name,last-name,Phone Number,Town,Region,zip_code,country code,ip,userAgent\n",
        "a@example.com,Ana,Li,+1 904 555 0100,Tampa,Florida,00501,US,203.0.113.9,Mozilla/5.0\n",
    )
    assert import_file(database_url, path, "leads") == ImportTotals(1, 0, 0)
    rows = connection.execute(
        "select email, first_name, last_name, phone, city, state, zip, country, client_ip,"
        " client_user_agent from leads"
    ).fetchall()
    assert rows == [
        (
            "a@example.com",
            "Ana",
            "Li",
            "+1 904 555 0100",
            "Tampa",
            "Florida",
            "00501",
            "US",
            "203.0.113.9",
            "Mozilla/5.0",
        )
    ]


def test_a_columns_own_name_counts_before_another_name_for_it(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write("a.ndjson", {"mail": "other@example.com", "email": "a@example.com", "zip": 32207})
    import_file(database_url, path, "leads")
    assert connection.execute("select email, zip from leads").fetchall() == [
        ("a@example.com", "32207")
    ]


def test_a_hashed_email_is_not_taken_for_an_address(write: Write, database_url: str) -> None:
    totals = import_file(database_url, write("a.ndjson", {"email_sha256": "ab" * 32}), "leads")
    assert totals.problems == (Problem(1, "missing email: every lead needs one"),)
    assert totals.ignored_columns == ("email_sha256",)


def test_unknown_columns_are_ignored_and_listed(write: Write, database_url: str) -> None:
    path = write(
        "a.ndjson",
        {"email": "a@example.com", "Shoe Size": 9, "Hat": 1},
        {"email": "b@example.com", "Shoe Size": 9, "someone@example.com": 1},
    )
    totals = import_file(database_url, path, "leads")
    assert totals == ImportTotals(2, 0, 0, (), ("Hat", "Shoe Size", "[e-mail]"))


def test_a_lead_without_an_email_is_refused(write: Write, database_url: str) -> None:
    totals = import_file(database_url, write("a.csv", "email,name\n,Ana\n \nb@x.y,Bo\n"), "leads")
    assert totals == ImportTotals(1, 1, 0, (Problem(2, "missing email: every lead needs one"),), ())


def test_leads_that_are_imported_twice_are_skipped(write: Write, database_url: str) -> None:
    path = write("a.csv", "email\na@example.com\nb@example.com\n")
    assert import_file(database_url, path, "leads").imported == 2
    assert import_file(database_url, path, "leads") == ImportTotals(0, 0, 2)


def test_session_data_is_json(
    write: Write, database_url: str, connection: psycopg.Connection
) -> None:
    path = write("a.csv", 'email,session_data\na@x.y,"{""city"":""Tampa""}"\nb@x.y,{city\n')
    totals = import_file(database_url, path, "leads")
    assert [problem.line for problem in totals.problems] == [3]
    assert totals.problems[0].message.startswith("session_data is not valid JSON")
    assert connection.execute("select session_data from leads").fetchall() == [({"city": "Tampa"},)]


def test_the_sites_own_columns_are_filled_and_keep_their_defaults(
    write: Write, site_url: str, site: psycopg.Connection
) -> None:
    site.execute('alter table leads add "discount %s" text, add tags text[], add won boolean')
    path = write(
        "a.csv",
        "email,Quote Amount,UTM-Source,status,discount %s,tags,won,created at\n"
        'new@example.com,12.50,ads,,10 %,"{a,b}",yes,1760000000\n'
        "other@example.com,,,won,,,,\n",
    )
    assert import_file(site_url, path, "leads") == ImportTotals(2, 0, 0)
    rows = site.execute(
        "select email, quote_amount::text, window_count, utm_source, status, tags, won,"
        ' extract(epoch from created_at)::int, "discount %s" from leads'
        " where email in ('new@example.com', 'other@example.com') order by email"
    ).fetchall()
    assert rows[0] == (
        "new@example.com",
        "12.50",
        1,
        "ads",
        "new",
        ["a", "b"],
        True,
        1760000000,
        "10 %",
    )
    assert rows[1][:7] == ("other@example.com", None, 1, None, "won", None, None)


def test_a_lead_that_the_site_knows_by_its_email_is_skipped(write: Write, site_url: str) -> None:
    path = write("a.csv", "email\nVISITOR1@example.com\nnew@example.com\n")
    assert import_file(site_url, path, "leads") == ImportTotals(1, 0, 1)


def test_a_column_that_the_site_requires_is_asked_for(
    write: Write, site_url: str, site: psycopg.Connection
) -> None:
    site.execute("alter table leads add source text")
    site.execute("update leads set source = 'old'")
    site.execute("alter table leads alter source set not null")
    path = write("a.csv", "email,source\na@x.y,\nb@x.y,ads\n")
    totals = import_file(site_url, path, "leads")
    expected = Problem(2, "missing source: this site's leads cannot be without it")
    assert totals == ImportTotals(1, 1, 0, (expected,))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("zip", "1" * 13, "zip cannot be stored as character varying(12): "),
        ("quote_amount", "a lot", "quote_amount cannot be stored as numeric(10,2): "),
        ("quote_amount", "1" * 20, "quote_amount cannot be stored as numeric(10,2): "),
        ("window_count", "1" * 20, "window_count is out of range: "),
        ("status", "lukewarm", "status is refused by the constraint leads_status_valid of leads"),
    ],
)
def test_what_the_sites_own_table_refuses_costs_only_its_line(
    write: Write, site_url: str, column: str, value: str, said: str
) -> None:
    good = [f"lead{number}@example.com,\n" for number in range(30)]
    lines = [*good[:17], f"bad@example.com,{value}\n", *good[17:]]
    totals = import_file(site_url, write("a.csv", f"email,{column}\n", *lines), "leads")
    assert (totals.imported, totals.rejected, totals.skipped) == (30, 1, 0)
    [problem] = totals.problems
    assert problem.line == 19
    assert problem.message.startswith(said)
    assert value not in problem.message


def test_what_a_sites_trigger_refuses_costs_only_its_line(
    write: Write, site_url: str, site: psycopg.Connection
) -> None:
    site.execute(
        """
        create function no_robots() returns trigger language plpgsql as $$
        begin
            if new.name = 'robot' then raise exception 'no robots: %', new.email; end if;
            return new;
        end $$;
        create trigger no_robots before insert on leads for each row execute function no_robots()
        """
    )
    path = write("a.csv", "email,name\na@x.y,Ana\nr@x.y,robot\nb@x.y,Bo\n")
    totals = import_file(site_url, path, "leads")
    assert (totals.imported, totals.rejected) == (2, 1)
    assert totals.problems[0].line == 3
    assert "P0001" in totals.problems[0].message
    assert "r@x.y" not in totals.problems[0].message
