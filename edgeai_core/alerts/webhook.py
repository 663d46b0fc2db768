"""One event as a webhook carries it: a CloudEvents 1.0 body under a Standard Webhooks signature.

CloudEvents: https://github.com/cloudevents/spec, structured content mode; the extension ``sequence`` orders the
events of one ``source``. Standard Webhooks: https://www.standardwebhooks.com; ``webhook-id`` is the event's own id,
the same at every repeat, so that a receiver can tell one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from cloudevents.core.bindings.http import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook

from edgeai_core.alerts.alert import AlertEvent


@dataclass(frozen=True)
class Message:
    """What is posted: ``headers`` hold the signature over ``body``."""

    id: str
    body: bytes
    headers: dict[str, str]


def message(event: AlertEvent, journal: str, device: str, secrets: Sequence[str], now: datetime) -> Message:
    """Return an event as it is sent at ``now`` (aware, UTC). ``journal`` is the journal's identity.

    The id is unique for ever: another journal of this device, after the first was lost, has another identity.
    """
    cloud_event = CloudEvent(
        {
            "specversion": "1.0",
            "id": f"{journal}-{event.sequence}",
            "source": f"/edgeai/devices/{quote(device, safe='')}",
            "type": f"edgeai.alert.{event.kind}",
            "subject": event.alert.id,
            "time": datetime.fromisoformat(event.at),
            "datacontenttype": "application/json",
            "sequence": f"{event.sequence:020d}",
        },
        event.to_json(),
    )
    return _signed(cloud_event, secrets, now)


def ping(device: str, id: str, secrets: Sequence[str], now: datetime) -> Message:
    """Return a message that says nothing but that it arrives."""
    attributes = {
        "specversion": "1.0",
        "id": id,
        "source": f"/edgeai/devices/{quote(device, safe='')}",
        "type": "edgeai.ping",
        "time": now,
        "datacontenttype": "application/json",
    }
    return _signed(CloudEvent(attributes, {"device": device}), secrets, now)


def _signed(event: CloudEvent, secrets: Sequence[str], now: datetime) -> Message:
    structured = to_structured(event, JSONFormat())
    body = structured.body.decode()
    utc = now.astimezone(UTC)
    signatures = [Webhook(secret).sign(event.get_id(), utc, body) for secret in secrets]
    return Message(
        event.get_id(),
        structured.body,
        {
            **structured.headers,
            "webhook-id": event.get_id(),
            "webhook-timestamp": str(int(utc.timestamp())),
            "webhook-signature": " ".join(signatures),
        },
    )
