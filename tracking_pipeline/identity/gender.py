"""Gender: Meta hashes `f` or `m`; anything else is left out (Customer Information Parameters)."""

from __future__ import annotations

from tracking_pipeline.identity.refusal import Refusal
from tracking_pipeline.identity.text import fold

_FEMALE = (
    "f female fem woman girl w weiblich frau femme feminin femenino femenina mujer feminino "
    "feminina mulher femminile femmina donna vrouw vrouwelijk kobieta kvinna kvinde kvinne ж "
    "женский женщина жен 女 女性 여 여성 여자"
)
_MALE = (
    "m male man boy mannlich mann homme masculin masculino hombre homem maschile maschio uomo "
    "mannelijk mezczyzna м мужской мужчина муж 男 男性 남 남성 남자"
)
_LETTER_BY_WORD = {
    **{fold(word): "f" for word in _FEMALE.split()},
    **{fold(word): "m" for word in _MALE.split()},
}


def gender_for_meta(text: str, country: str) -> str | Refusal:
    """Give `f` or `m` for a word of a common language. `country` plays no part."""
    return _LETTER_BY_WORD.get(fold(text), Refusal.NOT_A_GENDER)
