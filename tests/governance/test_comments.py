"""Comments and notices: who may say what, who is told, what stays of what is deleted."""

import pytest

from answering import People, people_in
from filled_store import GOOD_RUN, MODELS
from slipway.errors import Denied, InvalidInput, NotFound
from slipway.governance.comments import LONGEST
from slipway.governance.notices import tell
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.projects import Project
from slipway.records.responsibility import Comment

RUN = f"run:{GOOD_RUN}"


@pytest.fixture
def people(workspace: Workspace) -> People:
    return people_in(workspace)


@pytest.mark.parametrize(
    ("about", "node"),
    [
        (RUN, RUN),
        ("model:flight-delays:1", f"model:{MODELS[0]}"),
        ("model:flight-delays:latest", f"model:{MODELS[-1]}"),
        (f"model:{MODELS[1]}", f"model:{MODELS[1]}"),
        ("verdict:v1", "verdict:v1"),
        ("incident:i1", "incident:i1"),
        ("table:flights", "table:flights/flights"),
    ],
)
def test_what_can_be_commented_on(people: People, about: str, node: str) -> None:
    kept = people.do("dan", "comments.add", about=about, text=" **Look** at it, @grace. ").comment
    assert (kept.parent_id, kept.text, kept.mentions) == (node, "**Look** at it, @grace.", ("grace",))
    assert kept in people.do("gov", "comments.list", about=node).comments
    (notice,) = people.inbox("grace").notices
    assert (notice.what, notice.parent_id, notice.actor.name) == ("mention", node, "dan")
    assert "Look" not in notice.sentence


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("flight-delays", "run:ID"),
        ("rnu:1", "'run'"),
        ("run:", "nothing that can"),
        ("run:nope", "There is no run"),
        ("model:flight-delay:1", "flight-delays"),
        ("model:flight-delays:9", "1, 2, 3, 4"),
        ("table:flihgts", "flights"),
        ("verdict:v9", "no verdict"),
    ],
)
def test_what_cannot(people: People, about: str, words: str) -> None:
    with pytest.raises((InvalidInput, NotFound), match=words):
        people.do("dan", "comments.add", about=about, text="x")


def test_who_may_not_see_a_thing_neither_reads_nor_writes_about_it(people: People) -> None:
    for about, right in ((RUN, r"runs\.read"), ("incident:i1", r"incidents\.read")):
        for name, fields in (("comments.list", {}), ("comments.add", {"text": "x"})):
            with pytest.raises(Denied, match=right):
                people.do("sam", name, about=about, **fields)
    said = people.do("dan", "comments.add", about="incident:i1", text="The pager woke @sam for it.")
    assert "may not see" in said.unheard[0]
    assert "incident" not in people.do("sam", "comments.all").kinds
    assert people.do("sam", "comments.add", about="model:flight-delays:1", text="It answers slowly.")


def test_another_projects_things_are_not_there(people: People) -> None:
    with people.writing() as tx:
        there = Project(id="other", project="other", name="other", created_at=people.workspace.clock.now())
        entries.put(tx, there)
        entries.put(tx, Comment(id="oc", project="other", created_at=there.created_at, parent_id=RUN, text="x", actor=people.workspace.actor))  # fmt: skip
    with pytest.raises(NotFound):
        people.do("ada", "comments.delete", id="oc")
    assert "oc" not in {one.id for one in people.do("ada", "comments.list", about=RUN).comments}


def test_who_is_not_told_is_said(people: People) -> None:
    kept = people.do(
        "dan", "comments.add", about=RUN, text="@grcae @sam @Eve @eve ada@grace.com `@gov` \n```\n@mia\n```"
    )
    assert kept.comment.mentions == ("eve",)
    assert len(kept.unheard) == 2
    assert "Did you mean 'grace'?" in kept.unheard[0]
    assert "sam is not told: they may not see" in kept.unheard[1]
    assert people.told("gov") == people.told("mia") == people.told("grace") == people.told("sam") == []


def test_a_comment_is_changed_and_deleted_by_its_author_with_a_mark(people: People) -> None:
    own = people.do("dan", "comments.add", about=RUN, text="@eve look").comment
    with pytest.raises(Denied, match="cannot be changed by grace"):
        people.do("grace", "comments.edit", id=own.id, text="mine")
    with pytest.raises(Denied, match="cannot be deleted by grace"):
        people.do("grace", "comments.delete", id=own.id)
    changed = people.do("dan", "comments.edit", id=own.id, text="@eve @grace look again").comment
    assert changed.edited_at is not None
    assert (len(people.told("eve")), len(people.told("grace"))) == (1, 1)
    gone = people.do("dan", "comments.delete", id=own.id).comment
    assert (gone.text, gone.mentions, gone.deleted_by) == ("", (), "dan")
    with pytest.raises(NotFound, match="any more"):
        people.do("dan", "comments.edit", id=own.id, text="back")
    kept = people.do("gov", "comments.list", about=RUN).comments
    assert own.id in {one.id for one in kept}
    assert people.do("ada", "comments.delete", id=people.do("dan", "comments.add", about=RUN, text="rude").comment.id)


@pytest.mark.parametrize("text", ["", " \n ", "x" * (LONGEST + 1)])
def test_no_text_and_too_much_of_it(people: People, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"empty|10,001"):
        people.do("dan", "comments.add", about=RUN, text=text)


def test_a_notice_is_written_once_and_read_by_whose_it_is(people: People) -> None:
    with people.writing() as tx:
        for _ in range(2):
            tell(tx, people.workspace, ["grace", "grace", "ada"], "told", about="x:1", sentence="It serves.")
    assert people.told("grace") == ["told: It serves."]
    assert people.told("ada") == []  # she did it herself
    (notice,) = people.inbox("grace").notices
    with pytest.raises(NotFound, match="no notice"):
        people.do("eve", "notices.mark", ids=[notice.id])
    assert people.do("grace", "notices.mark", ids=[notice.id]).marked == 1
    assert people.do("grace", "notices.mark").marked == 0
    assert people.inbox("grace").notices == ()
    assert [one.state for one in people.do("grace", "notices.list", everything=True).notices] == ["read"]


def test_who_holds_no_role_in_a_project_any_more_reads_nothing_of_it(people: People) -> None:
    with people.writing() as tx:
        tell(tx, people.workspace, ["grace"], "told", about="x:1", sentence="It serves.")
    people.do("ada", "people.revoke", name="grace", role="business owner")
    people.do("ada", "people.grant", name="grace", role="business owner", project="flights")
    assert len(people.inbox("grace").notices) == 1
    people.do("ada", "people.revoke", name="grace", role="business owner", project="flights")
    with pytest.raises(Denied):
        people.inbox("grace")


def test_an_approval_is_waited_for_until_somebody_gave_it(people: People) -> None:
    people.declare()
    version = people.do("dan", "models.get", name="flight-delays").version
    with people.writing() as tx:
        tell(tx, people.workspace, ["grace"], "approve", about=f"bundle:{version.bundle}", sentence="It waits.")
    assert people.inbox("grace").approvals == ()  # the filled store's bundle has a word already
    with people.writing() as tx:
        tell(tx, people.workspace, ["grace"], "approve", about="bundle:another", sentence="It waits.")
    assert people.do("grace", "notices.mark").marked >= 0
    assert [one.parent_id for one in people.inbox("grace").approvals] == ["bundle:another"]
