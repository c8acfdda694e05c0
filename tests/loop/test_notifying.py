"""From the outbox to people: one message an occasion and channel, whoever looks, however often, and whoever is away."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import polars as pl
import pytest

import postgres_here
from incident_desk import broken, deliveries, incidents, later, monitor, notifications, shows, verbs
from slipway.backends.clocks import SimulatedClock
from slipway.backends.console_notifier import ConsoleNotifier
from slipway.flows.incident_answers import delivered
from slipway.governance import channels, raci
from slipway.ledger import entries
from slipway.loop import escalations
from slipway.loop.notifying import route, send, send_due
from slipway.ports.notifier import Message
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Cause
from slipway.records.notifications import ChannelSettings, Delivery, NotifySettings
from slipway.records.people import Person
from slipway.records.responsibility import RaciRow
from slipway.records.tables import AboutTable
from slipway.tables.versions import Origin, overwrite
from told_here import MailServer, Receiver, mail_server, web_hook

DRIFT, KPI = monitor("drift"), monitor("kpi", "cost of errors")
DEAR = Cause(
    kind="kpi", about="cost of errors", sentence="Errors cost more.", value=12.0, low=11.0, high=13.0, unit="USD"
)


@pytest.fixture(params=postgres_here.LEDGERS)
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with postgres_here.ledger_of(request.param) as found:
        yield found


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with web_hook() as server:
        yield server


def use(workspace: Workspace, **given: ChannelSettings) -> None:
    channels.remember(
        workspace.root, workspace.project, NotifySettings(address="https://slipway.example.org/", channels=given)
    )


def mailbox(server: MailServer, **more: object) -> ChannelSettings:
    settings = {"to": "team@example.org", **more}
    return ChannelSettings(
        kind="mail", host="127.0.0.1", port=server.port, security="none", sender="watch@example.org", **settings
    )  # type: ignore[arg-type]


def posted(server: Receiver, **more: object) -> ChannelSettings:
    return ChannelSettings(kind="webhook", url=server.url, **more)  # type: ignore[arg-type]


def people(workspace: Workspace) -> None:
    rows = [
        RaciRow(stage="data", responsible=("dan",), accountable=("grace",)),
        RaciRow(stage="monitor", responsible=("mia",), accountable=("grace",)),
    ]
    raci.declare(workspace, rows)
    with workspace.ledger.write() as tx:
        for name in ("dan", "grace", "mia"):
            person = Person(
                id=name, project="", name=name, created_at=workspace.clock.now(), email=f"{name}@example.org"
            )
            entries.put(tx, person)


def told(workspace: Workspace, holder: str = "one") -> int:
    """What a teller does at a look."""
    escalations.pass_over(workspace)
    route(workspace)
    return send_due(workspace, holder)


def subjects(mail: MailServer) -> list[str]:
    return [str(one["Subject"]) for one in mail.came]


def test_each_channel_has_one_message_and_the_mail_goes_to_who_is_responsible(
    workspace: Workspace, mail: MailServer, hook: Receiver
) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail), hook=posted(hook))
    shows(workspace, DRIFT, broken(columns=[f"weather_{place}" for place in range(40)], value=0.4, low=0.3, high=0.5, unit="share", before=0.01, rows=400))  # fmt: skip
    assert [told(workspace, holder) for holder in ("one", "another", "one")] == [2, 0, 0]
    (one,), (letter,) = incidents(workspace), mail.came
    assert (letter["To"], mail.to) == ("dan@example.org", ["dan@example.org"])
    assert letter["Subject"] == "[flights] flight-delays: broken feed, feature view weather"
    text = letter.get_content()  # type: ignore[attr-defined]
    for part in (
        "feature view weather: 40 inputs are missing.",
        "how much    share 0.4 (0.3 to 0.5), where 0.01 is expected",
        "rows        400",
        "weather_11 and 28 more",
        "run book    https://slipway.example.org/runbook/",
        f"page        https://slipway.example.org/projects/flights/incidents/{one.id}",
        "for         dan, responsible for data",
        f"answer      slipway incidents ack {one.id}",
    ):
        assert part in text, text
    (facts,) = hook.came
    assert (facts["cause"], len(facts["columns"]), facts["occasion"]) == ("broken feed", 40, "opened")
    assert {f"<{one.id}@example.org>" for one in deliveries(workspace) if one.name == "mail"} == {letter["Message-ID"]}
    assert [one.state for one in deliveries(workspace)] == ["sent", "sent"]
    assert verbs(workspace).count("notifications.sent") == 2


@pytest.mark.parametrize(("is_handed", "state"), [(False, "due"), (True, "uncertain")])
def test_a_channel_that_fails_as_nobody_foresaw_keeps_no_other_message_back(
    workspace: Workspace, hook: Receiver, monkeypatch: pytest.MonkeyPatch, is_handed: bool, state: str
) -> None:
    def fails(self: ConsoleNotifier, message: Message, handing_over: Callable[[], None]) -> None:
        if is_handed:
            handing_over()
        raise ValueError("not foreseen")

    monkeypatch.setattr(ConsoleNotifier, "send", fails)
    use(workspace, console=ChannelSettings(kind="console"), hook=posted(hook))
    shows(workspace, DRIFT, broken())
    assert told(workspace) == 1
    assert {one.name: (one.state, one.problem) for one in deliveries(workspace)} == {
        "console": (state, "The channel 'console' failed: ValueError: not foreseen"),
        "hook": ("sent", ""),
    }


def test_without_channels_nothing_leaves_and_nothing_piles_up(workspace: Workspace, mail: MailServer) -> None:
    shows(workspace, DRIFT, broken())
    assert told(workspace) == 0
    assert [one.state for one in notifications(workspace)] == ["kept"]
    use(workspace, mail=mailbox(mail))
    assert told(workspace) == 0, "what happened before there was a channel is no news"


def test_what_closed_before_anybody_could_be_told_is_no_news(workspace: Workspace, mail: MailServer) -> None:
    use(workspace, mail=mailbox(mail))
    shows(workspace, DRIFT, broken())
    shows(workspace, DRIFT)
    assert told(workspace) == 0
    assert [one.state for one in notifications(workspace)] == ["kept", "kept"]


def over(mail: MailServer) -> list[str]:
    return [subject for subject in subjects(mail) if subject.endswith("(it is over)")]


def test_who_was_told_hears_once_that_it_is_over_how_long_it_was_and_why(
    workspace: Workspace, clock: SimulatedClock, mail: MailServer, hook: Receiver
) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail, levels=("page", "alert")), pager=posted(hook, levels=("page",)))
    shows(workspace, KPI, DEAR)
    shows(workspace, DRIFT, broken())
    told(workspace)
    later(clock, hours=1)
    told(workspace)  # nobody acknowledged what costs money
    later(clock, hours=2)
    shows(workspace, KPI)
    shows(workspace, DRIFT)
    assert [told(workspace, holder) for holder in ("one", "another")] == [3, 0]
    letters = [one for one in mail.came if str(one["Subject"]).endswith("(it is over)")]
    assert {str(one["To"]) for one in letters} == {"dan@example.org", "grace@example.org, mia@example.org"}
    money = next(one for one in letters if "kpi" in str(one["Subject"])).get_content()  # type: ignore[attr-defined]
    for part in (
        "It is over: Errors cost more.",
        "over        2013-04-01 03:00 UTC, after 3 hours",
        "because     ok: cost of errors is ok.",
        "again       what is back within 3d goes on as this incident",
        "for         mia, grace",
    ):
        assert part in money, money
    facts = hook.came[-1]
    assert (facts["occasion"], facts["level"], facts["why"]) == ("closed", "note", "ok: cost of errors is ok.")
    assert [one["occasion"] for one in hook.came] == ["opened", "escalated", "closed"], "not of what it was never told"
    shows(workspace, DRIFT, broken())  # it is back, the same incident, and over again: nothing of it is news
    shows(workspace, DRIFT)
    assert told(workspace) == 0


def test_nobody_hears_of_the_end_of_what_was_put_off_or_noise_or_never_told(
    workspace: Workspace, clock: SimulatedClock, mail: MailServer
) -> None:
    use(workspace, mail=mailbox(mail, levels=("page", "alert")))
    (first,) = shows(workspace, KPI, DEAR)
    second = shows(workspace, DRIFT, broken())[-1]
    told(workspace)
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(first, snoozed_by="mia", snoozed_until=later(clock, days=1)))
        entries.put(tx, msgspec.structs.replace(second, feedback="noise", feedback_by="dan"))
    shows(workspace, KPI)
    shows(workspace, DRIFT)
    shows(workspace, monitor("consistency"), Cause(kind="skew", sentence="Skewed."))
    shows(workspace, monitor("consistency"))  # before anybody could be told
    told(workspace)
    assert over(mail) == []


def test_of_many_that_one_message_told_of_the_end_is_one_message_when_the_last_is_over(
    workspace: Workspace, mail: MailServer
) -> None:
    use(workspace, mail=mailbox(mail, levels=("page", "alert")))
    moved = [Cause(kind="drift", about=f"c{place}", sentence=f"c{place} moved.") for place in range(4)]
    shows(workspace, DRIFT, *moved)
    told(workspace)
    shows(workspace, DRIFT, *moved[2:])
    told(workspace)
    assert over(mail) == [], "two of them go on"
    shows(workspace, DRIFT)
    told(workspace)
    assert over(mail) == ["[flights] flight-delays: drift, 4 at once (it is over)"]
    assert "3 more of the same kind are over too:" in mail.came[-1].get_content()  # type: ignore[attr-defined]


def test_a_pager_hears_of_money_alone(workspace: Workspace, mail: MailServer, hook: Receiver) -> None:
    use(workspace, mail=mailbox(mail), pager=posted(hook, levels=("page",)))
    shows(workspace, KPI, DEAR)
    shows(workspace, DRIFT, broken())
    assert told(workspace) == 3
    assert [one["cause"] for one in hook.came] == ["kpi"]
    assert {one["Importance"] for one in mail.came} == {None, "high"}


def test_a_mail_server_that_is_away_is_written_down_and_tried_again_later(
    workspace: Workspace, mail: MailServer
) -> None:
    use(workspace, mail=mailbox(mail))
    shows(workspace, DRIFT, broken())
    mail.says["MAIL"] = "451 later"
    assert told(workspace) == 0
    (one,) = deliveries(workspace)
    assert (one.state, one.attempts) == ("due", 1)
    assert "said 451: later" in one.problem
    assert one.not_before is not None
    assert timedelta(seconds=1) < one.not_before - datetime.now(UTC) < timedelta(seconds=6)
    assert told(workspace) == 0, "not before its time"
    del mail.says["MAIL"]
    waits = []
    for attempts in (2, 3, 20):
        again = msgspec.structs.replace(deliveries(workspace)[0], not_before=None, attempts=attempts)
        with workspace.ledger.write() as tx:
            entries.put(tx, again)
        mail.says["MAIL"] = "451 later"
        send_due(workspace, "one")
        found = deliveries(workspace)[0].not_before
        assert found is not None
        waits.append(round((found - datetime.now(UTC)).total_seconds(), -1))
    assert waits == [20, 40, 1800]
    del mail.says["MAIL"]
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(deliveries(workspace)[0], not_before=None))
    assert told(workspace) == 1
    assert len(mail.came) == 1


def test_who_cannot_be_reached_fails_or_hangs_is_shown_and_told_later(
    workspace: Workspace, mail: MailServer, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slipway.backends.posted_json._WITHIN", httpx.Timeout(0.3))
    with socket.create_server(("127.0.0.1", 0)) as hangs, socket.create_server(("127.0.0.1", 0)) as gone:
        silent, closed = (int(one.getsockname()[1]) for one in (hangs, gone))
        gone.close()
        hook.status = [500]
        away = ChannelSettings(kind="webhook", url=f"http://127.0.0.1:{silent}/hook")
        lost = msgspec.structs.replace(mailbox(mail), port=closed)
        use(workspace, mail=lost, failing=posted(hook), hanging=away)
        (one,) = shows(workspace, DRIFT, broken())
        assert told(workspace) == 0
    with workspace.ledger.read() as tx:
        shown = {each.channel: (each.state, each.problem) for each in delivered(tx, one.id)}
    assert {name: state for name, (state, _) in shown.items()} == {"mail": "due", "failing": "due", "hanging": "due"}
    assert "cannot be reached" in shown["mail"][1]
    assert shown["failing"][1] == "127.0.0.1 answered 500."
    assert shown["hanging"][1] == "127.0.0.1 was cut off: ReadTimeout."
    use(workspace, mail=mailbox(mail), failing=posted(hook), hanging=posted(hook))  # all three are there again
    for each in deliveries(workspace):
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(each, not_before=None))
    assert told(workspace) == 3
    assert (len(mail.came), len(hook.came)) == (1, 2)


def test_of_a_person_who_is_gone_the_channel_s_own_address_hears(workspace: Workspace, mail: MailServer) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail))
    with workspace.ledger.write() as tx:
        dan = entries.get(tx, Person, "dan")
        entries.put(tx, msgspec.structs.replace(dan, disabled_at=workspace.clock.now()))
    shows(workspace, DRIFT, broken())
    told(workspace)
    shows(workspace, DRIFT)
    told(workspace)
    assert mail.to == ["team@example.org"] * 2


def test_a_channel_that_is_away_does_not_keep_the_others_waiting(
    workspace: Workspace, mail: MailServer, hook: Receiver
) -> None:
    use(workspace, mail=mailbox(mail), hook=posted(hook))
    for place in range(5):
        shows(workspace, monitor("drift", f"drift {place}"), broken(f"feed {place}"))
    shows(workspace, KPI, DEAR)
    mail.says["MAIL"] = "451 later"
    assert told(workspace) == 5, "the feeds by the hook; what they cost is explained by them"
    assert sum(one.attempts for one in deliveries(workspace) if one.name == "mail") == 1


def test_what_may_have_arrived_is_sent_again_only_where_that_is_harmless(
    workspace: Workspace, mail: MailServer, hook: Receiver
) -> None:
    use(workspace, mail=mailbox(mail), hook=posted(hook))
    shows(workspace, DRIFT, broken())
    mail.says["END"] = "cut"
    assert told(workspace) == 1
    assert {one.name: one.state for one in deliveries(workspace)} == {"mail": "uncertain", "hook": "sent"}
    # whoever sent them was killed after the far side had them, before that was marked
    for one in deliveries(workspace):
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(one, state="handing over"))
    del mail.says["END"]
    assert told(workspace, "another") == 1
    assert {one.name: one.state for one in deliveries(workspace)} == {"mail": "uncertain", "hook": "sent"}
    assert (len(mail.came), len(hook.requests), len(hook.came)) == (1, 2, 1)


def test_what_one_has_claimed_the_other_leaves(workspace: Workspace, mail: MailServer) -> None:
    use(workspace, mail=mailbox(mail))
    shows(workspace, DRIFT, broken())
    route(workspace)
    (one,) = deliveries(workspace)
    with workspace.ledger.write() as tx:
        assert tx.take_lease(f"delivery {one.id}", "another", seconds=60)
    assert send(workspace, one.id, "one") == ""
    assert send(workspace, one.id, "another") == "sent"
    assert send(workspace, one.id, "another") == "", "and what is sent is sent"


def test_a_channel_that_is_gone_or_has_no_secret_is_said(
    workspace: Workspace, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    use(workspace, hook=posted(hook, secret="env:NO_SUCH_SECRET"))
    shows(workspace, DRIFT, broken())
    told(workspace)
    (one,) = deliveries(workspace)
    assert (one.state, "NO_SUCH_SECRET is not set" in one.problem) == ("due", True)
    use(workspace)
    with workspace.ledger.write() as tx:
        entries.put(tx, msgspec.structs.replace(one, not_before=None))
    told(workspace)
    (one,) = deliveries(workspace)
    assert (one.state, "no channel 'hook' any more" in one.problem) == ("refused", True)


def test_who_is_accountable_hears_of_what_nobody_acknowledged_once(
    workspace: Workspace, clock: SimulatedClock, mail: MailServer
) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail))
    shows(workspace, KPI, DEAR)
    shows(workspace, DRIFT, broken())
    told(workspace)
    later(clock, hours=0.6)
    told(workspace)
    assert mail.to[2:] == ["grace@example.org"], "half an hour for money"
    later(clock, hours=4)
    for _ in range(3):
        told(workspace)
        later(clock, hours=1)
    assert mail.to[2:] == ["grace@example.org", "grace@example.org"]
    assert subjects(mail)[-1].endswith("(nobody has acknowledged it)")
    assert verbs(workspace).count("incidents.escalate") == 2


def test_what_was_acknowledged_or_put_off_is_not_escalated_and_wakes_once(
    workspace: Workspace, clock: SimulatedClock, mail: MailServer
) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail, levels=("page", "alert")))
    (second,) = shows(workspace, KPI, DEAR)
    first = shows(workspace, DRIFT, broken())[-1]
    told(workspace)
    with workspace.ledger.write() as tx:
        now = clock.now()
        entries.put(tx, msgspec.structs.replace(first, acknowledged_by="dan", acknowledged_at=now))
        until = now + timedelta(days=2)
        entries.put(tx, msgspec.structs.replace(second, snoozed_by="mia", snoozed_until=until))
    later(clock, days=1)
    assert told(workspace) == 0
    later(clock, days=1)
    assert [told(workspace), told(workspace)] == [1, 0]
    assert subjects(mail)[-1].endswith("(it was put off until now)")
    assert mail.to[-1] == "mia@example.org"


def test_low_things_are_told_once_a_day(workspace: Workspace, clock: SimulatedClock, mail: MailServer) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail))
    worse = Cause(kind="quality", sentence="Log loss is worse.")
    later(clock, hours=8)
    shows(workspace, DRIFT, broken(since=clock.now() - timedelta(hours=1)))
    shows(workspace, monitor("quality"), worse, days=7)
    told(workspace)
    assert subjects(mail) == ["[flights] flight-delays: broken feed, feature view weather"]
    later(clock, hours=24)
    told(workspace)
    assert told(workspace) == 0
    digest = mail.came[-1]
    assert digest["Subject"].startswith("[flights] The day until 2013-04-02 07:00 UTC")
    assert "flight-delays, quality: feature view weather is broken since" in digest.get_content()  # type: ignore[attr-defined]
    assert set(mail.to[-2:]) == {"mia@example.org", "dan@example.org"}
    later(clock, days=1)
    told(workspace)
    assert mail.came[-1] is digest or "The day until 2013-04-03" not in str(mail.came[-1]["Subject"]), (
        "nothing, no letter"
    )


def test_a_deputy_is_written_to_and_nobody_without_an_address(workspace: Workspace, mail: MailServer) -> None:
    use(workspace, mail=mailbox(mail, to=()))
    raci.declare(workspace, [RaciRow(stage="data", responsible=("nobody-known",))])
    shows(workspace, DRIFT, broken())
    told(workspace)
    (one,) = deliveries(workspace)
    assert (one.state, "no address is known" in one.problem) == ("refused", True)


def test_many_of_one_kind_in_one_look_are_one_message_and_one_escalation(
    workspace: Workspace, clock: SimulatedClock, mail: MailServer, hook: Receiver
) -> None:
    people(workspace)
    use(workspace, mail=mailbox(mail, levels=("page", "alert")), hook=posted(hook, levels=("page", "alert")))
    moved = [
        Cause(kind="drift", about=f"c{place}", sentence=f"c{place} moved.", columns=(f"c{place}",))
        for place in range(40)
    ]
    assert len(shows(workspace, DRIFT, *moved)) == 40
    assert told(workspace) == 2
    (letter,) = mail.came
    assert letter["Subject"] == "[flights] flight-delays: drift, 40 at once"
    text = letter.get_content()  # type: ignore[attr-defined]
    assert ("c0 moved." in text, "39 more of the same kind" in text, "and 19 more" in text) == (True, True, True)
    assert len(hook.came[0]["beside"]) == 39
    with workspace.ledger.read() as tx:
        assert {one.state for each in incidents(workspace) for one in delivered(tx, each.id)} == {"sent"}
    later(clock, hours=5)
    assert [told(workspace), told(workspace)] == [2, 0]
    assert mail.to[-1] == "grace@example.org"
    assert all(one.escalated_at == clock.now() for one in incidents(workspace))


def test_no_value_of_a_personal_column_leaves_the_store(workspace: Workspace, mail: MailServer, hook: Receiver) -> None:
    rows = pl.DataFrame({"tail": ["N12345-secret", "N777"], "n": [1, 2]})
    overwrite(workspace, "planes", rows, key=("tail",), origin=Origin(about=AboutTable(personal=("tail",))))
    use(workspace, mail=mailbox(mail), hook=posted(hook))
    said = msgspec.structs.replace(broken(), sentence="tail never seen before ('N12345-secret') in 12% of the rows.")
    shows(workspace, DRIFT, said)
    told(workspace)
    assert "tail never seen before ('(personal)')" in mail.came[0].get_content()  # type: ignore[attr-defined]
    assert b"secret" not in hook.requests[0][1]


def test_a_message_of_before_a_field_was_added_still_reads() -> None:
    written = b'{"kind":"delivery","id":"d","project":"flights","name":"mail","created_at":"2013-04-01T00:00:00Z",'
    written += b'"parent_id":"n","subject":"s","text":"t"}'
    assert msgspec.json.decode(written, type=Delivery).state == "due"
