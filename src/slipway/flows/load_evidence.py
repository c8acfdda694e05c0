"""Load tests on record, as evidence about a bundle: what was signed here, on whichever machine."""

from __future__ import annotations

import msgspec

from slipway.errors import Corrupt
from slipway.gates import evidence as make
from slipway.ledger import entries
from slipway.ports.workspace import Workspace
from slipway.records.gates import Evidence
from slipway.records.load import LoadReport
from slipway.records.models import Bundle, ModelVersion
from slipway.serving.footprint import this_machine

__all__ = ["REPORT_TYPE", "evidence_of", "load_evidence", "reports_of"]

REPORT_TYPE = "application/vnd.slipway.load+json"


def load_evidence(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> list[Evidence]:
    """What was measured of a bundle so far, newest first; the size of its files is known without measuring."""
    here = this_machine().id
    found = [evidence_of(report, here) for report in reports_of(workspace, version.bundle)]
    return [*found, make.size(version.bundle, workspace.clock.now(), sum(file.size_bytes for file in bundle.files))]


def reports_of(workspace: Workspace, bundle: str) -> list[LoadReport]:
    """The load tests of a bundle, newest first; one that is not what was signed is left out, and said."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, LoadReport, parent=bundle, limit=1000)
    kept = []
    for report in sorted(found, key=lambda one: (one.created_at, one.id), reverse=True):
        try:
            said = msgspec.json.decode(workspace.signer.verify(report.signature.encode(), REPORT_TYPE), type=LoadReport)
        except (Corrupt, msgspec.DecodeError) as problem:
            workspace.say(f"The load test {report.id} counts for nothing: {problem}")
            continue
        if said == msgspec.structs.replace(report, signature=""):
            kept.append(report)
        else:
            workspace.say(f"The load test {report.id} counts for nothing: it is not what was signed.")
    return kept


def evidence_of(report: LoadReport, here: str) -> Evidence:
    """A load test as a gate reads it; `here` is the id of the machine that judges."""
    return make.load(
        report.parent_id,
        report.created_at,
        here=report.machine.id == here,
        machine=report.machine.name,
        rate=report.rate,
        rows=report.rows,
        sent=report.sent,
        failed=report.failed,
        failure=report.failure,
        figures={
            "p50_ms": report.p50_ms,
            "p95_ms": report.p95_ms,
            "p99_ms": report.p99_ms,
            "cpu_ms": report.cpu_ms,
            "throughput": report.throughput,
            "memory": float(report.pss_bytes or report.rss_bytes) or None,
        },
    )
