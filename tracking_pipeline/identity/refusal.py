"""Why a value cannot serve as a match key: stable short texts, never the value itself."""

from __future__ import annotations

from enum import Enum


class Refusal(Enum):
    """A normaliser's answer when it has no text; `value` is what an operator reads and counts."""

    EMPTY = "empty"
    NOT_TEXT = "not text"
    TOO_LONG = "too long"
    PLACEHOLDER = "placeholder"
    EMPTY_HASH = "hash of an empty value"
    NOT_SHA256 = "not a SHA-256 hash"
    FOREIGN_HASH = "hashed for another platform"
    HASHED = "hashed where plain text is wanted"
    INVALID_EMAIL = "invalid e-mail"
    INVALID_PHONE = "invalid phone"
    INVALID_NAME = "invalid name"
    INVALID_PLACE = "invalid place"
    INVALID_POSTAL_CODE = "invalid postal code"
    NOT_A_COUNTRY = "not a country"
    INVALID_DATE = "invalid date of birth"
    NOT_A_GENDER = "not f or m"
    INVALID_EXTERNAL_ID = "invalid external id"
    INVALID_FBP = "invalid fbp"
    INVALID_FBC = "invalid fbc"
    INVALID_VISITOR_ID = "invalid id of a click or a browser"
    INVALID_IP = "invalid IP address"
    NOT_PUBLIC_IP = "not a public IP address"
