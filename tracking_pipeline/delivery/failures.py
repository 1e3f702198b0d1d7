"""Every failure that the pipeline can tell, under a public code: what it is, why, and what to do.

The code is what an operator searches for, an alert names and a dashboard counts by: it never
changes and never comes to mean something else. What platforms call their errors is mapped to it by
one table a platform (``destinations/*/answers.py``); ``docs/failures.md`` is made of both.

The **outcome** is what becomes of an event that meets the failure by itself. Two rules of the
engine go beyond it: a fault of the call that one event alone draws spends a retry of that event's,
and whatever the probe of a paused destination meets spends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

FailureOutcome: TypeAlias = Literal[
    "retry", "throttled", "paused", "rejected", "withheld", "postponed"
]

DOES: dict[FailureOutcome, str] = {
    "retry": "One retry is used up, and the event waits for the next one. After the last one it "
    "becomes a dead letter.",
    "throttled": "No retry is used up: the whole destination waits until the time that the "
    "response names.",
    "paused": "No retry is used up: the destination is paused and one alert is raised. Single "
    "events are sent as probes, at growing intervals, until one is accepted.",
    "rejected": "The event becomes a dead letter at once. When the cause is fixed, "
    "`tracking-pipeline replay` puts it back.",
    "withheld": "The event is settled without being sent. This is not a failure: it is counted "
    "separately and raises no alert.",
    "postponed": "No retry is used up: the event waits for its time.",
}
"""What the pipeline does, by outcome."""


@dataclass(frozen=True)
class _Told:
    outcome: FailureOutcome
    title: str
    cause: str
    remedy: str


class Failure(Enum):
    """A failure by its public code. ``title`` is a clause without a full stop, ``cause`` and
    ``remedy`` are sentences; none of them holds a value of an event."""

    # -- the event, before any request ---------------------------------------------------------

    EVENT_UNREADABLE = _Told(
        "rejected",
        "no single event can be read from the payload",
        "The stored payload holds no event, several of them, or is too large or too deeply "
        "nested to be read.",
        "Look at it with `tracking-pipeline explain`, and fix what writes the row.",
    )
    EVENT_FIELD_UNREADABLE = _Told(
        "rejected",
        "a field is present but unreadable",
        "A field that identifies or counts the conversion has an invalid value. It is never "
        "replaced by a default.",
        "Fix what writes the field named in the reason, or replay with a repair rule for it.",
    )
    EVENT_FIELD_MISSING = _Told(
        "rejected",
        "a field that the destination requires is missing",
        "The destination does not accept such an event without the field named in the reason.",
        "Make the site send the field, or replay with a repair rule that adds it.",
    )
    EVENT_UNIDENTIFIED = _Told(
        "rejected",
        "nothing in the event identifies a person well enough",
        "The event has no customer information that the destination can match, or only a "
        "combination that it refuses.",
        "Make the site send an e-mail address, a phone number, a click id or a browser id with "
        "the event.",
    )
    EVENT_NAME_REFUSED = _Told(
        "rejected",
        "the destination does not accept the event's name",
        "The name is reserved, too long, or has characters that the protocol does not allow.",
        "Rename the event at its source, or replay with a repair rule for its name.",
    )
    EVENT_TOO_LARGE = _Told(
        "rejected",
        "the event is larger than the destination accepts",
        "This one event exceeds the size limit of a request.",
        "Send fewer products or parameters with the event.",
    )
    EVENT_IN_FUTURE = _Told(
        "rejected",
        "the event's time is too far in the future",
        "The event's time is more than FUTURE_EVENTS_WAIT_HOURS in the future.",
        "Check the clock and the time zone of what writes the event (SITE_TIMEZONE).",
    )
    EVENT_NOT_DUE = _Told(
        "postponed",
        "the event's time is in the future",
        "The event's time is a little later than now.",
        "Nothing: it is sent at that time.",
    )
    EVENT_EXPIRED = _Told(
        "rejected",
        "the event became too old while it waited",
        "It was not delivered before it reached the destination's age limit: the destination was "
        "paused or failing for too long.",
        "This event is lost. Watch for the alert destination_paused, so that the next pause is "
        "shorter.",
    )
    EVENT_EXPIRED_AT_ARRIVAL = _Told(
        "withheld",
        "the event was already too old when it was queued",
        "When it was written to the queue, it was older than the destination accepts.",
        "Nothing, if you imported old events. Otherwise find out what delays the writing.",
    )
    ORDER_REPEATED = _Told(
        "withheld",
        "the order was already sent under another event id",
        "ONCE_AN_ORDER is set, and an earlier event with the same name has the same order id. The "
        "destination would count two conversions.",
        "Make the site use one event id for each order, in the browser and on the server.",
    )
    PREPARATION_FAILED = _Told(
        "rejected",
        "the event could not be prepared",
        "An internal error of the pipeline occurred while it read this event.",
        "Report it with the error name in the reason; replay the event when it is fixed.",
    )

    EVENT_NOT_FOR_DESTINATION = _Told(
        "withheld",
        "the destination does not receive this kind of event",
        "The settings list the events that the destination receives, and this one is not among "
        "them.",
        "Nothing, or add the event to LINKEDIN_CONVERSION_RULES.",
    )

    # -- consent -------------------------------------------------------------------------------

    CONSENT_DENIED = _Told(
        "withheld",
        "the person refused",
        "The event, or the lead's latest statement, denies a purpose that the destination "
        "requires, or the browser sent Global Privacy Control.",
        "Nothing: this is what the person wants.",
    )
    CONSENT_NOT_STATED = _Told(
        "withheld",
        "there is no consent statement",
        "CONSENT_DEFAULT is denied, and neither the event nor its lead has a statement.",
        "Make the site write the visitor's choice into the event.",
    )
    CONSENT_UNREADABLE = _Told(
        "rejected",
        "the consent statement cannot be understood",
        "There is a statement, but it means neither yes nor no. If consent is in doubt, nothing "
        "is sent.",
        "Fix what writes the statement named in the reason.",
    )
    CONSENT_UNKNOWN = _Told(
        "postponed",
        "the lead's latest consent statement cannot be read",
        "A replay needs the lead's latest statement, and wm_event_log cannot be read.",
        "Give the pipeline's role access to wm_event_log: run `tracking-pipeline migrate`.",
    )

    # -- any destination -----------------------------------------------------------------------

    DESTINATION_UNREACHABLE = _Told(
        "retry",
        "no response",
        "The connection failed or the response took too long. The event may have arrived; it is "
        "sent again under the same id.",
        "Usually nothing. If it persists, check the URL, the network, DNS and any proxy.",
    )
    DESTINATION_REQUEST_IMPOSSIBLE = _Told(
        "paused",
        "the request cannot be sent",
        "The HTTP library refused the request before sending it: a URL or a credential contains "
        "an invalid character.",
        "Check the destination's URL and credentials in the settings, and set them again.",
    )
    DESTINATION_ANSWER_UNREADABLE = _Told(
        "retry",
        "the response is not from the destination",
        "A web page, an empty body or something too large came back, as a proxy or a firewall "
        "would send.",
        "If it persists, check the URL, and what is between the worker and the destination.",
    )
    DESTINATION_UNAVAILABLE = _Told(
        "retry",
        "the server failed",
        "The destination answered with a server error and no message of its own.",
        "Usually nothing. If it persists, look at the destination's status page.",
    )
    DESTINATION_RATE_LIMITED = _Told(
        "throttled",
        "too many requests",
        "The destination, or something in front of it, asks for fewer requests.",
        "Nothing. If it happens often, find out what else uses the same account.",
    )
    DESTINATION_ACCESS_DENIED = _Told(
        "paused",
        "access is denied",
        "A 401 or 403 response without a message from the platform: a firewall, a proxy, or "
        "missing authentication.",
        "Allow the worker in the firewall or the proxy, and check the destination's token.",
    )
    DESTINATION_ADDRESS_WRONG = _Told(
        "paused",
        "the URL is not the destination's",
        "It redirects, or has no such path.",
        "Check the destination's URL in the settings.",
    )
    DESTINATION_REQUEST_REFUSED = _Told(
        "rejected",
        "the request was refused without a reason",
        "A 400, 413 or 422 response without a message from the platform. The request was split to "
        "find the event that causes it.",
        "Look at the event with `tracking-pipeline explain`; check what is between the worker and "
        "the destination.",
    )
    DESTINATION_FAILING = _Told(
        "paused",
        "requests keep failing",
        "Most of the latest requests failed, or nothing was delivered in several runs. Only "
        "probes are sent.",
        "The destination fails or cannot be reached, which is usually temporary. If it persists, "
        "check its status page, its URL and the network.",
    )
    DESTINATION_REFUSES_EVERYTHING = _Told(
        "paused",
        "every event is refused for the same reason",
        "One event after another was refused individually and none was accepted, so the events "
        "are probably not the cause.",
        "Check its URL, its API version and what is between the worker and the destination.",
    )

    # -- Meta ----------------------------------------------------------------------------------

    META_UNAVAILABLE = _Told(
        "retry",
        "Meta has a temporary problem",
        "Meta marks the error as transient, or failed without an error code.",
        "Nothing. If it persists, look at https://metastatus.com.",
    )
    META_RATE_LIMITED = _Told(
        "throttled",
        "Meta's rate limit is reached",
        "The app, the account or the dataset made too many calls.",
        "Nothing. If it happens often, raise the app's access tier, or find out what else makes "
        "calls.",
    )
    META_TOKEN_EXPIRED = _Told(
        "paused",
        "Meta's access token has expired",
        "The token in META_ACCESS_TOKEN was valid for a limited time.",
        "Create a system user's token that does not expire in Meta's Events Manager (Settings, "
        "Conversions API) and set META_ACCESS_TOKEN.",
    )
    META_TOKEN_REFUSED = _Told(
        "paused",
        "Meta refuses the access token",
        "The token in META_ACCESS_TOKEN is invalid: it is mistyped or revoked, or a new password "
        "or a security check ended its user's session.",
        "Create a new token in Meta's Events Manager (Settings, Conversions API) and set "
        "META_ACCESS_TOKEN.",
    )
    META_PERMISSION_MISSING = _Told(
        "paused",
        "Meta's token may not write to the dataset",
        "The token's user or app has no access to it, or the app lacks a permission.",
        "Assign the dataset META_DATASET_ID to the token's system user with the right to manage "
        "it, and give the app the permission ads_management.",
    )
    META_APP_SECRET_WRONG = _Told(
        "paused",
        "Meta refuses the app secret proof",
        "The app requires appsecret_proof, and META_APP_SECRET is missing or belongs to another "
        "app.",
        "Set META_APP_SECRET to the secret of the app that made the token.",
    )
    META_DATASET_UNKNOWN = _Told(
        "paused",
        "Meta knows no such dataset",
        "The dataset does not exist, takes no events, or the token may not see it.",
        "Check META_DATASET_ID, and that the token's system user is assigned to that dataset.",
    )
    META_VERSION_ENDED = _Told(
        "paused",
        "the version of Meta's API is no longer available",
        "Meta no longer serves META_API_VERSION.",
        "Set META_API_VERSION to a version that Meta still serves.",
    )
    META_BLOCKED = _Told(
        "paused",
        "Meta has blocked the account for breaking its rules",
        "Meta considers the calls abusive or otherwise not allowed.",
        "Look in Meta's Business Support Home for the reason. Retrying soon makes it worse.",
    )
    META_EVENT_TOO_OLD = _Told(
        "rejected",
        "Meta refuses the event because of its time",
        "It is older than seven days (62 for events in a physical store), or lies in the future.",
        "Check the clock and the time zone of what writes the event. An event that is too old is "
        "lost.",
    )
    META_EVENT_UNIDENTIFIED = _Told(
        "rejected",
        "Meta finds too little customer information",
        "Meta cannot find a person by the event's match keys.",
        "Make the site send an e-mail address, a phone number, fbp or fbc with the event.",
    )
    META_PURCHASE_INCOMPLETE = _Told(
        "rejected",
        "Meta refuses a purchase without a usable value",
        "A purchase needs a value and a currency.",
        "Make the site send both with every purchase.",
    )
    META_EVENT_INVALID = _Told(
        "rejected",
        "Meta refuses a parameter of the event",
        "A parameter has a value or a format that Meta does not accept; Meta's message says which.",
        "Read Meta's message and look at the event with `tracking-pipeline explain`; fix the "
        "field at its source, or replay with a repair rule.",
    )
    META_CALL_REFUSED = _Told(
        "paused",
        "Meta refuses the call, regardless of the event",
        "The error is about the call and its target, not about an event.",
        "Read Meta's message; check META_DATASET_ID, META_APP_SECRET and META_API_VERSION.",
    )
    META_UNKNOWN_CODE = _Told(
        "paused",
        "Meta returns an unknown error code",
        "An error that is neither temporary nor about a parameter is treated as a problem with "
        "the call.",
        "Look up the code in Meta's error reference, and report it so that it can be added.",
    )

    # -- Google --------------------------------------------------------------------------------

    GOOGLE_UNAVAILABLE = _Told(
        "retry",
        "Google has a temporary problem",
        "Google's service failed or took too long.",
        "Nothing. If it persists, look at https://status.cloud.google.com.",
    )
    GOOGLE_QUOTA_USED_UP = _Told(
        "throttled",
        "the quota of the Google Cloud project is used up",
        "The project made too many calls in a minute or a day.",
        "Nothing. If it happens often, ask for a larger quota, or find out what else uses the "
        "project.",
    )
    GOOGLE_TOO_EARLY = _Told(
        "throttled",
        "the conversion action is too new",
        "It was created within the last few hours and is not yet known everywhere at Google.",
        "Nothing: it is retried in six hours.",
    )
    GOOGLE_TOKEN_SERVICE_UNREACHABLE = _Told(
        "throttled",
        "Google's token service cannot be reached",
        "No token could be fetched, because there was no response.",
        "If it persists, check that the worker can reach oauth2.googleapis.com.",
    )
    GOOGLE_CREDENTIALS_UNUSABLE = _Told(
        "paused",
        "there is no Google token",
        "The file in GOOGLE_APPLICATION_CREDENTIALS cannot be used, or its key was revoked.",
        "Point GOOGLE_APPLICATION_CREDENTIALS at a valid key of a service account or an "
        "authorized user.",
    )
    GOOGLE_TOKEN_REFUSED = _Told(
        "paused",
        "Google refuses the access token",
        "The token has expired, was revoked or is not from Google.",
        "Use GOOGLE_APPLICATION_CREDENTIALS, whose tokens are renewed; GOOGLE_ACCESS_TOKEN "
        "expires after an hour.",
    )
    GOOGLE_SCOPE_MISSING = _Told(
        "paused",
        "the Google token lacks the scope of the Data Manager API",
        "It was created for another API.",
        "Create it with the scope https://www.googleapis.com/auth/datamanager.",
    )
    GOOGLE_PERMISSION_MISSING = _Told(
        "paused",
        "Google's credentials have no access to the account",
        "The token's owner is not a user of the Google Ads account, or has read-only access.",
        "Add the service account's or the user's e-mail to the Google Ads account with standard "
        "access, and check GOOGLE_ADS_LOGIN_ACCOUNT_ID.",
    )
    GOOGLE_API_NOT_ENABLED = _Told(
        "paused",
        "the Data Manager API is not enabled",
        "The Google Cloud project of the credentials does not use the API, or is not usable.",
        "Enable datamanager.googleapis.com in that project, and check its billing.",
    )
    GOOGLE_TERMS_NOT_SIGNED = _Told(
        "paused",
        "Google's terms have not been accepted",
        "The account has not accepted the customer data terms.",
        "Accept them in Google Ads: Goals, Settings, Enhanced conversions.",
    )
    GOOGLE_ENHANCED_CONVERSIONS_OFF = _Told(
        "paused",
        "enhanced conversions are switched off",
        "Enhanced conversions for leads are off in the account.",
        "Switch them on in Google Ads: Goals, Settings, Enhanced conversions for leads.",
    )
    GOOGLE_POLICY_PROHIBITS = _Told(
        "paused",
        "Google's policy does not allow the account to use enhanced conversions",
        "Because of its business or its history, the account may not use customer data.",
        "Ask Google Ads support; until then unset GOOGLE_ADS_ACCOUNT_ID.",
    )
    GOOGLE_EU_DECLARATION_MISSING = _Told(
        "paused",
        "the declaration on political advertising in the EU is missing",
        "Google requires it from every account.",
        "Make the declaration in Google Ads.",
    )
    GOOGLE_CONVERSION_ACTION_WRONG = _Told(
        "paused",
        "the conversion action is wrong",
        "GOOGLE_CONVERSION_ACTION_ID does not belong to the account, or its type does not accept "
        "such events.",
        "Set GOOGLE_CONVERSION_ACTION_ID to a conversion action of the type Website or Import "
        "that belongs to GOOGLE_ADS_ACCOUNT_ID.",
    )
    GOOGLE_ACCOUNT_WRONG = _Told(
        "paused",
        "the Google Ads account is wrong",
        "GOOGLE_ADS_ACCOUNT_ID does not exist, or GOOGLE_ADS_LOGIN_ACCOUNT_ID does not manage it.",
        "Check both ids, and that the manager account is linked.",
    )
    GOOGLE_NOT_ALLOWLISTED = _Told(
        "paused",
        "the account may not use this feature",
        "Google enables it for selected accounts only.",
        "Ask Google Ads support to add the account.",
    )
    GOOGLE_ATTRIBUTION_DATA_MISSING = _Told(
        "paused",
        "the conversion action expects external attribution",
        "Its events need attribution data from another system, which the pipeline does not send.",
        "Choose a conversion action that Google attributes itself.",
    )
    GOOGLE_CALL_REFUSED = _Told(
        "paused",
        "Google refuses the call, regardless of the event",
        "The problem is the same for every event: the destination, the encoding, or the state of "
        "the account.",
        "Read Google's message and the field that it names; check the GOOGLE_ settings.",
    )
    GOOGLE_EVENT_TOO_OLD = _Told(
        "rejected",
        "Google refuses the event because of its age",
        "It happened before the period in which Google counts conversions.",
        "This event is lost. If it happens often, lower GOOGLE_MAX_AGE_DAYS.",
    )
    GOOGLE_CONSENT_MISSING = _Told(
        "rejected",
        "Google finds no consent",
        "According to Google, the person's consent was denied or not stated.",
        "Make the site write ad_user_data and ad_personalization into the event.",
    )
    GOOGLE_CLICK_UNUSABLE = _Told(
        "rejected",
        "Google cannot use the click id",
        "The click is unknown, malformed, from another account, or later than the conversion.",
        "Check that the site stores gclid, gbraid and wbraid exactly as in the URL, and that the "
        "clicks belong to GOOGLE_ADS_ACCOUNT_ID.",
    )
    GOOGLE_CLICK_TOO_RECENT = _Told(
        "retry",
        "Google does not know the click yet",
        "It takes some hours until Google knows a click.",
        "Nothing: it is retried later.",
    )
    GOOGLE_PERSON_NOT_FOUND = _Told(
        "rejected",
        "Google finds no person for the identifiers",
        "No user matches what was sent.",
        "Nothing, if only some events are affected. Otherwise check the site's e-mail addresses "
        "and phone numbers.",
    )
    GOOGLE_CONVERSION_NOT_FOUND = _Told(
        "rejected",
        "Google finds no conversion to add to",
        "The tag on the page did not report a conversion with this transaction id.",
        "Check that the tag sends the same order id as the event.",
    )
    GOOGLE_EVENT_INVALID = _Told(
        "rejected",
        "Google refuses a field of the event",
        "A field is missing or has a value or a format that Google does not accept.",
        "Look at the field that Google names with `tracking-pipeline explain`; fix it at its "
        "source, or replay with a repair rule.",
    )
    GOOGLE_ORDER_ID_REFUSED = _Told(
        "rejected",
        "Google refuses the event's order id",
        "The id by which Google identifies the conversion has a format that it does not accept. "
        "Ids that consist of digits only are known to be refused.",
        "If all refused ids are numbers, set GOOGLE_TRANSACTION_ID_PREFIX and make the tag on "
        "the page send the same prefix; then replay.",
    )
    GOOGLE_UNKNOWN_REASON = _Told(
        "retry",
        "Google returns an unknown error reason",
        "Google adds reasons; one that is not about the account may be temporary.",
        "Look it up in Google's list of error reasons, and report it so that it can be added.",
    )

    # -- the server container ------------------------------------------------------------------

    GTM_UNAVAILABLE = _Told(
        "retry",
        "the container failed",
        "The container, or the platform that it runs on, answered with a server error.",
        "If it persists, look at the container's logs and its number of instances.",
    )
    GTM_RATE_LIMITED = _Told(
        "throttled",
        "the container asks for fewer requests",
        "It has reached the limit of its plan or of its instances.",
        "Nothing. If it happens often, give it more instances or a larger plan.",
    )
    GTM_ACCESS_DENIED = _Told(
        "paused",
        "the container denies access",
        "Its firewall or its authentication refuses the request.",
        "Allow the worker's IP address, or give the worker access.",
    )
    GTM_REDIRECTS = _Told(
        "paused",
        "the container redirects",
        "GTM_SERVER_URL is not its final URL, or the Data Client answers with a redirect.",
        "Set GTM_SERVER_URL to its final URL, and the Data Client's response status to 200.",
    )
    GTM_PATH_UNKNOWN = _Told(
        "paused",
        "no client of the container claims the request",
        "The path is not the client's, or the client is not published.",
        "Check GTM_SERVER_URL, GTM_SERVER_PROTOCOL and the client's path, and publish the "
        "container.",
    )
    GTM_PREVIEW_TOKEN_REFUSED = _Told(
        "paused",
        "no client claims the request while a preview token is set",
        "With GTM_PREVIEW_TOKEN, requests go to the container's preview, which has ended or has "
        "no such client.",
        "Unset GTM_PREVIEW_TOKEN, or set it to the token of a preview that is currently open.",
    )
    GTM_SINGLE_EVENTS_ONLY = _Told(
        "paused",
        "the Data Client treats a list as one event",
        "Its option for several events is not enabled.",
        'Enable "Accept Multiple Events" in the Data Client, or unset GTM_ACCEPT_MULTIPLE_EVENTS.',
    )
    GTM_EVENT_REFUSED = _Told(
        "rejected",
        "the container refuses the event",
        "The Data Client cannot read it, or it is too large.",
        "Look at the event with `tracking-pipeline explain`, and at the container's logs.",
    )

    # -- LinkedIn ------------------------------------------------------------------------------

    LINKEDIN_TOKEN_REFUSED = _Told(
        "paused",
        "LinkedIn refuses the access token",
        "The token in LINKEDIN_ACCESS_TOKEN has expired, was revoked or is mistyped.",
        "Create a new token with the scopes rw_conversions and r_ads and set "
        "LINKEDIN_ACCESS_TOKEN.",
    )
    LINKEDIN_PERMISSION_MISSING = _Told(
        "paused",
        "LinkedIn's token may not write conversions",
        "Its member has no suitable role in the ad account, or the app lacks the product.",
        "Give the token's member a role in the ad account that may manage conversions, and add "
        "the Conversions API to the app.",
    )
    LINKEDIN_VERSION_ENDED = _Told(
        "paused",
        "the version of LinkedIn's API is no longer available",
        "LinkedIn serves a version for about a year.",
        "Set LINKEDIN_API_VERSION to one that LinkedIn still serves, such as 202608.",
    )
    LINKEDIN_EVENT_REFUSED = _Told(
        "rejected",
        "LinkedIn refuses the event",
        "A field is missing or has a value that LinkedIn does not accept, or its conversion rule "
        "does not belong to the account.",
        "Read LinkedIn's message and look at the event with `tracking-pipeline explain`; check "
        "LINKEDIN_CONVERSION_RULES.",
    )
    LINKEDIN_CALL_REFUSED = _Told(
        "paused",
        "LinkedIn refuses the call, regardless of the event",
        "The error is neither temporary nor about an event.",
        "Read LinkedIn's message; check LINKEDIN_CONVERSION_RULES, LINKEDIN_AD_ACCOUNT_ID and "
        "LINKEDIN_URL.",
    )

    # -- Microsoft -----------------------------------------------------------------------------

    MICROSOFT_TOKEN_REFUSED = _Told(
        "paused",
        "Microsoft refuses the tag's token",
        "The token in MICROSOFT_UET_ACCESS_TOKEN does not belong to the tag, or was replaced.",
        "Copy the tag's token for the Conversions API from Microsoft Advertising into "
        "MICROSOFT_UET_ACCESS_TOKEN.",
    )
    MICROSOFT_PERMISSION_MISSING = _Told(
        "paused",
        "the account may not use Microsoft's Conversions API",
        "Microsoft enables it for individual accounts.",
        "Ask your account manager at Microsoft Advertising for access.",
    )
    MICROSOFT_TAG_UNKNOWN = _Told(
        "paused",
        "Microsoft knows no such tag",
        "MICROSOFT_UET_TAG_ID is not the id of a UET tag.",
        "Copy the tag's id from Microsoft Advertising into MICROSOFT_UET_TAG_ID.",
    )
    MICROSOFT_EVENT_REFUSED = _Told(
        "rejected",
        "Microsoft refuses a field of the event",
        "A field is missing or has a value or a format that Microsoft does not accept.",
        "Read Microsoft's message and look at the event with `tracking-pipeline explain`; fix the "
        "field at its source, or replay with a repair rule.",
    )
    MICROSOFT_CALL_REFUSED = _Told(
        "paused",
        "Microsoft refuses the call, regardless of the event",
        "The error is neither temporary nor about an event.",
        "Read Microsoft's message; check MICROSOFT_UET_TAG_ID and MICROSOFT_UET_ACCESS_TOKEN.",
    )

    # -- TikTok --------------------------------------------------------------------------------

    TIKTOK_UNAVAILABLE = _Told(
        "retry",
        "TikTok has a temporary problem",
        "TikTok's service failed or is not accepting events at the moment.",
        "Nothing. If it persists, look at TikTok's status page.",
    )
    TIKTOK_RATE_LIMITED = _Told(
        "throttled",
        "TikTok's rate limit is reached",
        "The account made too many calls.",
        "Nothing. If it happens often, lower TIKTOK_REQUESTS_PER_SECOND, or find out what else "
        "makes calls.",
    )
    TIKTOK_TOKEN_REFUSED = _Told(
        "paused",
        "TikTok refuses the access token",
        "The token in TIKTOK_ACCESS_TOKEN is mistyped, was revoked or has expired.",
        "Create a new token in TikTok's Events Manager and set TIKTOK_ACCESS_TOKEN.",
    )
    TIKTOK_PERMISSION_MISSING = _Told(
        "paused",
        "TikTok's token may not send these events",
        "The token has no right to the pixel in TIKTOK_PIXEL_CODE.",
        "Let somebody with that right create the token, and set TIKTOK_ACCESS_TOKEN.",
    )
    TIKTOK_PIXEL_UNKNOWN = _Told(
        "paused",
        "TikTok knows no such pixel",
        "TIKTOK_PIXEL_CODE is not the id of one, or the token may not see it.",
        "Copy it from TikTok's Events Manager into TIKTOK_PIXEL_CODE.",
    )
    TIKTOK_EVENT_REFUSED = _Told(
        "rejected",
        "TikTok refuses a field of the event",
        "A field is missing or has a value or a format that TikTok does not accept.",
        "Read TikTok's message and look at the event with `tracking-pipeline explain`; fix the "
        "field at its source, or replay with a repair rule.",
    )
    TIKTOK_CALL_REFUSED = _Told(
        "paused",
        "TikTok refuses the call, regardless of the event",
        "The error is neither temporary nor about an event.",
        "Read TikTok's message; check TIKTOK_PIXEL_CODE and TIKTOK_ACCESS_TOKEN.",
    )

    # -- Pinterest -----------------------------------------------------------------------------

    PINTEREST_UNAVAILABLE = _Told(
        "retry",
        "Pinterest has a temporary problem",
        "Pinterest's service failed or is not accepting events at the moment.",
        "Nothing. If it persists, look at Pinterest's status page.",
    )
    PINTEREST_RATE_LIMITED = _Told(
        "throttled",
        "Pinterest's rate limit is reached",
        "The account made too many calls.",
        "Nothing. If it happens often, lower PINTEREST_REQUESTS_PER_SECOND, or find out what else "
        "makes calls.",
    )
    PINTEREST_TOKEN_REFUSED = _Told(
        "paused",
        "Pinterest refuses the access token",
        "The token in PINTEREST_ACCESS_TOKEN is mistyped, was revoked or has expired.",
        "Create a new token in Pinterest's Ads Manager and set PINTEREST_ACCESS_TOKEN.",
    )
    PINTEREST_PERMISSION_MISSING = _Told(
        "paused",
        "Pinterest's token may not send these events",
        "The token has no right to the ad account in PINTEREST_AD_ACCOUNT_ID.",
        "Let somebody with that right create the token, and set PINTEREST_ACCESS_TOKEN.",
    )
    PINTEREST_ACCOUNT_UNKNOWN = _Told(
        "paused",
        "Pinterest knows no such ad account",
        "PINTEREST_AD_ACCOUNT_ID is not the id of one, or the token may not see it.",
        "Copy it from Pinterest's Ads Manager into PINTEREST_AD_ACCOUNT_ID.",
    )
    PINTEREST_EVENT_REFUSED = _Told(
        "rejected",
        "Pinterest refuses a field of the event",
        "A field is missing or has a value or a format that Pinterest does not accept.",
        "Read Pinterest's message and look at the event with `tracking-pipeline explain`; fix the "
        "field at its source, or replay with a repair rule.",
    )
    PINTEREST_CALL_REFUSED = _Told(
        "paused",
        "Pinterest refuses the call, regardless of the event",
        "The error is neither temporary nor about an event.",
        "Read Pinterest's message; check PINTEREST_AD_ACCOUNT_ID and PINTEREST_ACCESS_TOKEN.",
    )

    # -- Snapchat ------------------------------------------------------------------------------

    SNAPCHAT_TOKEN_REFUSED = _Told(
        "paused",
        "Snapchat refuses the access token",
        "The token in SNAPCHAT_ACCESS_TOKEN is mistyped, was revoked or has expired, or Snapchat "
        "does not read it from a header.",
        "Create a new token in Snapchat's Ads Manager and set SNAPCHAT_ACCESS_TOKEN; if that is "
        "refused too, set SNAPCHAT_TOKEN_IN_URL.",
    )
    SNAPCHAT_PERMISSION_MISSING = _Told(
        "paused",
        "Snapchat's token may not send these events",
        "The token has no right to the pixel in SNAPCHAT_PIXEL_ID.",
        "Let somebody with that right create the token, and set SNAPCHAT_ACCESS_TOKEN.",
    )
    SNAPCHAT_PIXEL_UNKNOWN = _Told(
        "paused",
        "Snapchat knows no such pixel",
        "SNAPCHAT_PIXEL_ID is not the id of one, or the token may not see it.",
        "Copy it from Snapchat's Ads Manager into SNAPCHAT_PIXEL_ID.",
    )
    SNAPCHAT_EVENT_REFUSED = _Told(
        "rejected",
        "Snapchat refuses a field of the event",
        "A field is missing or has a value or a format that Snapchat does not accept.",
        "Read Snapchat's message and look at the event with `tracking-pipeline explain`; fix the "
        "field at its source, or replay with a repair rule.",
    )
    SNAPCHAT_CALL_REFUSED = _Told(
        "paused",
        "Snapchat refuses the call, regardless of the event",
        "The error is neither temporary nor about an event.",
        "Read Snapchat's message; check SNAPCHAT_PIXEL_ID and SNAPCHAT_ACCESS_TOKEN.",
    )

    # -- Reddit --------------------------------------------------------------------------------

    REDDIT_TOKEN_REFUSED = _Told(
        "paused",
        "Reddit refuses the conversion token",
        "The token in REDDIT_ACCESS_TOKEN is mistyped or was revoked.",
        "Create a conversion access token in Reddit's Events Manager and set REDDIT_ACCESS_TOKEN.",
    )
    REDDIT_PERMISSION_MISSING = _Told(
        "paused",
        "Reddit's token may not write to the pixel",
        "The token and the pixel in REDDIT_PIXEL_ID belong to different businesses.",
        "Create the token in the business that owns the pixel, and set REDDIT_ACCESS_TOKEN.",
    )
    REDDIT_PIXEL_UNKNOWN = _Told(
        "paused",
        "Reddit knows no such pixel",
        "REDDIT_PIXEL_ID is not the id of a pixel (which is that of its ad account).",
        "Copy the pixel's id from Reddit's Events Manager into REDDIT_PIXEL_ID.",
    )
    REDDIT_EVENT_REFUSED = _Told(
        "rejected",
        "Reddit refuses a field of the event",
        "A field is missing or has a value or a format that Reddit does not accept.",
        "Read Reddit's message and look at the event with `tracking-pipeline explain`; fix the "
        "field at its source, or replay with a repair rule.",
    )
    REDDIT_OUTCOME_UNKNOWN = _Told(
        "rejected",
        "it is unknown whether Reddit has the event",
        "The request was sent, but no response came back, or the worker died before it did. "
        "Reddit does not de-duplicate server events, so sending it again may count the conversion "
        "twice.",
        "Compare with Reddit's Events Manager and replay the events that are missing there. To "
        "retry such events automatically, set REDDIT_RESEND_IN_DOUBT.",
    )
    REDDIT_CALL_REFUSED = _Told(
        "paused",
        "Reddit refuses the call, regardless of the event",
        "The error is neither temporary nor about an event.",
        "Read Reddit's message; check REDDIT_PIXEL_ID and REDDIT_ACCESS_TOKEN.",
    )

    # -- OpenAI --------------------------------------------------------------------------------

    OPENAI_KEY_REFUSED = _Told(
        "paused",
        "OpenAI refuses the Conversions API key",
        "The key in OPENAI_ADS_API_KEY is mistyped, was revoked, or is one of another API.",
        "Make a Conversions API key in the conversions tab of Ads Manager and set "
        "OPENAI_ADS_API_KEY.",
    )
    OPENAI_PERMISSION_MISSING = _Told(
        "paused",
        "OpenAI's key may not write to the pixel",
        "The key is of another ad account than the pixel in OPENAI_ADS_PIXEL_ID.",
        "Make the key in the ad account that owns the pixel, and set OPENAI_ADS_API_KEY.",
    )
    OPENAI_PIXEL_UNKNOWN = _Told(
        "paused",
        "OpenAI knows no such pixel",
        "OPENAI_ADS_PIXEL_ID is not the id of a pixel.",
        "Copy the pixel's id from the conversions tab of Ads Manager into OPENAI_ADS_PIXEL_ID.",
    )
    OPENAI_EVENT_REFUSED = _Told(
        "rejected",
        "OpenAI refuses a field of the event",
        "A field is missing or has a value or a form that OpenAI does not accept.",
        "Read what OpenAI said and look at the event with `tracking-pipeline explain`; mend the "
        "field at its source, or replay with a repair rule.",
    )
    OPENAI_CALL_REFUSED = _Told(
        "paused",
        "OpenAI refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what OpenAI said; check OPENAI_ADS_PIXEL_ID and OPENAI_ADS_API_KEY.",
    )

    # -- the ledger ----------------------------------------------------------------------------

    LEDGER_UNAVAILABLE = _Told(
        "retry",
        "the database failed or did not answer in time",
        "A temporary problem in PostgreSQL: a lost connection, a lock, a shutdown.",
        "If it persists, look at the database's log.",
    )
    LEDGER_ROW_REFUSED = _Told(
        "rejected",
        "the ledger refuses this row",
        "A constraint, a type or a trigger of wm_event_log refuses a value of the event.",
        "Look up the SQLSTATE; fix the value at its source, or the constraint.",
    )
    LEDGER_TABLE_CHANGED = _Told(
        "paused",
        "the ledger's table has changed",
        "The table wm_event_log, one of its columns or its unique index is missing.",
        "Run `tracking-pipeline migrate`.",
    )
    LEDGER_ACCESS_DENIED = _Told(
        "paused",
        "the pipeline may not write to the ledger",
        "Its role lacks a privilege on wm_event_log, or cannot log in.",
        "Run `tracking-pipeline migrate` as the role that owns the tables, with "
        "TRACKING_WORKER_ROLE set.",
    )

    # -- the pipeline --------------------------------------------------------------------------

    RETRIES_USED_UP = _Told(
        "rejected",
        "all retries are used up",
        "The event has used up its retries and its retry horizon, for more than one reason.",
        "Fix the causes named in its attempts (`tracking-pipeline explain`), then replay it.",
    )
    WORKER_CRASH = _Told(
        "rejected",
        "the event crashes its workers",
        "Several workers in a row died while they held it, the last of them while it held no "
        "other event.",
        "Look at it with `tracking-pipeline explain`, and at the workers' memory; report it.",
    )
    REQUEST_FAILED = _Told(
        "retry",
        "the request ended in an internal error",
        "It is unknown whether the event arrived; it is sent again under the same id.",
        "Report it with the name of the error.",
    )
    SEARCH_INTERRUPTED = _Told(
        "paused",
        "the search for a refused event was interrupted",
        "The run ended or the destination was paused during the search of a refused request.",
        "Nothing: the next run continues.",
    )

    @property
    def code(self) -> str:
        """The public code."""
        return self.name

    @property
    def outcome(self) -> FailureOutcome:
        return self.value.outcome

    @property
    def title(self) -> str:
        return self.value.title

    @property
    def cause(self) -> str:
        return self.value.cause

    @property
    def remedy(self) -> str:
        return self.value.remedy


def failure_of(code: str | None) -> Failure | None:
    """The failure with this public code; None where there is none, as of a later version."""
    return Failure.__members__.get(code) if code else None


_OF_REASONS = {
    "expired": Failure.EVENT_EXPIRED,
    "max_retries": Failure.RETRIES_USED_UP,
    "worker_crash": Failure.WORKER_CRASH,
}


def failure_of_reason(reason: str) -> Failure | None:
    """The failure behind a dead letter's reason, where no code is on record or several are."""
    return _OF_REASONS.get(reason)


def remedy_of(code: str | None) -> str | None:
    """What to do about the failure with this public code."""
    failure = failure_of(code)
    return failure.remedy if failure else None
