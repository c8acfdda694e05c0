"""Who may do what, what is written down of it, and how a store is kept."""

import zipfile
from collections.abc import Callable
from itertools import pairwise

import pytest

from conformance_journey.world import NAME, World
from slipway.client.api import Client
from slipway.errors import Conflict, Denied, InvalidInput, NotFound, Unauthenticated


def commented(world: World) -> None:
    """A comment on a version is kept with who wrote it."""
    world.call("comments.add", about=f"model:{NAME}:1", text="Seen.")
    (told,) = world.call("comments.list", about=f"model:{NAME}:1").comments
    assert (told.text, told.actor.name) == ("Seen.", world.workspace.actor.name)


def comment_edited(world: World) -> None:
    """A comment that is changed says that it was."""
    (told,) = world.call("comments.list", about=f"model:{NAME}:1").comments
    world.call("comments.edit", id=told.id, text="Seen again.")
    (told,) = world.call("comments.list", about=f"model:{NAME}:1").comments
    assert told.text == "Seen again."
    assert told.edited_at is not None


def comment_empty(world: World) -> None:
    """An empty comment is refused."""
    with pytest.raises(InvalidInput, match="The comment is empty"):
        world.call("comments.add", about=f"model:{NAME}:1", text="")


def comment_deleted(world: World) -> None:
    """Of a comment that is deleted its text is gone."""
    (told,) = world.call("comments.list", about=f"model:{NAME}:1").comments
    world.call("comments.delete", id=told.id)
    assert "Seen" not in str(world.call("comments.list", about=f"model:{NAME}:1").comments)


def told_of(world: World) -> None:
    """Every change is an event with who did it."""
    verbs = {one.verb for one in world.call("audit.list", limit=1000).events}
    assert {"models.register", "gates.judge", "endpoints.deploy", "models.alias", "endpoints.rollback"} <= verbs


def by_verb(world: World) -> None:
    """Events are found by what was done."""
    events = world.call("audit.list", act="endpoints.rollback").events
    assert [one.verb for one in events] == ["endpoints.rollback"]


def in_order(world: World) -> None:
    """Events are numbered in the order in which they happened, and read again in pages."""
    numbers = [one.seq for one in world.call("audit.list", limit=1000).events]
    assert numbers == sorted(set(numbers))
    assert [one.seq for one in world.call("audit.list", after=numbers[4], limit=3).events] == numbers[5:8]


def sealed(world: World) -> None:
    """A seal signs all events so far, and the log is found whole."""
    world.call("audit.seal")
    told = world.call("audit.verify")
    assert told.sealed > 20
    assert told.unsealed <= 1


def roots(world: World) -> None:
    """Signed roots follow each other: each begins where the one before it ended, and names it."""
    found = sorted(world.call("audit.roots").roots, key=lambda one: one.index)
    for earlier, later in pairwise(found):
        assert (later.index, later.first_seq) == (earlier.index + 1, earlier.last_seq + 1)
        assert later.previous
    assert found[-1].signature


def nobody_known(world: World) -> None:
    """Until somebody is known, whoever reaches the store on its machine may do everything."""
    assert world.call("people.me").is_open


def backed_up(world: World) -> None:
    """A backup of a store that is being written is whole, signed, and without private keys."""
    done = world.slipway("backup", str(world.path("backup")))
    assert done.exit_code == 0, done.output
    assert "Signed by " in done.output
    assert not list((world.project.folder / "beside" / "backup").rglob("signing.key"))


def exported(world: World) -> None:
    """A period of the audit log is written with its roots, keys and a script that verifies it."""
    file = world.path("audit") / "audit.zip"
    done = world.slipway("audit", "export", "--since", "2013-01-01", "-o", str(file))
    assert done.exit_code == 0, done.output
    names = zipfile.ZipFile(file).namelist()
    assert any(name.endswith(".py") for name in names)
    assert any("events" in name for name in names)


def signed_files(world: World) -> None:
    """A model's files are written signed, as others verify them."""
    folder = world.project.folder / "beside" / "signed"
    done = world.slipway("export", "signed", f"{NAME}:1", "--out", str(folder))
    assert done.exit_code == 0, done.output
    assert list(folder.rglob("*.sig*"))


def first_needs_admin(world: World) -> None:
    """The first person of a store must be one who can let others in."""
    with pytest.raises(InvalidInput, match="could not let anybody else in"):
        world.call("people.add", name="ada")


def first_person(world: World) -> None:
    """Once somebody is known, nobody is let in without a token."""
    world.call("people.add", name="ada", roles=["admin"], account=world.workspace.actor.name)
    world.until(lambda: world.get("/api/v1/people/me").status_code == 401)


def _ada(world: World) -> Client:
    if "ada" not in world.kept:
        world.kept["token"] = world.answer("tokens", "add", "--label", "journey")["text"]
        world.kept["ada"] = world.client_of(world.kept["token"])
    found: Client = world.kept["ada"]
    return found


def _eve(world: World) -> Client:
    if "eve" not in world.kept:
        _ada(world).call("people.add", name="eve", roles=["executive viewer"], project=NAME)
        world.kept["eve"] = world.client_of(_ada(world).call("tokens.add", name="eve", label="journey").text)
    found: Client = world.kept["eve"]
    return found


def _is_shut(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (Denied, Unauthenticated):
        return True
    return False


def token(world: World) -> None:
    """A token says who asks."""
    told = _ada(world).call("people.me")
    assert (told.identity.name, told.is_open) == ("ada", False)


def wrong_token(world: World) -> None:
    """A token that was never made lets nobody in."""
    with pytest.raises(Unauthenticated):
        world.client_of("slipway_" + "0" * 40).call("people.me")


def roles(world: World) -> None:
    """A role lets its bearer read, and not change what it has no right for; the right is named."""
    assert _eve(world).call("projects.home")
    with pytest.raises(Denied, match=r"endpoints\.deploy"):
        _eve(world).call("endpoints.deploy", model=NAME, version="1")


def granted(world: World) -> None:
    """A role that is given counts at once, and no longer once it is taken back."""
    tag = {"name": "notes", "tag": "hers", "version": "1", "move": True}
    assert _is_shut(lambda: _eve(world).call("tables.tag", **tag))
    _ada(world).call("people.grant", name="eve", role="data scientist", project=NAME)
    world.until(lambda: not _is_shut(lambda: _eve(world).call("tables.tag", **tag)))
    world.kept["comment"] = _eve(world).call("comments.add", about=f"model:{NAME}:1", text="Mine.").comment.id
    _ada(world).call("people.revoke", name="eve", role="data scientist", project=NAME)
    world.until(lambda: _is_shut(lambda: _eve(world).call("tables.tag", **tag)))


def others_comment(world: World) -> None:
    """A comment is changed by nobody but who wrote it."""
    with pytest.raises(Denied):
        _ada(world).call("comments.edit", id=world.kept["comment"], text="Hers.")


def scoped(world: World) -> None:
    """A token may be limited to rights: it is good for these alone."""
    text = _ada(world).call("tokens.add", label="reads", scopes=["runs.read"]).text
    assert world.client_of(text).call("runs.search", limit=1).runs
    with pytest.raises(Denied):
        world.client_of(text).call("comments.add", about=f"model:{NAME}:1", text="No.")


def secrets(world: World) -> None:
    """A list of tokens tells their labels, and no secret."""
    text = _ada(world).call("tokens.add", label="secret").text
    told = _ada(world).call("tokens.list")
    assert "secret" in {one.label for one in told.tokens}
    assert text not in str(told)


def revoked(world: World) -> None:
    """A token that is ended is good no longer."""
    made = _ada(world).call("tokens.add", label="short")
    client = world.client_of(made.text)
    assert client.call("people.me").identity.name == "ada"
    _ada(world).call("tokens.revoke", id=made.token.id)
    world.until(lambda: _is_shut(lambda: client.call("people.me")))


def unknown_role(world: World) -> None:
    """A role that does not exist is refused with those that do."""
    with pytest.raises((InvalidInput, NotFound), match="data scientist"):
        _ada(world).call("people.grant", name="eve", role="data scientits")


def unknown_person(world: World) -> None:
    """A person who does not exist is told with the nearest name."""
    with pytest.raises(NotFound, match="eva"):
        _ada(world).call("people.grant", name="eva", role="data scientist")


def last_admin(world: World) -> None:
    """The last admin does not lose that role."""
    with pytest.raises((Conflict, InvalidInput)):
        _ada(world).call("people.revoke", name="ada", role="admin")


def named(world: World) -> None:
    """What somebody did is in the audit log under their name."""
    events = _ada(world).call("audit.list", person="eve").events
    assert "comments.add" in {one.verb for one in events}


def endpoint_asks(world: World) -> None:
    """An endpoint of a store that knows people answers to a token alone."""
    world.until(lambda: world.ask().status_code == 401)
    assert world.endpoint.get("/health").status_code == 200
    headers = {"authorization": f"Bearer {world.kept['token']}"}
    rows = {"rows": [{"order_id": "a", "region": "east", "size": 1.0}]}
    told = world.endpoint.post(f"/endpoints/{NAME}/predict", json=rows, headers=headers)
    assert told.status_code == 200, told.text


def disabled(world: World) -> None:
    """Who is disabled is let in no longer, with none of their tokens."""
    _ada(world).call("people.change", name="eve", disabled=True)
    world.until(lambda: _is_shut(lambda: _eve(world).call("projects.home")))


def whole_at_last(world: World) -> None:
    """After all of it the audit log is sealed and verified."""
    _ada(world).call("audit.seal")
    assert _ada(world).call("audit.verify").unsealed <= 1


BEHAVIOURS = (
    commented,
    comment_edited,
    comment_empty,
    comment_deleted,
    told_of,
    by_verb,
    in_order,
    sealed,
    roots,
    backed_up,
    exported,
    signed_files,
    nobody_known,
    first_needs_admin,
    first_person,
    token,
    wrong_token,
    roles,
    granted,
    others_comment,
    scoped,
    secrets,
    revoked,
    unknown_role,
    unknown_person,
    last_admin,
    named,
    endpoint_asks,
    disabled,
    whole_at_last,
)
