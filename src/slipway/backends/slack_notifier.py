"""Messages to an incoming webhook of Slack, and of what takes the same JSON: Mattermost, Rocket.Chat, Discord's `/slack`."""

from collections.abc import Callable

import msgspec

from slipway.backends.posted_json import post
from slipway.ports.notifier import Message, Outcome
from slipway.ports.secrets import read_secret
from slipway.records.notifications import ChannelSettings

__all__ = ["SlackNotifier"]

_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class SlackNotifier:
    """See `Notifier`.

    Args:
        settings: Of the channel.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    @property
    def repeats_are_harmless(self) -> bool:
        """See `Notifier.repeats_are_harmless`: it takes no key, and shows what comes twice twice."""
        return False

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        """See `Notifier.send`."""
        # Values of columns stand in a message: nothing of it may call somebody or be a link.
        text = f"*{message.subject.translate(_ESCAPED)}*\n{message.text.translate(_ESCAPED)}"
        return post(read_secret(self._settings.url), msgspec.json.encode({"text": text}), {}, handing_over)
