"""What a payload's field is by its name: an identifier, a place that may hold some, or neither.

Names are compared without case, spaces and punctuation, so `userEmail`, `user_email`,
`User-Email` and `user email` are one name.
"""

from __future__ import annotations

import re
from enum import Enum, IntEnum
from functools import lru_cache
from typing import NamedTuple

_NAMES_BY_KEY: dict[str, str] = {
    "em": (
        "em email emails emailaddress emailaddresses mail mailaddress useremail useremailaddress "
        "customeremail contactemail leademail billingemail shippingemail primaryemail "
        "personalemail workemail businessemail youremail emailid emailhash emailsha256 "
        "hashedemail hashedemailaddress sha256email sha256emailaddress"
    ),
    "ph": (
        "ph phone phones phonenumber phonenumbers mobile mobiles mobilephone mobilenumber "
        "mobilephonenumber cell cellphone cellnumber tel telephone telephonenumber telnumber "
        "userphone userphonenumber customerphone contactphone contactnumber leadphone "
        "billingphone shippingphone homephone workphone businessphone primaryphone yourphone "
        "daytimephone msisdn whatsapp whatsappnumber phonehash phonesha256 hashedphone "
        "hashedphonenumber sha256phone sha256phonenumber"
    ),
    "fn": (
        "fn fname firstname firstnames givenname givennames forename userfirstname "
        "customerfirstname contactfirstname leadfirstname billingfirstname shippingfirstname "
        "yourfirstname firstnamesha256 hashedfirstname sha256firstname sha256givenname"
    ),
    "ln": (
        "ln lname lastname lastnames surname familyname familynames userlastname "
        "customerlastname contactlastname leadlastname billinglastname shippinglastname "
        "yourlastname lastnamesha256 hashedlastname sha256lastname sha256familyname"
    ),
    "ge": "ge gender sex usergender",
    "db": "db dob birthdate birthday bday dateofbirth userbirthdate",
    "ct": (
        "ct city town locality usercity cityname addresscity billingcity shippingcity "
        "homecity customercity leadcity"
    ),
    "st": (
        "st state region province userstate statecode statename stateprovince stateorprovince "
        "stateregion regionname provincecode provincename administrativearea addressstate "
        "billingstate shippingstate billingregion billingprovince shippingprovince "
        "customerstate leadstate"
    ),
    "zp": (
        "zp zip zipcode postal postalcode postcode zippostal zippostalcode ziporpostalcode "
        "userzip addresszip billingzip billingzipcode billingpostalcode billingpostcode "
        "shippingzip shippingzipcode shippingpostalcode shippingpostcode customerzip leadzip plz"
    ),
    "country": (
        "country countrycode countryname countryiso countryisocode countrycode2 countryalpha2 "
        "usercountry addresscountry billingcountry billingcountrycode shippingcountry "
        "shippingcountrycode customercountry leadcountry"
    ),
    "external_id": (
        "externalid externalids userid clientuserid customerid customeruserid uid memberid "
        "externaluserid sha256externalid hashedexternalid"
    ),
    "fbp": "fbp fbpcookie",
    "fbc": "fbc fbccookie",
    "client_ip_address": (
        "clientipaddress clientip ipaddress ip ipaddr ipoverride userip useripaddress visitorip "
        "remoteaddr remoteip xforwardedfor"
    ),
    "client_user_agent": "clientuseragent useragent httpuseragent browseruseragent useragentstring",
}
# `name` alone is also what events, products and campaigns are called: see `Special.PERSON_NAME`.
_FULL_NAMES = "fullname customername contactname leadname yourname"
# Google's own names for what it has hashed (gtag's user-provided data) all begin so.
_GOOGLE_NAME_PREFIX = "sha256"

_EXPLICIT_PLACES = (
    "userdata advancedmatching enhancedconversiondata customerinformation "
    "customerinformationparameters"
)
_PERSON_PLACES = (
    "user customer customers traits person people profile lead leads contact contacts "
    "contactinfo contactinformation customerinfo customerdata personal personalinfo "
    "personaldetails identity identities identifiers useridentifiers userproperties "
    "userattributes usertraits buyer client subscriber patient applicant guest registrant "
    "attendee billing billingdetails billinginfo billingaddress shipping shippingaddress "
    "shippingdetails shippinginfo defaultaddress homeaddress address addresses"
)
_ENVELOPES = "payload eventpayload eventdata data event body record"
_SURROUNDINGS = (
    "metadata meta context properties customdata params parameters attributes attribution fields "
    "fielddata formdata formfields form answers responses values submission session sessiondata "
    "aicontext location geo geolocation cookie cookies commoncookie headers requestheaders "
    "request network"
)
# Who sells, who works there, who else is concerned, what was bought; and consents, whose `state`
# is no place.
_STRANGERS = (
    "seller merchant vendor supplier store shop agent salesperson salesrep rep owner assignee "
    "staff employee manager company organization organisation business employer host provider "
    "practitioner venue item items lineitem lineitems product products content contents offer "
    "campaign ad consent consentstate integrations library app page screen os browser referrer "
    "sender author recipient recipients giftrecipient referral referrals referredby friend friends "
    "emergencycontact spouse partner instructor doctor advisor dealer broker"
)
# Whatever is hashed below these is of Google's making.
_GOOGLE_PLACES = frozenset({"useridentifiers"})

_MAX_CHARACTERS = 64
_SEPARATORS = re.compile(r"[\W_]+")


class Rank(IntEnum):
    """How near to the person a value stands; the lower counts.

    Explicit user data comes before what the event states elsewhere, that before what was
    collected around the event, that before places we do not know, and all before what is derived.
    """

    EXPLICIT = 0
    STATED = 1
    SURROUNDING = 2
    ELSEWHERE = 3
    DERIVED = 4


class Identifier(NamedTuple):
    """A field that holds the match key `key`; `google_named` if a hash in it is Google's."""

    key: str
    google_named: bool


class Place(NamedTuple):
    """A field that may hold identifiers; `of_person` if its `name` is a person's name."""

    rank: Rank
    of_person: bool
    google_named: bool


class Special(Enum):
    """A field that identifies only by way of something else, or that must not be looked into."""

    FULL_NAME = "full name of a person"
    PERSON_NAME = "full name, where the place is about a person"
    CLICK_ID = "fbclid"
    LANDING_URL = "address that may carry an fbclid"
    EVENT_TIME = "event time"
    EVENT_NAME = "event name, which makes `name` beside it no person's"
    STRANGER = "somebody or something else"


TOP_LEVEL = Place(Rank.STATED, of_person=False, google_named=False)
ELSEWHERE = Place(Rank.ELSEWHERE, of_person=False, google_named=False)


def _table() -> dict[str, Identifier | Place | Special]:
    table: dict[str, Identifier | Place | Special] = {}
    for places, rank, of_person in (
        (_EXPLICIT_PLACES, Rank.EXPLICIT, True),
        (_PERSON_PLACES, Rank.STATED, True),
        (_ENVELOPES, Rank.STATED, False),
        (_SURROUNDINGS, Rank.SURROUNDING, False),
    ):
        for name in places.split():
            table[name] = Place(rank, of_person, google_named=name in _GOOGLE_PLACES)
    for key, names in _NAMES_BY_KEY.items():
        for name in names.split():
            table[name] = Identifier(key, name.startswith(_GOOGLE_NAME_PREFIX))
    table.update(dict.fromkeys(_FULL_NAMES.split(), Special.FULL_NAME))
    table.update(dict.fromkeys(_STRANGERS.split(), Special.STRANGER))
    table.update(
        {
            "name": Special.PERSON_NAME,
            "fbclid": Special.CLICK_ID,
            "eventsourceurl": Special.LANDING_URL,
            "pagelocation": Special.LANDING_URL,
            "eventtime": Special.EVENT_TIME,
            "timestamp": Special.EVENT_TIME,
            "eventname": Special.EVENT_NAME,
        }
    )
    return table


_TABLE = _table()


@lru_cache(maxsize=8192)
def meaning_of(name: str) -> Identifier | Place | Special:
    """Say what a field is; a name that is not known is a place, `ELSEWHERE`."""
    if len(name) > _MAX_CHARACTERS:
        return ELSEWHERE
    return _TABLE.get(plain_name(name), ELSEWHERE)


def plain_name(name: str) -> str:
    """Give a name without case, spaces and punctuation, as the tables here hold it."""
    return _SEPARATORS.sub("", name).lower()
