"""Full names and codes of states, where both are certain: in the US, Canada and Australia.

Elsewhere sources call the same region by names of several languages ("Bayern", "Bavaria"), so a
name stays as it is and has no code.

Codes: ANSI INCITS 38 / USPS, Canada Post, Australia Post.
"""

from __future__ import annotations

from tracking_pipeline.identity.subdivisions import subdivision_code
from tracking_pipeline.identity.text import fold

_NAMES: dict[str, dict[str, str]] = {
    "US": {
        "AL": "Alabama",
        "AK": "Alaska",
        "AZ": "Arizona",
        "AR": "Arkansas",
        "CA": "California",
        "CO": "Colorado",
        "CT": "Connecticut",
        "DE": "Delaware",
        "DC": "District of Columbia",
        "FL": "Florida",
        "GA": "Georgia",
        "HI": "Hawaii",
        "ID": "Idaho",
        "IL": "Illinois",
        "IN": "Indiana",
        "IA": "Iowa",
        "KS": "Kansas",
        "KY": "Kentucky",
        "LA": "Louisiana",
        "ME": "Maine",
        "MD": "Maryland",
        "MA": "Massachusetts",
        "MI": "Michigan",
        "MN": "Minnesota",
        "MS": "Mississippi",
        "MO": "Missouri",
        "MT": "Montana",
        "NE": "Nebraska",
        "NV": "Nevada",
        "NH": "New Hampshire",
        "NJ": "New Jersey",
        "NM": "New Mexico",
        "NY": "New York",
        "NC": "North Carolina",
        "ND": "North Dakota",
        "OH": "Ohio",
        "OK": "Oklahoma",
        "OR": "Oregon",
        "PA": "Pennsylvania",
        "RI": "Rhode Island",
        "SC": "South Carolina",
        "SD": "South Dakota",
        "TN": "Tennessee",
        "TX": "Texas",
        "UT": "Utah",
        "VT": "Vermont",
        "VA": "Virginia",
        "WA": "Washington",
        "WV": "West Virginia",
        "WI": "Wisconsin",
        "WY": "Wyoming",
    },
    "CA": {
        "AB": "Alberta",
        "BC": "British Columbia",
        "MB": "Manitoba",
        "NB": "New Brunswick",
        "NL": "Newfoundland and Labrador",
        "NS": "Nova Scotia",
        "NT": "Northwest Territories",
        "NU": "Nunavut",
        "ON": "Ontario",
        "PE": "Prince Edward Island",
        "QC": "Quebec",
        "SK": "Saskatchewan",
        "YT": "Yukon",
    },
    "AU": {
        "ACT": "Australian Capital Territory",
        "NSW": "New South Wales",
        "NT": "Northern Territory",
        "QLD": "Queensland",
        "SA": "South Australia",
        "TAS": "Tasmania",
        "VIC": "Victoria",
        "WA": "Western Australia",
    },
}
_AUSTRALIAN_CODES = {
    fold(written): code for code, name in _NAMES["AU"].items() for written in (code, name)
}


def certain_state(text: str, country: str | None) -> tuple[str, str] | None:
    """Give full name and code of the state that a name or a code names in that country.

    `country` is ISO alpha-2, upper-case. None where the country has no table here or does not have
    that state.
    """
    if country not in _NAMES:
        return None
    if country == "AU":
        code = _AUSTRALIAN_CODES.get(fold(text))
    else:
        code = (subdivision_code(text, country) or "").upper()
    name = _NAMES[country].get(code) if code else None
    return (name, code) if name and code else None
