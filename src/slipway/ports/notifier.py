"""Where people are told outside of the store: mail, webhooks, chats."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from slipway.records.notifications import Level

__all__ = ["Message", "Notifier", "Outcome"]


class Message(NamedTuple):
    """One message.

    Args:
        key: What it is known by: the same key is the same message, however often it is sent.
        subject: One line.
        text: The whole of it.
        level: How loud.
        to: Addresses, of mail.
        facts: The same as plain values, for programs.
    """

    key: str
    subject: str
    text: str
    level: Level = "alert"
    to: tuple[str, ...] = ()
    facts: Mapping[str, Any] = MappingProxyType({})


class Outcome(NamedTuple):
    """What became of a message.

    Args:
        state: "taken": the far side has it. "later": it surely has not, and may take it later. "refused": it surely has
            not, and will not. "unsure": nobody here can know.
        problem: Why, in words, without secrets; of what was taken, whom it does not reach.
    """

    state: Literal["taken", "later", "refused", "unsure"]
    problem: str = ""


class Notifier(Protocol):
    """One channel. Made with its settings; connects when it sends, and waits for seconds at most.

    Guarantees: what is named secret in the settings is read when it sends, and stands in no problem. Once `handing_over`
    was called the outcome is "taken", or "unsure", or what the far side itself said. If `handing_over` raises, nothing was
    sent, and that error is passed on.
    """

    @property
    def repeats_are_harmless(self) -> bool:
        """Whether the same key sent twice is one message at the far side: then a doubt is resolved by sending again."""
        ...

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        """Send a message.

        Args:
            message: What.
            handing_over: Called right before the first moment after which the far side may have it.
        """
        ...
