"""Slots carry what is current, and give back what was before."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.context import Slot


def test_a_slot_is_filled_for_a_block_and_nests() -> None:
    slot: Slot[str] = Slot("test")
    assert slot.get() is None
    with slot.filled("outer") as given:
        assert (given, slot.get()) == ("outer", "outer")
        with slot.filled("inner"):
            assert slot.get() == "inner"
        assert slot.get() == "outer"
    assert slot.get() is None


def test_a_slot_is_emptied_when_the_block_raises() -> None:
    slot: Slot[str] = Slot("test")
    with pytest.raises(KeyError), slot.filled("value"):
        raise KeyError
    assert slot.get() is None


def test_another_thread_sees_only_what_is_handed_to_it() -> None:
    slot: Slot[str] = Slot("test")
    with slot.filled("mine"), ThreadPoolExecutor(1) as other:
        assert other.submit(slot.get).result() is None
        assert other.submit(contextvars.copy_context().run, slot.get).result() == "mine"
