"""What queues, change feeds, job runners, gateways and HTTP clients put an event into.

As their own pages show them. Each has an id, a time, a name or an address of its own, which are not
the event's, and some carry a secret.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

SECRET = "EAAB-made-up-secret-0123456789"
"""What none of the envelopes may let out."""
_UUID = "5a2b8e44-1111-4222-8333-444455556666"
# Half an hour before the row is looked at; the event is older.
_THEN = 1_795_519_800
_ISO = "2026-11-24T11:30:00Z"
_HEADERS = {
    "authorization": f"Bearer {SECRET}",
    "content-type": "application/json",
    "cookie": f"session={SECRET}",
}

Envelope = Callable[[Any], Any]


def _text(event: Any) -> str:
    return json.dumps(event)


def _base64(event: Any) -> str:
    return base64.b64encode(json.dumps(event).encode()).decode()


ENVELOPES: dict[str, Envelope] = {
    "SQS": lambda event: {
        "Records": [
            {
                "messageId": _UUID,
                "receiptHandle": "AQEB-made-up",
                "body": _text(event),
                "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": f"{_THEN}000"},
                "messageAttributes": {},
                "md5OfBody": "0cc175b9c0f1b6a831c399e269772661",
                "awsRegion": "eu-central-1",
            }
        ]
    },
    "SNS": lambda event: {
        "Type": "Notification",
        "MessageId": _UUID,
        "TopicArn": "arn:aws:sns:eu-central-1:123456789012:conversions",
        "Subject": "A conversion",
        "Message": _text(event),
        "Timestamp": _ISO,
        "SignatureVersion": "1",
        "Signature": SECRET,
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
    },
    "SNS by way of SQS": lambda event: {
        "Records": [{"messageId": _UUID, "body": _text(ENVELOPES["SNS"](event))}]
    },
    "EventBridge": lambda event: {
        "version": "0",
        "id": _UUID,
        "detail-type": "ConversionFailed",
        "source": "shop.orders",
        "account": "123456789012",
        "time": _ISO,
        "region": "eu-central-1",
        "resources": [],
        "detail": event,
    },
    "Pub/Sub push": lambda event: {
        "message": {
            "data": _base64(event),
            "attributes": {"origin": "shop"},
            "messageId": "2070443601311540",
            "publishTime": _ISO,
        },
        "subscription": "projects/shop/subscriptions/conversions",
    },
    "Kinesis": lambda event: {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "1",
                    "sequenceNumber": "4959033827149025660855969253836157109592157598913658",
                    "data": _base64(event),
                    "approximateArrivalTimestamp": _THEN,
                },
                "awsRegion": "eu-central-1",
            }
        ]
    },
    "Supabase webhook": lambda event: {
        "type": "INSERT",
        "table": "orders",
        "schema": "public",
        "record": event,
        "old_record": None,
    },
    "Supabase webhook of a queue's row": lambda event: {
        "type": "UPDATE",
        "table": "outbox",
        "schema": "public",
        "record": {"id": 17, "status": "failed", "created_at": _ISO, "payload": event},
        "old_record": {"id": 17, "status": "new", "created_at": _ISO, "payload": event},
    },
    "Debezium": lambda event: {
        "schema": {"type": "struct", "name": "shop.public.orders.Envelope"},
        "payload": {
            "before": None,
            "after": event,
            "source": {
                "connector": "postgresql",
                "name": "shop",
                "ts_ms": _THEN,
                "table": "orders",
            },
            "op": "c",
            "ts_ms": _THEN * 1000,
        },
    },
    "MongoDB change stream": lambda event: {
        "_id": {"_data": "8263", "_typeBits": "gg"},
        "operationType": "insert",
        "clusterTime": {"$timestamp": {"t": _THEN, "i": 1}},
        "ns": {"db": "shop", "coll": "orders"},
        "documentKey": {"_id": {"$oid": "65541f1e8d1c4b0001a1b2c3"}},
        "fullDocument": event,
    },
    "Hasura event trigger": lambda event: {
        "event": {"op": "INSERT", "data": {"old": None, "new": event}, "session_variables": {}},
        "created_at": _ISO,
        "id": _UUID,
        "trigger": {"name": "send_conversion"},
        "table": {"schema": "public", "name": "orders"},
        "delivery_info": {"current_retry": 2, "max_retries": 3},
    },
    "BullMQ": lambda event: {
        "id": "42",
        "name": "send-capi",
        "data": event,
        "opts": {"attempts": 3, "backoff": {"type": "exponential", "delay": 1000}},
        "timestamp": _THEN * 1000,
        "attemptsMade": 3,
        "processedOn": _THEN * 1000,
        "failedReason": "Request failed with status code 500",
    },
    "Sidekiq": lambda event: {
        "class": "SendConversionJob",
        "args": [event],
        "jid": "b4a577edbccf1d805744efa9",
        "queue": "default",
        "created_at": _THEN,
        "enqueued_at": _THEN,
        "retry": True,
        "error_message": "Net::ReadTimeout",
    },
    "Celery, by keyword": lambda event: {
        "task": "shop.tasks.send_conversion",
        "id": _UUID,
        "args": [],
        "kwargs": {"event": event},
        "retries": 2,
        "eta": None,
    },
    "Celery, protocol 2": lambda event: [
        [event],
        {},
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
    ],
    "pg-boss": lambda event: {
        "id": _UUID,
        "name": "capi",
        "state": "failed",
        "retrylimit": 3,
        "createdon": _ISO,
        "data": event,
        "output": {"message": "fetch failed"},
    },
    "Graphile Worker": lambda event: {
        "id": "11",
        "task_identifier": "send_conversion",
        "payload": event,
        "run_at": _ISO,
        "attempts": 25,
    },
    "axios error": lambda event: {
        "message": "Request failed with status code 400",
        "name": "AxiosError",
        "code": "ERR_BAD_REQUEST",
        "config": {
            "url": f"https://graph.facebook.com/v21.0/1/events?access_token={SECRET}",
            "method": "post",
            "headers": _HEADERS,
            "data": _text({"data": [event], "access_token": SECRET}),
        },
        "response": {"status": 400, "data": {"error": {"message": "Invalid parameter"}}},
    },
    "stored fetch": lambda event: {
        "url": f"https://graph.facebook.com/v21.0/1/events?access_token={SECRET}",
        "method": "POST",
        "headers": [["Authorization", f"Bearer {SECRET}"], ["Cookie", f"session={SECRET}"]],
        "body": _text({"data": [event]}),
    },
    "form-encoded body": lambda event: {
        "method": "POST",
        "path": "/v21.0/1/events",
        "body": urlencode({"data": json.dumps([event]), "access_token": SECRET}),
    },
    "API Gateway": lambda event: {
        "resource": "/conversions",
        "path": "/conversions",
        "httpMethod": "POST",
        "headers": _HEADERS,
        "queryStringParameters": None,
        "requestContext": {"requestId": _UUID, "stage": "prod", "requestTimeEpoch": _THEN},
        "body": _text(event),
        "isBase64Encoded": False,
    },
    "API Gateway, base64": lambda event: {
        "version": "2.0",
        "rawPath": "/conversions",
        "headers": _HEADERS,
        "body": _base64(event),
        "isBase64Encoded": True,
    },
    "n8n webhook": lambda event: [
        {
            "headers": _HEADERS,
            "params": {},
            "query": {},
            "body": event,
            "webhookUrl": "https://n8n.shop.example/webhook/conversions",
            "executionMode": "production",
        }
    ],
    "n8n item": lambda event: [{"json": event, "pairedItem": {"item": 0}}],
    "Kafka Connect": lambda event: {
        "topic": "conversions",
        "partition": 3,
        "offset": 1_234,
        "timestamp": _THEN * 1000,
        "key": _UUID,
        "value": _text(event),
        "headers": [],
    },
    "Kafka REST proxy": lambda event: {"records": [{"key": None, "value": event}]},
    "RabbitMQ": lambda event: {
        "payload_bytes": 512,
        "redelivered": True,
        "exchange": "shop",
        "routing_key": "conversion",
        "payload": _text(event),
        "payload_encoding": "string",
    },
    "CloudEvents": lambda event: {
        "specversion": "1.0",
        "id": _UUID,
        "source": "/shop/orders",
        "type": "example.shop.conversion",
        "time": _ISO,
        "datacontenttype": "application/json",
        "data": event,
    },
    "Cloudflare Queues": lambda event: {
        "queue": "conversions",
        "messages": [{"id": "3", "timestamp": _ISO, "attempts": 2, "body": event}],
    },
    "Azure Service Bus": lambda event: {
        "messageId": _UUID,
        "enqueuedTimeUtc": _ISO,
        "deliveryCount": 10,
        "deadLetterReason": "MaxDeliveryCountExceeded",
        "body": event,
    },
}
"""Each takes an event, of any form, and gives what is stored."""


WRITINGS: dict[str, Envelope] = {
    "an object": lambda event: event,
    "JSON text": _text,
    "JSON text in JSON text": lambda event: json.dumps(json.dumps(event)),
    "indented JSON text": lambda event: json.dumps(event, indent=2),
    "a list of one": lambda event: [event],
    "a list with JSON text": lambda event: [json.dumps(event)],
}
"""How one event may be written down, with nothing around it."""
