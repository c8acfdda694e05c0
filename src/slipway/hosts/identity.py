"""Who acts in a process of this machine: by the token in the environment, else by the account of the operating system.

It guides and keeps honest people from mistakes. Whoever may write the store's folder can get round it; only a server,
whose folder others cannot write, enforces it, and the audit log shows what was edited beside it.
"""

import getpass
import hashlib
import os
import pwd
import re
from datetime import datetime
from pathlib import Path

from slipway.governance.people import identity_of, known
from slipway.governance.tokens import identified
from slipway.ports.ledger_store import LedgerStore
from slipway.records.people import Actor, Identity

__all__ = ["ALONE", "TOKEN_VARIABLE", "local_actor", "shown_token", "user"]

ALONE = ("admin", "governance")
"""The roles of whoever opens a store that knows nobody: a team of one does everything itself."""

TOKEN_VARIABLE = "SLIPWAY_TOKEN"


def user() -> str:
    """The name of the user of the operating system."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user id has no name
        return "user-" + hashlib.blake2b(str(Path.home()).encode(), digest_size=4).hexdigest()


def shown_token(environment: str = "") -> str | None:
    """The token that this process shows to an environment's server and store, None for none.

    `SLIPWAY_TOKEN_PROD` is for the environment `prod`, `SLIPWAY_TOKEN` for each that has none of its own: a token is known
    to one store, and a promotion goes from one into another.
    """
    own = f"{TOKEN_VARIABLE}_{re.sub(r'[^A-Z0-9]', '_', environment.upper())}"
    return os.environ.get(own, "").strip() or os.environ.get(TOKEN_VARIABLE, "").strip() or None


def local_actor(
    ledger: LedgerStore, project: str, now: datetime, environment: str = ""
) -> tuple[Actor, Identity | None]:
    """Who acts in this process.

    Args:
        ledger: The store's.
        project: In which project, "" for none.
        now: Business time.
        environment: Whose store it is, "" where that is not known: it may have a token of its own.

    Returns:
        The actor there, and their identity in other projects. While nobody is known it is the user of the operating
        system with the roles `ALONE`, without an identity; afterwards an account that is nobody's has no role at all.

    Raises:
        Unauthenticated: The token in the environment is good for nothing.
    """
    with ledger.read() as tx:
        people = known(tx)
    if not people:
        return Actor(user(), roles=ALONE), None
    token = shown_token(environment)
    if token is not None:
        identity = identified(ledger, token, now)
    else:
        account = _account()
        own = next((one for one in people if one.account == account and one.disabled_at is None), None)
        identity = Identity(name=account) if own is None else identity_of(own)
    return identity.actor_in(project), identity


def _account() -> str:
    """The account whose process this is; not what an environment variable says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return user()
