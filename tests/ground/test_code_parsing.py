"""Threads may parse at once."""

import gc
import inspect
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.code import scopes
from slipway.code.parsing import parse


def test_threads_that_parse_at_once_all_get_their_tree() -> None:
    text = inspect.getsource(scopes)
    before = gc.get_threshold()

    def switch(*_: object) -> None:
        time.sleep(0.0001)  # another thread runs in the middle of a tree

    gc.callbacks.append(switch)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            trees = list(pool.map(parse, [text] * 8))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(switch)
    assert all(len(tree.body) == len(trees[0].body) > 10 for tree in trees)


def test_what_is_not_python_says_so() -> None:
    with pytest.raises(SyntaxError):
        parse("def")
