"""Faults injected one at a time into a small endpoint that serves, each in a store of its own: who is told of what?

What must come of each was written down beforehand, from the documentation (`fault_table.py`): the class of the incident, what
it is about, how loud it is, and the person, by a RACI with another name in every stage. Real are the processes, requests, the
log, labels and feeds, the passes of the loop, monitors, incidents, the outbox, a mail server and a receiver of webhooks. Ten
faults are those of the service, in machine time; the others come after five ordinary weeks, hour by hour, in business time.

*Class right*: the first that anybody is told is of this class and about this. *Person right*: it is addressed, by mail and
webhook, to the one person who must look, and to nobody else. A fault of which anybody is told something else besides, that
was not expected as its consequence, is in neither. Controls are what looks like a fault and is none: nobody must be told.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import fault_live, fault_weeks
from benchmarks.fault_receivers import Post
from benchmarks.fault_table import CONTROLS, FAULTS, Expected
from benchmarks.fault_world import LIVE, NAME, Minutes, Weeks, opened, prepare
from slipway.flows.run_books import page_of

REMARK = """\
Kilometres that become miles stay within all that was ever seen, so they are told as drift, to who watches the model, and not as a
broken feed. An input that few rows an hour tell apart (the wind of two regions) and that stands still is told as drift too.
"""
_PATH = "injected faults"


@dataclass
class Told:
    """What came of one fault.

    Args:
        expected: What must come of it.
        facts: What the webhook was told, in its order.
        to: By the id of the incident, the addresses that mail went to.
        problems: What passes of the loop could not do.
        took_s: Machine time.
    """

    expected: Expected
    facts: list[dict[str, Any]]
    to: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def first(self) -> dict[str, Any]:
        """The first that anybody was told, {} where nobody was; of what one look found it is the one that was expected."""
        at_once = [one for one in self.facts if one["opened"] == self.facts[0]["opened"]]
        ours = [one for one in at_once if one["cause"] == self.expected.kind]
        return (ours or at_once or [{}])[0]

    @property
    def besides(self) -> list[tuple[str, str]]:
        """What else was told, and to whom, that was not to be expected."""
        allowed = {(self.expected.kind, self.expected.person), *self.expected.follows}
        return [one for one in map(_whose, self.facts) if one not in allowed]

    @property
    def is_class_right(self) -> bool:
        """Whether it is the class, what it is about, and how loud."""
        if not self.expected.kind:
            return not self.facts
        found = tuple(str(self.first.get(name, "")) for name in ("cause", "about", "level"))
        return found == (self.expected.kind, self.expected.about, self.expected.level) and not self.besides

    @property
    def is_person_right(self) -> bool:
        """Whether the one who must look was told by both channels, and nobody else."""
        if not self.expected.kind:
            return not self.facts
        is_mailed = self.to.get(str(self.first.get("id"))) == f"{self.expected.person}@example.org"
        return self.first.get("people") == [self.expected.person] and is_mailed and not self.besides

    @property
    def lacks(self) -> list[str]:
        """What its message does not say."""
        said = self.first
        suspects = said.get("suspects") or [{"what": ""}]
        wanted = {
            "what changed": said.get("sentence"),
            "since when": said.get("since"),
            "the next command": str(said.get("command", "")).startswith("slipway "),
            "the run book": str(said.get("run_book", "")).endswith(page_of(said.get("cause", ""))),
            "the likely cause": self.expected.suspect in suspects[0]["what"],
        }
        return [name for name, is_there in wanted.items() if not is_there] if said else []


def _whose(said: dict[str, Any]) -> tuple[str, str]:
    return str(said.get("cause", "")), ", ".join(said.get("people", []))


def inject(folder: Path, expected: Expected, post: Post, scratch: Path) -> Told:
    """Inject one fault into a copy of a prepared store.

    Args:
        folder: Where prepared stores lie.
        expected: Which one.
        post: Where messages arrive.
        scratch: Where the copy goes.
    """
    which = _store_of(expected)
    is_live = which != "weeks"
    shutil.copytree(prepare(folder, which), scratch)
    post.forget()
    began = time.monotonic()
    with opened(scratch, post, Minutes if is_live else Weeks, LIVE if is_live else NAME) as store:
        if isinstance(store, Minutes):
            store.workspace.launcher.ensure(store.folder)
            fault_live.STRIKES[expected.name](store)
        else:
            assert isinstance(store, Weeks)
            fault_weeks.STRIKES[expected.name](store)
        facts = [one for one in post.facts if one.get("occasion") == "opened" and one.get("id")]
        to = {one["id"]: str(letter["To"]) for one in facts for letter in post.letters if _is_of(letter, one)}
        return Told(expected, facts, to, store.problems, time.monotonic() - began)


def _is_of(letter: Any, said: dict[str, Any]) -> bool:
    is_first = "(nobody has acknowledged it)" not in str(letter["Subject"])
    return is_first and f"slipway incidents ack {said['id']}" in letter.get_content()


def inject_all(names: Sequence[str] = (), *, at_once: int = 4) -> list[Told]:
    """Inject faults, those of these names or all, each in a process of its own.

    Args:
        names: Which.
        at_once: So many at a time: most of the time of each is waiting.
    """
    chosen = [one for one in (*FAULTS, *CONTROLS) if not names or one.name in names]
    found = []
    with (
        tempfile.TemporaryDirectory(prefix="slipway-faults-") as temporary,
        ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as pool,
    ):
        made = Path(temporary) / "made"
        list(pool.map(prepare, repeat(made), dict.fromkeys(map(_store_of, chosen))))
        places = (Path(temporary) / str(number) for number in range(len(chosen)))
        for told in pool.map(_injected, repeat(made), chosen, places):
            found.append(told)
            print(_line(told), file=sys.stderr, flush=True)
    return found


def _injected(folder: Path, expected: Expected, scratch: Path) -> Told:
    with Post() as post:
        told = inject(folder, expected, post, scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    return told


def _store_of(expected: Expected) -> str:
    if expected.name not in fault_live.STRIKES:
        return "weeks"
    return "leak" if expected.name in fault_live.IN_BUSINESS_TIME else "minutes"


def _line(told: Told) -> str:
    got = "; ".join(
        f"{one.get('cause')}, {one.get('about')} -> {', '.join(one.get('people', []))}" for one in told.facts
    )
    is_right = told.is_class_right and told.is_person_right
    return f"{'right' if is_right else 'WRONG'}  {told.expected.name} ({told.took_s:.0f} s): {got or 'nothing'} {told.lacks}"


def table(found: Sequence[Told]) -> str:
    """Each fault and what came of it."""
    rows = ["| fault | expected: class, for | told: class, for | right |", "|---|---|---|---|"]
    for one in found:
        wanted = _words(one.expected.kind, one.expected.about, one.expected.person)
        got = "; ".join(dict.fromkeys(_words(f["cause"], f["about"], ", ".join(f["people"])) for f in one.facts))
        words = {(True, True): "yes", (True, False): "**class**", (False, True): "**person**", (False, False): "**no**"}
        rows.append(
            f"| {one.expected.name} | {wanted} | {got or 'nobody'} | {words[one.is_class_right, one.is_person_right]} |"
        )
    return "\n".join(rows)


def _words(kind: str, about: str, person: str) -> str:
    return f"{kind}{f' ({about})' if about else ''}, {person}" if kind else "nobody"


def run(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows of the table.

    Args:
        names: Which faults, none for all.
    """
    found = inject_all(names)
    faults, controls = [one for one in found if one.expected.kind], [one for one in found if not one.expected.kind]
    least = max(1, len(faults) - 1)
    rows = [
        _row(f"of {len(faults)} faults: class right", sum(one.is_class_right for one in faults), goal_least=least),
        _row(f"of {len(faults)} faults: person right", sum(one.is_person_right for one in faults), goal_least=least),
        _row("both right", sum(one.is_class_right and one.is_person_right for one in faults), goal_least=least),
        _row(
            "messages that say what, since when, what to type, the run book, and what probably did it",
            sum(bool(one.facts) and not one.lacks for one in faults),
            goal_least=least,
        ),
    ]
    if controls:
        quiet = sum(one.is_class_right for one in controls)
        rows.append(_row(f"of {len(controls)} controls: nobody was told", quiet, goal_least=len(controls)))
    return [*rows, {"beside": table(found)}]


def _row(what: str, ours: float, **goal: float) -> dict[str, Any]:
    return {"path": _PATH, "what": what, "raw": None, "slipway": ours, "ratio": None, **goal}


if __name__ == "__main__":
    run(sys.argv[1:])
