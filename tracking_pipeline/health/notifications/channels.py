"""Where alerts are told: the Apprise URLs of ``ALERT_CHANNELS``, and how one message gets there.

An Apprise URL holds tokens and passwords, in any of its parts. So nothing outside this module sees
one: a channel is known by its position in the setting and by a fingerprint, and Apprise's own log,
which quotes URLs, goes nowhere. Its last warning, cleaned, is the reason of a failure.

https://github.com/caronc/apprise/wiki lists the services and the forms of their URLs.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from pydantic import SecretStr

from tracking_pipeline.delivery.engine.redaction import redact

if TYPE_CHECKING:
    from apprise import NotifyBase

# A URL may hold commas itself (mailto: several recipients), but not one before another scheme.
_BETWEEN = re.compile(r"[\s,;]+(?=[A-Za-z0-9]+://)")
_SCHEME = re.compile(r"([A-Za-z0-9]{1,32})://.")
_URL_PARTS = re.compile(r"[/:@?&=,;#]+")
# Shorter parts are ports and options, not secrets; to blank them would blank every other word.
_SHORTEST_SECRET = 4


Tone = Literal["failure", "warning", "success"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one channel. ``tone`` is Apprise's notify type: it chooses colour and icon."""

    title: str
    body: str
    tone: Tone


class ChannelError(Exception):
    """A channel did not take a message. One line, without anything of the URL."""


class UnusableChannelError(ChannelError):
    """A URL that Apprise cannot use, whatever the message."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One entry of ``ALERT_CHANNELS``; ``position`` counts from 1, ``name`` is the fingerprint.
    With a ``signing_key`` a webhook's messages are signed."""

    position: int
    name: str
    url: SecretStr
    signing_key: SecretStr | None = None

    @property
    def is_url(self) -> bool:
        """Whether it has the form of an Apprise URL."""
        return _SCHEME.match(self.url.get_secret_value()) is not None

    @property
    def words(self) -> str:
        """What an operator knows it by."""
        return f"channel {self.position} of ALERT_CHANNELS ({self.name})"


def read_channels(
    setting: SecretStr | None, signing_key: SecretStr | None = None
) -> tuple[Channel, ...]:
    """The channels of ``ALERT_CHANNELS``, in its order, each once. Whether Apprise can use them
    shows in :func:`refuse_unusable`, and when they are used."""
    text = setting.get_secret_value().strip(" \t\r\n,;") if setting else ""
    urls = _BETWEEN.split(text) if text else []
    channels: dict[str, Channel] = {}
    for position, url in enumerate(urls, 1):
        name = _fingerprint(url)
        channels.setdefault(name, Channel(position, name, SecretStr(url), signing_key))
    return tuple(channels.values())


def _fingerprint(url: str) -> str:
    scheme = _SCHEME.match(url)
    digest = hashlib.sha256(url.encode(errors="replace")).hexdigest()[:6]
    return f"{scheme[1].lower() if scheme else 'unknown'}-{digest}"


def refuse_unusable(channels: Iterable[Channel]) -> None:
    """Raises :class:`UnusableChannelError` for the first one that Apprise cannot use. Sends
    nothing; loads Apprise."""
    for channel in channels:
        with _reasons().heard():
            _plugin(channel, channel.url.get_secret_value())


def send(channel: Channel, message: Message) -> None:
    """Sends one message; blocks for as long as the service takes (Apprise's own limits are some
    seconds a request, but not for every service).

    Raises :class:`UnusableChannelError` or :class:`ChannelError`.
    """
    from apprise import NotifyFormat  # noqa: PLC0415  only who sends need load it

    url = channel.url.get_secret_value()
    with _reasons().heard() as reasons:
        plugin = _plugin(channel, url)
        try:
            # Without a format it counts as what the service prefers: a mail would be HTML, and its
            # reader would see one line.
            taken = plugin.notify(
                title=message.title,
                body=message.body,
                notify_type=message.tone,
                body_format=NotifyFormat.TEXT,
            )
        except Exception as error:  # a plugin's own bug, or one of the hundred services' answers
            raise ChannelError(f"{channel.name} failed: {type(error).__name__}") from None
    if not taken:
        reason = redact(reasons[-1], *_secrets_of(url)) if reasons else "no reason given"
        raise ChannelError(f"{channel.name} did not take the message: {reason}")


TEST = Message(
    "Test message of the tracking pipeline",
    "Nothing is wrong: somebody asked whether alerts arrive here. They do.",
    "success",
)


@dataclass(frozen=True, slots=True)
class ChannelAnswer:
    """What came of one test message; ``detail`` says why where the channel did not take it."""

    position: int
    channel: str
    delivered: bool
    detail: str = ""


def send_test(channel: Channel) -> ChannelAnswer:
    """Sends the test message by one channel. Never raises for what the channel does."""
    try:
        send(channel, TEST)
    except ChannelError as error:
        return ChannelAnswer(channel.position, channel.name, False, str(error))
    return ChannelAnswer(channel.position, channel.name, True)


def _plugin(channel: Channel, url: str) -> NotifyBase:
    # Only who sends need load it.
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415
    from apprise.plugins.custom_json import NotifyJSON  # noqa: PLC0415

    from tracking_pipeline.health.notifications.signing import sign_messages  # noqa: PLC0415

    asset = AppriseAsset(app_id="Tracking pipeline", app_desc="Conversion tracking", app_url="")
    plugin = Apprise.instantiate(url, asset=asset)
    if plugin is None:
        raise UnusableChannelError(
            f"{channel.words} is no URL that Apprise can use: correct it, its alerts wait for that"
        )
    if channel.signing_key is not None and isinstance(plugin, NotifyJSON):
        sign_messages(plugin, channel.signing_key.get_secret_value())
    return plugin


def _secrets_of(url: str) -> Iterator[str]:
    """Everything of the URL but its scheme, as it is written and decoded; the longest first, so
    that no part is taken out of the middle of another."""
    parts = {part for text in (url, unquote(url)) for part in _URL_PARTS.split(text)[1:]}
    yield from sorted((p for p in parts if len(p) >= _SHORTEST_SECRET), key=len, reverse=True)


class _Warnings:
    """What Apprise warned of in this thread, inside the block."""

    def __init__(self, by_thread: dict[int, list[str]]) -> None:
        self._by_thread = by_thread

    def __enter__(self) -> list[str]:
        return self._by_thread.setdefault(threading.get_ident(), [])

    def __exit__(self, *error: object) -> None:
        self._by_thread.pop(threading.get_ident(), None)


class _Reasons(logging.Handler):
    """Keeps the warnings of a thread that wants to hear them, and lets none through."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._by_thread: dict[int, list[str]] = {}

    def heard(self) -> _Warnings:
        return _Warnings(self._by_thread)

    def emit(self, record: logging.LogRecord) -> None:
        if (kept := self._by_thread.get(record.thread or 0)) is not None:
            kept.append(record.getMessage())


@cache
def _reasons() -> _Reasons:
    """Takes over Apprise's logger for good. The HTTP library below it writes paths at DEBUG."""
    reasons = _Reasons()
    logger = logging.getLogger("apprise")
    logger.handlers[:] = [reasons]
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logging.getLogger("urllib3").setLevel(logging.INFO)
    return reasons
