"""States of the US (with DC, territories, military addresses) and provinces of Canada.

Codes are those of ANSI INCITS 38 / USPS and of Canada Post; each line holds the code and the
names people write for it, folded by `text.fold`: full, French for Canada, and the abbreviations
that newspapers used before there were codes.
"""

from __future__ import annotations

from functools import lru_cache

from tracking_pipeline.identity.text import fold

_UNITED_STATES = """
al alabama ala
ak alaska
az arizona ariz
ar arkansas ark
ca california calif cal
co colorado colo
ct connecticut conn
de delaware del
dc districtofcolumbia washingtondc washdc
fl florida fla
ga georgia
hi hawaii
id idaho
il illinois ill
in indiana ind
ia iowa
ks kansas kan kans
ky kentucky
la louisiana
me maine
md maryland
ma massachusetts mass
mi michigan mich
mn minnesota minn
ms mississippi miss
mo missouri
mt montana mont
ne nebraska neb nebr
nv nevada nev
nh newhampshire
nj newjersey
nm newmexico nmex
ny newyork newyorkstate
nc northcarolina ncar
nd northdakota ndak
oh ohio
ok oklahoma okla
or oregon ore oreg
pa pennsylvania penn penna
ri rhodeisland rhodeislandandprovidenceplantations
sc southcarolina scar
sd southdakota sdak
tn tennessee tenn
tx texas tex
ut utah
vt vermont
va virginia
wa washington wash washingtonstate
wv westvirginia wva
wi wisconsin wis wisc
wy wyoming wyo
as americansamoa
gu guam
mp northernmarianaislands cnmi
pr puertorico
vi usvirginislands virginislands unitedstatesvirginislands
fm federatedstatesofmicronesia micronesia
mh marshallislands
pw palau
aa armedforcesamericas
ae armedforceseurope
ap armedforcespacific
"""
_CANADA = """
ab alberta alta
bc britishcolumbia colombiebritannique
mb manitoba man
nb newbrunswick nouveaubrunswick
nl newfoundlandandlabrador newfoundland labrador terreneuveetlabrador terreneuve nfld nf
ns novascotia nouvelleecosse
nt northwestterritories territoiresdunordouest nwt
nu nunavut
on ontario ont
pe princeedwardisland ileduprinceedouard pei
qc quebec que pq
sk saskatchewan sask
yt yukon yukonterritory territoireduyukon yk
"""
_COUNTRIES = ("US", "CA")


@lru_cache(maxsize=1)
def _code_by_name() -> dict[str, str]:
    codes: dict[str, str] = {}
    for country, table in zip(_COUNTRIES, (_UNITED_STATES, _CANADA), strict=True):
        for line in table.strip().splitlines():
            code, *names = line.split()
            # ISO 3166-2 puts the country in front: US-CA, CA-ON.
            for name in (code, *names, country.lower() + code):
                codes[name] = code
    return codes


def subdivision_code(text: str, country: str) -> str | None:
    """Give the lower-case two-letter code of a state or province, in the US and Canada only.

    Both tables serve both countries, since a form with a default country gets neighbours too;
    no code or name stands in both. Elsewhere `CA` may be Cádiz, so there is no answer.
    """
    return _code_by_name().get(fold(text)) if country in _COUNTRIES else None
