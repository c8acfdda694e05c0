"""A notifier: each message is a file in a folder, from where something else fetches it."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from slipway.ports.notifier import Message, Outcome
from slipway.ports.secrets import read_secret
from slipway.records.notifications import ChannelSettings


class Mailbox:
    """Made with the section `[notify.channels.NAME]`: its `url` is the folder."""

    repeats_are_harmless = True  # a message that is sent again is the same file again

    def __init__(self, settings: ChannelSettings) -> None:
        self.settings = settings

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        folder = Path(read_secret(self.settings.url))
        if not folder.is_dir():
            return Outcome("later", "The mailbox's folder is not there.")
        target = folder / f"{message.key}.json"
        text = {"level": message.level, "subject": message.subject, "text": message.text}
        handing_over()
        try:
            part = target.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(text))
            os.replace(part, target)
        except OSError as problem:
            return Outcome("unsure", f"The mailbox cannot be written: {problem.strerror}.")
        return Outcome("taken")
