"""Steps from a notebook's cells: which lines go to the module, which become a step, and what goes from step to step."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from slipway.code.cell_display import shows_only
from slipway.code.cell_flow import Statement, gathered
from slipway.errors import InvalidInput
from slipway.flows.notebook_run import Ran

__all__ = ["NUMPY_STATE", "PYTHON_STATE", "Plan", "PlannedStep", "module_level", "plan_steps", "step_of"]

NUMPY_STATE = "numpy_random_state"
PYTHON_STATE = "python_random_state"
_STATES = {"numpy": NUMPY_STATE, "python": PYTHON_STATE}


@dataclass(slots=True)
class PlannedStep:
    """One step.

    Args:
        name: The function's name.
        cell: The cell that it comes from.
        statements: The positions of its statements.
        definitions: The positions of functions that read data, and so have to stand inside.
        takes: What it needs from before, in order.
        gives: What later steps need, in order.
        changed: What it takes and changes in place: it works on a copy.
        draws: Which random numbers go on where an earlier step ended: "numpy", "python".
        reads_files: Whether it opens files.
        is_report: Whether it is kept for what it prints.
    """

    name: str
    cell: int
    statements: list[int]
    definitions: list[int]
    takes: list[str]
    gives: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    draws: list[str] = field(default_factory=list)
    reads_files: bool = False
    is_report: bool = False


@dataclass(slots=True)
class Plan:
    """How a notebook becomes a pipeline.

    Args:
        module: The positions of statements that stand at the top of the module.
        steps: The steps, in order.
        seeds: Random numbers that are drawn before the notebook says where they begin: "numpy", "python".
        shown: The cells that only show something.
        unused: The cells whose results nothing reads.
        inner: The positions of functions that read data.
    """

    module: list[int]
    steps: list[PlannedStep]
    seeds: list[str]
    shown: list[int]
    unused: list[int]
    inner: set[int] = field(default_factory=set)


def plan_steps(
    statements: Sequence[Statement],
    ran: Ran,
    plots: frozenset[int],
    wanted: Mapping[int, set[str]],
    own: Callable[[str], str],
) -> Plan:
    """Plan the steps.

    Args:
        statements: All statements.
        ran: What running them showed.
        plots: The positions of those that only plot.
        wanted: The names that the end needs as they are after a cell, by its number.
        own: Gives a name that the notebook does not use.

    Raises:
        InvalidInput: What one cell gives to another cannot be handed on; cell and variable are named.
    """
    module = module_level(statements, ran, plots)
    inner = _inner_definitions(statements, module, plots)
    taken = {name for position in module for name in statements[position].binds}
    plan = Plan(sorted(module), [], [], [], [], inner)
    for number in sorted({one.cell for one in statements}):
        kept = [
            position
            for position, one in enumerate(statements)
            if one.cell == number
            and position not in module
            and position not in plots
            and (position not in inner or gathered(one.node))
        ]
        computing = [
            p for p in kept if not shows_only(statements[p]) or ran.draws[p] or _changes_unseen(statements, p, ran)
        ]
        if computing:
            plan.steps.append(step_of(statements, ran, computing, inner, taken))
        elif any(position in plots or shows_only(statements[position]) for position in kept) or (
            not kept and any(one.cell == number and p in plots for p, one in enumerate(statements))
        ):
            plan.shown.append(number)
    _thread_random(plan, statements)
    _prune(plan, statements, ran, wanted)
    _name(plan, statements, own)
    _check_handed_on(plan, ran)
    return plan


def module_level(statements: Sequence[Statement], ran: Ran, plots: frozenset[int]) -> set[int]:
    """The positions of what stands at the top of the module: imports, functions and classes without data, constants."""
    bound = Counter(name for one in statements for name in one.binds)
    changed = {name for one in statements for name in one.changes}.union(*ran.changed.values())
    known: set[str] = set()
    found: set[int] = set()
    while True:
        before = len(found)
        for position, one in enumerate(statements):
            if position in found or position in plots or ran.draws[position] or not one.reads <= known:
                continue
            steady = all(bound[name] == 1 and name not in changed for name in one.binds)
            if (
                _is_import(one.node)
                or (steady and (_is_definition(one.node) or _is_constant(one.node)))
                or _is_setting(one)
            ):
                found.add(position)
                known |= one.binds
        if len(found) == before:
            return found


def _is_import(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
        return True
    if isinstance(node, ast.Try):
        inner = [
            *node.body,
            *(part for handler in node.handlers for part in handler.body),
            *node.orelse,
            *node.finalbody,
        ]
        return any(isinstance(part, ast.Import | ast.ImportFrom) for part in node.body) and all(
            _is_import(part) or _is_constant(part) for part in inner
        )
    return False


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _is_constant(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign) or not all(isinstance(target, ast.Name) for target in node.targets):
        return False
    plain = (
        ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Name, ast.Load, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop,
    )  # fmt: skip
    return all(isinstance(part, plain) for part in ast.walk(node.value))


def _is_setting(one: Statement) -> bool:
    """A line that sets how a library behaves: `pd.set_option(...)`, `warnings.filterwarnings("ignore")`."""
    if not isinstance(one.node, ast.Expr) or not isinstance(one.node.value, ast.Call):
        return False
    called = ast.unparse(one.node.value.func)
    return bool(
        re.search(
            r"\.(set_option|filterwarnings|simplefilter|set_printoptions|set_config|Config\.\w+|basicConfig)$", called
        )
    )


def _inner_definitions(statements: Sequence[Statement], module: set[int], plots: frozenset[int]) -> set[int]:
    """What stands inside of the steps that use it: functions and classes that read data, and lists of frames.

    A list such as `both = [train, test]` holds the very objects, so each step makes it anew of those that it has.
    """
    return {
        position
        for position, one in enumerate(statements)
        if (_is_definition(one.node) or gathered(one.node)) and position not in module and position not in plots
    }


def _changes_unseen(statements: Sequence[Statement], position: int, ran: Ran) -> bool:
    """Whether the cell changed something that no statement of it shows to change, and this one may have done it."""
    one = statements[position]
    seen = {name for other in statements if other.cell == one.cell for name in other.changes}
    return bool((ran.changed.get(one.cell, frozenset()) - seen) & one.reads)


def step_of(
    statements: Sequence[Statement], ran: Ran, positions: list[int], inner: Iterable[int], module_names: set[str]
) -> PlannedStep:
    """A step of some statements: what it takes and changes."""
    number = statements[positions[0]].cell
    defined = {name: p for p in inner if p <= positions[-1] for name in statements[p].binds}
    before = {name for p in range(positions[0]) for name in statements[p].binds}
    takes: dict[str, None] = {}
    bound: set[str] = set()
    definitions: dict[int, None] = {}

    def need(names: Iterable[str]) -> None:
        for name in names:
            if name in bound or name in module_names:
                continue
            if name in defined and (
                statements[defined[name]].cell != number or _is_definition(statements[defined[name]].node)
            ):
                if defined[name] not in definitions:
                    definitions[defined[name]] = None
                    need(sorted(statements[defined[name]].reads))
            else:
                takes[name] = None

    for position in positions:
        one = statements[position]
        need(sorted(one.reads | (one.keeps & before)))
        bound |= one.binds
    changed = {name for p in positions for name in statements[p].changes} | ran.changed.get(number, frozenset())
    unseeded = _unseeded(statements, positions, ran)
    return PlannedStep(
        name="",
        cell=number,
        statements=positions,
        definitions=sorted(definitions),
        takes=list(takes),
        changed=[name for name in takes if name in changed],
        draws=unseeded,
        reads_files=bool(ran.files.get(number)),
    )


def _unseeded(statements: Sequence[Statement], positions: list[int], ran: Ran) -> list[str]:
    """Which random numbers a cell draws without saying itself where they begin."""
    found = []
    for kind in _STATES:
        drawing = [position for position in positions if kind in ran.draws[position]]
        if drawing and not _seeds(statements[drawing[0]], kind):
            found.append(kind)
    return found


def _seeds(one: Statement, kind: str) -> bool:
    if not isinstance(one.node, ast.Expr) or not isinstance(one.node.value, ast.Call) or not one.node.value.args:
        return False
    called = ast.unparse(one.node.value.func)
    return called.endswith("random.seed") and (called == "random.seed") == (kind == "python")


def _thread_random(plan: Plan, statements: Sequence[Statement]) -> None:
    """Where random numbers go on from step to step, their state does too."""
    for kind, name in _STATES.items():
        drawing = [step for step in plan.steps if kind in step.draws]
        if not drawing:
            continue
        first = drawing[0]
        earlier = [
            step
            for step in plan.steps[: plan.steps.index(first)]
            if any(_seeds(statements[p], kind) for p in step.statements)
        ]
        if not earlier:
            plan.seeds.append(kind)
        for step in drawing:
            step.takes.append(name)


def _gives(step: PlannedStep, statements: Sequence[Statement], ran: Ran, seeded: set[str]) -> set[str]:
    bound = {name for p in step.statements for name in statements[p].binds} | set(step.changed)
    for kind, name in _STATES.items():
        if kind in step.draws or (name in seeded and any(_seeds(statements[p], kind) for p in step.statements)):
            bound.add(name)
    gone = {name for p in step.statements for name in statements[p].deletes} - bound
    return bound - gone


def _prune(plan: Plan, statements: Sequence[Statement], ran: Ran, wanted: Mapping[int, set[str]]) -> None:
    """What each step gives is what is read after it; a step that gives nothing stays for what it prints."""
    needed: set[str] = set()
    last = max([*(step.cell for step in plan.steps), *wanted], default=0)
    kept: list[PlannedStep] = []
    threaded = {name for step in plan.steps for name in step.takes if name in _STATES.values()}
    for step in reversed(plan.steps):
        for cell in range(last, step.cell - 1, -1):
            needed |= wanted.get(cell, set())
        last = step.cell - 1
        can_give = _gives(step, statements, ran, threaded)
        _refuse_aliases(step, ran, needed - can_give)
        figures = [name for name in sorted(can_give) if name not in needed and _is_figure(ran, step.cell, name)]
        gives = sorted(can_give & needed) + [name for name in figures if not name.startswith("_")]
        step.is_report = not (can_give & needed)
        if step.is_report and not figures and not ran.prints.get(step.cell):
            plan.unused.append(step.cell)
            continue
        if step.is_report and not figures and not _tells_of_model(step, statements):
            plan.shown.append(step.cell)
            continue
        order = {name: position for position, p in enumerate(step.statements) for name in statements[p].binds}
        step.gives = sorted(gives, key=lambda name: (order.get(name, -1), name))
        needed = (needed - (can_give - set(step.takes))) | set(step.takes)
        kept.append(step)
    plan.steps = kept[::-1]
    plan.shown.sort()
    plan.unused.sort()


def _refuse_aliases(step: PlannedStep, ran: Ran, needed: set[str]) -> None:
    """Refuse a cell that changes what it does not name: the steps after it would get it unchanged."""
    for name in sorted(ran.changed.get(step.cell, frozenset()) & needed):
        raise InvalidInput(
            f"Cell {step.cell} changes {name!r} by another name: it works on {', '.join(step.takes) or 'nothing else'}.",
            why=f"Both names are one object in the notebook; from step to step each is a value of its own, so that {name!r} "
            "would stay what it was.",
            fix=f"Use one name for it, or let the other be a copy: {step.takes[0] if step.takes else 'other'} = {name}.copy()",
            field=f"cell {step.cell}: {name}",
        )


def _is_figure(ran: Ran, cell: int, name: str) -> bool:
    """Whether a name is a metric that nothing reads: it is kept, to be compared."""
    return type(ran.namespace.get(name)).__name__ in ("float", "float64", "float32") and name in ran.written.get(
        cell, {}
    )


def _tells_of_model(step: PlannedStep, statements: Sequence[Statement]) -> bool:
    text = "\n".join(statements[p].text for p in step.statements)
    return bool(
        re.search(
            r"\.(score|predict|predict_proba|best_\w+_|cv_results_)\b|_score\(|_error\(|_report\(|_matrix\(|_loss\(",
            text,
        )
    )


_ROLES = (
    ("fit", re.compile(r"\.fit\(")),
    ("split", re.compile(r"\btrain_test_split\(|\.split\(\s*X\b")),
    ("load", re.compile(r"\b(?:read_\w+|load_\w+|fetch_\w+|scan_\w+)\(")),
    ("evaluate", re.compile(r"_score\(|_error\(|_report\(|_matrix\(|\.score\(|_loss\(")),
    ("predict", re.compile(r"\.predict(?:_proba)?\(")),
)


def _name(plan: Plan, statements: Sequence[Statement], own: Callable[[str], str]) -> None:
    counts: Counter[str] = Counter()
    for step in plan.steps:
        text = "\n".join(statements[p].text for p in step.statements)
        role = next((role for role, sign in _ROLES if sign.search(text)), "change" if step.changed else "make")
        if step.is_report:
            role = "report"
        main = next((name for name in reversed(step.gives) if name not in _STATES.values()), "")
        name = re.sub(r"\W", "_", f"{role}_{main.lower()}".strip("_"))
        counts[name] += 1
        step.name = own(name if counts[name] == 1 else f"{name}_{counts[name]}")


def _check_handed_on(plan: Plan, ran: Ran) -> None:
    last = {name: step for step in plan.steps for name in step.gives}
    for name, step in last.items():
        written = ran.written.get(step.cell, {})
        if name in _STATES.values() or name not in written or written[name]:
            continue
        kind = type(ran.namespace.get(name)).__name__
        raise InvalidInput(
            f"Cell {step.cell} gives {name!r} to later cells, which is a {kind}.",
            why="Its content cannot be stored and compared, so that no step could hand it to the next.",
            fix=f"Make {name!r} in the cell that uses it.",
            field=f"cell {step.cell}: {name}",
        )
