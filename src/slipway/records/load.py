"""What an endpoint of one bundle took under load, measured on one machine; and what a replay of stored rows found."""

from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = ["Comparison", "LoadReport", "MeasuredOn", "Replay"]


class MeasuredOn(Struct, frozen=True, kw_only=True):
    """Where something was measured.

    Args:
        id: A fingerprint of the machine's name, processor, cores and memory: figures hold for one machine.
        name: Its name in its network.
        processor: What the system calls it, "" where it does not say.
        cores: How many this process may use.
        memory_bytes: Physical memory, 0 where unknown.
        system: As `sysconfig.get_platform()` says: "linux-x86_64".
        python: "3.11.7".
    """

    id: str
    name: str
    processor: str = ""
    cores: int
    memory_bytes: int = 0
    system: str
    python: str


class LoadReport(Record, frozen=True, kw_only=True, tag="load"):
    """One load test of a bundle's endpoint process; name: the model's.

    Requests were sent at fixed instants, whether or not those before were answered (an open loop), and each latency
    counts from the instant at which its request was due: Tene, "How NOT to measure latency" (coordinated omission).

    Args:
        parent_id: The bundle's digest.
        number: The model version's number.
        machine: Where.
        rate: Requests a second that were asked for.
        rows: Rows a request.
        seconds: For how long.
        workers: Processes that answered.
        sent: Requests that were sent.
        failed: How many of them were not answered with 200, or not in time.
        failure: What the first of them said, "" for none.
        p50_ms: Median latency; None where nothing was answered, likewise the next two.
        p95_ms: Of 100 requests 95 were answered within it.
        p99_ms: Of 100 requests 99 were.
        slowest_ms: The greatest.
        late_ms: How late the sender itself was with 95 of 100 requests: what the latencies owe to the sender at most.
        throughput: Requests a second that were answered when as many as possible were sent.
        cpu_ms: CPU time of the endpoint's processes a request, in milliseconds; None where the system does not say.
        pss_bytes: Memory of the endpoint's processes under load, each shared page counted once; 0 where unknown.
        rss_bytes: The same, each process's pages counted as its own.
        bundle_bytes: The bundle's files.
        ready_s: From the start of the process until it answered.
        load_before: The machine's load average of the last minute when it began, None where unknown.
        actor: Who asked.
        signature: A DSSE envelope over all this.
    """

    parent_id: str
    number: int
    machine: MeasuredOn
    rate: float
    rows: int
    seconds: float
    workers: int
    sent: int
    failed: int
    failure: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    slowest_ms: float | None = None
    late_ms: float = 0.0
    throughput: float
    cpu_ms: float | None = None
    pss_bytes: int = 0
    rss_bytes: int = 0
    bundle_bytes: int
    ready_s: float
    load_before: float | None = None
    actor: Actor
    signature: str = ""


class Comparison(Struct, frozen=True, kw_only=True):
    """One column of a replay.

    Args:
        column: The model's input, or "the answer".
        compared: How many rows were compared.
        differing: How many of them differ.
        first: The first difference in words, "" for none.
    """

    column: str
    compared: int
    differing: int = 0
    first: str = ""


class Replay(Struct, frozen=True, kw_only=True):
    """Stored training rows, asked over HTTP of the bundle's endpoint process, beside what is stored of them.

    Args:
        verdict: "equal"; "differs"; "cannot": nothing could be compared.
        sentence: It in words; of a difference the row and the column.
        rows: How many rows were asked.
        of: How many rows the training set has.
        columns: One a column of the model's inputs, and the answer.
        seconds: MeasuredOn time.
    """

    verdict: Literal["equal", "differs", "cannot"]
    sentence: str
    rows: int = 0
    of: int = 0
    columns: tuple[Comparison, ...] = ()
    seconds: float = 0.0

    @property
    def differing(self) -> int:
        """The greatest number of rows that differ in one column."""
        return max((one.differing for one in self.columns), default=0)
