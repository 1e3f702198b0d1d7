from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tracking_pipeline.delivery.destinations.google.credentials import (
    AccessToken,
    CredentialsError,
    CredentialsFile,
)
from tracking_pipeline.sandbox.server import Sandbox

SECRET = "canary-refresh-token"


def headers(credentials: CredentialsFile | AccessToken, refused: Any = None) -> dict[str, str]:
    return dict(asyncio.run(credentials.headers(refused)))


def user_file(folder: Path, **changes: Any) -> Path:
    """What ``gcloud auth application-default login`` leaves behind."""
    content = {
        "type": "authorized_user",
        "client_id": "client",
        "client_secret": "secret",
        "refresh_token": SECRET,
        **changes,
    }
    path = folder / "credentials.json"
    path.write_text(json.dumps(content))
    return path


def refusal(path: Path) -> CredentialsError:
    with pytest.raises(CredentialsError) as raised:
        headers(CredentialsFile(path))
    message = str(raised.value)
    assert "\n" not in message
    assert SECRET not in message
    return raised.value


@pytest.fixture
def google_auth(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra ``google``, with the stand-in as the token service of users: their files cannot
    name another. Without the extra there is nothing to test but that it is asked for."""
    user = pytest.importorskip("google.oauth2.credentials")
    monkeypatch.setattr(user, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", sandbox.google_url + "/token")


def test_a_fixed_token_is_sent_as_it_is_even_when_it_was_refused() -> None:
    token = AccessToken("ya29.a-token")

    assert headers(token) == {"authorization": "Bearer ya29.a-token"}
    assert headers(token, refused=headers(token)) == headers(token)


def test_without_the_extra_the_operator_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_google(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", no_google)

    error = refusal(user_file(tmp_path))

    assert "install tracking-pipeline[google]" in str(error)
    assert not error.passing


@pytest.mark.usefixtures("google_auth")
class TestWithGoogleAuth:
    def test_a_users_file_yields_a_token_that_is_kept_until_it_is_refused(
        self, tmp_path: Path
    ) -> None:
        credentials = CredentialsFile(user_file(tmp_path))

        async def ask() -> list[Any]:
            first = await credentials.headers()
            again = await credentials.headers()
            renewed = await credentials.headers(refused=first)
            # Another sender was refused with the same token: it has been renewed already.
            late = await credentials.headers(refused=first)
            return [first, again, renewed, late]

        first, again, renewed, late = asyncio.run(ask())

        assert first == again == {"authorization": "Bearer issued-token-1"}
        assert renewed == late == {"authorization": "Bearer issued-token-2"}

    def test_many_senders_at_once_ask_for_one_token(self, tmp_path: Path) -> None:
        credentials = CredentialsFile(user_file(tmp_path))

        async def ask() -> list[Any]:
            return await asyncio.gather(*(credentials.headers() for _ in range(8)))

        assert asyncio.run(ask()) == [{"authorization": "Bearer issued-token-1"}] * 8

    def test_the_quota_project_of_a_user_is_named(self, tmp_path: Path) -> None:
        path = user_file(tmp_path, quota_project_id="my-project")

        assert headers(CredentialsFile(path))["x-goog-user-project"] == "my-project"

    def test_a_service_account_signs_for_its_token(self, tmp_path: Path, sandbox: Sandbox) -> None:
        path = tmp_path / "key.json"
        path.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "client_email": "worker@project.iam.gserviceaccount.com",
                    "private_key": _private_key(),
                    "private_key_id": "1",
                    "token_uri": sandbox.google_url + "/token",
                }
            )
        )

        assert headers(CredentialsFile(path)) == {"authorization": "Bearer issued-token-1"}

    def test_a_revoked_token_is_for_a_human_to_mend(self, tmp_path: Path) -> None:
        error = refusal(user_file(tmp_path, refresh_token="revoked"))

        assert not error.passing

    def test_a_token_service_that_is_away_passes(self, tmp_path: Path, sandbox: Sandbox) -> None:
        sandbox.stop()

        assert refusal(user_file(tmp_path)).passing

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"no json " + SECRET.encode(),
            b'{"type": "external_account"}',
            b'{"type": "authorized_user"}',
            b'{"type": "service_account", "private_key": "canary-refresh-token"}',
            b"\xff",
        ],
    )
    def test_a_file_that_is_no_credentials_is_for_a_human_to_mend(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "credentials.json"
        path.write_bytes(content)

        assert not refusal(path).passing

    def test_a_file_that_is_not_there_is_for_a_human_to_mend(self, tmp_path: Path) -> None:
        assert not refusal(tmp_path / "absent.json").passing


def _private_key() -> str:
    """A fresh RSA key in PEM: no key stands in a repository, not even a useless one."""
    serialization = importlib.import_module("cryptography.hazmat.primitives.serialization")
    rsa = importlib.import_module("cryptography.hazmat.primitives.asymmetric.rsa")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


def test_nothing_of_google_is_imported_before_a_file_is_used() -> None:
    module = "tracking_pipeline.delivery.destinations.google.enhanced_conversions"
    check = f"import sys, {module}; sys.exit('google.auth' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
