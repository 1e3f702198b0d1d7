from __future__ import annotations

from typing import Any

import httpx
import pytest

from tracking_pipeline.sandbox.sample_people import known_place
from tracking_pipeline.sandbox.server import Sandbox


class IpInfo:
    """Asks one sandbox as a client of another project would."""

    def __init__(self, client: httpx.Client, sandbox: Sandbox) -> None:
        self._client = client
        self._url = sandbox.ipinfo_url

    def __call__(
        self, *asked: Any, service: str = "", token: str = "t", **request: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self._url}/batch{service}"
        return self._client.post(url, json=asked, headers=headers, **request)


@pytest.fixture
def ipinfo(http: httpx.Client, sandbox: Sandbox) -> IpInfo:
    return IpInfo(http, sandbox)


def test_each_service_answers_in_its_own_shape(ipinfo: IpInfo, sandbox: Sandbox) -> None:
    shapes = {
        service: ipinfo("9.9.9.9", service=service).json()["9.9.9.9"]
        for service in ("", "/lite", "/legacy")
    }
    country = known_place("9.9.9.9").country
    assert shapes[""]["geo"]["country_code"] == shapes["/lite"]["country_code"] == country
    assert shapes["/legacy"]["country"] == country
    assert not {"city", "geo"} & shapes["/lite"].keys()
    assert sandbox.memory.violations == []


def test_the_token_belongs_into_the_header(ipinfo: IpInfo, sandbox: Sandbox) -> None:
    assert ipinfo("8.8.8.8", token="").status_code == 401
    assert ipinfo("8.8.8.8", token="", params={"token": "t"}).status_code == 401
    assert [violation.kind for violation in sandbox.memory.violations] == ["token_in_url"]


def test_the_free_plan_has_the_lite_service_only(ipinfo: IpInfo) -> None:
    statuses = [
        ipinfo("8.8.8.8", token="free-1", service=service).status_code
        for service in ("/lite", "", "/legacy")
    ]
    assert statuses == [200, 403, 403]


def test_what_is_no_public_address_is_told_apart(ipinfo: IpInfo) -> None:
    told = ipinfo("10.0.0.1", "nonsense").json()
    assert told["10.0.0.1"]["bogon"] is True
    assert "error" in told["nonsense"]


def test_a_thousand_addresses_are_the_most(ipinfo: IpInfo, sandbox: Sandbox) -> None:
    assert ipinfo(*["8.8.8.8"] * 1000).status_code == 200
    assert ipinfo(*["8.8.8.8"] * 1001).status_code == 400
    assert [violation.kind for violation in sandbox.memory.violations] == ["too_many_addresses"]


def test_faults_are_acted_out(ipinfo: IpInfo, sandbox: Sandbox) -> None:
    sandbox.scripts.set("8.8.8.8", [500])
    assert [ipinfo("8.8.8.8").status_code for _ in range(2)] == [500, 200]
    sandbox.conditions["ipinfo"].throttle(1, "7")
    told = ipinfo("8.8.8.8")
    assert (told.status_code, told.headers["Retry-After"]) == (429, "7")
