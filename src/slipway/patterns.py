"""Patterns over texts that people type into a search: LIKE and regular expressions, in time linear in the text.

A regular expression that backtracks can take hours over a text of a few thousand characters, and these come from anybody
who may search. So it is run as a set of states, one step a character; what cannot be run so (references to groups,
looking ahead or behind) is refused.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from slipway.errors import InvalidInput

__all__ = ["like", "regex"]

_PATTERN_LENGTH = 1000
_MOST_NODES = 1000
_MOST_KNOWN = 2000
_CLASSES = {
    "d": str.isdecimal,
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
_QUANTIFIERS = {"*": (0, None), "+": (1, None), "?": (0, 1)}

Takes = Callable[[str], bool]


@lru_cache(maxsize=256)
def like(pattern: str, ignore_case: bool = False) -> Callable[[str], bool]:
    """A test of whole texts by a LIKE pattern: `%` stands for any text, `_` for one character.

    Args:
        pattern: The pattern.
        ignore_case: Whether pattern and text are compared in lower case (ILIKE).
    """
    first, *others = (pattern.lower() if ignore_case else pattern).split("%")
    pieces = [_piece(part) for part in others]

    def fits(text: str) -> bool:
        text = text.lower() if ignore_case else text
        if not others:
            return len(text) == len(first) and _piece(first).match(text) is not None
        begun = _piece(first).match(text)
        if begun is None:
            return False
        at = begun.end()
        # The leftmost place of each piece is as good as any: only the last one must end with the text.
        for piece in pieces[:-1]:
            found = piece.search(text, at)
            if found is None:
                return False
            at = found.end()
        rest = len(text) - len(others[-1])
        return rest >= at and pieces[-1].match(text, rest) is not None

    return fits


@lru_cache(maxsize=1024)
def _piece(part: str) -> re.Pattern[str]:
    """A part without `%`: of fixed length, so that nothing in it can backtrack."""
    return re.compile("".join("." if c == "_" else re.escape(c) for c in part), re.DOTALL)


@lru_cache(maxsize=256)
def regex(pattern: str) -> Callable[[str], bool]:
    r"""A test that finds a regular expression anywhere in a text.

    Literals, `.`, classes `[a-z]` `[^a-z]` `\d` `\w` `\s` `\D` `\W` `\S`, groups `( )` `(?: )`, `|`, `* + ? {m,n}`,
    `^` and `$` for the text's begin and end, and `(?i)` in front to ignore case.

    Args:
        pattern: The regular expression, at most 1,000 characters.

    Raises:
        InvalidInput: It cannot be read, or needs more than one step a character.
    """
    if len(pattern) > _PATTERN_LENGTH:
        raise _refused(pattern[:40] + "...", f"it has {len(pattern):,} characters, at most {_PATTERN_LENGTH:,} may be")
    return _Machine(_Parser(pattern).whole()).finds


def _any_case(takes: Takes) -> Takes:
    return lambda c: any(len(one) == 1 and takes(one) for one in (c, c.lower(), c.upper()))


def _refused(pattern: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The regular expression {pattern!r} cannot be used: {why}.",
        fix=r"Use literals, . [a-z] \d \w \s ( ) | * + ? {m,n} ^ $ and (?i) in front; \ makes a sign literal.",
        field="where",
    )


class _One(NamedTuple):
    takes: Takes


class _Edge(NamedTuple):
    at_end: bool


class _Many(NamedTuple):
    part: "_Node"
    least: int
    most: int | None


class _Row(NamedTuple):
    parts: "tuple[_Node, ...]"


class _Choice(NamedTuple):
    parts: "tuple[_Node, ...]"


_Node = _One | _Edge | _Many | _Row | _Choice


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._ignore_case = pattern.startswith("(?i)")
        self._at = 4 if self._ignore_case else 0
        self._depth = 0

    def whole(self) -> _Node:
        node = self._choice()
        if self._at < len(self._pattern):
            raise self._fault("')' closes nothing")
        return node

    def _fault(self, why: str) -> InvalidInput:
        return _refused(self._pattern, f"{why}, at character {self._at + 1}")

    def _next(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _choice(self) -> _Node:
        self._depth += 1
        if self._depth > 50:
            raise self._fault("its groups are nested more than 50 deep")
        rows = [self._row()]
        while self._next() == "|":
            self._at += 1
            rows.append(self._row())
        self._depth -= 1
        return rows[0] if len(rows) == 1 else _Choice(tuple(rows))

    def _row(self) -> _Node:
        parts: list[_Node] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._many(self._atom()))
        return _Row(tuple(parts))

    def _many(self, node: _Node) -> _Node:
        while (sign := self._next()) and sign in "*+?{":
            if sign == "{":
                least, most = self._bounds()
            else:
                least, most = _QUANTIFIERS[sign]
                self._at += 1
            if self._next() == "?":  # lazy: the same texts are found
                self._at += 1
            node = _Many(node, least, most)
        return node

    def _bounds(self) -> tuple[int, int | None]:
        found = re.compile(r"\{([0-9]{1,4})(,([0-9]{0,4}))?\}").match(self._pattern, self._at)
        if found is None:
            raise self._fault("'{' begins no repetition such as {2,4}; a literal one is written \\{")
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise self._fault("the repetition ends below its begin")
        self._at = found.end()
        return least, most

    def _atom(self) -> _Node:
        sign = self._next()
        self._at += 1
        if sign == "(":
            return self._group()
        if sign == "[":
            return _One(self._class())
        if sign == "\\":
            return _One(self._escaped())
        if sign == ".":
            return _One(lambda c: c != "\n")
        if sign in "^$":
            return _Edge(sign == "$")
        if sign in "*+?{":
            self._at -= 1
            raise self._fault(f"{sign!r} repeats nothing")
        return _One(self._cased(sign.__eq__))

    def _cased(self, takes: Takes) -> Takes:
        return _any_case(takes) if self._ignore_case else takes

    def _group(self) -> _Node:
        if self._next() == "?":
            if not self._pattern.startswith("?:", self._at):
                raise self._fault("groups that look ahead or behind, or have a name, are not known")
            self._at += 2
        node = self._choice()
        if self._next() != ")":
            raise self._fault("a group is not closed")
        self._at += 1
        return node

    def _escaped(self) -> Takes:
        sign = self._next()
        self._at += 1
        if sign.lower() in _CLASSES and sign:
            takes = _CLASSES[sign.lower()]
            return takes if sign.islower() else lambda c: not takes(c)
        if sign in _ESCAPES:
            return _ESCAPES[sign].__eq__
        if not sign or sign.isalnum():
            self._at -= 1
            raise self._fault(f"'\\{sign}' is not known")
        return sign.__eq__

    def _class(self) -> Takes:
        is_inverse = self._next() == "^"
        self._at += is_inverse
        takers: list[Takes] = []
        singles: set[str] = set()
        while self._next() != "]" or not (takers or singles):
            low = self._next()
            if not low:
                raise self._fault("a class [ ] is not closed")
            self._at += 1
            if low == "\\":
                takers.append(self._escaped())
            elif self._next() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("", "]"):
                high = self._pattern[self._at + 1]
                if high < low or high == "\\":
                    raise self._fault(f"the range {low}-{high} has no character in it")
                self._at += 2
                takers.append(partial(_is_between, low, high))
            else:
                singles.add(low)
        self._at += 1
        inside = self._cased(lambda c: c in singles or any(takes(c) for takes in takers))
        return lambda c: inside(c) != is_inverse


class _Machine:
    """States of which many hold at once; sets of them that were met are remembered with what follows each."""

    def __init__(self, node: _Node) -> None:
        self._takes: list[Takes | None] = []
        self._edges: list[bool | None] = []
        self._out: list[list[int]] = []
        self._added = 0
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._last = self._state()
        first = self._add(node, self._last)
        self._begin = self._reach([first], at_begin=True)
        self._again = self._reach([first], at_begin=False)

    def finds(self, text: str) -> bool:
        """Whether the pattern lies anywhere in the text."""
        held, last = self._begin, self._last
        for sign in text:
            if last in held:
                return True
            known = (held, sign)
            following = self._known.get(known)
            if following is None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                following = self._known[known] = self._step(held, sign)
            held = following
        return last in held or last in self._reach(held, at_begin=not text, at_end=True)

    def _step(self, held: frozenset[int], sign: str) -> frozenset[int]:
        moved: list[int] = []
        for state in held:
            takes = self._takes[state]
            if takes is not None and takes(sign):
                moved += self._out[state]
        return self._reach(moved, at_begin=False) | self._again

    def _reach(self, states: "list[int] | frozenset[int]", *, at_begin: bool, at_end: bool = False) -> frozenset[int]:
        reached: set[int] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in reached:
                continue
            reached.add(state)
            edge = self._edges[state]
            if self._takes[state] is None and (edge is None or (at_end if edge else at_begin)):
                waiting += self._out[state]
        return frozenset(reached)

    def _state(self, takes: Takes | None = None, edge: bool | None = None, out: tuple[int, ...] = ()) -> int:
        self._takes.append(takes)
        self._edges.append(edge)
        self._out.append(list(out))
        return len(self._takes) - 1

    def _add(self, node: _Node, then: int) -> int:
        """Add the states of a node, of which the last leads to `then`; returns the first."""
        self._added += 1  # counts nodes rather than states: an empty group makes none, however often it is repeated
        if self._added > _MOST_NODES:
            raise _refused("...", f"its repetitions make more than {_MOST_NODES:,} states")
        if isinstance(node, _One):
            return self._state(takes=node.takes, out=(then,))
        if isinstance(node, _Edge):
            return self._state(edge=node.at_end, out=(then,))
        if isinstance(node, _Choice):
            return self._state(out=tuple(self._add(part, then) for part in node.parts))
        if isinstance(node, _Row):
            for part in reversed(node.parts):
                then = self._add(part, then)
            return then
        if node.most is None:
            loop = self._state()
            self._out[loop] += [self._add(node.part, loop), then]
            first = loop
        else:
            first = then
            for _ in range(node.most - node.least):
                first = self._state(out=(self._add(node.part, first), then))
        for _ in range(node.least):
            first = self._add(node.part, first)
        return first


def _is_between(low: str, high: str, character: str) -> bool:
    return low <= character <= high
