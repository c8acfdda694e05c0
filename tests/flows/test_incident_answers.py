"""What people say to incidents, and what comes of it: acknowledged, put off, closed, judged; fewer repeats of noise."""

import shlex
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import click
import pytest

import postgres_here
from incident_desk import DAY, broken, incidents, later, monitor, notifications, shows, tellings, verbs
from slipway.backends.clocks import SimulatedClock
from slipway.cli import main
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows import letters
from slipway.flows.incident_answers import (
    acknowledge,
    close_by_hand,
    get_incident,
    get_run_book,
    judge,
    list_incidents,
    snooze,
)
from slipway.flows.run_books import kinds, page_of, run_book
from slipway.governance.outbox import PAGES
from slipway.governance.telling import WHOSE
from slipway.operations.incidents import (
    AckIncident,
    CloseIncident,
    GetIncident,
    GetRunBook,
    JudgeIncident,
    ListIncidents,
    Precision,
    SnoozeIncident,
)
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Cause

DRIFT, QUALITY = monitor("drift"), monitor("quality")


@pytest.fixture(params=postgres_here.LEDGERS)
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with postgres_here.ledger_of(request.param) as found:
        yield found


def test_what_is_said_of_one_stands_in_it(workspace: Workspace, clock: SimulatedClock) -> None:
    (one,) = shows(workspace, DRIFT, broken(value=0.4, low=0.3, high=0.5, unit="share", before=0.01, rows=400))
    detail = get_incident(workspace, GetIncident(id=one.id[:12]))
    assert (detail.where, detail.level, detail.much) == (
        "flight-delays", "alert", "share 0.4 (0.3 to 0.5), where 0.01 is expected"
    )  # fmt: skip
    assert (detail.run_book, "Do not retrain" in detail.book) == ("broken-feed", True)
    assert [(told.occasion, told.state) for told in detail.delivered] == [("opened", "due")]
    kept = acknowledge(workspace, AckIncident(id=one.id, comment=" I know the station. ")).incident
    assert (kept.acknowledged_by, kept.acknowledged_at, kept.comment) == ("ada", clock.now(), "I know the station.")
    put_off = snooze(workspace, SnoozeIncident(id=one.id, until=clock.now() + DAY)).incident
    assert (put_off.snoozed_by, put_off.comment) == ("ada", "I know the station.")
    closed = close_by_hand(workspace, CloseIncident(id=one.id, reason="the station is mended")).incident
    assert closed.why == "closed by hand by ada: the station is mended"
    assert [verb for verb in verbs(workspace) if verb.startswith("incidents.")] == [
        "incidents.open", "incidents.ack", "incidents.snooze", "incidents.close"
    ]  # fmt: skip


def test_what_does_not_fit_is_a_sentence(workspace: Workspace, clock: SimulatedClock) -> None:
    (one,) = shows(workspace, DRIFT, broken())
    with pytest.raises(InvalidInput, match="cannot be put off until"):
        snooze(workspace, SnoozeIncident(id=one.id, until=clock.now()))
    with pytest.raises(InvalidInput, match="does not say why"):
        close_by_hand(workspace, CloseIncident(id=one.id, reason=" "))
    with pytest.raises(InvalidInput, match="letters"):
        acknowledge(workspace, AckIncident(id=one.id, comment="x" * 2001))
    with pytest.raises(InvalidInput, match="no state"):
        list_incidents(workspace, ListIncidents(state="opened"))
    for id in ("", "0" * 32, one.id[:5]):
        with pytest.raises(NotFound, match="There is no incident"):
            get_incident(workspace, GetIncident(id=id))
    shows(workspace, DRIFT)
    with pytest.raises(Conflict, match="was closed at 2013-04-01 00:00 UTC: ok: drift is ok"):
        acknowledge(workspace, AckIncident(id=one.id))
    with pytest.raises(NotFound, match="There is no run book"):
        get_run_book(workspace, GetRunBook(name="../decisions/0001-floors"))


def test_precision_is_the_share_that_was_judged_useful(workspace: Workspace, clock: SimulatedClock) -> None:
    assert list_incidents(workspace, ListIncidents()).precision == Precision()
    words = ["useful"] * 6 + ["noise"] * 3 + ["known"]
    for place, word in enumerate(words):
        (one,) = shows(workspace, DRIFT, broken(f"feed {place}"))
        kept = judge(workspace, JudgeIncident(id=one.id, word=word))  # type: ignore[arg-type]
        assert (kept.held_until is None) == (word == "useful")
        shows(workspace, DRIFT)
    shows(workspace, DRIFT, broken("feed x"))
    found = list_incidents(workspace, ListIncidents(state="")).precision
    # Wilson's interval of 6 in 10, as the tables have it
    assert found == Precision(useful=6, noise=3, known=1, told=11, share=0.6, low=0.3127, high=0.8318)
    assert len(list_incidents(workspace, ListIncidents(state="closed")).incidents) == 10


def flapping(workspace: Workspace, clock: SimulatedClock, *, judged: bool) -> int:
    """Four hundred days of a segment that wobbles over its floor by chance; how often people are told."""
    draw = Random(82)
    for _ in range(50):
        later(clock, days=2)
        cause = Cause(kind="drift", about="carrier", sentence="carrier moved.", value=draw.lognormvariate(-2.0, 0.15))
        for one in shows(workspace, DRIFT, cause):
            if judged and one.told_at is not None and not one.feedback:
                judge(workspace, JudgeIncident(id=one.id, word="noise"))
        later(clock, days=2)
        shows(workspace, DRIFT)
        later(clock, days=4)  # beyond the cool-down: each is an incident of its own
    return len(tellings(workspace))


def test_noise_is_repeated_five_times_less(workspace: Workspace, clock: SimulatedClock) -> None:
    told = flapping(workspace, clock, judged=True)
    assert told == 4, "as docs/incidents.md says; at most a fifth of 49 repeats is asked"
    held = [one for one in incidents(workspace) if one.held]
    assert len(held) == 50 - told, "what is held back is written down, each with the reason"
    assert all("ada judged its like noise; such are held back until" in one.held for one in held)


def test_without_a_word_each_is_told(workspace: Workspace, clock: SimulatedClock) -> None:
    assert flapping(workspace, clock, judged=False) == 50


def test_useful_lets_repeats_be_told_again(workspace: Workspace, clock: SimulatedClock) -> None:
    (one,) = shows(workspace, DRIFT, broken())
    assert judge(workspace, JudgeIncident(id=one.id, word="noise")).held_until == clock.now() + 30 * DAY
    judge(workspace, JudgeIncident(id=one.id, word="useful"))
    shows(workspace, DRIFT)
    later(clock, days=5)
    (again,) = shows(workspace, DRIFT, broken())
    assert (again.held, len(tellings(workspace))) == ("", 2)


@pytest.mark.parametrize("kind", sorted({*WHOSE, *PAGES, *letters.NEXT, "fallback", "scoring"} - {"cost"}))
def test_every_kind_of_cause_has_a_run_book_of_its_own(kind: str) -> None:
    assert page_of(kind) != "other"
    assert page_of("never heard of") == "other"


def commands(texts: Sequence[str]) -> list[list[str]]:
    found = []
    for text in texts:
        for line in text.split("`")[1::2] if "`" in text else [text]:
            if line.startswith("slipway "):
                found.append(shlex.split(" ".join(line.split()))[1:])
    return found


def test_every_command_that_is_advised_is_there() -> None:
    advised = [*letters.NEXT.values(), *(run_book(name) for name in kinds())]
    advised += ["slipway endpoints show x", "slipway features show x", "slipway data diff x 1 2", "slipway data sync x"]
    assert len(commands(advised)) > 20
    for words in commands(advised):
        found: click.Command = main
        left: list[Any] = list(words)
        while isinstance(found, click.Group):
            found = found.get_command(click.Context(found), left.pop(0)) or pytest.fail(str(words))
        known = {option for one in found.params for option in one.opts}
        assert {word for word in left if word.startswith("--")} <= known, words


def test_a_letter_says_the_hour_in_which_it_was_first_seen(workspace: Workspace, clock: SimulatedClock) -> None:
    since = clock.now() - timedelta(hours=9)
    (one,) = shows(workspace, DRIFT, broken(since=since))
    letter = letters.letter_of(workspace, notifications(workspace)[0], letters.NotifySettings())
    assert letter is not None
    assert "since       2013-03-31 15:00 UTC, first seen 2013-04-01 00:00 UTC" in letter.text
    assert f"page        /projects/flights/incidents/{one.id}" in letter.text, "relative where no address is known"
