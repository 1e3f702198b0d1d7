from __future__ import annotations

import re

import psycopg
import pytest

from docs.filled import tables_of_codes
from tracking_pipeline.delivery.destinations import ledger
from tracking_pipeline.delivery.destinations.codes import Codes, Known
from tracking_pipeline.delivery.failures import DOES, Failure
from tracking_pipeline.settings import Settings
from tracking_pipeline.store.refusals import culprit_of

# What is written in capitals and is no setting: Meta's and Google's products are never so long.
_SETTING = re.compile(r"\b(?:[A-Z]+_)+[A-Z]+\b")


@pytest.mark.parametrize("failure", Failure, ids=lambda failure: failure.code)
def test_every_failure_says_what_it_is_why_and_what_to_do(failure: Failure) -> None:
    assert re.fullmatch("[A-Z]+(_[A-Z]+)+", failure.code)
    assert failure.outcome in DOES
    assert not failure.title.endswith(".")
    for sentence in (failure.cause, failure.remedy):
        assert sentence[0].isupper()
        assert sentence.endswith(".")


@pytest.mark.parametrize("failure", Failure, ids=lambda failure: failure.code)
def test_a_remedy_names_settings_that_there_are(failure: Failure) -> None:
    named = set(_SETTING.findall(f"{failure.cause} {failure.remedy}"))

    assert {name.lower() for name in named} <= Settings.model_fields.keys()


def test_no_two_failures_are_the_same() -> None:
    told = [(failure.title, failure.cause) for failure in Failure]

    assert len(set(told)) == len(told) == len(Failure.__members__)


@pytest.mark.parametrize("codes", tables_of_codes().values(), ids=tables_of_codes().keys())
def test_every_code_of_a_platform_is_one_failure_with_a_source(codes: Codes) -> None:
    for code, known in codes.table.items():
        assert codes.failure(known.failure.outcome, code) is known.failure
        assert known.source
    for outcome, failure in codes.otherwise.items():
        assert codes.failure(outcome, "nobody knows this") is failure
        assert failure.outcome == outcome


@pytest.mark.parametrize(("code", "known"), ledger.CODES.table.items())
def test_the_ledgers_codes_lead_to_what_is_said_of_their_culprit(code: str, known: Known) -> None:
    state = code.replace("...", "000")
    culprit = culprit_of(type("Refused", (psycopg.Error,), {"sqlstate": state})())

    assert known.failure.outcome == {"server": "retry", "table": "paused"}[culprit]
