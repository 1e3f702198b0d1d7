from __future__ import annotations

from uuid import UUID

import pytest

from tracking_pipeline.identity import normalize


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("user-42", "user-42"),
        (" User-42 ", "user-42"),
        ("USER 42", "user42"),
        (42, "42"),
        (42.0, "42"),
        ("jane@example.com", "jane@example.com"),
        ("6F9619FF-8B86-D011-B42D-00CF4FC964FF", "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        (UUID("6f9619ff-8b86-d011-b42d-00cf4fc964ff"), "6f9619ff-8b86-d011-b42d-00cf4fc964ff"),
        ("6f9619ff8b86d011b42d00cf4fc964ff", "6f9619ff8b86d011b42d00cf4fc964ff"),
    ],
)
def test_an_id_is_lower_case_without_spaces(given: object, text: str) -> None:
    assert normalize("external_id", given) == text


@pytest.mark.parametrize(
    "given",
    ["", " ", "0", 0, "-1", "null", "undefined", "anonymous", "NaN", "false", True, None, [], {},
     "00000000-0000-0000-0000-000000000000", float("nan"), 1.5, "x" * 3000],
)  # fmt: skip
def test_the_id_of_nobody_is_left_out(given: object) -> None:
    assert normalize("external_id", given) is None


def test_google_has_no_room_for_an_external_id() -> None:
    assert normalize("external_id", "user-42", "google") is None
