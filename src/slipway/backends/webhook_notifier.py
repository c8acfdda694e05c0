"""Messages as JSON to an address of one's own, signed, each with a key by which the far side knows a repeat.

The signature is HMAC-SHA256 over the time, a dot and the body, so that what somebody overheard cannot be sent again later.

Source: RFC 2104; the header Idempotency-Key as draft-ietf-httpapi-idempotency-key-header describes it.
"""

import hmac
import time
from collections.abc import Callable

import msgspec

from slipway.backends.posted_json import post
from slipway.ports.notifier import Message, Outcome
from slipway.ports.secrets import read_secret
from slipway.records.notifications import ChannelSettings

__all__ = ["KEY_HEADER", "SIGNATURE_HEADER", "WebhookNotifier", "signature"]

KEY_HEADER = "idempotency-key"
SIGNATURE_HEADER = "slipway-signature"


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of the header that signs a body: "t=1700000000,v1=<hex>".

    Args:
        secret: What both sides know.
        at: When it is sent, seconds since the epoch.
        body: The request's.
    """
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    return f"t={at},v1={signed}"


class WebhookNotifier:
    """See `Notifier`. The key is the header Idempotency-Key, and stands in the body.

    Args:
        settings: Of the channel.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    @property
    def repeats_are_harmless(self) -> bool:
        """See `Notifier.repeats_are_harmless`: the far side drops a key that it has had."""
        return True

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        """See `Notifier.send`."""
        said = {"key": message.key, "level": message.level, "subject": message.subject, "text": message.text}
        body = msgspec.json.encode({**said, **message.facts})
        headers = {KEY_HEADER: message.key}
        if self._settings.secret:
            headers[SIGNATURE_HEADER] = signature(read_secret(self._settings.secret), int(time.time()), body)
        return post(read_secret(self._settings.url), body, headers, handing_over)
