"""Settings: how the store and a project are set up, where each value comes from, and never a secret."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Empty, Operation

__all__ = ["Channel", "Setting", "Settings", "operations"]


class Setting(Struct, frozen=True, kw_only=True):
    """One value.

    Args:
        section: Where it belongs: "Environment", "Backends", "Retention", "Costs", "Notifications", "Audit", "Limits".
        name: What it is, in words.
        value: As a person reads it; a secret only by the place where it is kept.
        source: The file and key, or the command, that says so.
        is_default: Whether nobody said anything else.
    """

    section: str
    name: str
    value: str
    source: str
    is_default: bool = False


class Channel(Struct, frozen=True, kw_only=True):
    """A channel by which people are told.

    Args:
        name: Its name.
        kind: "mail", "slack", ...
        levels: What it is told.
        target: Where it leads, without anything secret.
        state: What became of the last message, "" where none was sent yet.
        problem: Why that failed.
        at: When that was made.
    """

    name: str
    kind: str
    levels: tuple[str, ...]
    target: str
    state: str = ""
    problem: str = ""
    at: datetime | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """All values by section, and the channels."""

    settings: tuple[Setting, ...]
    channels: tuple[Channel, ...] = ()


operations = (
    Operation(
        name="settings.get",
        summary="Say how the store and the project are set up, and where each value comes from.",
        permission="settings.read",
        request=Empty,
        response=Settings,
        body="slipway.flows.settings_shown:get_settings",
    ),
)
