"""Signs what goes to an operator's own webhook (``json://``, ``jsons://``), so that its receiver
can tell our alerts from anybody's.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    webhook-id          the same for the same message, also where it is sent again
    webhook-timestamp   Unix seconds, of this sending: refuse what is older than some minutes
    webhook-signature   "v1," and the base64 of HMAC-SHA256 of "{id}.{timestamp}.{body}"
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from json import dumps
from typing import Any

from apprise import NotifyType
from apprise.plugins.custom_json import NotifyJSON


def signature_headers(key: str, body: str, *, message_id: str, timestamp: int) -> dict[str, str]:
    """The three headers of one request. ``key``: any text, or ``whsec_`` and base64, as the
    libraries of Standard Webhooks make it."""
    signed = f"{message_id}.{timestamp}.{body}".encode()
    digest = hmac.new(_key_bytes(key), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key_bytes(key: str) -> bytes:
    try:
        if key.startswith("whsec_"):
            return base64.b64decode(key.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        pass
    return key.encode()


def sign_messages(plugin: NotifyJSON, key: str) -> None:
    """From now on each message of this channel is signed."""
    send: Callable[..., Any] = plugin.send

    def signed(body: str, title: str = "", **options: Any) -> bool:
        text = _body_of(plugin, body, title, options.get("notify_type", NotifyType.INFO))
        message_id = f"msg_{hashlib.sha256(f'{title}{body}'.encode()).hexdigest()[:32]}"
        plugin.headers.update(
            signature_headers(key, text, message_id=message_id, timestamp=int(time.time()))
        )
        return bool(send(body, title=title, **options))

    # Apprise has no hook between the making of a body and its sending.
    setattr(plugin, "send", signed)  # noqa: B010


def _body_of(plugin: NotifyJSON, body: str, title: str, notify_type: NotifyType) -> str:
    """What Apprise is about to post: its own fields, and those that the URL adds, renames
    (``:a=b``) or takes out (``:a=``)."""
    payload: dict[str, Any] = {
        "version": plugin.json_version,
        "title": title,
        "message": body,
        "attachments": [],
        "type": notify_type.value,
    }
    for name, value in plugin.payload_extras.items():
        if name not in payload:
            payload[name] = value
        elif value:
            payload[value] = payload.pop(name)
        else:
            del payload[name]
    return dumps(payload)
