"""Messages on the standard error stream of whoever sends: for a terminal, and for what collects a service's log."""

import sys
from collections.abc import Callable

from slipway.ports.notifier import Message, Outcome
from slipway.records.notifications import ChannelSettings

__all__ = ["ConsoleNotifier"]


class ConsoleNotifier:
    """See `Notifier`.

    Args:
        settings: Of the channel; nothing of it is needed.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    @property
    def repeats_are_harmless(self) -> bool:
        """See `Notifier.repeats_are_harmless`."""
        return False

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        """See `Notifier.send`."""
        handing_over()
        indented = message.text.strip().replace("\n", "\n  ")
        print(f"[{message.level}] {message.subject}\n  {indented}", file=sys.stderr, flush=True)
        return Outcome("taken")
