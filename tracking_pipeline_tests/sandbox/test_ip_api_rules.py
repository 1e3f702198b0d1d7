from __future__ import annotations

import pytest

from tracking_pipeline.sandbox.ip_api_rules import only_fields, wanted_fields


def test_without_a_choice_the_default_fields_are_given() -> None:
    fields = wanted_fields(None)
    assert {"status", "message", "country", "city", "zip", "query"} <= fields
    assert not {"hosting", "proxy", "mobile", "reverse"} & fields
    assert fields == wanted_fields("61439") == wanted_fields(61439)


def test_the_sum_that_the_page_gives_for_all_fields_is_all_fields() -> None:
    everything = wanted_fields("66846719")
    assert len(everything) == 25
    assert {"continent", "district", "currency", "hosting", "asname"} <= everything


def test_names_that_do_not_exist_are_passed_over() -> None:
    assert wanted_fields("city, zip,nonsense") == {"city", "zip"}


@pytest.mark.parametrize("fields", ["", None, [], {}])
def test_anything_else_is_no_choice(fields: object) -> None:
    assert wanted_fields(fields) == wanted_fields(None)


def test_a_message_is_there_only_where_there_is_one() -> None:
    assert only_fields({"status": "success"}, wanted_fields("status,message")) == {
        "status": "success"
    }
