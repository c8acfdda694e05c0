"""Approving: a word in a role, bound to one bundle."""

import pytest
from small_desk import BETTER, FIRST, NAME, Desk

from slipway.errors import InvalidInput, NotFound
from slipway.flows.approve import approvals_of, grant
from slipway.operations.governance import Grant


def test_a_word_is_bound_to_the_bundle_and_told_in_the_audit_log(desk: Desk) -> None:
    given = grant(desk.workspace, Grant(model=NAME, version="1", role="risk officer", comment="as agreed")).approval
    assert given.bundle == desk.version(FIRST).bundle
    assert (given.name, given.decision, given.comment) == ("risk officer", "approved", "as agreed")
    assert approvals_of(desk.workspace, desk.version(FIRST).bundle) == [given]
    assert approvals_of(desk.workspace, desk.version(BETTER).bundle) == []
    event = desk.events()[-1]
    assert (event.verb, event.subject) == ("approvals.grant", f"bundle:{given.bundle}")


def test_words_are_listed_in_the_order_in_which_they_were_given(desk: Desk) -> None:
    given = []
    for decision in ("approved", "rejected", "approved"):
        given.append(grant(desk.workspace, Grant(model=NAME, decision=decision)).approval)
    assert approvals_of(desk.workspace, desk.version(3).bundle) == given


@pytest.mark.parametrize(
    ("role", "fix"), [("governence", "'governance'"), ("", "--role"), (" ", "--role"), ("a\0b", "--role")]
)
def test_a_word_in_a_role_that_no_gate_would_find_is_refused(desk: Desk, role: str, fix: str) -> None:
    with pytest.raises(InvalidInput, match="is no role") as caught:
        grant(desk.workspace, Grant(model=NAME, version="1", role=role))
    assert fix in caught.value.fix


def test_what_is_no_decision_and_what_is_no_model(desk: Desk) -> None:
    before = desk.events()
    with pytest.raises(InvalidInput, match="'approved'"):
        grant(desk.workspace, Grant(model=NAME, decision="approve"))
    with pytest.raises(NotFound, match="Did you mean"):
        grant(desk.workspace, Grant(model="small-delay"))
    assert desk.events() == before
