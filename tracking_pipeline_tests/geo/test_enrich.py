"""What an enrichment run makes of leads, on a local file: whose word counts, and what is noted."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from tracking_pipeline.geo.coverage import read_geo_coverage
from tracking_pipeline.geo.mmdb import MmdbProvider
from tracking_pipeline.geo.provider import Answer
from tracking_pipeline.sandbox.server import Sandbox
from tracking_pipeline.store.migrations.indexes import INDEXES, build
from tracking_pipeline_tests.geo.databases import (
    BERLIN,
    MIDDLE_OF_THE_US,
    SAN_JOSE,
    write_database,
)
from tracking_pipeline_tests.geo.enriching import Enriching, a_file, ip_api
from tracking_pipeline_tests.geo.lead_table import LeadTable

IN_SAN_JOSE, IN_BERLIN, IN_THE_US, ELSEWHERE = "81.2.69.7", "81.2.70.7", "81.2.71.7", "81.2.72.7"
SAN_JOSES_PLACE = ("San Jose", "California", None, "US")
BERLINS_PLACE = ("Berlin", "State of Berlin", "10115", "DE")
SOURCE = "mmdb dbip-city-lite 2026-11"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_database(
        tmp_path / "places.mmdb",
        {
            "81.2.69.0/24": SAN_JOSE,
            "81.2.70.0/24": BERLIN,
            "81.2.71.0/24": MIDDLE_OF_THE_US,
        },
    )


@pytest.fixture
def enriching(database_url: str, file: Path) -> Enriching:
    return Enriching(database_url, a_file(file))


def test_a_lead_without_a_place_gets_the_one_of_its_address(
    leads: LeadTable, enriching: Enriching
) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    totals = enriching.run()
    row = leads.row(lead)
    assert leads.place(lead) == BERLINS_PLACE
    assert (row["geo_source"], row["geo_status"], row["state_code"]) == (SOURCE, "ok", "BE")
    assert row["geo_at"] is not None
    assert row["geo_next_at"] is None
    assert leads.sources(lead) == dict.fromkeys(("city", "state", "zip", "country"), SOURCE)
    assert (totals.examined, totals.enriched, totals.skipped) == (1, 1, 0)
    assert totals.by_source == {"mmdb": 1}
    assert totals.by_status == {"ok": 1}
    assert totals.stopped_reason == "done"


def test_what_a_person_said_is_kept_and_the_rest_is_filled(
    leads: LeadTable, enriching: Enriching
) -> None:
    lead = leads.add(client_ip=IN_BERLIN, city="Potsdam", zip="  ")
    enriching.run()
    assert leads.place(lead) == ("Potsdam", "State of Berlin", "10115", "DE")
    assert leads.row(lead)["geo_source"] == SOURCE
    assert leads.sources(lead) == {
        "city": "user",
        "state": SOURCE,
        "zip": SOURCE,
        "country": SOURCE,
    }


@pytest.mark.parametrize("blank", [None, "", "   ", "\t\n", "\u00a0", "\u200b", "\ufeff \u3000"])
def test_white_space_is_no_value(leads: LeadTable, enriching: Enriching, blank: str | None) -> None:
    lead = leads.add(client_ip=IN_BERLIN, city=blank, state=blank, zip=blank, country=blank)
    enriching.run()
    assert leads.place(lead) == BERLINS_PLACE


@pytest.mark.parametrize("stored", [IN_SAN_JOSE, IN_THE_US, "10.1.2.3", ELSEWHERE, None])
def test_a_blank_that_must_not_be_null_stays_as_it_is(
    leads: LeadTable, enriching: Enriching, stored: str | None
) -> None:
    for column in ("city", "state", "zip"):
        leads.connection.execute(
            f"alter table leads alter {column} set default '', alter {column} set not null".encode()
        )
    lead = leads.add(client_ip=stored)
    assert enriching.run().refused == 0
    row = leads.row(lead)
    assert row["zip"] == ""
    assert row["city"] == ("San Jose" if stored == IN_SAN_JOSE else "")
    assert enriching.run().corrected == 0


def test_a_session_that_was_encoded_twice_is_read(leads: LeadTable, enriching: Enriching) -> None:
    lead = leads.add()
    leads.connection.execute(
        "update leads set session_data = to_jsonb("
        """'{"city": "Miami", "state": "FL", "zip": "33130"}'::text)"""
    )
    assert enriching.run().by_source == {"session": 1}
    assert leads.place(lead)[:3] == ("Miami", "Florida", "33130")


def test_a_lead_that_said_all_is_noted_as_the_persons_own(
    leads: LeadTable, enriching: Enriching
) -> None:
    lead = leads.add(client_ip=IN_BERLIN, city="Miami", state="Florida", zip="33130")
    totals = enriching.run()
    row = leads.row(lead)
    assert (row["geo_source"], row["geo_status"]) == ("user", "ok")
    # Nothing of another place is put beside it.
    assert leads.place(lead) == ("Miami", "Florida", "33130", None)
    assert row["state_code"] is None
    assert (totals.enriched, totals.skipped, totals.complete) == (0, 1, 1)
    assert totals.by_source == {}


@pytest.mark.parametrize("wrapped", [False, True], ids=["top level", "aiContext"])
def test_a_place_in_the_session_comes_before_the_address(
    leads: LeadTable, enriching: Enriching, wrapped: bool
) -> None:
    place = {"city": "Miami", "state": "FL", "zip_code": "33130"}
    session = {"aiContext": place} if wrapped else place
    lead = leads.add(client_ip=IN_BERLIN, session_data=session)
    totals = enriching.run()
    row = leads.row(lead)
    assert leads.place(lead) == ("Miami", "Florida", "33130", None)
    assert (row["geo_source"], row["state_code"]) == ("session", "FL")
    assert totals.by_source == {"session": 1}


def test_the_address_fills_what_the_session_leaves_open(
    leads: LeadTable, enriching: Enriching
) -> None:
    lead = leads.add(client_ip=IN_BERLIN, session_data={"city": "Potsdam"})
    enriching.run()
    assert leads.place(lead) == ("Potsdam", "State of Berlin", "10115", "DE")
    assert leads.row(lead)["geo_source"] == "session"
    assert leads.sources(lead)["state"] == SOURCE


def test_the_address_is_taken_from_the_newest_event_that_has_one(
    leads: LeadTable, enriching: Enriching
) -> None:
    lead, failed, own = leads.add(), leads.add(client_ip=" "), leads.add(client_ip=IN_SAN_JOSE)
    leads.add_ledger_event(lead, {"client_ip_address": IN_SAN_JOSE}, "2026-11-20")
    leads.add_ledger_event(lead, {"client_ip_address": IN_BERLIN}, "2026-11-21")
    # A later event of the site's server knows no visitor.
    leads.add_ledger_event(lead, {"em": "x"}, "2026-11-22")
    leads.add_ledger_event(lead, ["no object"], "2026-11-23")
    leads.add_failed_event(lead, {"client_ip_address": IN_SAN_JOSE})
    leads.add_failed_event(failed, {"client_ip_address": IN_BERLIN})
    leads.add_ledger_event(own, {"client_ip_address": IN_BERLIN})
    encoded_twice = leads.add()
    leads.add_ledger_event(encoded_twice, Jsonb(f'{{"client_ip_address": "{IN_BERLIN}"}}'))
    leads.add_ledger_event(encoded_twice, Jsonb("no object"))
    enriching.run()
    assert leads.place(encoded_twice) == BERLINS_PLACE
    assert leads.place(lead) == BERLINS_PLACE
    assert leads.place(failed) == BERLINS_PLACE
    assert leads.place(own) == SAN_JOSES_PLACE


@pytest.mark.parametrize(
    ("stored", "status"),
    [
        ("10.1.2.3", "private"),
        ("::1", "private"),
        ("100.64.0.1", "private"),
        ("unknown, 192.168.0.1", "private"),
        ("unknown", "invalid"),
        ("8.8.8", "invalid"),
        (ELSEWHERE, "no_data"),
    ],
)
def test_an_address_without_a_place_is_noted_and_done_with(
    leads: LeadTable, enriching: Enriching, stored: str, status: str
) -> None:
    lead = leads.add(client_ip=stored, created_at="2026-11-01")
    totals = enriching.run()
    row = leads.row(lead)
    assert (row["geo_status"], row["geo_source"], row["geo_next_at"]) == (status, None, None)
    assert leads.place(lead) == (None,) * 4
    assert totals.by_status == {status: 1}
    assert enriching.run().examined == 0


def test_addresses_are_read_as_sites_store_them(leads: LeadTable, enriching: Enriching) -> None:
    stored = [f"{IN_BERLIN}:443", f"10.0.0.1, {IN_BERLIN}", f"::ffff:{IN_BERLIN}", f'"{IN_BERLIN}"']
    added = [leads.add(client_ip=address) for address in stored]
    enriching.run()
    assert [leads.place(lead) for lead in added] == [BERLINS_PLACE] * len(stored)


def test_a_country_alone_is_a_place_too(leads: LeadTable, enriching: Enriching) -> None:
    lead = leads.add(client_ip=IN_THE_US)
    assert enriching.run().enriched == 1
    assert leads.place(lead) == (None, None, None, "US")
    assert leads.row(lead)["geo_status"] == "ok"


def test_a_new_lead_without_an_address_is_looked_at_again_and_an_old_one_is_not(
    leads: LeadTable, enriching: Enriching
) -> None:
    new, old = leads.add(), leads.add(created_at="2026-01-01")
    totals = enriching.run()
    assert totals.without_address == 2
    assert leads.row(old)["geo_next_at"] is None
    assert leads.row(new)["geo_status"] == "no_data"
    assert leads.row(new)["geo_wait"] == pytest.approx(300, abs=30)
    leads.add_ledger_event(new, {"client_ip_address": IN_BERLIN})
    leads.make_due()
    enriching.run()
    assert leads.place(new) == BERLINS_PLACE


def test_a_later_word_of_the_person_replaces_ours_and_is_noted_as_theirs(
    leads: LeadTable, enriching: Enriching
) -> None:
    lead = leads.add(client_ip=IN_SAN_JOSE)
    enriching.run()
    leads.connection.execute(
        "update leads set city = 'Austin', state = 'Texas', zip = '78701' where id = %s", (lead,)
    )
    totals = enriching.run()
    row = leads.row(lead)
    assert totals.corrected == 1
    assert leads.place(lead) == ("Austin", "Texas", "78701", "US")
    assert leads.sources(lead) == {
        "city": "user",
        "state": "user",
        "zip": "user",
        "country": SOURCE,
    }
    # A code of California beside Texas would be worse than none.
    assert row["state_code"] is None
    assert row["geo_source"] == SOURCE
    assert enriching.run().corrected == 0


def test_what_a_person_emptied_stays_empty(leads: LeadTable, enriching: Enriching) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    enriching.run()
    leads.connection.execute("update leads set city = null, zip = ' ' where id = %s", (lead,))
    assert enriching.run().corrected == 1
    enriching.run(recheck_failed=True)
    assert leads.place(lead) == (None, "State of Berlin", " ", "DE")
    # Nobody is to fill it again.
    assert leads.sources(lead) == {
        "city": "user",
        "zip": "user",
        "state": SOURCE,
        "country": SOURCE,
    }


def test_a_dry_run_counts_and_changes_nothing(leads: LeadTable, enriching: Enriching) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    leads.add(city="Miami", state="Florida", zip="33130")
    before = leads.row(lead)
    totals = enriching.run(dry_run=True)
    assert leads.row(lead) == before
    assert (totals.examined, totals.enriched, totals.dry_run) == (2, 1, True)
    assert totals.by_source == {"mmdb": 1}


def test_a_limit_takes_the_newest_leads(leads: LeadTable, enriching: Enriching) -> None:
    old = leads.add(client_ip=IN_BERLIN, created_at="2026-11-01")
    new = leads.add(client_ip=IN_BERLIN, created_at="2026-11-02")
    totals = enriching.run(limit=1)
    assert (totals.examined, totals.stopped_reason) == (1, "limit")
    assert leads.place(new) == BERLINS_PLACE
    assert leads.row(old)["geo_status"] is None


def test_leads_without_a_time_are_enriched_too(leads: LeadTable, enriching: Enriching) -> None:
    leads.connection.execute("alter table leads alter column created_at drop not null")
    added = leads.add_many(3, client_ip=IN_BERLIN, created_at=None)
    leads.add(client_ip=IN_BERLIN, created_at="infinity")
    assert enriching.run().enriched == 4
    assert [leads.place(lead) for lead in added] == [BERLINS_PLACE] * 3


def test_a_recheck_takes_those_that_were_looked_up_in_vain(
    leads: LeadTable, enriching: Enriching, file: Path
) -> None:
    lead = leads.add(client_ip=ELSEWHERE, created_at="2026-11-01")
    enriching.run()
    write_database(file, {"81.2.72.0/24": BERLIN})
    assert enriching.run().examined == 0
    assert enriching.run(recheck_failed=True).enriched == 1
    assert leads.place(lead) == BERLINS_PLACE


def test_a_recheck_completes_what_was_found_in_part(
    leads: LeadTable, enriching: Enriching, file: Path
) -> None:
    partly, emptied = leads.add_many(2, client_ip=IN_THE_US)
    whole = leads.add(client_ip=IN_BERLIN)
    enriching.run()
    leads.connection.execute(
        "update leads set city = null, state = null, zip = null, client_ip = %s where id = %s",
        (IN_BERLIN, whole),
    )
    leads.connection.execute("update leads set country = ' ' where id = %s", (emptied,))
    write_database(file, {"81.2.71.0/24": SAN_JOSE, "81.2.70.0/24": BERLIN})
    assert enriching.run().examined == 0
    totals = enriching.run(recheck_failed=True)
    assert (totals.examined, totals.enriched) == (2, 2)
    assert leads.place(partly) == SAN_JOSES_PLACE
    assert leads.place(emptied) == ("San Jose", "California", None, " ")
    assert leads.place(whole) == (None, None, None, "DE")


def test_a_recheck_puts_no_two_places_together_and_unfinds_nothing(
    leads: LeadTable, enriching: Enriching, file: Path
) -> None:
    lead, gone = leads.add(client_ip=IN_THE_US), leads.add(client_ip=IN_THE_US)
    enriching.run()
    leads.connection.execute("update leads set client_ip = %s where id = %s", (ELSEWHERE, gone))
    before = leads.row(gone)
    write_database(file, {"81.2.71.0/24": BERLIN})
    totals = enriching.run(recheck_failed=True)
    assert (totals.examined, totals.enriched) == (2, 0)
    assert leads.place(lead) == (None, None, None, "US")
    assert leads.row(gone) == before


def test_a_spent_time_budget_leaves_the_rest_for_the_next_run(
    leads: LeadTable, enriching: Enriching
) -> None:
    leads.add(client_ip=IN_BERLIN)
    totals = enriching.run(time_budget_seconds=0)
    assert (totals.examined, totals.stopped_reason) == (0, "time_budget")
    assert enriching.run().enriched == 1


def test_without_any_provider_what_people_said_is_noted_once_and_the_rest_waits(
    leads: LeadTable, database_url: str, enriching: Enriching
) -> None:
    complete = leads.add(city="Miami", state="Florida", zip="33130")
    stated = leads.add(session_data={"city": "Miami", "state": "FL", "zip": "33130"})
    open_one = leads.add(client_ip=IN_BERLIN)
    alone = Enriching(database_url)
    totals = alone.run()
    assert (totals.examined, totals.enriched, totals.waiting) == (3, 1, 1)
    assert leads.row(complete)["geo_source"] == "user"
    assert leads.row(stated)["geo_source"] == "session"
    assert leads.row(open_one)["geo_status"] is None
    # Nobody looks at it again and again ...
    assert alone.run().examined == 0
    # ... until there is somebody to ask.
    assert enriching.run().enriched == 1


def test_leads_of_which_a_file_knows_the_country_wait_for_a_file_of_cities(
    leads: LeadTable, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "countries.mmdb"
    write_database(path, {"8.8.8.0/24": MIDDLE_OF_THE_US}, kind="GeoLite2-Country")
    enriching = Enriching(database_url, a_file(path))
    known, unknown = leads.add(client_ip="8.8.8.8"), leads.add(client_ip="9.9.9.9")
    late = leads.add()
    first = enriching.run()
    assert (first.enriched, first.waiting) == (1, 2)
    assert "knows countries only" in first.missing["mmdb"]
    assert leads.place(known) == (None, None, None, "US")
    leads.connection.execute("update leads set geo_next_at = now() where geo_next_at is not null")
    leads.connection.execute("update leads set client_ip = '8.8.8.1' where id = %s", (late,))
    # They are not looked up again and again, and a new address is.
    assert enriching.run().examined == 1
    assert leads.place(late) == (None, None, None, "US")

    write_database(path, {"8.8.8.0/24": SAN_JOSE, "9.9.9.0/24": BERLIN})
    second = enriching.run()
    assert (second.enriched, second.waiting, second.missing) == (3, 0, {})
    assert leads.place(known)[0] == leads.place(late)[0] == "San Jose"
    assert leads.place(unknown) == BERLINS_PLACE
    assert leads.statuses() == {"ok": 3}


@pytest.mark.parametrize(
    "spoil",
    [lambda file: os.truncate(file, file.stat().st_size // 2), Path.unlink],
    ids=["cut short", "missing"],
)
def test_leads_lose_nothing_by_a_file_that_cannot_serve(
    leads: LeadTable, enriching: Enriching, file: Path, spoil: Callable[[Path], None]
) -> None:
    whole = file.read_bytes()
    spoil(file)
    lead = leads.add(client_ip=IN_BERLIN)
    for _ in range(7):
        totals = enriching.run()
        leads.make_due()
        assert totals.missing["mmdb"].startswith(("there is no file", str(file)))
        assert totals.by_status == {}
    row = leads.row(lead)
    assert (row["geo_status"], row["geo_attempts"], row["geo_next_at"]) == (None, 0, None)
    file.write_bytes(whole)
    totals = enriching.run()
    assert (totals.enriched, totals.missing) == (1, {})


def test_a_lead_that_waits_keeps_its_wait_while_the_file_cannot_serve(
    leads: LeadTable, enriching: Enriching, file: Path
) -> None:
    lead = leads.add(client_ip=IN_BERLIN)
    leads.connection.execute(
        "update leads set geo_status = 'error', geo_attempts = 3, geo_at = now() - interval '1 h',"
        " geo_next_at = now()"
    )
    before = leads.row(lead)
    file.unlink()
    enriching.run()
    after = leads.row(lead)
    assert {**before, "geo_wait": 0} == {**after, "geo_wait": 0}


def test_a_file_that_fails_during_the_run_leaves_its_leads_as_they_are(
    leads: LeadTable, database_url: str, file: Path
) -> None:
    leads.connection.execute(
        "insert into leads (email, client_ip, created_at) select n || '@example.com', %s,"
        " now() - make_interval(secs => n) from generate_series(1, 1100) as n",
        (IN_BERLIN,),
    )

    class FailsAfterABatch(MmdbProvider):
        async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
            answers = await super().locate(addresses)
            if answers:
                file.unlink()  # noqa: ASYNC240
            return answers

    failing = Enriching(database_url, lambda client, pool, seconds_left: FailsAfterABatch(file))
    totals = failing.run()
    assert (totals.enriched, totals.waiting) == (1000, 100)
    assert "there is no file" in totals.missing["mmdb"]
    assert leads.statuses() == {"ok": 1000, None: 100}
    assert leads.one("select count(*) from leads where geo_at is null") == 100


def test_the_next_provider_serves_in_place_of_a_file_that_cannot(
    leads: LeadTable, database_url: str, file: Path, sandbox: Sandbox
) -> None:
    os.truncate(file, 100)
    lead = leads.add(client_ip="8.8.8.8")
    totals = Enriching(database_url, a_file(file), ip_api(sandbox)).run()
    assert totals.by_source == {"ip_api": 1}
    assert totals.missing.keys() == {"mmdb"}
    assert leads.row(lead)["geo_status"] == "ok"


def test_a_row_that_the_sites_table_refuses_does_not_hold_up_its_batch(
    leads: LeadTable, enriching: Enriching
) -> None:
    leads.connection.execute(
        "alter table leads add constraint abroad check (coalesce(country, 'US') = 'US'),"
        " add constraint towns check (coalesce(city, 'San Jose') = 'San Jose'),"
        " add constraint states check (coalesce(state, 'California') = 'California'),"
        " add constraint zips check (zip is null)"
    )
    refused = leads.add(client_ip=IN_BERLIN)
    added = leads.add_many(5, client_ip=IN_SAN_JOSE)
    totals = enriching.run()
    assert (totals.enriched, totals.refused) == (5, 1)
    assert [leads.place(lead) for lead in added] == [SAN_JOSES_PLACE] * 5
    assert leads.place(refused) == (None,) * 4
    assert leads.row(refused)["geo_status"] == "error"
    assert enriching.run().examined == 0


@pytest.mark.parametrize(
    ("column", "kind", "place"),
    [
        ("zip", "varchar(4)", ("Berlin", "State of Berlin", None, "DE")),
        ("state", "char(2)", ("Berlin", "BE", "10115", "DE")),
        ("city", "varchar(3)", (None, "State of Berlin", "10115", "DE")),
    ],
)
def test_one_value_that_does_not_fit_costs_no_other(
    leads: LeadTable, enriching: Enriching, column: str, kind: str, place: tuple[str | None, ...]
) -> None:
    leads.connection.execute(f"alter table leads alter {column} type {kind}".encode())
    lead = leads.add(client_ip=IN_BERLIN)
    totals = enriching.run()
    assert (totals.enriched, totals.refused) == (1, 0)
    assert leads.place(lead) == place
    assert (leads.row(lead)["geo_status"], leads.row(lead)["state_code"]) == ("ok", "BE")
    assert enriching.run().corrected == 0


def test_a_longer_zip_leaves_its_first_five_digits(
    leads: LeadTable, enriching: Enriching, file: Path
) -> None:
    write_database(file, {"81.2.69.0/24": {**SAN_JOSE, "postal": {"code": "95101-1234"}}})
    leads.connection.execute("alter table leads alter zip type varchar(5)")
    lead = leads.add(client_ip=IN_SAN_JOSE)
    enriching.run()
    assert leads.place(lead) == ("San Jose", "California", "95101", "US")


def test_a_zip_that_is_a_number_is_read_and_written(
    leads: LeadTable, enriching: Enriching, file: Path
) -> None:
    records = {"81.2.69.0/24": {**SAN_JOSE, "postal": {"code": "02134"}}, "81.2.70.0/24": BERLIN}
    write_database(file, records)
    # As where the site's column was a number before the index was built.
    (index,) = [each for each in INDEXES if each.name == "tracking_leads_corrected"]
    leads.connection.execute(f"drop index {index.name}".encode())
    leads.connection.execute("alter table leads alter zip type integer using zip::integer")
    build(leads.connection, index, invalid=False)
    lead, other = leads.add(client_ip=IN_BERLIN), leads.add(client_ip=IN_SAN_JOSE)
    said = leads.add(client_ip=IN_BERLIN, zip=33130)
    assert enriching.run().enriched == 3
    assert [leads.row(each)["zip"] for each in (lead, other, said)] == [10115, 2134, 33130]
    assert leads.sources(said)["zip"] == "user"
    assert enriching.run().corrected == 0
    assert read_geo_coverage(leads.connection).with_zip_percent == 100.0


def test_what_a_sites_trigger_made_of_our_value_is_still_ours(
    leads: LeadTable, enriching: Enriching
) -> None:
    leads.connection.execute(
        """
        create function loud() returns trigger language plpgsql as
        $$ begin new.city = upper(new.city); new.zip = null; return new; end $$;
        create trigger loud before insert or update on leads for each row execute function loud()
        """
    )
    lead = leads.add(client_ip=IN_BERLIN)
    enriching.run()
    assert leads.place(lead) == ("BERLIN", "State of Berlin", None, "DE")
    assert enriching.run().corrected == 0
    assert leads.sources(lead) == dict.fromkeys(("city", "state", "country"), SOURCE)
    leads.connection.execute("update leads set city = 'Potsdam'")
    assert enriching.run().corrected == 1
    assert leads.sources(lead)["city"] == "user"


def test_corrections_of_a_row_that_takes_no_change_hold_up_no_other(
    leads: LeadTable, enriching: Enriching
) -> None:
    corrected = leads.add_many(5, client_ip=IN_BERLIN)
    enriching.run()
    leads.connection.execute("update leads set city = 'Potsdam'")
    leads.connection.execute("update leads set email = 'none' where id = %s", (corrected[2],))
    leads.connection.execute(
        "alter table leads add constraint mailck check (email like '%@%') not valid"
    )
    new = leads.add(client_ip=IN_BERLIN)
    totals = enriching.run()
    assert (totals.corrected, totals.enriched) == (4, 1)
    assert leads.place(new) == BERLINS_PLACE
    assert leads.sources(corrected[0])["city"] == "user"


def test_a_row_that_takes_no_change_at_all_does_not_stop_the_run(
    leads: LeadTable, enriching: Enriching
) -> None:
    frozen = leads.add(client_ip=IN_BERLIN)
    other = leads.add(client_ip=IN_BERLIN)
    leads.connection.execute(
        f"""
        create function keep() returns trigger language plpgsql as
        $$ begin
            if new.id = '{frozen}' then raise exception 'this lead is closed'; end if;
            return new;
        end $$;
        create trigger keep before update on leads for each row execute function keep()
        """.encode()
    )
    totals = enriching.run()
    assert (totals.enriched, totals.refused, totals.stopped_reason) == (1, 1, "done")
    assert leads.place(other) == BERLINS_PLACE
    assert leads.row(frozen)["geo_status"] is None


def test_more_leads_than_a_batch_holds_are_all_enriched_and_no_more_than_a_limit(
    leads: LeadTable, enriching: Enriching
) -> None:
    leads.connection.execute(
        "insert into leads (email, client_ip) select n || '@example.com', '81.2.70.' || n % 250"
        " from generate_series(1, 2500) as n"
    )
    limited = enriching.run(limit=1500)
    assert (limited.examined, limited.enriched, limited.stopped_reason) == (1500, 1500, "limit")
    assert enriching.run().enriched == 1000
    assert leads.statuses() == {"ok": 2500}


def test_connections_that_break_while_batches_are_under_way_cost_no_lead_its_place(
    leads: LeadTable, database_url: str, file: Path
) -> None:
    leads.connection.execute(
        "insert into leads (email, client_ip, created_at) select n || '@example.com', %s,"
        " now() - make_interval(secs => n) from generate_series(1, 3500) as n",
        (IN_BERLIN,),
    )

    class Breaks(MmdbProvider):
        batches = 0

        async def locate(self, addresses: Sequence[str]) -> dict[str, Answer]:
            self.batches += bool(addresses)
            if self.batches == 2:
                leads.connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                    " and backend_type = 'client backend'"
                )
            return await super().locate(addresses)

    totals = Enriching(database_url, lambda client, pool, seconds_left: Breaks(file)).run()
    assert (totals.examined, totals.enriched, totals.stopped_reason) == (3500, 3500, "done")
    assert leads.statuses() == {"ok": 3500}
