"""What leads people without an account to a model's business page: links, and the weekly mail."""

from datetime import datetime
from typing import Literal

from slipway.records.record import Record

__all__ = ["WEEKDAYS", "BusinessMail", "SharedPage"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
"""The days of a week, in the order in which they are counted from 0."""


class SharedPage(Record, frozen=True, kw_only=True, tag="shared_page"):
    """A link that shows one model's business page, and nothing else, to whoever has it; name: the model's.

    Args:
        parent_id: `<project>/<model>`.
        secret: The digest of the secret: a secret has 256 random bits, so a plain digest cannot be turned around.
        label: Whom it is for.
        expires_at: When it ends.
        made_by: Who made it.
        revoked_at: Since when it shows nothing any more, None while it does.
        revoked_by: Who ended it.
        first_used_at: When it was opened first, None for never.
        used_at: When it was last opened, to the hour; None for never.
    """

    parent_id: str
    secret: str
    label: str = ""
    expires_at: datetime
    made_by: str
    revoked_at: datetime | None = None
    revoked_by: str = ""
    first_used_at: datetime | None = None
    used_at: datetime | None = None


class BusinessMail(Record, frozen=True, kw_only=True, tag="business_mail"):
    """That a model's business page goes out by mail each week. Id: `<project>/<model>`; name: the model's.

    Args:
        state: "off" sends nothing.
        to: The addresses.
        weekday: On which day, 0 for Monday.
        hour: At which hour, UTC.
        since: When it was set like this: what was due before is not sent.
        set_by: Who set it.
    """

    state: Literal["on", "off"] = "on"
    to: tuple[str, ...] = ()
    weekday: int = 0
    hour: int = 7
    since: datetime
    set_by: str
