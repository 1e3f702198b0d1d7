"""What a payload's field is by its name: the one table that every reader of payloads shares.

Names are compared without case, spaces and punctuation, so `userEmail`, `user_email`,
`User-Email` and `user email` are one name. To teach the pipeline a spelling, add it to a line here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import cache, lru_cache
from typing import NamedTuple

from tracking_pipeline.events.consent_names import PURPOSE_OF, statement_named

IDENTIFIERS: dict[str, str] = {
    "em": (
        "em email emails emailaddress emailaddresses mail mailaddress useremail useremailaddress "
        "customeremail contactemail leademail billingemail shippingemail primaryemail "
        "personalemail workemail businessemail youremail emailid emailhash emailsha256 "
        "hashedemail hashedemailaddress sha256email sha256emailaddress buyeremail clientemail "
        "email1 emailaddress1"
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
        "stateregion regionname regioncode provincecode provincename administrativearea "
        "addressstate "
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
        "externaluserid sha256externalid hashedexternalid customeridentifier"
    ),
    "fbp": "fbp fbpcookie",
    "fbc": "fbc fbccookie",
    "ttp": "ttp ttpcookie",
    "scid": "scid scidcookie sccookie1",
    "uetvid": "uetvid",
    "rdt_uuid": "rdtuuid",
    "client_ip_address": (
        "clientipaddress clientip ipaddress ip ipaddr ipoverride userip useripaddress visitorip "
        "customeripaddress customerip remoteaddr remoteip xforwardedfor eventipaddress "
        "landingipaddress"
    ),
    "client_user_agent": (
        "clientuseragent customeruseragent useragent httpuseragent browseruseragent "
        "useragentstring eventuseragent landingpageuseragent landinguseragent"
    ),
}
"""The usual names of each match key, which is named as Meta names it, or as its platform does.
Click ids are the event's fields below."""

BROWSER_IDS = ("ttp", "scid", "uetvid", "rdt_uuid")
"""What other platforms than Meta call a browser."""
TECHNICAL_KEYS = frozenset(("fbp", "fbc", *BROWSER_IDS, "client_ip_address", "client_user_agent"))
"""Match keys of a browser: the event's, wherever they stand and whoever else is named there."""

# Alone, these say as much of a product, an order or an account as of a person: they are a person's
# in a person's place, and elsewhere only beside what shows that a person is meant.
_AMBIGUOUS = frozenset(["city", "town", "locality", "cityname", "gender", "sex"])
_STATES = frozenset(
    "state region province statecode statename stateprovince stateorprovince "
    "stateregion regionname regioncode provincecode provincename administrativearea".split()
)
# `name` alone is also what events, products and campaigns are called.
_FULL_NAMES = "fullname customername contactname leadname yourname billingname shippingname"
_STREETS = (
    "street street1 street2 streetaddress addressline addressline1 addressline2 addresslines "
    "address1 address2 line1 line2 house housenumber"
)
# Google's own names for what it has hashed (gtag's user-provided data) all begin so.
_GOOGLE_NAME_PREFIX = "sha256"

CLICK_IDS: dict[str, str] = {
    "gclid": (
        "gclid googleclickid hsgoogleclickid googlegclid gclidc gclidvalue gclidfield utmgclid "
        "lastgclid firstgclid"
    ),
    "gbraid": "gbraid gbraidc",
    "wbraid": "wbraid wbraidc",
    "fbclid": "fbclid facebookclickid hsfacebookclickid fbclidc lastfbclid firstfbclid",
    "ttclid": "ttclid",
    "msclkid": "msclkid uetmsclkid",
    "li_fat_id": "lifatid",
    "sccid": "sccid scclickid scclid",
    "rdt_cid": "rdtcid",
    "epik": "epik",
    "twclid": "twclid",
    "oppref": "oppref",
}
"""What each platform calls a click, in a field or in the query of a page."""

EVENT_FIELDS: dict[str, str] = {
    "event_name": "eventname conversionname",
    "event_id": "eventid uniqueeventid eventuuid eventguid dedupid deduplicationid dedupeid",
    "event_time": (
        "eventtime eventtimestamp eventdatetime eventtimestampmicros timestampmicros eventtimems "
        "eventtimemillis eventat conversiondatetime conversiontime conversiontimestamp occurredat "
        "happenedat originaltimestamp clienttimestamp eventcreatedat eventoccurredat "
        "transactiontime ordertime purchasetime purchasedat convertedat submittedat "
        "submissiontime eventdate conversiondate timeofevent timeofconversion"
    ),
    "page_url": (
        "eventsourceurl pagelocation pageurl documentlocation pagehref currenturl sourceurl "
        "landingpage landingpageurl"
    ),
    "page_path": "pagepath",
    "referrer_url": "referrerurl pagereferrer httpreferer documentreferrer",
    "value": "conversionvalue eventvalue adjustedvalue",
    "currency": "currencycode conversioncurrency purchasecurrency",
    "order_id": "orderid transactionid",
    "action_source": "actionsource eventsource",
    "client_id": "clientid dataclientid dcid gaclientid",
    "ga_cookie": "ga",
    "user_id": "userid",
    "session_id": "sessionid gasessionid",
    **CLICK_IDS,
    "click_id": "clickid clickids",
    "gcl_aw_cookie": "gclaw fpgclaw",
    "gcl_gb_cookie": "gclgb fpgclgb",
    "session_attributes": "sessionattributes dmsessionattributes",
    "opt_out": "optout mmtonly",
    "data_processing_options": "dataprocessingoptions dpo",
    "data_processing_options_country": "dataprocessingoptionscountry dpoco",
    "data_processing_options_state": "dataprocessingoptionsstate dpost",
}
"""What says one thing wherever it stands, also on an envelope around the event."""

NEAR_EVENT_FIELDS: dict[str, str] = {
    "event_name": "event en",
    "event_time": (
        "timestamp time ts datetime createdat datecreatedgmt datecreated created createdtime "
        "clienttime timestampms processedat datepaidgmt datepaid createdon createdatutc "
        "unixtime eventts"
    ),
    "page_url": "url location href page pagelocationurl",
    "page_path": "path",
    "referrer_url": "referrer referer",
    "value": (
        "value revenue total amount ev totalvalue ordervalue totalprice ordertotal grandtotal "
        "totalamount totalrevenue purchasevalue purchaseamount purchasetotal transactionvalue "
        "transactionamount transactiontotal transactionrevenue orderamount orderrevenue salevalue "
        "saleamount saletotal leadvalue dealvalue dealamount conversionamount conversionrevenue "
        "eventrevenue carttotal cartvalue checkouttotal monetaryvalue totalpriceset"
    ),
    "currency": "currency",
    "order_id": "ordernumber orderreference orderref ordername purchaseid",
    "action_source": "source",
}
"""What is the event's own only in the event itself and in its own parts: an envelope has an `id`, a
`time` and a `url` too."""

WEAK_EVENT_FIELDS: dict[str, str] = {"value": "price subtotal subtotalprice"}
"""What is the event's own where nothing in the event says so better: beside a quantity, or where
products are described, a price is that of one product."""

WEAK = 200
"""The order of spellings that serve only where no other stands anywhere in the event."""

PLATFORM_IDS: dict[str, str] = {
    "subscription_id": "subscriptionid",
    "anon_id": "anonid",
    "madid": "madid",
    "page_id": "pageid fbpageid",
    "page_scoped_user_id": "pagescopeduserid psid",
    "ctwa_clid": "ctwaclid",
    "ig_account_id": "igaccountid",
    "ig_sid": "igsid",
    "whatsapp_business_account_id": "whatsappbusinessaccountid wabaid",
    "fb_login_id": "fbloginid facebookloginid",
    "lead_id": "leadid leadgenid facebookleadid metaleadid fbleadid",
}
"""Identifiers that only a platform knows."""

# Only Meta's where the person is described: the site has pages and leads of its own.
_ONLY_OF_PERSON = frozenset({"leadid", "pageid", "subscriptionid", "anonid"})

CUSTOM_DATA_FIELDS = [
    "content_category",
    "content_ids",
    "content_name",
    "content_type",
    "contents",
    "delivery_category",
    "num_items",
    "predicted_ltv",
    "search_string",
    "status",
]
"""Meta's standard parameters, where a flat payload or the ledger's metadata has them."""

ITEM_LISTS = ["items", "contents", "products"]
"""Where the lines of a cart stand, in the event or in what it is about; the first counts."""

ITEM_FIELDS: dict[str, str] = {
    "id": "merchantproductid itemid id productid sku contentid",
    "quantity": "quantity qty",
    "price": "unitprice itemprice price",
}
"""A line of a cart."""

CART_FIELDS: dict[str, str] = {
    "merchant_id": "merchantid awmerchantid",
    "feed_label": "merchantfeedlabel awfeedlabel awfeedcountry",
    "feed_language": "merchantfeedlanguagecode awfeedlanguage",
    "discount": "transactiondiscount discount",
}
"""What is said of a whole cart, in Google's words."""

META_OPTIONS = [
    "app_data",
    "advanced_measurement_table",
    "messaging_channel",
    "original_event_data",
    "attribution_data",
    "customer_segmentation",
]
"""Parts of Meta's own form that go to Meta as they are."""

_EXPLICIT_PLACES = (
    "userdata advancedmatching enhancedconversiondata customerinformation "
    "customerinformationparameters userinfo userprovideddata"
)
# The first of two that contradict each other counts.
_PERSON_PLACES = (
    "user customer customers traits person people profile buyer client contact contacts "
    "contactinfo contactinformation customerinfo customerdata personal personalinfo "
    "personaldetails lead leads subscriber account identity identities identifiers "
    "useridentifiers userproperties userattributes usertraits billing billingdetails billinginfo "
    "billingaddress address addresses addressinfo defaultaddress homeaddress shipping "
    "shippingaddress shippingdetails shippinginfo"
)
PERSON_ROLES = frozenset(
    "user customer person people profile buyer client contact lead subscriber".split()
)
"""Places of the event's person of which none says more than the other who that is."""
_ADDRESS_PLACES = frozenset(
    "address addresses addressinfo billingaddress shippingaddress homeaddress "
    "defaultaddress location geo geolocation billing billingdetails billinginfo "
    "shipping shippingdetails shippinginfo".split()
)
# Who comes along. Their data serves where nobody nearer to the event is known.
_GUEST_PLACES = "guest attendee patient applicant registrant participant student"
_ENVELOPES = (
    "payload eventpayload eventdata data event events body record message detail after new "
    "newrecord job args kwargs json value request requestbody postdata rawbody input document "
    "newimage fulldocument envelope conversion conversions trackevent hit hits"
)
_SURROUNDINGS = (
    "metadata meta context attributes attribution fields fielddata formdata formfields form "
    "answers responses values submission session sessiondata aicontext location geo geolocation "
    "cookie cookies commoncookie headers requestheaders network formresponse adidentifiers "
    "gcliddatetimepair restatementvalue attributiondata noteattributes customattributes "
    "webhookdata clickids"
)
# What the event is about. A city, a name or a gender in there is the product's.
_PRODUCTS = "customdata ecommerce actionfield"
_PROPERTIES = (
    "properties params parameters eventparams eventproperties purchase order checkout cart booking "
    "transaction"
)
# The event's surroundings in which nobody's identifiers stand.
_IMPERSONAL = (
    "page screen app browser device os library integrations campaign utm consentcontext "
    "eventdeviceinfo deviceinfo cartdata"
)
# A request that was stored whole, as HTTP clients have it: only its body is of interest.
_REQUESTS = "config originalrequest requestconfig requestoptions axiosconfig"
# Who sells, who works there, who else is concerned, what was bought, what was before, what the
# other side answered, and parts of Meta's form that are passed on as they are.
_CLOSED = (
    "seller merchant vendor supplier store shop agent salesperson salesrep rep owner assignee "
    "staff employee manager company organization organisation business employer host provider "
    "practitioner venue offer ad sender author recipient recipients giftrecipient referral "
    "referrals referredby friend friends emergencycontact spouse partner instructor doctor advisor "
    "dealer broker traveler travelers traveller travellers passenger passengers companion "
    "companions guests attendees participants patients recommended recommendations referee "
    "beneficiary beneficiaries child children students "
    "items item lineitems lineitem products product contents content0 cartitems variants "
    "hotel flight vehicle homelisting listing property destinationad "
    "before old oldrecord olddata previous previousattributes oldimage "
    "response error errors result originalevent originaleventdata previousevent parentevent "
    "sourceevent appdata customersegmentation "
    "server support pet pets replyto"
)
# The same in the site's own words: `storeAddress`, `pickup_location`, `created_by`.
_ALSO_CLOSED = re.compile(
    r"(?:store|shop|branch|venue|property|business|company|merchant|seller|vendor|pickup|dropoff|"
    r"origin|warehouse|office|hotel|event|server|pet)(?:address|location|place|geo)"
    r"|(?:store|shop|branch|venue|warehouse|pet|server|merchant|seller|vendor)"
    r"(?:info|details?|data|contact)"
    r"|.*(?:created|updated|modified|edited|deleted|handled|managed|sold|assigned|approved|sent)by"
    r"|.*assignedto|.*(?:account|sales|case|success|store|shop|project)manager"
    r"|(?:lead|deal|contact|account|record|ticket|case|opportunity)owner"
    r"|.*(?:support|sales|service)(?:agent|rep|team|person|contact)|.*memberships?"
)
EARLIER = frozenset(
    "before old oldrecord olddata oldimage previous previousattributes previousevent".split()
)
"""What was before: it says nothing of this event."""
# What holds a secret, wherever the word stands in the name: `fbAccessToken`, `token_v2`.
_SECRET = re.compile(
    r"token(?!iz)|secret(?!ar)|passw(?:or)?d(?!less)|passphrase|passcode|pwd|authorization|apikey"
    r"|credential|(?:private|service|access|role|signing|encryption)key|jwt|csrf|xsrf|sessid"
    r"|jsessionid|setcookie|signature(?:sha)?(?:1|256)?$|^(?:x|http|basic|proxy)?auth(?:header|key)?$"
    r"|^bearer|bearer$|^(?:db|database|user|admin|root|login|smtp|mail|ftp|mysql|pg|postgres|redis)?"
    r"pass\d*$|^(?:access|auth|api|client|app)?proof\d*$"
)
# What is only told about one.
_ABOUT_SECRETS = re.compile(
    r".*(?:count|type|status|amount|length|limit|required|enabled|used|strength|"
    r"(?:expir\w*|changed|created|updated|issued)(?:at|on|in|date|time)?)"
    r"|(?:max|min|num|total|prompt|completion|input|output|cached|reasoning)tokens"
)
# What says "cookie" and holds none: what is asked and told about them, and advertising's own.
_ABOUT_COOKIES = re.compile(
    r"consent|banner|notice|polic|accept|reject|declin|refus|denied|allow|agree|prefer|setting"
    r"|categor|choice|optin|optout|opted|statement|version|law|yes|bot|enabled|domain|expir|flags"
    r"|prefix|^(?:fb[pc]|ga|gcl[a-z]{0,2}|ttp)cookie$"
)
# Whatever is hashed below these is of Google's making.
_GOOGLE_PLACES = frozenset({"useridentifiers"})

_MAX_CHARACTERS = 64
_SEPARATORS = re.compile(r"[\W_]+")


class Rank(IntEnum):
    """How near to the person a value stands; the lower counts.

    Explicit user data comes before what the event states elsewhere, that before what was
    collected around the event, that before places we do not know, that before who came along, and
    all before what is derived.
    """

    EXPLICIT = 0
    STATED = 1
    SURROUNDING = 2
    ELSEWHERE = 3
    GUEST = 4
    DERIVED = 5


class Kind(IntEnum):
    """What a mapping is to the event.

    ENVELOPE: it is the event or may hold it. AROUND: facts about the event. PERSON: its person.
    PRODUCT: what it is about; PROPERTIES likewise, but a person may be described in it too.
    IMPERSONAL: the event's own, without a person. REQUEST: only bodies in it are entered. CLOSED:
    not entered.
    """

    ENVELOPE = 0
    AROUND = 1
    PROPERTIES = 2
    PRODUCT = 3
    IMPERSONAL = 4
    PERSON = 5
    REQUEST = 6
    CLOSED = 7


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlace:
    """A field that may hold a mapping. `named`: the name is known, and is `plain`. `of_person`: a
    `name` in it is a person's. `address`: it is one. `order` ranks places of one rank.

    Compared by identity: there is one object of each (`place_like`).
    """

    plain: str
    kind: Kind
    rank: Rank
    named: bool = True
    of_person: bool = False
    address: bool = False
    google_named: bool = False
    order: int = 0


class Identifier(NamedTuple):
    """A field that holds the match key `key`.

    `google_named`: a hash in it is of Google's making. `ambiguous`: it is a person's only in a
    person's place or beside other words of one; `state`: only in an address or beside one.
    """

    key: str
    google_named: bool
    ambiguous: bool
    state: bool


class Special(Enum):
    """A field that identifies by way of something else."""

    FULL_NAME = "full name of a person"
    PERSON_NAME = "full name, where the place is about a person"
    STREET = "a line of an address"


class EventField(NamedTuple):
    """A field of the event. `anywhere`: it says so wherever it stands; `order` ranks spellings."""

    name: str
    anywhere: bool
    order: int


class Meaning(NamedTuple):
    """All that a name may mean. `secret`: what is under it goes nowhere."""

    place: FieldPlace | None = None
    identifier: Identifier | None = None
    special: Special | None = None
    field: EventField | None = None
    platform_id: str | None = None
    custom: str | None = None
    option: str | None = None
    secret: bool = False


TOP = FieldPlace("", Kind.ENVELOPE, Rank.STATED)
ELSEWHERE = FieldPlace("", Kind.ENVELOPE, Rank.ELSEWHERE, named=False)
EXPLICIT = FieldPlace("userdata", Kind.PERSON, Rank.EXPLICIT, of_person=True)
UNKNOWN = Meaning(place=ELSEWHERE)


@cache
def place_like(
    place: FieldPlace, kind: Kind, rank: Rank, *, of_person: bool, google_named: bool
) -> FieldPlace:
    """The place that is like this one but for what is named here."""
    if (kind, rank, of_person, google_named) == (
        place.kind, place.rank, place.of_person, place.google_named,
    ):  # fmt: skip
        return place
    first = _first_of_its_name.setdefault((place.plain, place.named), place)
    return (
        replace(place, kind=kind, rank=rank, of_person=of_person, google_named=google_named)
        if first is place
        else place_like(first, kind, rank, of_person=of_person, google_named=google_named)
    )


# So that a place within a place within a place is not a new object at each level.
_first_of_its_name: dict[tuple[str, bool], FieldPlace] = {}


def _places() -> dict[str, FieldPlace]:
    table: dict[str, FieldPlace] = {}
    for names, kind, rank, of_person in (
        (_EXPLICIT_PLACES, Kind.PERSON, Rank.EXPLICIT, True),
        (_PERSON_PLACES, Kind.PERSON, Rank.STATED, True),
        (_GUEST_PLACES, Kind.PERSON, Rank.GUEST, True),
        (_ENVELOPES, Kind.ENVELOPE, Rank.STATED, False),
        (_SURROUNDINGS, Kind.AROUND, Rank.SURROUNDING, False),
        (_PROPERTIES, Kind.PROPERTIES, Rank.SURROUNDING, False),
        (_PRODUCTS, Kind.PRODUCT, Rank.SURROUNDING, False),
        (_IMPERSONAL, Kind.IMPERSONAL, Rank.SURROUNDING, False),
        (_REQUESTS, Kind.REQUEST, Rank.STATED, False),
        (_CLOSED, Kind.CLOSED, Rank.ELSEWHERE, False),
    ):
        for order, name in enumerate(names.split()):
            table[name] = FieldPlace(
                name,
                kind,
                rank,
                of_person=of_person,
                address=name in _ADDRESS_PLACES,
                google_named=name in _GOOGLE_PLACES,
                order=order,
            )
    return table


def _table() -> dict[str, Meaning]:
    parts: dict[str, dict[str, object]] = {}

    def add(name: str, **meaning: object) -> None:
        parts.setdefault(name, {}).update(meaning)

    for name, place in _places().items():
        add(name, place=place)
    for key, names in IDENTIFIERS.items():
        for name in names.split():
            add(
                name,
                identifier=Identifier(
                    key,
                    name.startswith(_GOOGLE_NAME_PREFIX),
                    name in _AMBIGUOUS or name in _STATES,
                    name in _STATES,
                ),
            )
    for fields, anywhere, first in (
        (EVENT_FIELDS, True, 0),
        (NEAR_EVENT_FIELDS, False, 100),
        (WEAK_EVENT_FIELDS, False, WEAK),
    ):
        for field, names in fields.items():
            for order, name in enumerate(names.split(), first):
                add(name, field=EventField(field, anywhere, order))
    for platform_id, names in PLATFORM_IDS.items():
        for name in names.split():
            add(name, platform_id=platform_id)
    for custom in CUSTOM_DATA_FIELDS:
        add(plain_name(custom), custom=custom)
    for option in META_OPTIONS:
        add(plain_name(option), option=option)
    for name in _FULL_NAMES.split():
        add(name, special=Special.FULL_NAME)
    for name in _STREETS.split():
        add(name, special=Special.STREET)
    add("name", special=Special.PERSON_NAME)
    # A text of Google's making; an object of that name is anybody's.
    add("sessionattributes", place=ELSEWHERE)
    return {name: Meaning(**meaning) for name, meaning in parts.items()}  # type: ignore[arg-type]


def plain_name(name: str) -> str:
    """Gives a name without case, spaces and punctuation, as the tables here hold it."""
    return _known_plain(name) if len(name) <= _LONGEST_KNOWN_NAME else _plain(name)


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()


# Payloads have the same names again and again; those of one event are forgotten when others come.
_LONGEST_KNOWN_NAME = 64
_known_plain = lru_cache(maxsize=8192)(_plain)


_TABLE = _table()


@lru_cache(maxsize=8192)
def meaning_of(name: str) -> Meaning:
    """Says what a field is; a name that is not known may be a container, `ELSEWHERE`."""
    if len(name) > _MAX_CHARACTERS:
        return UNKNOWN
    plain = plain_name(name)
    known = _TABLE.get(plain)
    if known is not None:
        return known
    if is_secret(plain):
        return Meaning(secret=True)
    return _TABLE["seller"] if _ALSO_CLOSED.fullmatch(plain) else UNKNOWN


@lru_cache(maxsize=8192)
def is_secret(plain: str) -> bool:
    """Tells a name, as `plain_name` gives it, under which a secret stands."""
    return _SECRET.search(plain) is not None and _ABOUT_SECRETS.fullmatch(plain) is None


def holds_cookies(plain: str) -> bool:
    """Tells a name, as `plain_name` gives it, of a visitor's cookies: most are the site's secrets,
    and consent to them is none."""
    return (
        "cookie" in plain
        and plain not in PURPOSE_OF
        and _ABOUT_COOKIES.search(plain) is None
        and statement_named(plain) is None
    )


def only_of_person(name: str) -> bool:
    """Tells a platform id whose name the site may use for something of its own."""
    return plain_name(name) in _ONLY_OF_PERSON
