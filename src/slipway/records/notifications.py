"""What leaves the store to tell people: the outbox, one delivery a channel, and where channels lead."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.record import Record

__all__ = [
    "CHANNELS",
    "LEVELS",
    "ChannelSettings",
    "Delivery",
    "Hold",
    "Level",
    "Notification",
    "NotifySettings",
    "Occasion",
]

Level = Literal["page", "alert", "note"]
LEVELS: tuple[Level, ...] = ("page", "alert", "note")
"""How loud: a page is for service and money, an alert for what must be looked at, a note for the day's digest."""

CHANNELS = ("console", "mail", "webhook", "slack", "apprise")
"""The kinds of channels, by the names of their backends."""

Occasion = Literal["opened", "escalated", "snooze ended", "closed", "digest", "test", "business"]


class ChannelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section `[notify.channels.NAME]`.

    Args:
        kind: "console", "mail", "webhook", "slack" (and what takes the same, such as Mattermost), "apprise", or the name of an
            entry point of the group `slipway.notifier`.
        levels: What it is told: "page" is for service and money, "alert" for all other incidents, "note" for the digest.
        url: Of a webhook, of Slack or of apprise: "env:NAME" or "file:/path" where the address itself is the secret.
        secret: Of a webhook: where the secret is kept by which requests are signed, "env:NAME" or "file:/path".
        host: The mail server.
        port: Its port, 0 for the usual one: 465 for "tls", 587 for "starttls", 25 for "none".
        security: How the way to the mail server is protected: "starttls", "tls", or "none" for one on this machine.
        user: The account there, "" for none.
        password: Where its password is kept: "env:NAME" or "file:/path".
        sender: The address that mail comes from.
        to: Who is written to where an incident's people have no address, and who receives the digest.
    """

    kind: str
    levels: tuple[Level, ...] = LEVELS
    url: str = ""
    secret: str = ""
    host: str = ""
    port: int = 0
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    sender: str = ""
    to: str | tuple[str, ...] = ()


class NotifySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[notify]`: how people are told of incidents. Without channels nothing leaves the store.

    Args:
        address: Where the server answers, for links: "https://slipway.example.org"; "" leaves links relative.
        escalate: After how long without anybody acknowledging it who is accountable is told: "4h".
        escalate_pages: The same for service and money: "30m".
        cooldown: What comes back within this time after it was closed goes on as the same incident: "3d".
        hold: For how long repeats of what was judged noise or known are held back: "30d"; said again, twice as long, up to
            eight times.
        digest: At which hour, UTC, the day's digest is made, 0 to 23.
        channels: By name, each a section `[notify.channels.NAME]`.
    """

    address: str = ""
    escalate: str = "4h"
    escalate_pages: str = "30m"
    cooldown: str = "3d"
    hold: str = "30d"
    digest: int = 7
    channels: dict[str, ChannelSettings] = {}


class Notification(Record, frozen=True, kw_only=True, tag="notification"):
    """One occasion to tell people, written in the transaction of what happened; name: the occasion.

    Id: a digest of project and occasion, so that there is one however many look.

    Args:
        parent_id: What it is about, as a node: `incident:...`, `digest:<day>`.
        state: "due" until it is made into deliveries, then "routed"; "kept" where no channel takes it, or it is no news any
            more.
        level: How loud.
        people: Whom it is for, by name.
        sentence: In words.
        beside: Incidents that it tells of too, by id: many of one kind in one look are one message.
        within: The id of the notification that tells of it, "" for itself.
        to: Addresses that it is for: then it goes by one channel of mail, and to nobody else.
    """

    parent_id: str
    state: Literal["due", "routed", "kept"] = "due"
    level: Level = "alert"
    people: tuple[str, ...] = ()
    sentence: str = ""
    beside: tuple[str, ...] = ()
    within: str = ""
    to: tuple[str, ...] = ()


class Delivery(Record, frozen=True, kw_only=True, tag="delivery"):
    """One message by one channel; name: the channel's. Id: a digest of notification and channel; it goes along as the key.

    Args:
        parent_id: The notification's id.
        state: "due"; "sending" while somebody has claimed it; "handing over" from the moment on after which the far side
            may have it; then "sent". "refused": the far side does not take it, or it cannot be sent. "uncertain": whoever
            handed it over was killed or cut off, and what repeats nothing by itself is not sent again.
        about: What it is about, as a node.
        level: How loud.
        to: Addresses, of mail.
        subject: One line.
        text: The whole message.
        facts: The same as plain values, for programs.
        attempts: How often it was tried.
        not_before: Machine time before which it is not tried again, None for at once.
        problem: Why the last attempt failed, without secrets.
        sent_at: Machine time at which the far side took it.
    """

    parent_id: str
    state: Literal["due", "sending", "handing over", "sent", "refused", "uncertain"] = "due"
    about: str = ""
    level: Level = "alert"
    to: tuple[str, ...] = ()
    subject: str
    text: str
    facts: dict[str, Any] = {}
    attempts: int = 0
    not_before: datetime | None = None
    problem: str = ""
    sent_at: datetime | None = None


class Hold(Record, frozen=True, kw_only=True, tag="hold"):
    """Repeats of one cause that are held back since somebody judged it; name: the kind of cause. Id: a digest of the key.

    Args:
        parent_id: `<project>/<endpoint>`.
        about: What the cause is about.
        word: "noise" or "known".
        by: Who said so.
        until: It lapses then, business time.
        value: The figure that was judged, None where there was none: a cause that is clearly greater is told all the same.
        incident_id: Of which incident it was said.
        repeats: How many incidents were held back by it so far.
        times: How often in a row the cause was judged so: each time holds twice as long as the one before.
    """

    parent_id: str
    about: str = ""
    word: Literal["noise", "known"]
    by: str
    until: datetime
    value: float | None = None
    incident_id: str = ""
    repeats: int = 0
    times: int = 1
