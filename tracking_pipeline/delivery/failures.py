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
    "retry": "One retry is spent, and the event waits for its next one; with the last one spent it "
    "becomes a dead letter.",
    "throttled": "Nothing is spent: the whole destination waits until the time that the answer "
    "names.",
    "paused": "Nothing is spent: the destination is paused, one alert is raised, and one event "
    "after another is sent as a probe at growing intervals until one gets through.",
    "rejected": "The event becomes a dead letter at once. Once the cause is mended, "
    "`tracking-pipeline replay` puts it back.",
    "withheld": "The event is settled without being sent. It is no failure: it is counted apart, "
    "and nobody is alarmed.",
    "postponed": "Nothing is spent: the event waits for its time and is looked at again then.",
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
        "Look at it with `tracking-pipeline explain`, and mend what writes the row.",
    )
    EVENT_FIELD_UNREADABLE = _Told(
        "rejected",
        "a field is there and cannot be read",
        "A field that the conversion is known or counted by holds something that is no such "
        "value. It is never replaced by a default.",
        "Mend what writes the field that the reason names, or replay with a repair rule for it.",
    )
    EVENT_FIELD_MISSING = _Told(
        "rejected",
        "a field that the destination requires is missing",
        "The destination accepts no such event without the field that the reason names.",
        "Make the site send the field, or replay with a repair rule that adds it.",
    )
    EVENT_UNIDENTIFIED = _Told(
        "rejected",
        "nothing in the event identifies a person well enough",
        "The event has no customer information that the destination can match on, or only a "
        "combination that it refuses.",
        "Make the site send an e-mail, a phone, a click id or a browser id with the event.",
    )
    EVENT_NAME_REFUSED = _Told(
        "rejected",
        "the destination does not accept the event's name",
        "The name is reserved, too long, or has characters that the protocol does not know.",
        "Rename the event at its source, or replay with a repair rule for its name.",
    )
    EVENT_TOO_LARGE = _Told(
        "rejected",
        "the event is larger than the destination accepts",
        "One event by itself is beyond the limit of a request.",
        "Send fewer products or parameters with the event.",
    )
    EVENT_IN_FUTURE = _Told(
        "rejected",
        "the event's time is too far in the future",
        "The event says that it happens later than FUTURE_EVENTS_WAIT_HOURS from now.",
        "Check the clock and the time zone of what writes the event (SITE_TIMEZONE).",
    )
    EVENT_NOT_DUE = _Told(
        "postponed",
        "the event's own time is still to come",
        "The event says that it happens a little later than now.",
        "Nothing: it is sent when its time has come.",
    )
    EVENT_EXPIRED = _Told(
        "rejected",
        "the event grew too old while it waited",
        "It was not delivered within the age that the destination accepts: the destination was "
        "paused or failing for too long.",
        "Nothing brings this event back. Watch the alert destination_paused, so that the next "
        "pause is shorter.",
    )
    EVENT_EXPIRED_AT_ARRIVAL = _Told(
        "withheld",
        "the event was too old already when it came",
        "It was written into the queue later than the destination's age limit allows.",
        "Nothing, if it was an import of old events; else find what delays the writing.",
    )
    ORDER_REPEATED = _Told(
        "withheld",
        "the order was there before, under another event id",
        "ONCE_AN_ORDER is set, and an earlier event of the same name has the same order id. To the "
        "destination they would be two conversions.",
        "Make the site give an order one event id, in the browser and on the server.",
    )
    PREPARATION_FAILED = _Told(
        "rejected",
        "the event could not be prepared",
        "The pipeline met an error of its own while it read this event.",
        "Report it with the name of the error in the reason; replay the event once it is mended.",
    )

    EVENT_NOT_FOR_DESTINATION = _Told(
        "withheld",
        "the event is none of those that the destination gets",
        "The settings name what the destination gets, and this kind of event is not among it.",
        "Nothing; or name the event in LINKEDIN_CONVERSION_RULES.",
    )

    # -- consent -------------------------------------------------------------------------------

    CONSENT_DENIED = _Told(
        "withheld",
        "the person refused",
        "The event, or what the site keeps of its lead by now, denies a purpose that the "
        "destination needs, or the browser sent Global Privacy Control.",
        "Nothing: that is as the person wants it.",
    )
    CONSENT_NOT_STATED = _Told(
        "withheld",
        "nothing is said of consent",
        "CONSENT_DEFAULT is denied, and neither the event nor its lead says otherwise.",
        "Make the site write the visitor's choice into the event.",
    )
    CONSENT_UNREADABLE = _Told(
        "rejected",
        "what is said of consent cannot be understood",
        "The statement is there, but means neither yes nor no. Where consent is in doubt nothing "
        "is sent.",
        "Mend what writes the statement at the place that the reason names.",
    )
    CONSENT_UNKNOWN = _Told(
        "postponed",
        "what the lead says of consent by now is not known",
        "A replayed event asks for the lead's newest statement, and wm_event_log cannot be read.",
        "Make wm_event_log readable for the pipeline's role: run `tracking-pipeline migrate`.",
    )

    # -- any destination -----------------------------------------------------------------------

    DESTINATION_UNREACHABLE = _Told(
        "retry",
        "no answer came",
        "The connection failed or the answer took too long. The event may have arrived: it is "
        "sent again under the same id.",
        "Mostly nothing. If it stays so, check the address, the network, its DNS and its proxy.",
    )
    DESTINATION_REQUEST_IMPOSSIBLE = _Told(
        "paused",
        "the request cannot be made",
        "The HTTP library refused the request before a byte was sent: an address or a credential "
        "holds something that no request can carry.",
        "Look at the destination's address and credentials in the settings, and set them again.",
    )
    DESTINATION_ANSWER_UNREADABLE = _Told(
        "retry",
        "the answer is not one of the destination's",
        "A web page, an empty body or something too large came back, as from a proxy or a "
        "firewall.",
        "If it stays so, check the address, and what stands between the worker and it.",
    )
    DESTINATION_UNAVAILABLE = _Told(
        "retry",
        "the server failed",
        "The other side answered with a server's error and without words of its own.",
        "Mostly nothing. If it stays so, look at its status page.",
    )
    DESTINATION_RATE_LIMITED = _Told(
        "throttled",
        "too many requests",
        "The other side, or something in front of it, asks everybody to slow down.",
        "Nothing. If it comes often, look for what else uses the same account.",
    )
    DESTINATION_ACCESS_DENIED = _Told(
        "paused",
        "the worker is not let in",
        "An answer of 401 or 403 without the platform's own words: a firewall, a proxy, or "
        "missing authentication.",
        "Let the worker through the firewall or the proxy, and check the destination's token.",
    )
    DESTINATION_ADDRESS_WRONG = _Told(
        "paused",
        "the address is not the destination's",
        "It redirects, or knows no such path.",
        "Check the destination's URL in the settings.",
    )
    DESTINATION_REQUEST_REFUSED = _Told(
        "rejected",
        "the request was refused without a reason",
        "An answer of 400, 413 or 422 without the platform's own words. The request was searched "
        "for the event that draws it.",
        "Look at the event with `tracking-pipeline explain`; check what stands in between.",
    )
    DESTINATION_FAILING = _Told(
        "paused",
        "requests keep failing",
        "Most of the last requests failed, or nothing got through in several runs: only probes are "
        "sent.",
        "The other side fails or cannot be reached, which mostly passes. If it stays so, check "
        "its status page, its address and the network.",
    )
    DESTINATION_REFUSES_EVERYTHING = _Told(
        "paused",
        "every event is refused for one and the same reason",
        "Event after event was refused alone and none was accepted: the events are hardly to "
        "blame.",
        "Check its address, the version of its API and what stands in between.",
    )

    # -- Meta ----------------------------------------------------------------------------------

    META_UNAVAILABLE = _Told(
        "retry",
        "Meta has a passing fault",
        "Meta marks the error as transient, or failed without naming one.",
        "Nothing. If it stays so, look at https://metastatus.com.",
    )
    META_RATE_LIMITED = _Told(
        "throttled",
        "Meta's rate limit is reached",
        "The app, the account or the dataset made more calls than it may.",
        "Nothing. If it comes often, raise the app's access tier, or find what else calls.",
    )
    META_TOKEN_EXPIRED = _Told(
        "paused",
        "Meta's access token has expired",
        "The token in META_ACCESS_TOKEN was made for a limited time, which is over.",
        "Make a system user's token without an end in Meta's Events Manager (Settings, "
        "Conversions API) and set META_ACCESS_TOKEN.",
    )
    META_TOKEN_REFUSED = _Told(
        "paused",
        "Meta refuses the access token",
        "The token in META_ACCESS_TOKEN is not valid: mistyped, revoked, or its user lost the "
        "session by a new password or a security check.",
        "Make a new token in Meta's Events Manager (Settings, Conversions API) and set "
        "META_ACCESS_TOKEN.",
    )
    META_PERMISSION_MISSING = _Told(
        "paused",
        "Meta's token may not write to the dataset",
        "The token's user or app has no right to it, or the app lacks a permission.",
        "Give the token's system user the dataset META_DATASET_ID with the right to manage it, "
        "and the app the permission ads_management.",
    )
    META_APP_SECRET_WRONG = _Told(
        "paused",
        "Meta refuses the proof of the app's secret",
        "The app asks for appsecret_proof, and META_APP_SECRET is missing or not that app's.",
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
        "the version of Meta's API has ended",
        "Meta does not serve META_API_VERSION any more.",
        "Set META_API_VERSION to a version that Meta still serves.",
    )
    META_BLOCKED = _Told(
        "paused",
        "Meta has blocked the account for breaking its rules",
        "Meta deems the calls abusive or otherwise disallowed.",
        "Look in Meta's Business Support Home for what it objects to. Asking again soon makes it "
        "worse.",
    )
    META_EVENT_TOO_OLD = _Told(
        "rejected",
        "Meta refuses the event for its time",
        "It is older than seven days (62 for events in a physical store), or lies in the future.",
        "Check the clock and the time zone of what writes the event; nothing brings back one "
        "that is too old.",
    )
    META_EVENT_UNIDENTIFIED = _Told(
        "rejected",
        "Meta finds too little customer information",
        "The match keys of the event are none that Meta can find a person by.",
        "Make the site send an e-mail, a phone, fbp or fbc with the event.",
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
        "A parameter has a value or a form that Meta does not accept; its own words say which.",
        "Read what Meta said and look at the event with `tracking-pipeline explain`; mend the "
        "field at its source, or replay with a repair rule.",
    )
    META_CALL_REFUSED = _Told(
        "paused",
        "Meta refuses the call, whatever the event",
        "The error is of the type that speaks of the call and its object.",
        "Read what Meta said; check META_DATASET_ID, META_APP_SECRET and META_API_VERSION.",
    )
    META_UNKNOWN_CODE = _Told(
        "paused",
        "Meta names an error that is not known here",
        "What is neither passing nor about a parameter is taken for the call's.",
        "Look the code up in Meta's error reference, and report it, so that it becomes known.",
    )

    # -- Google --------------------------------------------------------------------------------

    GOOGLE_UNAVAILABLE = _Told(
        "retry",
        "Google has a passing fault",
        "Google's service failed or took too long.",
        "Nothing. If it stays so, look at https://status.cloud.google.com.",
    )
    GOOGLE_QUOTA_USED_UP = _Told(
        "throttled",
        "the quota of the Google Cloud project is used up",
        "The project made more calls in a minute or a day than it may.",
        "Nothing. If it comes often, ask for a larger quota, or find what else uses the project.",
    )
    GOOGLE_TOO_EARLY = _Told(
        "throttled",
        "the conversion action is too new",
        "It was created within the last hours and is not yet known everywhere at Google.",
        "Nothing: it is tried again in six hours.",
    )
    GOOGLE_TOKEN_SERVICE_UNREACHABLE = _Told(
        "throttled",
        "Google's token service cannot be reached",
        "No token could be fetched, for want of an answer.",
        "If it stays so, check that the worker reaches oauth2.googleapis.com.",
    )
    GOOGLE_CREDENTIALS_UNUSABLE = _Told(
        "paused",
        "there is no Google token to call with",
        "The file in GOOGLE_APPLICATION_CREDENTIALS cannot be used, or its key was revoked.",
        "Point GOOGLE_APPLICATION_CREDENTIALS at a valid key of a service account or an "
        "authorized user.",
    )
    GOOGLE_TOKEN_REFUSED = _Told(
        "paused",
        "Google refuses the access token",
        "The token is expired, revoked or not Google's.",
        "Use GOOGLE_APPLICATION_CREDENTIALS, whose tokens are renewed; GOOGLE_ACCESS_TOKEN lasts "
        "an hour.",
    )
    GOOGLE_SCOPE_MISSING = _Told(
        "paused",
        "the Google token lacks the scope of the Data Manager API",
        "It was made for another API.",
        "Make it with the scope https://www.googleapis.com/auth/datamanager.",
    )
    GOOGLE_PERMISSION_MISSING = _Told(
        "paused",
        "Google's credentials have no access to the account",
        "Who the token stands for is no user of the Google Ads account, or may only read.",
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
        "terms of Google have not been accepted",
        "The account has not accepted the customer data terms.",
        "Accept them in Google Ads: Goals, Settings, Enhanced conversions.",
    )
    GOOGLE_ENHANCED_CONVERSIONS_OFF = _Told(
        "paused",
        "enhanced conversions are switched off",
        "The account does not take enhanced conversions for leads.",
        "Switch them on in Google Ads: Goals, Settings, Enhanced conversions for leads.",
    )
    GOOGLE_POLICY_PROHIBITS = _Told(
        "paused",
        "Google's policy keeps the account from enhanced conversions",
        "The account's business or record does not allow customer data.",
        "Ask Google Ads support; until then unset GOOGLE_ADS_ACCOUNT_ID.",
    )
    GOOGLE_EU_DECLARATION_MISSING = _Told(
        "paused",
        "the declaration on political advertising in the EU is missing",
        "Google asks every account for it.",
        "Make the declaration in Google Ads.",
    )
    GOOGLE_CONVERSION_ACTION_WRONG = _Told(
        "paused",
        "the conversion action does not fit",
        "GOOGLE_CONVERSION_ACTION_ID is not one of the account's, or of a type that takes no "
        "such events.",
        "Set GOOGLE_CONVERSION_ACTION_ID to a conversion action of the type Website or Import "
        "that belongs to GOOGLE_ADS_ACCOUNT_ID.",
    )
    GOOGLE_ACCOUNT_WRONG = _Told(
        "paused",
        "the Google Ads account does not fit",
        "GOOGLE_ADS_ACCOUNT_ID does not exist, or GOOGLE_ADS_LOGIN_ACCOUNT_ID does not manage it.",
        "Check both ids, and that the manager account is linked.",
    )
    GOOGLE_NOT_ALLOWLISTED = _Told(
        "paused",
        "the account may not use this feature",
        "Google opens it to chosen accounts only.",
        "Ask Google Ads support to add the account.",
    )
    GOOGLE_ATTRIBUTION_DATA_MISSING = _Told(
        "paused",
        "the conversion action expects external attribution",
        "Its events need attribution data of another system, which is not sent.",
        "Choose a conversion action that Google attributes itself.",
    )
    GOOGLE_CALL_REFUSED = _Told(
        "paused",
        "Google refuses the call, whatever the event",
        "What it objects to is the same for every event: the destination, the encoding, the "
        "state of the account.",
        "Read what Google said and the field that it names; check the GOOGLE_ settings.",
    )
    GOOGLE_EVENT_TOO_OLD = _Told(
        "rejected",
        "Google refuses the event for its age",
        "It happened before the window in which Google counts conversions.",
        "Nothing brings this event back. Lower GOOGLE_MAX_AGE_DAYS, if it comes often.",
    )
    GOOGLE_CONSENT_MISSING = _Told(
        "rejected",
        "Google misses consent",
        "The person's consent was denied, not given or not stated, in Google's view.",
        "Make the site write ad_user_data and ad_personalization into the event.",
    )
    GOOGLE_CLICK_UNUSABLE = _Told(
        "rejected",
        "Google cannot use the click id",
        "The click is unknown, malformed, of another account, or later than the conversion.",
        "Check that the site keeps gclid, gbraid and wbraid as they stand in the address, and "
        "that the clicks are those of GOOGLE_ADS_ACCOUNT_ID.",
    )
    GOOGLE_CLICK_TOO_RECENT = _Told(
        "retry",
        "Google does not know the click yet",
        "A click takes some hours to be known.",
        "Nothing: it is tried again later.",
    )
    GOOGLE_PERSON_NOT_FOUND = _Told(
        "rejected",
        "Google finds nobody by the identifiers",
        "No user matches what was sent.",
        "Nothing, if it is some of the events; else check the site's e-mails and phones.",
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
        "A field is missing or has a value or a form that Google does not accept.",
        "Look at the field that Google names with `tracking-pipeline explain`; mend it at its "
        "source, or replay with a repair rule.",
    )
    GOOGLE_ORDER_ID_REFUSED = _Told(
        "rejected",
        "Google refuses the event's order id",
        "The id by which Google would know the conversion has a form that it does not accept. "
        "Ids of digits alone were seen to be refused.",
        "If all refused ids are numbers, set GOOGLE_TRANSACTION_ID_PREFIX and make the tag on "
        "the page send the same prefix; then replay.",
    )
    GOOGLE_UNKNOWN_REASON = _Told(
        "retry",
        "Google names a reason that is not known here",
        "Google adds reasons; one that does not speak of the account may pass.",
        "Look it up in Google's list of error reasons, and report it, so that it becomes known.",
    )

    # -- the server container ------------------------------------------------------------------

    GTM_UNAVAILABLE = _Told(
        "retry",
        "the container failed",
        "The container, or the platform that it runs on, answered with a server's error.",
        "If it stays so, look at the container's logs and its number of instances.",
    )
    GTM_RATE_LIMITED = _Told(
        "throttled",
        "the container asks to slow down",
        "It is at the limit of its plan or of its instances.",
        "Nothing. If it comes often, give it more instances or a larger plan.",
    )
    GTM_ACCESS_DENIED = _Told(
        "paused",
        "the container is closed to this worker",
        "Its firewall or its authentication refuses the request.",
        "Let the worker's address through, or give it access.",
    )
    GTM_REDIRECTS = _Told(
        "paused",
        "the container redirects",
        "GTM_SERVER_URL is not its final address, or the Data Client answers with a redirect.",
        "Set GTM_SERVER_URL to its final address, and the Data Client's response status to 200.",
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
        "With GTM_PREVIEW_TOKEN requests go to the container's preview, which is over or has no "
        "such client.",
        "Unset GTM_PREVIEW_TOKEN, or set it to the token of a preview that is open now.",
    )
    GTM_SINGLE_EVENTS_ONLY = _Told(
        "paused",
        "the Data Client takes a list for one event",
        "Its option for several events is not ticked.",
        'Tick "Accept Multiple Events" in the Data Client, or unset GTM_ACCEPT_MULTIPLE_EVENTS.',
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
        "Make a new token with the scopes rw_conversions and r_ads and set LINKEDIN_ACCESS_TOKEN.",
    )
    LINKEDIN_PERMISSION_MISSING = _Told(
        "paused",
        "LinkedIn's token may not write conversions",
        "Its member has no role in the ad account that lets it, or the app lacks the product.",
        "Give the token's member a role of the ad account that may manage conversions, and the "
        "app the Conversions API.",
    )
    LINKEDIN_VERSION_ENDED = _Told(
        "paused",
        "the version of LinkedIn's API has ended",
        "LinkedIn serves a version for about a year.",
        "Set LINKEDIN_API_VERSION to one that LinkedIn still serves, as in 202608.",
    )
    LINKEDIN_EVENT_REFUSED = _Told(
        "rejected",
        "LinkedIn refuses the event",
        "A field is missing or has a value that LinkedIn does not accept, or its conversion rule "
        "is none of the account's.",
        "Read what LinkedIn said and look at the event with `tracking-pipeline explain`; check "
        "LINKEDIN_CONVERSION_RULES.",
    )
    LINKEDIN_CALL_REFUSED = _Told(
        "paused",
        "LinkedIn refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what LinkedIn said; check LINKEDIN_CONVERSION_RULES, LINKEDIN_AD_ACCOUNT_ID and "
        "LINKEDIN_URL.",
    )

    # -- Microsoft -----------------------------------------------------------------------------

    MICROSOFT_TOKEN_REFUSED = _Told(
        "paused",
        "Microsoft refuses the token of the tag",
        "The token in MICROSOFT_UET_ACCESS_TOKEN is not that of the tag, or was replaced.",
        "Copy the tag's token for the Conversions API from Microsoft Advertising into "
        "MICROSOFT_UET_ACCESS_TOKEN.",
    )
    MICROSOFT_PERMISSION_MISSING = _Told(
        "paused",
        "the account may not use Microsoft's Conversions API",
        "Microsoft opens it account by account.",
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
        "A field is missing or has a value or a form that Microsoft does not accept.",
        "Read what Microsoft said and look at the event with `tracking-pipeline explain`; mend "
        "the field at its source, or replay with a repair rule.",
    )
    MICROSOFT_CALL_REFUSED = _Told(
        "paused",
        "Microsoft refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what Microsoft said; check MICROSOFT_UET_TAG_ID and MICROSOFT_UET_ACCESS_TOKEN.",
    )

    # -- TikTok --------------------------------------------------------------------------------

    TIKTOK_UNAVAILABLE = _Told(
        "retry",
        "TikTok has a passing fault",
        "TikTok's service failed or is not taking events just now.",
        "Nothing. If it stays so, look at TikTok's status page.",
    )
    TIKTOK_RATE_LIMITED = _Told(
        "throttled",
        "TikTok's rate limit is reached",
        "The account made more calls than it may.",
        "Nothing. If it comes often, lower TIKTOK_REQUESTS_PER_SECOND, or find what else calls.",
    )
    TIKTOK_TOKEN_REFUSED = _Told(
        "paused",
        "TikTok refuses the access token",
        "The token in TIKTOK_ACCESS_TOKEN is mistyped, was revoked or has expired.",
        "Make a new token in TikTok's Events Manager and set TIKTOK_ACCESS_TOKEN.",
    )
    TIKTOK_PERMISSION_MISSING = _Told(
        "paused",
        "TikTok's token may not send these events",
        "The token has no right to the pixel in TIKTOK_PIXEL_CODE.",
        "Make the token by somebody with that right, and set TIKTOK_ACCESS_TOKEN.",
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
        "A field is missing or has a value or a form that TikTok does not accept.",
        "Read what TikTok said and look at the event with `tracking-pipeline explain`; mend the "
        "field at its source, or replay with a repair rule.",
    )
    TIKTOK_CALL_REFUSED = _Told(
        "paused",
        "TikTok refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what TikTok said; check TIKTOK_PIXEL_CODE and TIKTOK_ACCESS_TOKEN.",
    )

    # -- Pinterest -----------------------------------------------------------------------------

    PINTEREST_UNAVAILABLE = _Told(
        "retry",
        "Pinterest has a passing fault",
        "Pinterest's service failed or is not taking events just now.",
        "Nothing. If it stays so, look at Pinterest's status page.",
    )
    PINTEREST_RATE_LIMITED = _Told(
        "throttled",
        "Pinterest's rate limit is reached",
        "The account made more calls than it may.",
        "Nothing. If it comes often, lower PINTEREST_REQUESTS_PER_SECOND, or find what else calls.",
    )
    PINTEREST_TOKEN_REFUSED = _Told(
        "paused",
        "Pinterest refuses the access token",
        "The token in PINTEREST_ACCESS_TOKEN is mistyped, was revoked or has expired.",
        "Make a new token in Pinterest's Ads Manager and set PINTEREST_ACCESS_TOKEN.",
    )
    PINTEREST_PERMISSION_MISSING = _Told(
        "paused",
        "Pinterest's token may not send these events",
        "The token has no right to the ad account in PINTEREST_AD_ACCOUNT_ID.",
        "Make the token by somebody with that right, and set PINTEREST_ACCESS_TOKEN.",
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
        "A field is missing or has a value or a form that Pinterest does not accept.",
        "Read what Pinterest said and look at the event with `tracking-pipeline explain`; mend the "
        "field at its source, or replay with a repair rule.",
    )
    PINTEREST_CALL_REFUSED = _Told(
        "paused",
        "Pinterest refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what Pinterest said; check PINTEREST_AD_ACCOUNT_ID and PINTEREST_ACCESS_TOKEN.",
    )

    # -- Snapchat ------------------------------------------------------------------------------

    SNAPCHAT_TOKEN_REFUSED = _Told(
        "paused",
        "Snapchat refuses the access token",
        "The token in SNAPCHAT_ACCESS_TOKEN is mistyped, was revoked or has expired, or is not "
        "read from a header.",
        "Make a new token in Snapchat's Ads Manager and set SNAPCHAT_ACCESS_TOKEN; if a new one is "
        "refused too, set SNAPCHAT_TOKEN_IN_URL.",
    )
    SNAPCHAT_PERMISSION_MISSING = _Told(
        "paused",
        "Snapchat's token may not send these events",
        "The token has no right to the pixel in SNAPCHAT_PIXEL_ID.",
        "Make the token by somebody with that right, and set SNAPCHAT_ACCESS_TOKEN.",
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
        "A field is missing or has a value or a form that Snapchat does not accept.",
        "Read what Snapchat said and look at the event with `tracking-pipeline explain`; mend the "
        "field at its source, or replay with a repair rule.",
    )
    SNAPCHAT_CALL_REFUSED = _Told(
        "paused",
        "Snapchat refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what Snapchat said; check SNAPCHAT_PIXEL_ID and SNAPCHAT_ACCESS_TOKEN.",
    )

    # -- Reddit --------------------------------------------------------------------------------

    REDDIT_TOKEN_REFUSED = _Told(
        "paused",
        "Reddit refuses the conversion token",
        "The token in REDDIT_ACCESS_TOKEN is mistyped or was revoked.",
        "Make a conversion access token in Reddit's Events Manager and set REDDIT_ACCESS_TOKEN.",
    )
    REDDIT_PERMISSION_MISSING = _Told(
        "paused",
        "Reddit's token may not write to the pixel",
        "The token is of another business than the pixel in REDDIT_PIXEL_ID.",
        "Make the token in the business that owns the pixel, and set REDDIT_ACCESS_TOKEN.",
    )
    REDDIT_PIXEL_UNKNOWN = _Told(
        "paused",
        "Reddit knows no such pixel",
        "REDDIT_PIXEL_ID is not the id of a pixel, which is that of its ad account.",
        "Copy the pixel's id from Reddit's Events Manager into REDDIT_PIXEL_ID.",
    )
    REDDIT_EVENT_REFUSED = _Told(
        "rejected",
        "Reddit refuses a field of the event",
        "A field is missing or has a value or a form that Reddit does not accept.",
        "Read what Reddit said and look at the event with `tracking-pipeline explain`; mend the "
        "field at its source, or replay with a repair rule.",
    )
    REDDIT_OUTCOME_UNKNOWN = _Told(
        "rejected",
        "nobody knows whether Reddit has the event",
        "The request was sent and no answer of Reddit's came back, or our worker ended before it "
        "did. Reddit promises to recognise no second request of a server, so sending it again may "
        "count the conversion twice.",
        "Compare with Reddit's Events Manager; replay what is missing there. To have such events "
        "sent again by themselves, set REDDIT_RESEND_IN_DOUBT.",
    )
    REDDIT_CALL_REFUSED = _Told(
        "paused",
        "Reddit refuses the call, whatever the event",
        "The answer is neither passing nor about an event.",
        "Read what Reddit said; check REDDIT_PIXEL_ID and REDDIT_ACCESS_TOKEN.",
    )

    # -- the ledger ----------------------------------------------------------------------------

    LEDGER_UNAVAILABLE = _Told(
        "retry",
        "the database failed or did not answer in time",
        "A passing fault of PostgreSQL: a lost connection, a lock, a shut-down.",
        "If it stays so, look at the database's log.",
    )
    LEDGER_ROW_REFUSED = _Told(
        "rejected",
        "the ledger does not take this row",
        "A constraint, a type or a trigger of wm_event_log refuses a value of the event.",
        "Look the SQLSTATE up; mend the value at its source, or the constraint.",
    )
    LEDGER_TABLE_CHANGED = _Told(
        "paused",
        "the ledger is not as the pipeline knows it",
        "The table wm_event_log, a column of it or its unique index is missing.",
        "Run `tracking-pipeline migrate`.",
    )
    LEDGER_ACCESS_DENIED = _Told(
        "paused",
        "the pipeline may not write the ledger",
        "Its role lacks a right on wm_event_log, or cannot log in.",
        "Run `tracking-pipeline migrate` as the tables' owner, with TRACKING_WORKER_ROLE set.",
    )

    # -- the pipeline --------------------------------------------------------------------------

    RETRIES_USED_UP = _Told(
        "rejected",
        "all retries are spent",
        "The event failed as often, and for as long, as it may, and not for one reason alone.",
        "Mend what its attempts name (`tracking-pipeline explain`), then replay it.",
    )
    WORKER_CRASH = _Told(
        "rejected",
        "the event takes its workers down",
        "Workers were lost again and again while they held it, the last one while it held no "
        "other.",
        "Look at it with `tracking-pipeline explain`, and at the workers' memory; report it.",
    )
    REQUEST_FAILED = _Told(
        "retry",
        "the request ended in an error of the pipeline's own",
        "Nobody knows whether the event arrived: it is sent again under the same id.",
        "Report it with the name of the error.",
    )
    SEARCH_INTERRUPTED = _Told(
        "paused",
        "the search for a refused event was interrupted",
        "The run ended or the destination closed while a refused request was searched.",
        "Nothing: the next run goes on.",
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
