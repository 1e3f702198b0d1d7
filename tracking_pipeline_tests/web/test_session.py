"""The cookie of a browser's session."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracking_pipeline.web.security.access import Sessions
from tracking_pipeline_tests.web.serving import ADMIN_TOKEN, Served

SESSIONS = Sessions(ADMIN_TOKEN)


@given(st.text(), st.integers(1, 2**40))
def test_a_cookie_says_who_logged_in_until_its_time(actor: str, expires_at: int) -> None:
    actor = actor.encode(errors="replace").decode()
    cookie = SESSIONS.issue(actor, expires_at)
    assert SESSIONS.actor_of(cookie, expires_at - 1) == actor
    assert SESSIONS.actor_of(cookie, expires_at) is None
    assert Sessions("another-admin-token").actor_of(cookie, 0) is None


@given(st.text(st.characters(max_codepoint=255)))
def test_anything_else_is_no_cookie(text: str) -> None:
    assert SESSIONS.actor_of(text, 0) is None


@given(st.integers(0, 200), st.characters(max_codepoint=255))
def test_a_cookie_that_was_changed_anywhere_is_none(place: int, character: str) -> None:
    cookie = SESSIONS.issue("token 1", 2_000_000_000)
    place %= len(cookie)
    changed = cookie[:place] + character + cookie[place + 1 :]
    assert changed == cookie or SESSIONS.actor_of(changed, 0) is None


def test_a_script_cannot_read_the_cookie_nor_another_site_send_it(served: Served) -> None:
    own_page = {"Origin": served.url}
    response = served.client.post("/session", json={"token": ADMIN_TOKEN}, headers=own_page)
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert ADMIN_TOKEN not in cookie
    https = served.client.post(
        "/session",
        json={"token": ADMIN_TOKEN},
        headers={**own_page, "X-Forwarded-Proto": "https"},
    )
    assert "Secure" in https.headers["Set-Cookie"]


def test_a_form_is_sent_on_to_the_page_and_out_again(served: Served) -> None:
    own_page = {"Origin": served.url}
    login = served.client.post("/session", data={"token": ADMIN_TOKEN}, headers=own_page)
    assert (login.status_code, login.headers["Location"]) == (303, "/")
    assert served.client.get("/functions/v1/alerts").status_code == 200
    logout = served.client.post("/session/end", headers=own_page)
    assert (logout.status_code, logout.headers["Location"]) == (303, "/")
    assert served.client.get("/functions/v1/alerts").status_code == 401


def test_nobody_is_logged_in_by_a_wrong_token_or_from_another_site(served: Served) -> None:
    own_page = {"Origin": served.url}
    for body in ({"token": "wrong"}, {"token": ""}, {"token": ADMIN_TOKEN + "x"}):
        response = served.client.post("/session", json=body, headers=own_page)
        assert response.status_code == 401, body
        assert "Set-Cookie" not in response.headers
    for content in (b"", b"{", b"[]", b"null", b'{"token": 1}', b'{"token": "\\ud800"}', b"\xff"):
        response = served.client.post("/session", content=content, headers=own_page)
        assert response.status_code == 422, content
    for headers in ({}, {"Origin": "https://evil.example.com"}, {"Sec-Fetch-Site": "cross-site"}):
        body = {"token": ADMIN_TOKEN}
        assert served.client.post("/session", json=body, headers=headers).status_code == 403
