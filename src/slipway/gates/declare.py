"""The checks of a gate, as a person writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from slipway.errors import InvalidDeclaration
from slipway.gates.numbers import finite
from slipway.gates.wording import describe
from slipway.records.gates import CheckSpec, GateSpec
from slipway.schema.directions import HIGHER, LOWER
from slipway.schema.metric_contract import MetricContract

__all__ = [
    "Check", "Gate", "Metric", "approval", "calibrated", "consistent", "contract_signed", "environment_resolves", "latency", "load", "metric", "no_finding", "no_skew",
    "replayed", "reproduced",
]  # fmt: skip

CHAMPION = "champion"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a gate. It is a declaration, not an answer: it has no truth of its own."""

    spec: CheckSpec

    def __bool__(self) -> NoReturn:
        """Refuse `and`, `or`, `not` and chained comparisons, which would drop a check without a word."""
        raise InvalidDeclaration(
            f"The check '{describe(self.spec)}' was used as a truth value.",
            why="It is judged later, on evidence; `and`, `or`, `not` and `a <= metric <= b` would silently drop checks.",
            fix="Give Gate each check by itself: sw.Gate(sw.metric('auc') >= 0.7, sw.metric('auc') <= 0.99).",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A figure of the evaluation, to be compared: `sw.metric("auc") >= 0.70`.

    Args:
        name: The metric.
        slice: The column whose every slice must hold, "" for overall.
        better: Which way is better.
    """

    name: str
    slice: str = ""
    better: Literal["higher", "lower", ""] = ""

    def __ge__(self, limit: float) -> Check:
        """At least the limit."""
        return self._limited(">=", limit)

    def __le__(self, limit: float) -> Check:
        """At most the limit."""
        return self._limited("<=", limit)

    def not_worse_than(self, other: str, *, margin: float) -> Check:
        """Not worse than the champion's on the same rows by more than a margin, shown and not assumed.

        Args:
            other: "champion".
            margin: How much worse is tolerated, in the metric's own unit.

        Raises:
            InvalidDeclaration: Another model is named, the margin is negative, or nobody knows which way is better.
        """
        if other != CHAMPION:
            raise InvalidDeclaration(
                f"A metric cannot be compared with {other!r}.", fix="Compare with the 'champion', or with a number."
            )
        if self.slice:
            raise InvalidDeclaration(
                f"The champion comparison of {self.name!r} names the slice {self.slice!r}.",
                why="The comparison is made on all rows together.",
                fix=f"Use sw.metric({self.name!r}).not_worse_than('champion', margin=...), and a limit for the slices.",
            )
        if not self.better:
            raise InvalidDeclaration(
                f"Nobody knows whether a higher {self.name!r} is better.",
                fix=f"Say it: sw.metric({self.name!r}, better='lower').",
            )
        finite(margin, "margin", least=0.0)
        op: Literal[">=", "<="] = ">=" if self.better == "higher" else "<="
        return Check(CheckSpec(kind="champion", metric=self.name, op=op, margin=float(margin)))

    def __gt__(self, limit: object) -> NoReturn:
        """Refused: an interval has no sharp edge."""
        self._refuse(">", f">= {limit}")

    def __lt__(self, limit: object) -> NoReturn:
        """Refused: an interval has no sharp edge."""
        self._refuse("<", f"<= {limit}")

    def __eq__(self, other: object) -> NoReturn:
        """Refused: a measured figure is never equal to a number."""
        self._refuse("==", f">= {other}")

    def __ne__(self, other: object) -> NoReturn:
        """Refused, like `==`."""
        self._refuse("!=", f">= {other}")

    def __bool__(self) -> NoReturn:
        """Refused: a metric alone says nothing."""
        self._refuse("as a truth value", ">= 0.7")

    __hash__ = None  # type: ignore[assignment]  # what cannot be compared cannot be a key

    def _limited(self, op: Literal[">=", "<="], limit: float) -> Check:
        finite(limit, "limit")
        if (op, self.better) in ((">=", "lower"), ("<=", "higher")) and self.name in (*HIGHER, *LOWER):
            other = "<=" if op == ">=" else ">="
            raise InvalidDeclaration(
                f"sw.metric({self.name!r}) {op} {limit} lets only bad models through.",
                why=f"A {self.better} {self.name} is better.",
                fix=f"sw.metric({self.name!r}) {other} {limit}",
            )
        return Check(CheckSpec(kind="metric", metric=self.name, op=op, limit=float(limit), slice=self.slice))

    def _refuse(self, used: str, instead: str) -> NoReturn:
        raise InvalidDeclaration(
            f"sw.metric({self.name!r}) was used with {used}."
            if len(used) < 3
            else f"sw.metric({self.name!r}) was used {used}.",
            why="A gate compares a metric with >=, <= or not_worse_than.",
            fix=f"For example sw.metric({self.name!r}) {instead}.",
        )


class Gate:
    """What a model must pass before it is deployed, on top of the environment's floor.

    Args:
        *checks: In the order in which the verdict lists them. A metric contract asks that its KPI holds on the evaluated
            rows: no worse than its limit, and no worse than the champion's by more than its guard band.

    Raises:
        InvalidDeclaration: There is none, or one of them is no check.

    Example:
        >>> gate = Gate(metric("auc") >= 0.70, calibrated(), approval("accountable"))
        >>> [check.kind for check in gate.spec.checks]
        ['metric', 'calibrated', 'approval']
    """

    def __init__(self, *checks: Check | MetricContract) -> None:
        if not checks:
            raise InvalidDeclaration(
                "The gate has no checks.",
                why="A gate without checks would let everything through.",
                fix="For example sw.Gate(sw.metric('auc') >= 0.7), or leave the gate out: the environment's floor holds.",
            )
        asked = [_of_contract(check) if isinstance(check, MetricContract) else check for check in checks]
        for check in asked:
            _refuse_other(check)
        self.spec = GateSpec(checks=tuple(check.spec for check in asked))

    def __eq__(self, other: object) -> bool:
        """Gates with the same checks in the same order are equal."""
        return isinstance(other, Gate) and self.spec == other.spec

    def __hash__(self) -> int:
        return hash(self.spec)

    def __repr__(self) -> str:
        return f"<Gate: {'; '.join(describe(check) for check in self.spec.checks)}>"


def metric(name: str, *, slice: str = "", better: Literal["higher", "lower", ""] = "") -> Metric:
    """A figure of the evaluation, to be compared with a limit or with the champion's.

    Args:
        name: "auc", "log_loss", "cost", ... as `sw.evaluate` calls it.
        slice: A column of the evaluation's slices: every slice with enough rows must hold.
        better: Which way is better, for a metric of your own.

    Raises:
        InvalidDeclaration: `better` contradicts what is known of the metric.

    Example:
        >>> metric("auc", slice="carrier") >= 0.55
        Check(spec=CheckSpec(kind='metric', metric='auc', op='>=', limit=0.55, margin=0.0, slice='carrier', role=''))
    """
    known: Literal["higher", "lower", ""] = "higher" if name in HIGHER else "lower" if name in LOWER else ""
    if known and better and known != better:
        raise InvalidDeclaration(f"A {better} {name!r} is not better.", fix=f"Leave `better` out: {known} is known.")
    return Metric(name, slice, known or better)


def calibrated(tolerance: float = 0.05) -> Check:
    """The mean prediction is near the rate that came true.

    Args:
        tolerance: The greatest difference that is tolerated, as a share of 1.
    """
    finite(tolerance, "tolerance", least=0.0)
    return Check(CheckSpec(kind="calibrated", limit=float(tolerance)))


def no_skew() -> Check:
    """Served features are proven equal to those of training."""
    return Check(CheckSpec(kind="no_skew"))


def no_finding() -> Check:
    """Nothing bad was found while the run that trained the model was watched: no NaN, divergence or overfitting.

    It reads what `run.watch(...)` noted, in a script's run or in a pipeline's steps, those from the cache too; of a run
    that was not watched nobody can tell. A plateau is no fault.
    """
    return Check(CheckSpec(kind="no_finding"))


def reproduced(*, exactly: bool = False) -> Check:
    """The run that made the model was run again from what is stored, and came to the same.

    It reads the newest signed verdict of `slipway reproduce MODEL` that could tell; one that was edited since counts for
    nothing. A verdict "cannot", after rows were erased, leaves what was shown before as it stands.

    Args:
        exactly: Whether only equal results will do; otherwise those within tolerance do too.
    """
    return Check(CheckSpec(kind="reproduced", limit=0.0 if exactly else 1.0))


def consistent(max_share: float = 0.001) -> Check:
    """What the endpoint serves now was computed again offline, and nearly all of it is equal.

    The newest report on the consistency of the endpoint's features is judged; see `sw.Consistency`. What differs because
    data came late does not count. The first model of an endpoint passes: nothing was served yet.

    Args:
        max_share: The share of a feature's values that may differ: 0.001 is one in a thousand.
    """
    finite(max_share, "max_share", least=0.0)
    return Check(CheckSpec(kind="consistent", limit=float(max_share)))


def latency(*, times_champion: float) -> Check:
    """An answer takes at most so many times the champion's time.

    Args:
        times_champion: Above 0; 1.5 tolerates half as much again.
    """
    finite(times_champion, "times_champion", least=0.0)
    return Check(CheckSpec(kind="latency", limit=float(times_champion)))


def environment_resolves(*, platform: str = "", python: str = "", ask_index: bool = False) -> Check:
    """The versions in the bundle's lock are those installed where it will serve, or can be installed on a named target.

    Without a target the lock is compared with what is installed here, which is what an endpoint's process gets. For a
    target, uv (the extra `envs`) looks whether each version has a wheel for it: in its cache and the wheel folders that
    it knows, and at an index only where that is asked for.

    Args:
        platform: As uv calls it: "x86_64-manylinux_2_28", "aarch64-unknown-linux-gnu", "macos"; this machine's if empty.
        python: The target's Python: "3.12"; the lock's own if empty.
        ask_index: Whether uv may ask its index.

    Raises:
        InvalidDeclaration: It is no name of a platform or no version of Python.
    """
    for value, pattern, what in (
        (platform, r"[A-Za-z0-9_.-]*", "platform"),
        (python, r"(\d+\.\d+(\.\d+)?)?", "Python"),
    ):
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise InvalidDeclaration(
                f"{value!r} is no {what} on which a lock could resolve.",
                fix="For example sw.environment_resolves(platform='aarch64-unknown-linux-gnu', python='3.12').",
            )
    where = " ".join((platform or "here", python)).strip() if platform or python else ""
    return Check(CheckSpec(kind="environment", where=where, limit=1.0 if ask_index else 0.0))


def load(
    *,
    rate: float = 0.0,
    rows: int = 1,
    p50_ms: float | None = None,
    p95_ms: float | None = None,
    p99_ms: float | None = None,
    cpu_ms: float | None = None,
    throughput: float | None = None,
    memory: str | int | None = None,
    size: str | int | None = None,
) -> Check:
    """One need of the bundle's endpoint process under load, as `slipway check-load` measured it on this machine.

    The newest measurement of these very bytes counts that was made here, within 30 days, at this rate or a greater one,
    with as many rows a request or more. A request that was not answered refuses. Where the endpoint's scope asks for more
    requests a second, it is that rate.

    Args:
        rate: Requests a second, sent whether or not those before were answered.
        rows: Rows a request.
        p50_ms: The median latency is at most this, in milliseconds.
        p95_ms: Of 100 answers 95 take at most this.
        p99_ms: Of 100 answers 99 do.
        cpu_ms: An answer takes at most this much CPU time, in milliseconds.
        throughput: At least so many requests a second are answered when as many as possible are sent.
        memory: All processes of the endpoint take at most this, each shared page counted once: "500MB".
        size: The bundle's files take at most this: "50MB". It is known without a measurement.

    Raises:
        InvalidDeclaration: Not exactly one need is given, or it cannot be.

    Example:
        >>> load(rate=200, p95_ms=50).spec.limit
        50.0
    """
    given: dict[str, Any] = {
        "p50_ms": p50_ms, "p95_ms": p95_ms, "p99_ms": p99_ms, "cpu_ms": cpu_ms, "throughput": throughput,
        "memory": memory, "size": size,
    }  # fmt: skip
    asked = {name: value for name, value in given.items() if value is not None}
    if len(asked) != 1:
        raise InvalidDeclaration(
            f"A check of load was given {len(asked)} needs: {', '.join(asked) or 'none'}.",
            why="Each need is a check of its own, with its own answer in the verdict.",
            fix="For example sw.load(rate=200, p95_ms=50), sw.load(rate=200, memory='500MB').",
        )
    ((name, value),) = asked.items()
    limit: Any = _bytes(value) if name in ("memory", "size") else value
    finite(limit, name, least=0.0)
    finite(rate, "rate", least=0.0)
    _count(rows, "rows")
    op: Literal[">=", "<="] = ">=" if name == "throughput" else "<="
    if name in ("size", "throughput"):
        rate = 0.0  # they do not depend on it
    return Check(CheckSpec(kind="load", metric=name, op=op, limit=float(limit), rate=float(rate), count=rows))


def replayed(rows: int = 500, *, max_share: float = 0.0) -> Check:
    """Stored training rows, asked over HTTP of the bundle's endpoint process, are served as they were trained on.

    Each row's request goes to the real process, as of the row's own decision time, with an online store that is loaded
    from the tables as they are now. What the model was given is compared with the training set column by column, bit for
    bit, its answer with the offline one, and with that of its evaluation. It is done whenever the gate is judged.

    Args:
        rows: How many rows, chosen at the edges of each column and evenly over time.
        max_share: The share of them that may differ: above 0 only where tables are corrected after the fact.

    Raises:
        InvalidDeclaration: It is no number of rows, or no share.
    """
    _count(rows, "rows")
    finite(max_share, "max_share", least=0.0)
    return Check(CheckSpec(kind="replayed", count=rows, limit=float(max_share)))


def approval(role: str, *, count: int = 1) -> Check:
    """People approve in a role, for exactly these bytes. Whoever made the model does not count among them.

    Args:
        role: For example "accountable".
        count: How many different people.

    Raises:
        InvalidDeclaration: The role is empty, or the count is none.
    """
    if not isinstance(role, str) or not role.strip():
        raise InvalidDeclaration(f"{role!r} is no role.", fix="For example sw.approval('accountable').")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidDeclaration(
            f"{count!r} is no number of people.", fix="For example sw.approval('accountable', count=2)."
        )
    return Check(CheckSpec(kind="approval", role=role, count=count))


def contract_signed(kpi: str = "") -> Check:
    """The endpoint's metric contract is signed by its owner, as it stands: anything that changed in it makes that void.

    Args:
        kpi: The contract's KPI; "" for whichever contract the endpoint is under, so that a floor can ask for it.

    Raises:
        InvalidDeclaration: It is no name.
    """
    if not isinstance(kpi, str):
        raise InvalidDeclaration(f"{kpi!r} names no KPI.", fix="For example sw.contract_signed('revenue per seat').")
    return Check(CheckSpec(kind="contract_signed", metric=kpi))


def _of_contract(contract: MetricContract) -> Check:
    return Check(CheckSpec(kind="contract", metric=contract.kpi, contract=contract.terms()))


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _bytes(given: object) -> object:
    """A size in bytes out of "500MB" or a number."""
    if not isinstance(given, str):
        return given
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", given)
    if found is None or found[2].upper() not in _UNITS:
        raise InvalidDeclaration(f"{given!r} is no size.", fix="For example '500MB', '1.5GB' or '512MiB'.")
    return float(found[1]) * _UNITS[found[2].upper()]


def _count(given: object, what: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidDeclaration(f"{given!r} is no number of {what}.", fix=f"Give 1 or more: {what}=500.")


def _refuse_other(check: object) -> None:
    if isinstance(check, Check):
        return
    if isinstance(check, Metric):
        raise InvalidDeclaration(
            f"sw.metric({check.name!r}) is given to the gate without a comparison.",
            fix=f"For example sw.metric({check.name!r}) >= 0.7.",
        )
    hint = "sw.no_skew()" if callable(check) else "sw.metric('auc') >= 0.7"
    raise InvalidDeclaration(
        f"The gate was given {check!r}, which is no check.", fix=f"Give it checks, for example {hint}."
    )
