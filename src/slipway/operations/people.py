"""People, the roles that they hold, and the tokens by which they are known. They belong to the store, to no project."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.people import Identity, Person, Token

__all__ = [
    "AddPerson",
    "AddToken",
    "ChangePerson",
    "ChangeRole",
    "ListTokens",
    "Me",
    "OnePerson",
    "People",
    "RevokeToken",
    "TokenMade",
    "Tokens",
    "operations",
]


class AddPerson(Struct, frozen=True, kw_only=True):
    """Somebody new.

    Args:
        name: Lower-case, as they log in.
        roles: The roles that they hold from the start.
        project: In which project they hold them, "" for all of the store.
        is_service: Whether it is a program that acts by itself.
        title: How pages call them.
        email: Where they are written to.
        account: The account of the operating system on the store's machine that is theirs.
    """

    name: str
    roles: tuple[str, ...] = ()
    project: str = ""
    is_service: bool = False
    title: str = ""
    email: str = ""
    account: str = ""


class ChangePerson(Struct, frozen=True, kw_only=True):
    """What is to be another way; None leaves it.

    Args:
        name: Whose.
        title: As of `AddPerson`.
        email: As of `AddPerson`.
        account: As of `AddPerson`.
        disabled: True ends all that they may do, their tokens included; False lets them again.
    """

    name: str
    title: str | None = None
    email: str | None = None
    account: str | None = None
    disabled: bool | None = None


class ChangeRole(Struct, frozen=True, kw_only=True):
    """A role of somebody's; `project` "" is all of the store."""

    name: str
    role: str
    project: str = ""


class OnePerson(Struct, frozen=True, kw_only=True):
    """Somebody as they are kept."""

    person: Person


class People(Struct, frozen=True, kw_only=True):
    """Everybody by name."""

    people: tuple[Person, ...]


class Me(Struct, frozen=True, kw_only=True):
    """Who asks.

    Args:
        identity: Their name, roles and token.
        is_open: Whether nobody is known yet, so that whoever reaches the store may do everything.
    """

    identity: Identity
    is_open: bool


class AddToken(Struct, frozen=True, kw_only=True):
    """A token to be made.

    Args:
        name: Whose, "" for one's own; another's needs the right to write people.
        label: What it is for.
        scopes: The rights to which it limits its bearer, "runs.write" or "*.read"; none for all of theirs.
        only: The only project that it is good for, "" for all.
        days: For how long, 1 to 366.
    """

    name: str = ""
    label: str = ""
    scopes: tuple[str, ...] = ()
    only: str = ""
    days: int = 90


class TokenMade(Struct, frozen=True, kw_only=True):
    """A new token.

    Args:
        token: As it is kept.
        text: What its bearer shows. It is told once and kept nowhere.
    """

    token: Token
    text: str


class ListTokens(Struct, frozen=True, kw_only=True):
    """Whose tokens, "" for one's own; `everybody` for all."""

    name: str = ""
    everybody: bool = False


class Tokens(Struct, frozen=True, kw_only=True):
    """Tokens, newest first."""

    tokens: tuple[Token, ...]


class RevokeToken(Struct, frozen=True, kw_only=True):
    """Which token, by its id."""

    id: str


def _operation(name: str, summary: str, permission: str, request: type[Struct], response: type[Struct]) -> Operation:
    noun, _, verb = name.partition(".")
    changes = verb not in ("list", "me")
    function = f"list_{noun}" if verb == "list" else f"{verb}_token" if noun == "tokens" else verb
    return Operation(
        name=name,
        summary=summary,
        permission=permission,
        request=request,
        response=response,
        body=f"slipway.governance.{noun}:{function}",
        changes=changes,
        route=f"/api/v1/{noun}" if verb == "list" else f"/api/v1/{noun}/{verb}",
    )


operations = (
    _operation("people.list", "List who is known, and which roles they hold.", "people.read", Empty, People),
    _operation("people.me", "Say as whom one is known here.", "people.read", Empty, Me),
    _operation("people.add", "Make somebody known; the first one is an admin.", "people.write", AddPerson, OnePerson),
    _operation("people.change", "Change or disable somebody.", "people.write", ChangePerson, OnePerson),
    _operation("people.grant", "Give somebody a role.", "people.write", ChangeRole, OnePerson),
    _operation("people.revoke", "Take a role from somebody.", "people.write", ChangeRole, OnePerson),
    _operation("tokens.add", "Make a token; its text is told once.", "tokens.own", AddToken, TokenMade),
    _operation("tokens.list", "List tokens, never their secrets.", "tokens.read", ListTokens, Tokens),
    _operation("tokens.revoke", "End a token at once.", "tokens.own", RevokeToken, Tokens),
)
