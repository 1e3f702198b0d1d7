"""The chaos suite in short: the faults that matter most, by one seed. All of it: `make chaos`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracking_pipeline_tests.chaos.faults import FAULTS, NAMES, Fault
from tracking_pipeline_tests.chaos.matrix import Cell, Grounds, as_markdown, run_cell
from tracking_pipeline_tests.chaos.nursery import Nursery
from tracking_pipeline_tests.servers import TestServer

SEED = 1


@pytest.fixture(scope="module")
def grounds(
    server: TestServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grounds]:
    with Nursery() as nursery:
        yield Grounds(server, migrated_template, nursery, tmp_path_factory.mktemp("chaos"))


QUICK = [fault for fault in FAULTS if fault.is_quick]


@pytest.mark.parametrize("fault", QUICK, ids=[fault.label for fault in QUICK])
def test_no_promise_is_broken_under(grounds: Grounds, fault: Fault) -> None:
    assert run_cell(grounds, fault, SEED).broken == []


def test_all_sixteen_faults_have_a_form() -> None:
    assert list(dict.fromkeys(fault.number for fault in FAULTS)) == list(NAMES)
    assert len({fault.label for fault in FAULTS}) == len(FAULTS)


def test_the_matrix_tells_what_held_and_what_was_broken() -> None:
    one, other = FAULTS[0], FAULTS[-1]
    cells = [
        Cell(one, 1, 1.0, {"I1": [], "I2": None}),
        Cell(one, 2, 1.0, {"I1": ["a row is gone"], "I2": []}),
        Cell(other, 1, 1.0, {"I1": []}, failed=""),
        Cell(other, 2, 1.0, failed="NoAnswerError: it did not come about"),
    ]

    matrix = as_markdown(cells)

    assert f"| {one.number} {NAMES[one.number]} | **BROKEN** | ✓ | · |" in matrix
    assert f"| {other.number} {NAMES[other.number]} | **BROKEN** | · |" in matrix
    assert f"- {one.label} (seed 2): I1: a row is gone" in matrix
    assert "seeds 1, 2" in matrix
