"""One parse at a time.

CPython 3.11 keeps the depth of the syntax tree that it builds in the interpreter, not in the thread: two threads that
parse at once can fail with `SystemError: AST constructor recursion depth mismatch`
(https://github.com/python/cpython/issues/106905).
"""

import ast
import threading
from typing import Literal, overload

__all__ = ["parse"]

_turn = threading.RLock()  # a finalizer that the collector runs meanwhile may parse too


@overload
def parse(text: str, path: str = ..., mode: Literal["exec"] = ...) -> ast.Module: ...
@overload
def parse(text: str, path: str = ..., *, mode: Literal["eval"]) -> ast.Expression: ...
def parse(text: str, path: str = "<text>", mode: Literal["exec", "eval"] = "exec") -> ast.Module | ast.Expression:
    """`ast.parse`, safe in threads.

    Raises:
        SyntaxError: The text is not Python.
    """
    with _turn:
        return ast.parse(text, path, "eval") if mode == "eval" else ast.parse(text, path)
