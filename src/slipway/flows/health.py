"""Watch whether an endpoint answers: at every pass, from what its processes count and say, and by asking it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from slipway.errors import Corrupt
from slipway.flows.endpoints import folder_of, last_status, revision_of
from slipway.flows.probe import ask, question
from slipway.ledger import entries
from slipway.models import bundle as bundles
from slipway.monitoring.burning import span
from slipway.monitoring.constant import constant
from slipway.monitoring.health import OF_OUTCOME, burns, health, signature
from slipway.monitoring.judge import Found
from slipway.operations.declare import Empty
from slipway.operations.health import AllHealth, AskHealth
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import EndpointStatus, MonitorSpec, Revision
from slipway.records.health import Counted, Health, HealthState, Probed, ServiceSpec
from slipway.serving.former_counts import read_lives
from slipway.tables.log_reader import LogReader

__all__ = [
    "HEALTH_FILE",
    "Probes",
    "get_health",
    "list_health",
    "look",
    "process_word",
    "read_state",
    "service_found",
    "service_monitor",
]

HEALTH_FILE = "health.bin"
_KEEP_MINUTES = 6 * 60 + 5
_KEEP_HOURS = 30 * 24
_NOBODY_WATCHED = timedelta(minutes=5)
_CONSTANT_EVERY = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_ROWS = 1_000
_ROWS_BEFORE = 4_000
_WAIT_S = 0.5

Keep = Callable[[Found], None]
"""Writes a finding down, with the incidents that follow."""


class Probes:
    """The probe under way of one endpoint: a pass begins it, and that one or a later one has its answer.

    No pass waits for an endpoint that hangs.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._found: Probed | None = None

    def begin(self, call: Callable[[], Probed]) -> None:
        """Ask, unless the last one has not come back."""
        if self._thread is not None:
            return

        def work() -> None:
            self._found = call()

        self._thread = threading.Thread(target=work, name="slipway-probe", daemon=True)
        self._thread.start()

    def take(self, wait_s: float) -> Probed | None:
        """The answer, once; None while there is none."""
        if self._thread is None:
            return None
        self._thread.join(wait_s)
        if self._thread.is_alive():
            return None
        self._thread, found = None, self._found
        self._found = None
        return found


def service_monitor(revision: Revision) -> MonitorSpec | None:
    """What watches whether a revision's endpoint answers, None where nothing is promised."""
    return next((one for one in revision.monitors if one.kind == "service"), None)


def read_state(folder: Path) -> HealthState:
    """What is kept of an endpoint's health; nothing where nobody looked yet, or where it cannot be read."""
    try:
        return msgspec.msgpack.decode((folder / HEALTH_FILE).read_bytes(), type=HealthState)
    except (OSError, msgspec.DecodeError):
        return HealthState()


def look(
    workspace: Workspace,
    revision: Revision,
    probes: Probes,
    reader: LogReader | None = None,
    *,
    keep: Keep,
    settle: bool = False,
    now: datetime | None = None,
) -> Found | None:
    """Look once: count what came, ask, judge, and keep a finding where it says something else than the last one.

    Args:
        workspace: Whose endpoint.
        revision: What serves.
        probes: The probe under way.
        reader: The endpoint's log, None not to look at its answers.
        keep: Writes a finding down.
        settle: Wait for the probe's answer.
        now: Machine time, None for the present; in a simulation business time counts.

    Returns:
        What was found; None where nothing is promised.
    """
    monitor = service_monitor(revision)
    if monitor is None or monitor.service is None or revision.batch is not None:
        return None
    spec, folder = monitor.service, folder_of(workspace, revision.name)
    if now is None:
        now = workspace.clock.now() if revision.simulation else datetime.now(UTC)
    state = read_state(folder)
    status, process = process_word(workspace, folder)
    came = _count(state, folder, spec, status, process, now, is_simulated=revision.simulation)
    if reader is not None:
        _look_at_answers(state, workspace, revision, reader, now)
    if not revision.simulation:
        _probe(state, workspace, revision, spec, status, probes, came, now, settle=settle)
    found = _judged(state, revision, spec, now)
    if (
        signature(found) != state.told
    ):  # before the state is kept: a kill in between says it twice, and never not at all
        keep(found)
        state.told = signature(found)
    _write(folder, state)
    return found


def service_found(folder: Path, monitor: MonitorSpec, revision: Revision, now: datetime) -> Found:
    """What the last pass found, for whoever judges all monitors at once."""
    state = read_state(folder)
    if monitor.service is None or state.looked_at is None:
        return Found(state="cannot tell", sentence="no pass of the loop has looked yet", rows=0, values={})
    return _judged(state, revision, monitor.service, now if revision.simulation else datetime.now(UTC))


def get_health(workspace: Workspace, request: AskHealth) -> Health:
    """Whether an endpoint answers, as the last pass saw it, and what is left of its budgets.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision = revision_of(workspace, request.name)
    return _told(workspace, revision, process_word(workspace, folder_of(workspace, request.name))[1])


def _told(workspace: Workspace, revision: Revision, process: str) -> Health:
    folder, monitor = folder_of(workspace, revision.name), service_monitor(revision)
    if revision.batch is not None:
        told = "it scores tables, and answers no requests"
        return Health(endpoint=revision.name, spec=None, process="", state="cannot tell", sentence=told)
    if monitor is None or monitor.service is None:
        told = "nothing is promised: declare monitors=[sw.Service(availability=0.999)] and deploy"
        return Health(endpoint=revision.name, spec=None, process=process, state="cannot tell", sentence=told)
    state, now = read_state(folder), workspace.clock.now() if revision.simulation else datetime.now(UTC)
    found = service_found(folder, monitor, revision, now)
    return Health(
        endpoint=revision.name,
        spec=monitor.service,
        process=process,
        state=found.state,
        sentence=found.sentence,
        troubles={cause.about: cause.sentence for cause in found.causes},
        burns=burns(state, monitor.service, now),
        hour=span(state.minutes, state.hours, now, _HOUR),
        probe=state.probe,
        looked_at=state.looked_at,
    )


def list_health(workspace: Workspace, request: Empty) -> AllHealth:
    """The health of every endpoint of the project that promises something, as the last passes saw it: no process is looked at."""
    with workspace.ledger.read() as tx:
        found = [entries.get(tx, Revision, id) for id in tx.refs(workspace.project, "endpoint").values()]
    watched = [one for one in found if service_monitor(one) is not None and one.batch is None]
    told = [_told(workspace, one, read_state(folder_of(workspace, one.name)).state) for one in watched]
    return AllHealth(endpoints=tuple(sorted(told, key=lambda one: one.endpoint)))


def _judged(state: HealthState, revision: Revision, spec: ServiceSpec, now: datetime) -> Found:
    behind = revision.fallback
    return health(state, spec, now, has_own_limit=behind is not None and behind.alert_above is not None)


def process_word(workspace: Workspace, folder: Path) -> tuple[EndpointStatus | None, str]:
    """What runs, and in one word what it is like; "down" where it ended without being told to, or cannot start."""
    status, said = workspace.launcher.status(folder), last_status(folder)
    if status is None:
        return None, "stopped" if said is None or said.state == "draining" else "down"
    if status.state == "failed":
        return status, "down"
    if status.state == "draining":
        return status, "stopped"
    if status.state == "ready":
        return status, "asleep" if status.workers == 0 else "up"
    return status, "starting"


def _count(
    state: HealthState,
    folder: Path,
    spec: ServiceSpec,
    status: EndpointStatus | None,
    process: str,
    now: datetime,
    *,
    is_simulated: bool,
) -> Counted:
    """Add what came since the last look to its minute and hour; returns it."""
    lives = read_lives(folder, spec.latency_us)
    known = {life.name: life.held for life in state.lives}
    came = Counted()
    for life in lives:
        former = known.get(life.name, Counted())
        if former.requests > life.held.requests or former.rows > life.held.rows:  # another file under the same number
            former = Counted()
        if spec.latency_us != state.latency_us:
            former = msgspec.structs.replace(former, timed=life.held.timed, slow=life.held.slow)
        if state.looked_at is not None:
            came.add(life.held.less(former))
    crashes = [at for _, at in status.crashes] if status is not None else []
    newest = max([*crashes, *([state.crashed_at] if state.crashed_at else [])], default=None)
    if state.looked_at is not None and not is_simulated:
        came.ended += sum(state.crashed_at is None or at > state.crashed_at for at in crashes if at > state.looked_at)
        came.ended += process == "down" and state.state in ("up", "asleep", "starting")
        seconds = now - state.looked_at
        if timedelta() < seconds <= _NOBODY_WATCHED and state.state != "stopped":
            came.watched_s += seconds.total_seconds()
            came.down_s += seconds.total_seconds() if _is_down(state.state) else 0.0
    state.crashed_at, state.lives, state.latency_us = newest, lives, spec.latency_us
    _put(state, came, now)
    state.down_since = (state.down_since or now) if _is_down(process) else None
    state.looked_at, state.state = now, process
    return came


def _is_down(process: str) -> bool:
    return process in ("down", "starting")


def _put(state: HealthState, came: Counted, now: datetime) -> None:
    """Add to the present minute and hour, and forget what is too old."""
    if came == Counted():
        return
    minute, hour = int(now.timestamp() // 60), int(now.timestamp() // 3600)
    state.minutes.setdefault(minute, Counted()).add(came)
    state.hours.setdefault(hour, Counted()).add(came)
    for kept, oldest in ((state.minutes, minute - _KEEP_MINUTES), (state.hours, hour - _KEEP_HOURS)):
        for place in [place for place in kept if place < oldest]:
            del kept[place]


def _probe(
    state: HealthState,
    workspace: Workspace,
    revision: Revision,
    spec: ServiceSpec,
    status: EndpointStatus | None,
    probes: Probes,
    came: Counted,
    now: datetime,
    *,
    settle: bool,
) -> None:
    """Take the last probe's answer, and ask again when it is time: at each pass while something is wrong."""
    _take(state, probes, 0.0, now)
    is_failing = state.failing > 0
    is_due = state.probe is None or now - state.probe.at >= timedelta(microseconds=spec.probe_us) or is_failing
    may_sleep = revision.fewest == 0 and not came.requests  # a probe must not keep it from falling asleep
    if not spec.probe_us or status is None or state.state != "up" or not is_due or may_sleep:
        return
    put, serves = question(workspace, revision), status.revision == revision.number
    if serves:  # another version is about to be put in its place otherwise
        probes.begin(lambda: ask(workspace, revision, status, put))
        _take(state, probes, 10.0 if settle else _WAIT_S, now)


def _take(state: HealthState, probes: Probes, wait_s: float, now: datetime) -> None:
    found = probes.take(wait_s)
    if found is None:
        return
    former = state.probe.outcome if state.probe is not None else None
    is_trouble = found.outcome in OF_OUTCOME
    if found.outcome != "unknown":
        state.failing = (state.failing + 1 if former == found.outcome else 1) if is_trouble else 0
        _put(state, Counted(probes=1, failed=int(is_trouble)), now)
    if found.by_front:  # the front counted it as a caller's request that it turned away
        _put(state, Counted(requests=-1, saturated=-1), now)
    state.probe = found


def _look_at_answers(
    state: HealthState, workspace: Workspace, revision: Revision, reader: LogReader, now: datetime
) -> None:
    """Whether the model gives one answer to all; looked at once a minute."""
    if state.constant_at is not None and timedelta() <= now - state.constant_at < _CONSTANT_EVERY:
        return
    state.constant_at = now
    last = reader.latest(revision.served.bundle[:16], _ROWS + _ROWS_BEFORE)
    recent = last.filter(last["at"] > workspace.clock.now() - _HOUR).tail(_ROWS)
    before = last.head(last.height - recent.height).unique("inputs", keep="last")["score"].to_list()
    if len(before) < 2 * 30:
        before = _at_packaging(folder_of(workspace, revision.name), revision)
    found = constant(recent, before)
    state.constant, state.constant_rows = ("", 0) if found is None else (found.sentence, found.rows)


def _at_packaging(folder: Path, revision: Revision) -> list[float]:
    try:
        sample = (folder / "bundles" / revision.served.bundle / bundles.SAMPLE).read_bytes()
        cases = bundles.decode_cases(sample)
    except (FileNotFoundError, Corrupt):  # whether it answers must be told where the bundle on the disk is damaged too
        return []
    return [case.answer for case in cases if case.answer is not None and not case.column]


def _write(folder: Path, state: HealthState) -> None:
    """Keep it for the next look. Not waited for until it is on the disk: what a power cut takes is counted again."""
    part = folder / f".{HEALTH_FILE}.part"
    part.write_bytes(msgspec.msgpack.encode(state))
    part.replace(folder / HEALTH_FILE)
