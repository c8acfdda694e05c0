"""How the channels do: what they sent, and what they could not, for whoever asks whether people are told."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from slipway.governance.channels import every_setting
from slipway.ledger import entries
from slipway.ports.ledger_store import LedgerStore, ReadTransaction
from slipway.records.notifications import Delivery, Notification

__all__ = ["ChannelState", "channel_states", "troubles"]

_MOST = 1000


class ChannelState(Struct, frozen=True, kw_only=True):
    """A channel of a project, whether its last message went out, and what is to be said of it."""

    project: str
    channel: str
    is_well: bool
    sentence: str


def channel_states(store: LedgerStore, root: Path) -> list[ChannelState]:
    """How each channel that a store's folder remembers does.

    Args:
        store: The ledger's database.
        root: The store's folder.

    Raises:
        Corrupt: What the folder says cannot be read.
    """
    found = []
    with store.read() as tx:
        for project, settings in sorted(every_setting(root).items()):
            for channel, chosen in sorted(settings.channels.items()):
                last = entries.find(tx, Delivery, project=project, name=channel, limit=_MOST)
                found.append(_state(project, channel, chosen.kind, last))
    return found


def _state(project: str, channel: str, kind: str, last: list[Delivery]) -> ChannelState:
    waiting = [one for one in last if one.state in ("due", "sending", "handing over")]
    newest = last[0] if last else None
    if newest is None:
        told, is_well = f"{kind}; nothing was sent by it yet", True
    elif newest.problem or newest.state in ("refused", "uncertain"):
        told, is_well = f"{kind}; the newest message is {newest.state}: {newest.problem}", False
    else:
        told, is_well = f"{kind}; the newest message is {newest.state}", True
    more = f"; {len(waiting)} wait" if waiting else ""
    return ChannelState(project=project, channel=channel, is_well=is_well, sentence=f"{told}{more}")


def troubles(tx: ReadTransaction, incident: str) -> tuple[str, ...]:
    """Why people were not told of an incident, or perhaps not, a sentence a channel; () where they were.

    Args:
        tx: An open transaction.
        incident: Its id.
    """
    told = []
    for one in entries.every(tx, Notification, parent=f"incident:{incident}"):
        for sent in entries.every(tx, Delivery, parent=one.within or one.id):
            if sent.problem and sent.state != "sent":
                told.append(f"{sent.name} is {sent.state}: {sent.problem}")
    return tuple(told)
