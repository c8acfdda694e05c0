"""A message that tries the channels: through the same outbox, claim and marks as any other."""

from __future__ import annotations

from slipway.errors import NotFound, near
from slipway.governance.channels import notify_settings
from slipway.hashing import canonical, digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.loop.notifying import addresses, send
from slipway.operations.incidents import ChannelTested, TestChannels, Tested
from slipway.ports.workspace import Workspace
from slipway.records.notifications import Delivery

__all__ = ["test_channels"]


def test_channels(workspace: Workspace, request: TestChannels) -> Tested:
    """Send one message by each channel, or by the one that is named, and say what became of it. To whoever asks, by mail.

    Raises:
        NotFound: There is no such channel.
    """
    settings = notify_settings(workspace.root, workspace.project)
    if request.channel and request.channel not in settings.channels:
        raise NotFound(
            f"There is no channel {request.channel!r}.", fix=near(request.channel, settings.channels, what="channels")
        )
    chosen = {name: one for name, one in settings.channels.items() if request.channel in ("", name)}
    occasion, by = new_id(), workspace.actor.name
    made = []
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "incidents.test", f"project:{workspace.project}", channels=sorted(chosen))
        for name, channel in chosen.items():
            one = Delivery(
                id=digest(canonical((occasion, name)))[:32],
                project=workspace.project,
                name=name,
                created_at=workspace.clock.now(),
                parent_id=occasion,
                about=f"project:{workspace.project}",
                level="note",
                to=addresses(tx, workspace, (by,), channel),
                subject=f"[{workspace.project}] a test of the channel {name}",
                text=f"{by} tries whether messages of {workspace.project} arrive here. Nothing is wrong.",
                facts={"project": workspace.project, "occasion": "test", "people": [by]},
            )
            entries.put(tx, one, expect=0)
            made.append(one.id)
    return Tested(channels=tuple(_tried(workspace, id, occasion) for id in made))


def _tried(workspace: Workspace, id: str, holder: str) -> ChannelTested:
    send(workspace, id, holder)
    with workspace.ledger.read() as tx:
        one = entries.get(tx, Delivery, id)
    return ChannelTested(channel=one.name, state=one.state, problem=one.problem)
