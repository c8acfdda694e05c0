"""Messages by apprise, which knows some hundred and thirty services by their addresses."""

from collections.abc import Callable

import apprise

from slipway.ports.notifier import Message, Outcome
from slipway.ports.secrets import filled
from slipway.records.notifications import ChannelSettings

__all__ = ["AppriseNotifier"]


class AppriseNotifier:
    """See `Notifier`.

    Args:
        settings: Of the channel; its URL is one of apprise: "ntfy://host/topic".
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    @property
    def repeats_are_harmless(self) -> bool:
        """See `Notifier.repeats_are_harmless`: no service is known to be told of a key."""
        return False

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        """See `Notifier.send`."""
        # Neither plug-ins of its own folders nor anything kept between two messages.
        asset = apprise.AppriseAsset(app_id="Slipway", plugin_paths=[], async_mode=False)
        services = apprise.Apprise(asset=asset)
        if not services.add(filled(self._settings.url, is_quoted=True)):
            return Outcome("refused", "apprise knows no service of such an address.")
        kind = apprise.NotifyType.FAILURE if message.level == "page" else apprise.NotifyType.WARNING
        handing_over()
        if services.notify(body=message.text, title=message.subject, notify_type=kind):
            return Outcome("taken")
        # It does not tell what was refused from what was cut off.
        return Outcome("unsure", "apprise did not say that the service has the message.")
