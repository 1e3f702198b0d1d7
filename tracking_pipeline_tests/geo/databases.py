"""MMDB files as the publishers make them, one record for each network named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

Records = Mapping[str, Mapping[str, Any]]

SAN_JOSE = {
    "city": {"names": {"en": "San Jose (Stripe Elementary and Great Oaks)"}},
    "country": {"iso_code": "US", "names": {"en": "United States"}},
    "location": {"latitude": 37.3, "longitude": -121.9},
    "subdivisions": [{"names": {"en": "California"}}],
}
BERLIN = {
    "city": {"names": {"de": "Berlin", "en": "Berlin"}},
    "country": {"iso_code": "DE"},
    "subdivisions": [{"iso_code": "BE", "names": {"de": "Land Berlin", "en": "State of Berlin"}}],
    "postal": {"code": "10115"},
}
MIDDLE_OF_THE_US = {
    "country": {"iso_code": "US"},
    "location": {"latitude": 37.751, "longitude": -97.822, "accuracy_radius": 1000},
}
# What `update_geo_database` asks of every file.
WELL_KNOWN = dict.fromkeys(
    ("8.8.8.0/24", "1.1.1.0/24", "193.0.14.0/24", "200.160.0.0/24"), SAN_JOSE
)


def write_database(
    path: Path,
    records: Records,
    *,
    kind: str = "DBIP-City-Lite",
    built: date = date(2026, 11, 1),
    ip_version: int = 4,
) -> Path:
    """Write the file over whatever is there, in place; IPv6 files have the IPv4 networks too."""
    writer = MMDBWriter(ip_version, database_type=kind, ipv4_compatible=ip_version == 6)
    for network, record in records.items():
        writer.insert_network(IPSet([network]), dict(record))
    writer.to_db_file(str(path))
    # The writer puts the present moment in: a number that ends the file, after two bytes of type.
    content = path.read_bytes()
    start = content.rindex(b"build_epoch") + len(b"build_epoch") + 2
    epoch = int(datetime.combine(built, time(4), timezone.utc).timestamp())
    path.write_bytes(content[:start] + epoch.to_bytes(len(content) - start, "big"))
    return path
