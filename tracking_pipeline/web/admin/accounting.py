"""Did the conversions arrive: ``GET /functions/v1/admin-delivery-accounting``."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from tracking_pipeline.delivery.destinations.registry import DESTINATIONS, DestinationName
from tracking_pipeline.events.policy import reading_policy
from tracking_pipeline.health.view.accounting import account_for, accounting_json
from tracking_pipeline.web.admin.health import LONGEST_DAYS, Day, moment_of
from tracking_pipeline.web.context import Context
from tracking_pipeline.web.errors import ApiError
from tracking_pipeline.wiring.health import health_config

accounting_router = APIRouter(tags=["health"])

# So long an answer waits for what has changed since the last check to be counted.
BUDGET_SECONDS = 3.0


class DeliveredAnswer(BaseModel):
    """What was delivered, by how. Those with a warning, or settled by hand, are in no other."""

    total: int
    first_try: int = Field(description="At the first attempt.")
    retry: int = Field(description="After one that failed.")
    warning: int = Field(description="The destination warned of a part of the event.")
    by_hand: int = Field(description="Somebody settled it.")
    matched_nobody: int | None = Field(
        description="Of them all, so many matched nobody; null: the platform does not tell."
    )


class AccountingLine(BaseModel):
    """`conversions` is the sum of all the others but `should_have_been`."""

    conversions: int = Field(description="Conversions in the ledger.")
    delivered: DeliveredAnswer
    assumed_delivered: int = Field(
        description="The site sends first attempts itself, and reported no failure of these."
    )
    waiting: int
    dead: int = Field(description="Given up: dead letters.")
    never_handed_over: int = Field(description="Nobody has tried, and nothing says why.")
    withheld: int = Field(description="Kept back by the person's refusal or the site's rules.")
    difference: int = Field(description="Not counted yet.")
    should_have_been: int = Field(description="What should have been delivered.")


class EventLine(AccountingLine):
    """The accounting of one event name on one day (UTC)."""

    day: date
    event_name: str


class ReasonAnswer(BaseModel):
    """Why so many are not delivered."""

    became: str = Field(description="`waiting`, `dead`, `withheld` or `never_handed_over`.")
    kind: str | None = Field(
        description="Of withheld events: `consent`, `age` or `not for this destination`."
    )
    reason: str
    events: int
    samples: list[str] = Field(description="Ids of up to ten of them, for admin-explain-event.")


class FunnelStep(BaseModel):
    """One step from received to matched."""

    step: str
    events: int | None = Field(description="Null: the platform does not tell.")
    previous: int | None = Field(description="Of the equal period before.")
    change_percent: float | None


class Worth(BaseModel):
    """What conversions are worth."""

    amount: float
    currency: str = Field(description="The site's own: that of most values.")
    estimated: int = Field(description="Events that took the median value of their name.")
    unpriced: int = Field(description="Events of whose name no value is known.")
    other: dict[str, float] = Field(description="Amounts in other currencies.")


class DestinationAccounting(AccountingLine):
    """One destination over the whole window."""

    delivered_percent: float | None = Field(description="Delivered of what should have been.")
    previous_percent: float | None
    change_points: float | None
    reasons: list[ReasonAnswer]
    funnel: list[FunnelStep]
    at_risk: Worth = Field(description="Of what did not arrive.")
    saved: Worth = Field(description="Of what a retry delivered.")
    not_in_ledger: dict[str, int] = Field(
        description="Failed events beside these whose conversions are not in the ledger."
    )
    by_event: list[EventLine]


class ConsentLine(BaseModel):
    """What was said of consent to advertising."""

    day: date
    event_name: str
    granted: int
    refused: int
    unknown: int


class RepeatedOrderAnswer(BaseModel):
    """One order that came under several event ids of one name."""

    order_id: str
    event_name: str
    event_ids: list[str]
    first_at: datetime
    last_at: datetime


class RepeatedOrders(BaseModel):
    """How many there are, and those that came last."""

    count: int
    orders: list[RepeatedOrderAnswer]


class KeyFeedbackAnswer(BaseModel):
    """What Meta says of the deduplication of one event name by one key, in percent."""

    event_name: str
    key: str = Field(description="`event_id`, `external_id` or `fbp`.")
    browser_percent: float | None = Field(description="The pixel's events that carry the key.")
    server_percent: float | None = Field(description="The server's events that carry it.")
    covered_percent: float | None = Field(
        description="The pixel's events with a server event under the same one."
    )


class DeduplicationAnswer(BaseModel):
    """How the browser's events and the server's meet, by those who see a part of it."""

    orders: int = Field(description="Orders with an event in the window.")
    orders_under_one_id: int
    one_id_percent: float | None = Field(
        description="An upper bound: an order that one side alone reported counts as one of these."
    )
    meta: list[KeyFeedbackAnswer]
    google_events: int = Field(description="Events in requests that Google has taken.")
    google_duplicates: int = Field(
        description="Those that it had already: from the tag on the page or an earlier try."
    )


class DeliveryAccountingAnswer(BaseModel):
    """What became of the ledger's conversions."""

    success: bool = Field(True, description="Always true.")
    since: datetime
    until: datetime
    counted_at: datetime | None = Field(description="Null: never yet.")
    hours_left: int = Field(description="Hours that are still to be counted.")
    destinations: dict[str, DestinationAccounting]
    consent: list[ConsentLine]
    deduplication: DeduplicationAnswer
    repeated_orders: RepeatedOrders


@accounting_router.get("/admin-delivery-accounting", response_model=DeliveryAccountingAnswer)
async def delivery_accounting(
    context: Context,
    since: Day = None,
    until: Day = None,
    destination: Annotated[
        DestinationName | None, Query(description="Only this destination.")
    ] = None,
) -> DeliveryAccountingAnswer:
    """What became of the ledger's conversions at each destination, and why.

    A day as `until` is included; days and times without a zone are those of `SITE_TIMEZONE`. The
    window is that of the full hours (UTC) that these are in. Without dates: the last 7 days.
    """
    zone = reading_policy(context.settings).zone or timezone.utc
    begin, end = moment_of(since, zone), moment_of(until, zone, is_end=True)
    now = datetime.now(timezone.utc)
    if begin is not None and min(end or now, now) - begin > timedelta(days=LONGEST_DAYS):
        raise ApiError(422, f"the window may be {LONGEST_DAYS} days at most")
    config = health_config(context.settings)
    wanted = [destination] if destination else DESTINATIONS
    found = await context.query(
        lambda connection: account_for(
            connection, config, begin, end, wanted, time_budget_seconds=BUDGET_SECONDS
        )
    )
    if found is None:
        raise ApiError(422, "since must be before until and before now")
    return DeliveryAccountingAnswer.model_validate(accounting_json(found))
