"""Threads may parse at once."""

import gc
import inspect
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.code import scopes
from slipway.code.parsing import parse
from slipway.code.sources import Source


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


def test_threads_that_look_up_functions_of_one_file_at_once_all_find_them() -> None:
    functions = [function for _, function in inspect.getmembers(scopes, inspect.isfunction)]
    functions = [function for function in functions if function.__module__ == scopes.__name__]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            source = Source(scopes.__file__, inspect.getsource(scopes))
            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(lambda one, of=source: of.locate(one.__code__)[1], functions))
            assert all(found)
            assert len(found) > 5
    finally:
        sys.setswitchinterval(interval)
