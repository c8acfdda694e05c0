"""The loop: watches what serves, trains again when that is due, and takes challengers through their roll-outs.

It is level-triggered: each pass looks at the ledger, at the endpoint's log and at the business clock, and does the next
thing that is due. It keeps nothing to itself, so it can be killed at any moment and goes on where it was. Stages judge;
flows act; the loop decides what is next, and writes down why.
"""

from slipway.records.people import Actor

__all__ = ["CONTROLLER"]

CONTROLLER = Actor("controller", kind="service", roles=("ml engineer",))
"""Who acts where nobody is at hand; what it may let through is what people have approved."""
