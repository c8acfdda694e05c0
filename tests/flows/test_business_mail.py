"""The weekly mail of a business page: once an address and week, whoever looks, and by mail alone."""

from collections.abc import Iterator

import pytest

from business_desk import prosper
from incident_desk import later
from slipway.backends.clocks import SimulatedClock
from slipway.flows.business_links import get_sharing
from slipway.flows.business_mail import set_mail, write_due
from slipway.governance import channels
from slipway.ledger import entries
from slipway.loop import escalations
from slipway.loop.notifying import route, send_due
from slipway.operations.business import GetBusiness, MailBusiness
from slipway.ports.workspace import Workspace
from slipway.records.notifications import ChannelSettings, Notification, NotifySettings
from told_here import MailServer, mail_server

TO = ("board@example.org", "grace@example.org")


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


def use(workspace: Workspace, **given: ChannelSettings) -> None:
    settings = NotifySettings(address="https://slipway.example.org/", channels=given)
    channels.remember(workspace.root, workspace.project, settings)


def mailbox(server: MailServer) -> ChannelSettings:
    return ChannelSettings(
        kind="mail", host="127.0.0.1", port=server.port, security="none", sender="watch@example.org", levels=("page",)
    )


def told(workspace: Workspace) -> int:
    escalations.pass_over(workspace)
    route(workspace)
    return send_due(workspace, "one")


def test_each_address_has_one_message_a_week(workspace: Workspace, clock: SimulatedClock, mail: MailServer) -> None:
    prosper(workspace)
    use(workspace, a=mailbox(mail), b=mailbox(mail))
    set_mail(workspace, MailBusiness(model="flight-delays", to=TO, weekday=2, hour=6))  # now it is a Monday, at 0:00
    assert told(workspace) == 0
    later(clock, days=2, hours=6)
    assert write_due(workspace, clock.now()) == 2
    assert write_due(workspace, clock.now()) == 0  # another server
    assert [told(workspace), told(workspace)] == [2, 0]
    assert sorted(mail.to) == sorted(TO)
    letter = mail.came[-1]
    text = letter.get_content()  # type: ignore[attr-defined]
    assert letter["Subject"] == "[flights] flight-delays, 3 Apr 2013"
    for part in (
        "revenue per seat: worse than agreed.",
        "In money: ",
        "Why it may be trusted",
        "/projects/flights/business/",
    ):
        assert part in text
    later(clock, days=21)  # nobody looked for three weeks: one, not three
    assert told(workspace) == 2
    set_mail(workspace, MailBusiness(model="flight-delays"))
    later(clock, days=7)
    assert told(workspace) == 0


def test_without_a_channel_of_mail_nothing_leaves_and_the_page_says_so(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    prosper(workspace)
    use(workspace, screen=ChannelSettings(kind="console"))
    set = set_mail(workspace, MailBusiness(model="flight-delays", to=TO))
    assert "no channel of the kind 'mail'" in set.trouble
    found = get_sharing(workspace, GetBusiness(model="flight-delays"))
    assert found.next_at is not None
    assert (found.next_at.weekday(), found.next_at.hour) == (0, 7)
    later(clock, days=8)
    assert told(workspace) == 0
    with workspace.ledger.read() as tx:
        kept = entries.find(tx, Notification, project="flights", name="business")
    assert [one.state for one in kept] == ["kept", "kept"]
