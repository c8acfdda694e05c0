"""Asking a model with a time limit, so that one that hangs closes its gate instead of keeping it waiting.

A model is loaded and asked in a thread of its own. When the time is over its caller goes on: an exception is raised in
the thread, which ends a loop of Python; what hangs in a library is left behind, and that bundle is not asked again by
this process as long as it does. What never lets go of the interpreter's lock is beyond this.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from slipway.errors import NoAnswer
from slipway.models import bundle as bundles
from slipway.models.bundle import LoadedModel, SelfCheck
from slipway.ports.signer import Signer

__all__ = ["LIMIT_S", "AskedModel", "loaded_within"]

LIMIT_S = 300.0
"""How long a model may take to be loaded, or to answer one question: of 10,000 rows at most where it is judged."""

T = TypeVar("T")
_hung: dict[str, threading.Thread] = {}


class _GivenUp(BaseException):
    """Raised in the thread of a model that did not answer; no `except Exception` of a library holds it up."""


class _Hand:
    """The thread that asks one model."""

    def __init__(self, bundle: str) -> None:
        self._bundle = bundle
        self._asked: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=_work, args=(self._asked,), name="slipway-asking", daemon=True)
        self._is_given_up = False

    def __del__(self) -> None:
        self._asked.put(None)

    def do(self, function: Callable[..., T], *arguments: Any, what: str) -> T:
        """Call a function there, and wait as long as the limit allows.

        Raises:
            NoAnswer: It took longer, or a former question did.
        """
        if threading.current_thread() is self._thread:
            return function(*arguments)
        if self._is_given_up or self._bundle in _still_hung():
            raise _no_answer("is not asked any more: it did not answer before")
        if not self._thread.ident:
            self._thread.start()
        came: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._asked.put(_question(function, arguments, came))
        try:
            answer, problem = came.get(timeout=LIMIT_S)
        except Empty:
            self._give_up()
            raise _no_answer(f"did not {what} within {LIMIT_S:g} s") from None
        if problem is not None:
            raise problem
        return answer  # type: ignore[return-value]

    def _give_up(self) -> None:
        self._is_given_up = True
        _hung[self._bundle] = self._thread
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(_GivenUp))


def _work(asked: SimpleQueue[Callable[[], None] | None]) -> None:
    with suppress(_GivenUp):  # it may arrive wherever the thread is by then
        while (question := asked.get()) is not None:
            question()
            del question  # it holds the model, with which this thread ends


def _question(
    function: Callable[..., T], arguments: tuple[Any, ...], came: SimpleQueue[tuple[T | None, BaseException | None]]
) -> Callable[[], None]:
    context = copy_context()

    def ask() -> None:
        try:
            came.put((context.run(function, *arguments), None))
        except _GivenUp:
            raise
        except BaseException as problem:
            came.put((None, problem))

    return ask


def _still_hung() -> dict[str, threading.Thread]:
    for bundle in [bundle for bundle, thread in _hung.items() if not thread.is_alive()]:
        _hung.pop(bundle, None)
    return _hung


def _no_answer(what: str) -> NoAnswer:
    return NoAnswer(
        f"The model {what}.",
        why="What does not answer where it is judged would not answer where it serves.",
        fix="Ask it for such rows in a notebook, and mend what takes so long.",
    )


class AskedModel(LoadedModel):
    """A model that is asked with the limit.

    Args:
        model: It, loaded.
        hand: Where it is asked.
    """

    def __init__(self, model: LoadedModel, hand: _Hand) -> None:
        self.__dict__.update(model.__dict__)
        self._hand = hand

    def predict_rows(self, rows: Sequence[Sequence[Any]]) -> list[float]:
        """See `LoadedModel.predict_rows`.

        Raises:
            NoAnswer: It took longer than the limit.
        """
        return self._hand.do(super().predict_rows, rows, what="answer")

    def check_sample(self, *, whole: bool = False) -> SelfCheck:
        """See `LoadedModel.check_sample`.

        Raises:
            NoAnswer: It took longer than the limit.
        """
        return self._hand.do(partial(super().check_sample, whole=whole), what="answer its sample")

    def within(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that asks it several times, as one question: what is timed pays for no change of threads.

        Raises:
            NoAnswer: It took longer than the limit.
        """
        return self._hand.do(function, *arguments, what="answer")


def loaded_within(folder: Path, *, expect: str, signer: Signer | None = None) -> AskedModel:
    """Load an unpacked bundle; loading has the limit too.

    Args:
        folder: Where it lies.
        expect: The bundle's digest.
        signer: Whose trusted keys count; None where the signature was verified already.

    Raises:
        NoAnswer: It took longer than the limit.
        Corrupt: See `bundles.load`.
    """
    hand = _Hand(expect)
    return AskedModel(hand.do(lambda: bundles.load(folder, expect=expect, signer=signer), what="load"), hand)
