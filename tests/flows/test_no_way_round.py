"""No sequence of calls by people without the right puts a digest into prod that nobody with the right approved.

A random walk over every changing operation, as a crowd of people who have all rights but that of approving (and of letting
people in), tries to get a version to serve in prod. Now and then somebody who may approve does so, and the model remembers for which
digest. After each step what serves in prod is compared with the model.
"""

import contextlib
import dataclasses
import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_desk import NAME, Desk, opened

from slipway.errors import SlipwayError
from slipway.gates.declare import Gate, approval
from slipway.governance.tokens import identified
from slipway.ledger import entries
from slipway.operations.declare import call, convert
from slipway.operations.permissions import ROLES, allowed
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace, in_project
from slipway.records.endpoints import Revision
from slipway.records.people import MEMBER, Actor

OTHERS = sorted(
    role
    for role in ROLES
    if role not in (MEMBER, "admin") and not allowed(Actor("x", roles=(role,)), "approvals.grant")
)
WALKS, STEPS = 4, 60


def do(workspace: Workspace, name: str, /, **fields: Any) -> Any:
    wanted = operation(name)
    return call(workspace, wanted, convert(wanted, fields))


class Crowd:
    """People, what they may try, and what was rightly approved."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk, self.pick = desk, random.Random(seed)
        self.still = dataclasses.replace(desk.without_processes().workspace, environment="prod")
        self.approved: dict[str, Any] = {}
        self.served = 0
        admin = desk.workspace_alone
        do(admin, "people.add", name="ada", roles=["admin"], account="ada-s")
        for number, role in enumerate(OTHERS):
            do(admin, "people.add", name=f"p{number}", roles=[role])
        do(admin, "people.add", name="grace", roles=["business owner"])
        self.tokens = {one.name: do(admin, "tokens.add", name=one.name).text for one in do(admin, "people.list").people}
        self.places = ["prod", "prod", "dev", "test"]

    def workspace(self, name: str) -> Workspace:
        known = identified(self.still.ledger, self.tokens[name], self.still.clock.now())
        there = dataclasses.replace(self.still, identity=known, environment=self.pick.choice(self.places))
        return in_project(there, self.still.project)

    def step(self) -> None:
        if self.pick.random() < 0.12:
            self._rightly_approve()
            return
        name = self.pick.choice([f"p{number}" for number in range(len(OTHERS))])
        asked, fields = self._attempt(name)
        with contextlib.suppress(SlipwayError):
            do(self.workspace(name), asked, **fields)

    def _rightly_approve(self) -> None:
        version = self.desk.version(self.pick.choice([1, 2, 3]))
        word = self.pick.choice(["approved", "approved", "rejected"])
        do(self.workspace("grace"), "approvals.grant", model=NAME, version=str(version.number), decision=word, days=2)
        if word == "approved":
            self.approved[version.bundle] = self.still.clock.now() + timedelta(days=2)
        else:
            self.approved.pop(version.bundle, None)

    def _attempt(self, name: str) -> tuple[str, dict[str, Any]]:
        number = str(self.pick.choice([1, 2, 3, "latest", "champion"]))
        attempts: list[tuple[str, dict[str, Any]]] = [
            ("endpoints.deploy", {"model": NAME, "version": number}),
            ("endpoints.deploy", {"model": NAME, "version": number}),
            ("endpoints.deploy", {"model": NAME, "version": number, "at_once": True}),
            ("endpoints.deploy", {"model": NAME, "version": number, "endpoint": "other"}),
            (
                "endpoints.deploy",
                {"model": NAME, "version": number, "gate": msgspec.to_builtins(Gate(approval("x")).spec)},
            ),
            ("endpoints.rollback", {"name": NAME, "to": self.pick.choice([0, 1, 2, 3])}),
            ("endpoints.rollback", {"name": "other"}),
            ("rollouts.abort", {"endpoint": NAME}),
            ("approvals.grant", {"model": NAME, "version": number}),
            ("approvals.stand", {"endpoint": NAME, "until": "2030-01-01T00:00:00Z"}),
            ("models.alias", {"name": NAME, "alias": "champion", "version": number}),
            ("people.grant", {"name": name, "role": "business owner"}),
            ("people.add", {"name": "eve", "roles": ["business owner"]}),
            ("people.change", {"name": "grace", "account": "mine"}),
            ("tokens.add", {"name": "grace"}),
            ("floors.set", {"environment": "prod", "reason": "no more rules"}),
            ("loop.reconcile", {}),
            ("endpoints.watch", {"name": NAME}),
            ("retrainings.start", {"endpoint": NAME, "reason": "new data"}),
        ]
        asked, fields = self.pick.choice(attempts)
        known = operation(asked).request.__struct_fields__
        return asked, {key: value for key, value in fields.items() if key in known}

    def check(self) -> None:
        """What was put into prod since the last look was rightly approved then."""
        now = self.still.clock.now()
        with self.still.ledger.read() as tx:
            revisions = [one for one in entries.find(tx, Revision, limit=10_000) if one.environment == "prod"]
        for revision in revisions[: len(revisions) - self.served]:
            until = self.approved.get(revision.served.bundle)
            was_back = revision.reason.startswith("rollback")
            assert until is not None or was_back, f"{revision.actor} put {revision.served} into prod"
            assert was_back or now < until, (
                f"{revision.actor} put {revision.served} into prod by a word that had lapsed"
            )
        self.served = len(revisions)


@pytest.mark.parametrize("seed", range(WALKS))
def test_no_sequence_of_calls_puts_an_unapproved_digest_into_prod(
    released: Path, tmp_path: Path, seed: int, clock: Any
) -> None:
    shutil.copytree(released, tmp_path / "small")
    with opened(tmp_path / "small", clock) as desk:
        for environment in ("dev", "test", "prod"):
            desk.in_environment(environment)
        crowd = Crowd(desk, seed)
        for _ in range(STEPS):
            crowd.step()
            crowd.check()
            if crowd.pick.random() < 0.1:
                clock.advance_to(clock.now() + timedelta(days=crowd.pick.choice([1, 3])))
        # The walk can fail: with the right word the same calls do reach prod.
        crowd.approved = {}
        do(crowd.workspace("grace"), "approvals.grant", model=NAME, version="2")
        crowd.places = ["prod"]
        mel = f"p{OTHERS.index('ml engineer')}"
        do(crowd.workspace(mel), "endpoints.deploy", model=NAME, version="2", at_once=True)
        with pytest.raises(AssertionError, match="into prod"):
            crowd.check()
