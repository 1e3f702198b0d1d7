from __future__ import annotations

import pytest

from tracking_pipeline.identity import normalize


@pytest.mark.parametrize(
    "typed",
    ["f", "F", " Female ", "FEMALE", "woman", "Girl", "weiblich", "Frau", "w", "femme", "Féminin",
     "mujer", "femenino", "Feminina", "mulher", "donna", "vrouw", "ж", "Женский", "女", "女性",
     "(f)"],
)  # fmt: skip
def test_a_word_for_a_woman_is_f(typed: str) -> None:
    assert normalize("ge", typed) == "f"


@pytest.mark.parametrize(
    "typed",
    ["m", "M", " Male ", "MALE", "man", "Boy", "männlich", "Mann", "homme", "masculin", "hombre",
     "Masculino", "homem", "uomo", "mannelijk", "м", "Мужской", "男", "男性", "m."],
)  # fmt: skip
def test_a_word_for_a_man_is_m(typed: str) -> None:
    assert normalize("ge", typed) == "m"


@pytest.mark.parametrize(
    "typed",
    ["", "d", "divers", "x", "other", "non-binary", "prefer not to say", "mf", "m/f", "unknown",
     "n/a", "0", "1", 0, 1, True, None, [], {}],
)  # fmt: skip
def test_anything_else_is_left_out(typed: object) -> None:
    assert normalize("ge", typed) is None


def test_google_has_no_room_for_a_gender() -> None:
    assert normalize("ge", "f", "google") is None
