"""`slipway people` and `slipway tokens`: who is known, which roles they hold, and by what they are known."""

from typing import Any

import click

from slipway.cli.door import Door, json_option, opened
from slipway.cli.layout import columns, facts, instant, print_json
from slipway.cli.responsibility import absences, away, back, check, raci
from slipway.operations.people import Me, OnePerson, People, TokenMade, Tokens
from slipway.operations.permissions import ROLES
from slipway.records.people import MEMBER, Person, RoleGrant

__all__ = ["people", "tokens", "whoami"]


@click.group()
def people() -> None:
    """Make people known, and give or take their roles. Until somebody is, whoever reaches the store may do everything."""


@people.command("list")
@opened
def list_(door: Door) -> None:
    """List who is known, and which roles they hold."""
    door.show(door.call("people.list"), _people_text)


@people.command()
@click.argument("name")
@click.option("--role", "roles", multiple=True, help="A role to hold from the start; may be given again.")
@click.option("--in", "within", default="", metavar="PROJECT", help="Where the roles are held; everywhere if missing.")
@click.option("--service", is_flag=True, help="It is a program that acts by itself, such as a CI job.")
@click.option("--title", default="", help='How pages call them: "Grace Okafor".')
@click.option("--email", default="", help="Where they are written to.")
@click.option("--account", default="", help="The account on the store's machine that is theirs.")
@opened
def add(door: Door, within: str, service: bool, **fields: Any) -> None:
    """Make somebody known. The first one is an admin."""
    door.show(door.call("people.add", is_service=service, project=within, **fields), _person_text)


@people.command()
@click.argument("name")
@click.argument("role")
@click.option("--in", "within", default="", metavar="PROJECT", help="In which project; in all of them if missing.")
@opened
def grant(door: Door, name: str, role: str, within: str) -> None:
    """Give somebody a role."""
    door.show(door.call("people.grant", name=name, role=role, project=within), _person_text)


@people.command()
@click.argument("name")
@click.argument("role")
@click.option("--in", "within", default="", metavar="PROJECT", help="In which project; the one held in all if missing.")
@opened
def revoke(door: Door, name: str, role: str, within: str) -> None:
    """Take a role from somebody."""
    door.show(door.call("people.revoke", name=name, role=role, project=within), _person_text)


@people.command()
@click.argument("name")
@click.option("--title", help="How pages call them.")
@click.option("--email", help="Where they are written to.")
@click.option("--account", help="The account on the store's machine that is theirs.")
@click.option("--disable/--enable", "disabled", default=None, help="End all that they may do, or let them again.")
@opened
def change(door: Door, **fields: Any) -> None:
    """Change or disable somebody."""
    door.show(door.call("people.change", **fields), _person_text)


@people.command()
@json_option
def roles(as_json: bool) -> None:
    """List the roles and the rights that each has."""
    held = {role: rights for role, rights in ROLES.items() if role != MEMBER}
    if as_json:
        print_json(held)
    else:
        click.echo(columns(("role", "rights"), [(role, ", ".join(rights)) for role, rights in held.items()], empty=""))


for _command in (check, raci, away, back, absences):
    people.add_command(_command)


@click.group()
def tokens() -> None:
    """Make, list or end the tokens by which people and services are known. `SLIPWAY_TOKEN` shows one."""


@tokens.command("add")
@click.option("--for", "name", default="", metavar="NAME", help="Whose; your own if missing.")
@click.option("--label", default="", help='What it is for: "CI of flight-delays".')
@click.option("--scope", "scopes", multiple=True, help='Limit it to a right: "runs.write"; may be given again.')
@click.option("--only", default="", metavar="PROJECT", help="Limit it to one project.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 366), help="For how long.")
@opened
def add_token(door: Door, **fields: Any) -> None:
    """Make a token. Its text is shown once and kept nowhere."""
    door.show(door.call("tokens.add", **fields), _made_text)


@tokens.command("list")
@click.option("--for", "name", default="", metavar="NAME", help="Whose; your own if missing.")
@click.option("--all", "everybody", is_flag=True, help="Everybody's.")
@opened
def list_tokens(door: Door, name: str, everybody: bool) -> None:
    """List tokens, never their secrets."""
    door.show(door.call("tokens.list", name=name, everybody=everybody), _tokens_text)


@tokens.command("revoke")
@click.argument("id")
@opened
def revoke_token(door: Door, id: str) -> None:
    """End a token at once."""
    door.show(door.call("tokens.revoke", id=id), _tokens_text)


@click.command()
@opened
def whoami(door: Door) -> None:
    """Say as whom you are known here, and what you may do."""
    door.show(door.call("people.me"), _me_text)


def _people_text(answer: People) -> str:
    rows = [
        (one.name, one.title, _kind(one), ", ".join(map(_words, one.grants)), _state(one), one.account)
        for one in answer.people
    ]
    empty = (
        "Nobody is known yet: whoever reaches the store may do everything. Begin: slipway people add NAME --role admin"
    )
    return columns(("name", "title", "kind", "roles", "state", "account"), rows, empty=empty)


def _person_text(answer: OnePerson) -> str:
    one = answer.person
    roles = ", ".join(map(_words, one.grants)) or "none yet: slipway people grant " + one.name + " ROLE"
    pairs = [("name", one.name), ("title", one.title), ("kind", _kind(one)), ("roles", roles)]
    return facts([*pairs, ("account", one.account), ("email", one.email), ("state", _state(one))])


def _made_text(answer: TokenMade) -> str:
    made = answer.token
    limits = [*made.scopes, *([f"only {made.only}"] if made.only else [])]
    return (
        f"{answer.text}\n\nKeep it now: it is shown once. It is {made.name}'s until {instant(made.expires_at)} UTC"
        f"{', limited to ' + ', '.join(limits) if limits else ''}.\nUse it: export SLIPWAY_TOKEN=... "
        f"(clients of MLflow: MLFLOW_TRACKING_TOKEN). End it: slipway tokens revoke {made.id}"
    )


def _tokens_text(answer: Tokens) -> str:
    rows = []
    for one in answer.tokens:
        limits = ", ".join([*one.scopes, *([f"only {one.only}"] if one.only else [])])
        until = "revoked " + instant(one.revoked_at) if one.revoked_at else instant(one.expires_at)
        label = "browser" if one.session else one.label
        rows.append((one.id, one.name, label, limits, until, instant(one.used_at) or "never"))
    return columns(("id", "whose", "for", "limited to", "until (UTC)", "last seen"), rows, empty="There are no tokens.")


def _me_text(answer: Me) -> str:
    known = answer.identity
    roles = ", ".join(map(_words, known.grants)) or "none"
    note = "nobody is known yet: whoever reaches the store may do everything" if answer.is_open else ""
    pairs = [
        ("name", known.name),
        ("roles", roles),
        ("limited to", ", ".join(known.scopes)),
        ("only in", known.project),
    ]
    return facts([*pairs, ("until", instant(known.expires_at)), ("note", note)])


def _words(grant: RoleGrant) -> str:
    return f"{grant.role} in {grant.project}" if grant.project else grant.role


def _kind(one: Person) -> str:
    return "service" if one.is_service else "person"


def _state(one: Person) -> str:
    return f"disabled since {instant(one.disabled_at)}" if one.disabled_at else "may act"
