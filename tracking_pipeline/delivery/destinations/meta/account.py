"""Where Meta's events go and by what right. The access token goes in a body or a header, never in
a URL, which proxies and logs keep."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from tracking_pipeline.settings import Settings


@dataclass(frozen=True)
class MetaAccount:
    """Where events go and by what right. ``url`` has no trailing slash."""

    dataset_id: str
    access_token: str = field(repr=False)
    app_secret: str | None = field(default=None, repr=False)
    url: str = "https://graph.facebook.com"
    api_version: str = "v26.0"
    test_event_code: str | None = None

    @classmethod
    def configured(cls, settings: Settings) -> MetaAccount | None:
        """The dataset and the right to it; None where they are not set."""
        if not settings.meta_dataset_id or not settings.meta_access_token:
            return None
        secret = settings.meta_app_secret
        return cls(
            dataset_id=settings.meta_dataset_id,
            access_token=settings.meta_access_token.get_secret_value(),
            app_secret=secret.get_secret_value() if secret else None,
            url=settings.meta_graph_url,
            api_version=settings.meta_api_version,
            test_event_code=settings.meta_test_event_code,
        )


def credentials(account: MetaAccount) -> dict[str, str]:
    """What a request has beside its events: the token and, with an app secret, the proof that we
    know it (https://developers.facebook.com/docs/graph-api/guides/secure-requests)."""
    fields = {"access_token": account.access_token}
    proof = appsecret_proof(account)
    if proof:
        fields["appsecret_proof"] = proof
    if account.test_event_code:
        fields["test_event_code"] = account.test_event_code
    return fields


def appsecret_proof(account: MetaAccount) -> str | None:
    """What shows Meta that the sender of the token knows the app's secret; None without one."""
    if not account.app_secret:
        return None
    return hmac.new(
        account.app_secret.encode(), account.access_token.encode(), hashlib.sha256
    ).hexdigest()
