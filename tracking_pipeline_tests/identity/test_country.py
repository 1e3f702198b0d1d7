from __future__ import annotations

from hashlib import sha256

import pytest

from tracking_pipeline.identity import match_keys, normalize
from tracking_pipeline.identity.countries import country_code, names_by_code

COUNTRIES = [
    ("US", "us"), ("us", "us"), (" US ", "us"), ("USA", "us"), ("U.S.", "us"), ("U.S.A.", "us"),
    ("United States", "us"), ("The United States", "us"), ("United States of America", "us"),
    ("UNITED STATES", "us"), ("united_states", "us"), ("America", "us"), ("États-Unis", "us"),
    ("Estados Unidos", "us"), ("EE. UU.", "us"), ("EUA", "us"), ("Vereinigte Staaten", "us"),
    ("США", "us"), ("美国", "us"), ("UK", "gb"), ("U.K.", "gb"), ("GB", "gb"), ("GBR", "gb"),
    ("United Kingdom", "gb"), ("Great Britain", "gb"), ("England", "gb"), ("Scotland", "gb"),
    ("Royaume-Uni", "gb"), ("Germany", "de"), ("Deutschland", "de"), ("DEU", "de"),
    ("Allemagne", "de"), ("Alemania", "de"), ("Germania", "de"), ("Alemanha", "de"),
    ("Duitsland", "de"), ("Österreich", "at"), ("Oesterreich", "at"), ("Austria", "at"),
    ("Schweiz", "ch"), ("Suisse", "ch"), ("Svizzera", "ch"), ("Switzerland", "ch"),
    ("España", "es"), ("Spain", "es"), ("France", "fr"), ("Italia", "it"), ("Brasil", "br"),
    ("Brazil", "br"), ("México", "mx"), ("Mexico", "mx"), ("Canada", "ca"), ("CAN", "ca"),
    ("日本", "jp"), ("Japan", "jp"), ("中国", "cn"), ("China", "cn"), ("대한민국", "kr"),
    ("South Korea", "kr"), ("Korea, Republic of", "kr"), ("North Korea", "kp"),
    ("Россия", "ru"), ("Russia", "ru"), ("Russian Federation", "ru"), ("Türkiye", "tr"),
    ("Turkey", "tr"), ("Côte d'Ivoire", "ci"), ("Côte d’Ivoire", "ci"), ("Ivory Coast", "ci"),
    ("Holland", "nl"), ("The Netherlands", "nl"), ("Nederland", "nl"), ("Czech Republic", "cz"),
    ("Czechia", "cz"), ("Česko", "cz"), ("Viet Nam", "vn"), ("Vietnam", "vn"), ("UAE", "ae"),
    ("United Arab Emirates", "ae"), ("KSA", "sa"), ("Saudi Arabia", "sa"), ("مصر", "eg"),
    ("Ελλάδα", "gr"), ("EL", "gr"), ("Greece", "gr"), ("Polska", "pl"), ("Sverige", "se"),
    ("Danmark", "dk"), ("Norge", "no"), ("Suomi", "fi"), ("Éire", "ie"), ("Ireland", "ie"),
    ("Republic of Ireland", "ie"), ("Hong Kong", "hk"), ("Taiwan", "tw"), ("Georgia", "ge"),
    ("Swaziland", "sz"), ("Eswatini", "sz"), ("Burma", "mm"), ("Myanmar", "mm"),
    ("Macedonia", "mk"), ("Cape Verde", "cv"), ("Kosovo", "xk"), ("Puerto Rico", "pr"),
    ("Guinea-Bissau", "gw"), ("Equatorial Guinea", "gq"), ("Papua New Guinea", "pg"),
    ("Niger", "ne"), ("Nigeria", "ng"), ("Dominica", "dm"), ("Dominican Republic", "do"),
    ("DR Congo", "cd"), ("Congo", "cg"), ("St. Lucia", "lc"), ("Saint Lucia", "lc"),
    ("Trinidad & Tobago", "tt"), ("Bosnia and Herzegovina", "ba"), ("New Zealand", "nz"),
    ("Aotearoa", "nz"), ("भारत", "in"), ("India", "in"), ("ไทย", "th"), ("ישראל", "il"),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "code"), COUNTRIES)
def test_a_country_is_known_by_codes_and_names(typed: str, code: str) -> None:
    assert normalize("country", typed, "meta") == code
    assert normalize("country", typed, "google") == code.upper()


@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(
    "typed",
    ["", " ", "XX", "ZZ", "EU", "Europe", "Miami", "123", "+1", "n/a", "null", "unknown", "-",
     "United", "Utopia", None, True, 1, 840, [], {}, ["US"], object(), "U" * 3000],
)  # fmt: skip
def test_what_is_no_country_is_left_out(typed: object, platform: str) -> None:
    assert normalize("country", typed, platform) is None


def test_no_name_belongs_to_two_countries() -> None:
    names = [name for names in names_by_code().values() for name in names]
    assert len(names) == len(set(names))
    assert not {name.upper() for name in names} & names_by_code().keys()


@pytest.mark.parametrize("code", sorted(names_by_code()))
def test_every_name_in_the_table_can_be_found(code: str) -> None:
    for name in (code, code.lower(), *names_by_code()[code]):
        assert country_code(name) == code


def test_the_table_has_every_country_of_iso_3166_and_kosovo() -> None:
    assert len(names_by_code()) == 250
    alpha_3 = [names[0] for names in names_by_code().values()]
    assert all(len(code) == 3 and code.isascii() for code in alpha_3)


def test_a_hashed_country_is_plain_again_for_google() -> None:
    digest = sha256(b"de").hexdigest()
    assert normalize("country", digest, "meta") == digest
    assert normalize("country", digest, "google") == "DE"
    assert match_keys({"country": digest, "phone": "030 1234567"}) == {
        "country": digest,
        "ph": sha256(b"49301234567").hexdigest(),
    }
