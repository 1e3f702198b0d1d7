from __future__ import annotations

import pytest

from tracking_pipeline.identity import normalize

CITIES = [
    # typed, Meta, Google
    ("Miami", "miami", "miami"),
    ("  MIAMI ", "miami", "miami"),
    ("New York", "newyork", "new york"),
    ("New  York", "newyork", "new york"),
    ("St. Louis", "stlouis", "st louis"),
    ("Washington, D.C.", "washingtondc", "washington dc"),
    ("Saint-Étienne", "saintétienne", "saintétienne"),
    ("Zürich", "zürich", "zürich"),
    ("Zu\u0308rich", "zürich", "zürich"),
    ("São Paulo", "sãopaulo", "são paulo"),
    ("München", "münchen", "münchen"),
    ("Frankfurt/Main", "frankfurtmain", "frankfurtmain"),
    ("Coeur d'Alene", "coeurdalene", "coeur dalene"),
    ("29 Palms", "29palms", "29 palms"),
    ("東京", "東京", "東京"),
    ("Москва", "москва", "москва"),
    ("القاهرة", "القاهرة", "القاهرة"),
]


@pytest.mark.parametrize(("typed", "meta", "google"), CITIES)
def test_a_city_keeps_its_letters_of_every_script(typed: str, meta: str, google: str) -> None:
    assert normalize("ct", typed, "meta") == meta
    assert normalize("ct", typed, "google") == google


@pytest.mark.parametrize("key", ["ct", "st"])
@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(
    "typed", ["", " ", "94035", "-", "n/a", "unknown", "...", None, True, 5, [], "[object Object]"]
)
def test_what_has_no_letter_is_no_place(key: str, platform: str, typed: object) -> None:
    assert normalize(key, typed, platform) is None


STATES = [
    ("California", "ca"), ("CALIFORNIA", "ca"), ("CA", "ca"), ("ca", "ca"), ("Calif.", "ca"),
    ("US-CA", "ca"), (" Florida ", "fl"), ("Fla.", "fl"), ("New York", "ny"), ("new-york", "ny"),
    ("N.Y.", "ny"), ("New York State", "ny"), ("Washington", "wa"), ("Washington State", "wa"),
    ("Washington, D.C.", "dc"), ("D.C.", "dc"), ("District of Columbia", "dc"),
    ("Massachusetts", "ma"), ("Mass.", "ma"), ("West Virginia", "wv"), ("Hawai\u02bbi", "hi"),
    ("Puerto Rico", "pr"), ("Guam", "gu"), ("U.S. Virgin Islands", "vi"), ("American Samoa", "as"),
    ("Northern Mariana Islands", "mp"), ("AE", "ae"), ("North Carolina", "nc"), ("N. Dak.", "nd"),
    ("Ontario", "on"), ("ON", "on"), ("Québec", "qc"), ("Quebec", "qc"), ("Que.", "qc"),
    ("British Columbia", "bc"), ("B.C.", "bc"), ("Newfoundland and Labrador", "nl"),
    ("Newfoundland & Labrador", "newfoundlandlabrador"), ("Terre-Neuve-et-Labrador", "nl"),
    ("Prince Edward Island", "pe"), ("P.E.I.", "pe"), ("Yukon", "yt"), ("Nunavut", "nu"),
    ("Nouvelle-Écosse", "ns"), ("CA-ON", "on"), ("Northwest Territories", "nt"),
]  # fmt: skip


@pytest.mark.parametrize("country", ["US", "CA", "usa", "Canada"])
@pytest.mark.parametrize(("typed", "code"), STATES)
def test_an_american_or_canadian_state_becomes_its_code(
    typed: str, code: str, country: str
) -> None:
    assert normalize("st", typed, "meta", country) == code


@pytest.mark.parametrize(
    ("typed", "country", "meta", "google"),
    [
        ("Bayern", "DE", "bayern", "bayern"),
        ("Baden-Württemberg", "DE", "badenwürttemberg", "badenwürttemberg"),
        ("NSW", "AU", "nsw", "nsw"),
        ("New South Wales", "AU", "newsouthwales", "new south wales"),
        ("CA", "ES", "ca", "ca"),
        ("Florida", "UY", "florida", "florida"),
        ("Baja California", "MX", "bajacalifornia", "baja california"),
        ("Île-de-France", "FR", "îledefrance", "îledefrance"),
        ("São Paulo", "BR", "sãopaulo", "são paulo"),
        ("東京都", "JP", "東京都", "東京都"),
        ("Bayern", "US", "bayern", "bayern"),
        ("Ontario", "", "ontario", "ontario"),
    ],
)
def test_elsewhere_a_state_keeps_its_name(typed: str, country: str, meta: str, google: str) -> None:
    assert normalize("st", typed, "meta", country) == meta
    assert normalize("st", typed, "google", country) == google


POSTAL_CODES = [
    # typed, country, Meta, Google
    ("94035", "US", "94035", "94035"),
    (" 94035 ", "US", "94035", "94035"),
    ("94035-1234", "US", "94035", "94035-1234"),
    ("94035 1234", "US", "94035", "94035 1234"),
    ("940351234", "US", "94035", "940351234"),
    ("94035-", "US", "94035", "94035"),
    (94035, "US", "94035", "94035"),
    (94035.0, "US", "94035", "94035"),
    ("94035.0", "US", "94035", "94035"),
    ("02139", "US", "02139", "02139"),
    (2139, "US", "02139", "02139"),
    ("2139", "US", "02139", "02139"),
    (501, "US", "00501", "00501"),
    ("９４０３５", "US", "94035", "94035"),
    ("M1 1AE", "GB", "m11ae", "M1 1AE"),
    ("m11ae", "UK", "m11ae", "M11AE"),
    ("SW1A 1AA", "GB", "sw1a1aa", "SW1A 1AA"),
    ("sw1a  1aa", "US", "sw1a1aa", "SW1A 1AA"),
    ("K1A 0A6", "CA", "k1a0a6", "K1A 0A6"),
    ("k1a-0a6", "CA", "k1a0a6", "K1A-0A6"),
    ("K1A0A6", "US", "k1a0a6", "K1A0A6"),
    ("10115", "DE", "10115", "10115"),
    (1067, "DE", "01067", "01067"),
    ("75001", "FR", "75001", "75001"),
    (6000, "FR", "06000", "06000"),
    ("01310-100", "BR", "01310100", "01310-100"),
    ("01310-100", "US", "01310100", "01310-100"),
    ("00-950", "PL", "00950", "00-950"),
    ("1010", "AT", "1010", "1010"),
    ("8001", "CH", "8001", "8001"),
    ("2000", "AU", "2000", "2000"),
    ("1012 AB", "NL", "1012ab", "1012 AB"),
    ("1012AB", "NL", "1012ab", "1012AB"),
    ("〒100-0001", "JP", "1000001", "100-0001"),
    ("１００－０００１", "JP", "1000001", "100-0001"),
    ("123456789", "DE", "123456789", "123456789"),
    ("D02 AF30", "IE", "d02af30", "D02 AF30"),
    ("110001", "IN", "110001", "110001"),
    ("LV-1010", "LV", "lv1010", "LV-1010"),
]


@pytest.mark.parametrize(("typed", "country", "meta", "google"), POSTAL_CODES)
def test_a_postal_code_is_read_as_its_country_writes_it(
    typed: object, country: str, meta: str, google: str
) -> None:
    assert normalize("zp", typed, "meta", country) == meta
    assert normalize("zp", typed, "google", country) == google


@pytest.mark.parametrize("platform", ["meta", "google"])
@pytest.mark.parametrize(
    "typed",
    ["", " ", "-", "n/a", "ABCDE", "00000", "00000-1234", "0", 0, 12, "7", "12345678901",
     "jane@example.com", None, True, [], {}, 94035.5, -94035, "東京"],
)  # fmt: skip
def test_what_is_no_postal_code_is_left_out(typed: object, platform: str) -> None:
    assert normalize("zp", typed, platform) is None
