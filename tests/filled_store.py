"""A store with one of everything, written as records: what the doors show."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from filled_loop import loop_records
from filled_said import said_records
from filled_schedules import HOOK, scheduled_records
from hostile_files import FILES
from slipway.data.failing import keep_failing
from slipway.data.profiles import profile_of
from slipway.ledger import entries, events, lineage, projects
from slipway.ledger.attest import signed
from slipway.ledger.run_tags import STARTED
from slipway.ledger.sealed_records import DECIDING, kept
from slipway.models.found_by import completing
from slipway.models.manifest import bundle_digest, encode_manifest
from slipway.pipelines import staging
from slipway.ports.runner import LOG_FILE, RESULT_FILE
from slipway.ports.workspace import Workspace
from slipway.records.consistency import ConsistencyReport, FeatureConsistency
from slipway.records.contracts import ContractTerms, HypothesisTerms, KeptContract
from slipway.records.endpoints import Contract, FallbackSpec, Revision, Served, Way
from slipway.records.explanations import Dependence, Explained, Importance, Interaction
from slipway.records.features import AboutFeature, FeatureDefinition, FeatureSkew, PathCheck, Scalar, SkewCertificate
from slipway.records.filesets import FileEntry
from slipway.records.gates import Approval, Outcome, Verdict
from slipway.records.migrations import Activation, Comparison, Gap, Migration, Mismatch, OldModel, Pilot
from slipway.records.models import Bundle, BundleFile, Decision, LoggedMetric, LoggedModel, MetricValue, ModelVersion
from slipway.records.monitors import Finding, Incident
from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.reproductions import Reproduction
from slipway.records.runs import (
    CONTEXT,
    Artifact,
    CodeVersion,
    Dataset,
    Environment,
    MetricPoint,
    Run,
    RunError,
    StepRun,
)
from slipway.records.schema import Field, Signature
from slipway.records.scopes import KeptScope, ScopeTerms
from slipway.records.scorings import Scoring
from slipway.records.sharing import Publication
from slipway.records.tables import AboutTable, CheckResult, TableRefusal, TableVersion
from slipway.records.tasks import PipelineAnswer
from slipway.stats.column_profiles import to_bytes
from slipway.tables.filesets import FileDiff, commit, store_lists

NASTY = '<script>alert("x")</script>'
GOOD_RUN = "a" * 32
TRASHED_RUN = "7" * 32
BAD_RUN = "b" * 32
MODELS = ["m-" + letter * 32 for letter in "cdef"]
LOGGED = "m-" + "9" * 32
START = "57" * 16
NOW = datetime(2013, 4, 1, tzinfo=UTC)
SIMULATED = Actor("Grace Hopper", "simulated", ("business owner",))
FIELDS = (
    Field("carrier", "category", False, ("AA", "UA")),
    Field("distance", "float"),
    Field("scheduled_departure", "datetime", False),
)
DIFF = f"--- a/flights.py\n+++ b/flights.py\n@@ -1 +1 @@\n-depth = 4\n+depth = 6  # {NASTY}\n"
CARD = f"# flight-delays\n\nA model with `code` and **strength** {NASTY}.\n\n## Inputs (auto)\n\n| input | type |\n|---|---|\n| carrier | category |\n\n- one: *fact*\n"
FEATURE = FeatureDefinition(
    id="flights/hour@1",
    project="flights",
    name="hour",
    created_at=NOW,
    number=1,
    definition="d" * 64,
    part=Scalar(name="hour", arguments=FIELDS[2:], returns="int", module=""),
    columns=(Field("hour", "int"),),
)
CERTIFICATE = SkewCertificate(
    definition="d" * 64,
    rows=1000,
    features=4,
    compared=24_000,
    mismatches=2,
    first=(f"hour is 1 offline and 2 in the stream for {NASTY}",),
    paths=(
        PathCheck(path="online", compared=12_000, mismatches=0),
        PathCheck(
            path="stream",
            compared=4000,
            mismatches=2,
            features=(FeatureSkew(feature="hour", mismatches=2, first=f"hour is 1 offline for {NASTY}"),),
            restarts=3,
        ),
        PathCheck(path="back-fill", compared=8000, mismatches=0),
    ),
)
BUNDLE = Bundle(
    model="flight-delays",
    format="lightgbm",
    task="classification",
    files=(),
    signature=Signature(FIELDS[:2], (Field("score", "float", False),)),
    decision=Decision(threshold=0.4, costs={"false_positive": 10.0, "false_negative": 60.0}, unit="USD"),
    environment=Environment(python="3.11.7", platform="Linux", lock=("lightgbm==4.6.0",)),
    data=("table:flights/flights@abcdef0123456789",),
    metrics=(
        MetricValue(metric="auc", value=0.746, low=0.738, high=0.754, n=28330),
        MetricValue(metric="auc", value=0.71, low=0.68, high=0.74, n=2100, slice="carrier=AA"),
        MetricValue(metric="auc", value=0.77, low=0.75, high=0.79, n=5200, slice="carrier=UA"),
        MetricValue(metric="auc", value=math.nan, n=3, slice="carrier=OO", note="only one class was seen"),
        MetricValue(metric="log_loss", value=0.5, n=28330),
    ),
    parity="the packaged model answers 64 rows bit for bit as the trained one",
    compiled="Not compiled: The model KNeighborsClassifier has no compiled form.",
    certificate=CERTIFICATE,
    run_id=GOOD_RUN,
    trained_until=datetime(2013, 3, 24, tzinfo=UTC),
    explained=Explained(
        rows=1000,
        asked=60_000,
        label="late",
        how="exact, by the trees",
        scale="log-odds",
        importances=(
            Importance(input="carrier", permuted=0.8, low=0.7, high=0.9, contribution=0.6),
            Importance(input="distance", permuted=0.2, low=-0.1, high=0.5, contribution=0.4),
        ),
        dependences=(
            Dependence(input="carrier", values=("AA", NASTY), answers=(0.2, 0.3)),
            Dependence(input="distance", values=(100.0, 900.0), answers=(0.2, 0.25)),
            Dependence(input="hidden", values=(), answers=()),
        ),
        interactions=(Interaction(first="carrier", second="distance", strength=0.12),),
        leaks=(f"{NASTY} alone predicts late.",),
    ),
)


def fill(workspace: Workspace) -> None:
    """Write one of everything into a workspace's store."""
    projects.register(workspace)
    _start(workspace)
    card = workspace.blobs.put(CARD.encode())
    file = BundleFile(path="card.md", digest=card, size_bytes=len(CARD))
    bundle = msgspec.structs.replace(BUNDLE, files=(file,))
    digest, manifest = bundle_digest(bundle), workspace.blobs.put(encode_manifest(bundle))
    with workspace.ledger.write() as tx:
        for record in (
            *_tables(workspace),
            FEATURE,
            *_runs(workspace),
            *_model(digest, manifest),
            _logged(workspace),
            signed(_reproduction(digest), workspace.signer),
            *_serving(digest),
            *loop_records(digest),
            *scheduled_records(GOOD_RUN, NASTY),
            _publication(),
            *said_records(digest, GOOD_RUN, MODELS[0], NASTY),
        ):
            entries.put(tx, record, expect=0)
            if isinstance(record, DECIDING):  # or the audit log would say that somebody put it there
                events.record(tx, workspace, "gates.judge", f"bundle:{digest}", kept=kept(record))
        tx.set_ref("flights", "raci", "dev", "flights/dev/1", expect=None)
        tx.set_ref("", "hook", HOOK, "flights/dev/nightly", expect=None)
        tx.set_ref("flights", "head", "flights", "abcdef0123456789", expect=None)
        tx.set_ref("flights", "feature", "hour", FEATURE.id, expect=None)
        tx.set_ref("flights", "model", "flight-delays", MODELS[-1], expect=None)
        entries.put(tx, _contract())
        entries.put(tx, _scope())
        for record in _migration(digest):
            entries.put(tx, record)
        tx.set_ref("flights", "alias", "flight-delays/champion", "1", expect=None)
        tx.set_ref("flights", "endpoint", "flight-delays", "flights/flight-delays/1", expect=None)
        tx.set_ref("flights", "scoring", "flight-delays", "5c" * 16, expect=None)
        lineage.link(tx, "table:flights/flights@abcdef0123456789", f"run:{GOOD_RUN}", "input")
        lineage.link(tx, f"run:{GOOD_RUN}", "model:m-" + "c" * 32, "made")
        lineage.link(tx, "model:m-" + "c" * 32, f"bundle:{digest}", "packed")
        lineage.link(tx, f"bundle:{digest}", "verdict:v1", "judged")
        lineage.link(tx, f"bundle:{digest}", "approval:ap1", "approved")
        for source, role in (
            (f"bundle:{digest}", "reproduced"),
            (f"run:{GOOD_RUN}", "reproduced"),
            (f"run:{BAD_RUN}", "repeated"),
        ):
            lineage.link(tx, source, f"reproduction:{GOOD_RUN}-1", role)
        tx.add_points(
            GOOD_RUN,
            [
                MetricPoint("auc", 0.746),
                MetricPoint("auc[carrier=AA]", 0.71),
                MetricPoint("loss", math.nan),
                MetricPoint("rounds", 2e6),
                *(MetricPoint("val/loss", 1 / step if step % 7 else math.nan, step) for step in range(1, 40)),
                *(MetricPoint(f"{NASTY}", float(step), step) for step in range(3)),
                *(MetricPoint("system/cpu_percent", 50.0, step, step * 10**7) for step in range(3)),
            ],
        )
        versions = entries.find(tx, ModelVersion, project="flights", name="flight-delays")
        for version in completing(workspace.blobs)(tx, versions):
            entries.put(tx, version)
        events.record(tx, workspace, "models.register", "model:m-" + "c" * 32, name="flight-delays", note=NASTY)
    photo = FileEntry("a.jpg", workspace.blobs.put(b"a picture"), 9)
    index, _ = store_lists(workspace, [photo])
    told = FileDiff(added=("a.jpg",), removed=(), changed=())
    commit(workspace, "photos", index, parent=None, told=told, files=1, size_bytes=9, stored_bytes=9, source="photos")


def _common(id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "project": "flights", "name": name, "created_at": NOW, **more}


def _publication() -> Publication:
    return Publication(
        **_common("flights/hour@1", "hour"),
        number=1,
        sort="feature",
        definition="9" * 64,
        fields=(Field("hour", "int"),),
        readers=("*",),
        about=AboutFeature(owner="Ada", description=f"The hour of departure {NASTY}"),
    )


def _start(workspace: Workspace) -> None:
    """A pipeline that was started, and ended before its run began."""
    task = staging.task(workspace, snapshot="9" * 64, pipeline="release", tags={STARTED: START})
    folder = staging.stage(workspace, f"start-{START}", task)
    told = RunError(type="NotFound", message=f"There is no pipeline {NASTY}.")
    (folder / LOG_FILE).write_text(f"it begins {NASTY}\n")
    (folder / RESULT_FILE).write_bytes(msgspec.json.encode(PipelineAnswer(state="failed", error=told)))


def _tables(workspace: Workspace) -> tuple[TableVersion, TableRefusal]:
    rows = pl.DataFrame(
        {
            "carrier": ["AA", "UA", NASTY, None] * 50,
            "distance": [100.0, 250.0, 900.0, None] * 50,
            "scheduled_departure": [NOW - timedelta(hours=number) for number in range(200)],
        }
    )
    refused = CheckResult(
        check=f"carrier is one of {NASTY}", passed=False, severity="block", failed_rows=2, rows=9, sample=(NASTY,)
    )
    (refused,) = keep_failing(workspace, [refused], [rows[:3]])
    refusal = TableRefusal(
        **_common("flights/flights/r1", "flights"),
        rows=9,
        mode="append",
        checks=(refused,),
        source=NASTY,
        parent="abcdef0123456789",
    )
    version = TableVersion(
        **_common("flights/flights@abcdef0123456789", "flights"),
        number=1,
        version="abcdef0123456789",
        change="append",
        rows=81_000,
        added_rows=81_000,
        fingerprint="f" * 64,
        fields=FIELDS,
        checks=(
            CheckResult(check="flight_id is unique", passed=True, severity="block", failed_rows=0, rows=81_000),
            CheckResult(
                check="the plane is known",
                passed=False,
                severity="warn",
                failed_rows=12_000,
                rows=81_000,
                note=f"Unknown tail numbers {NASTY}.",
                sample=("N123", "N456"),
            ),
        ),
        source="flights.csv",
        data_until=datetime(2013, 3, 31, 23, 59, tzinfo=UTC),
        about=AboutTable(owner="ada", description=f"Flights {NASTY}.", tags=("raw",), personal=("carrier",)),
        profile=workspace.blobs.put(to_bytes(profile_of(rows))),
    )
    return version, refusal


def _runs(workspace: Workspace) -> tuple[Run | StepRun, ...]:
    good = Run(
        **_common(GOOD_RUN, "release"),
        state="finished",
        pipeline="release",
        actor=Actor("ada", roles=("admin",)),
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=83),
        params={"learning_rate": 0.1, "until": "2013-04-01", "note": NASTY},
        inputs=("table:flights/flights@abcdef0123456789",),
        artifacts=tuple(_artifact(workspace, name, data) for name, data in FILES.items()),
        tags={"slipway.command": "flights.py --until 2013-04-01", "mlflow.note.content": f"**Why** {NASTY}"},
        datasets=(
            Dataset(
                name=NASTY,
                digest="f" * 16,
                source_type="table",
                source="table:flights/flights@abcdef0123456789",
                schema='{"carrier": "category"}',
                profile='{"num_rows": 81000}',
                tags={CONTEXT: "training"},
            ),
        ),
        code=CodeVersion(
            commit="0123456789abcdef",
            dirty=True,
            entry="flights:release",
            diff=workspace.blobs.put(DIFF.encode()),
            diff_bytes=len(DIFF),
        ),
        environment=Environment(python="3.11.7", platform="Linux", lock=("lightgbm==4.6.0",)),
    )
    bad = Run(
        **_common(BAD_RUN, NASTY),
        parent_id=GOOD_RUN,
        state="failed",
        actor=SIMULATED,
        started_at=NOW,
        ended_at=NOW,
        error=RunError(
            type="KeyError", message="'dep_delay'", step="train", trace=f'File "flights.py", line 7\n{NASTY}\n'
        ),
    )
    steps = [
        StepRun(
            **_common(f"{GOOD_RUN}.{i}", name),
            parent_id=GOOD_RUN,
            state=state,
            reason=reason,
            seconds=1.5 * i,
            source_run_id=BAD_RUN if state == "cached" else "",
        )
        for i, (name, state, reason) in enumerate(
            [("training_set", "cached", "nothing changed"), ("train", "finished", "helper rows.clean changed")]
        )
    ]
    trashed = Run(
        **_common(TRASHED_RUN, "a mistake"),
        state="failed",
        actor=SIMULATED,
        started_at=NOW,
        ended_at=NOW,
        deleted_at=NOW,
    )
    return (good, bad, trashed, *steps)


def _artifact(workspace: Workspace, name: str, data: bytes) -> Artifact:
    digest = workspace.blobs.put(data)
    form = "parquet" if name.endswith(".parquet") else "bundle" if name == "model" else "bytes"
    return Artifact(name=name, digest=digest, fingerprint=digest, format=form, size_bytes=len(data))


def _logged(workspace: Workspace) -> LoggedModel:
    """What a tracking client logged, named by somebody hostile."""
    data = b"flavors: {}"
    file = Artifact(
        name=NASTY,
        digest=workspace.blobs.put(data),
        fingerprint="2" * 64,
        format="bytes",
        size_bytes=len(data),
    )
    return LoggedModel(
        **_common(LOGGED, NASTY),
        experiment_id="0",
        run_id=GOOD_RUN,
        model_type=NASTY,
        state="failed",
        message=NASTY,
        actor=Actor("ada"),
        params={NASTY: NASTY},
        tags={NASTY: NASTY},
        artifacts=(file,),
        metrics=(LoggedMetric(key=NASTY, value=math.nan, run_id=GOOD_RUN, dataset_name=NASTY),),
        updated_at=NOW,
    )


def _scope() -> KeptScope:
    terms = ScopeTerms(
        name="late-flights", decision=NASTY, owner="business owner", kpi="revenue per seat", sources=("flights",),
        consumers=(NASTY,), requests_per_second=50.0, latency_ms=100.0, metrics={"auc": 0.7}, note=NASTY,
    )  # fmt: skip
    return KeptScope(
        id="flights/late-flights", project="flights", name="late-flights", created_at=NOW, number=1, terms=terms,
        digest=terms.digest, actor=Actor(NASTY), updated_at=NOW,
    )  # fmt: skip


def _migration(digest: str) -> tuple[Record, ...]:
    old = OldModel(name="flight-delays", owner=NASTY, kind="pickle", place=NASTY, users=3, note=NASTY)
    by = Actor(NASTY)
    said = Gap(model=old.name, criterion="proven", owner=NASTY, closed=NASTY, actor=by, at=NOW)
    step = Activation(model=old.name, to="chosen", users=(NASTY,), share=0.1, why=NASTY, actor=by, at=NOW)
    return (
        Migration(
            id="flights", project="flights", created_at=NOW, number=1, models=(old, OldModel(name=NASTY, becomes="b")),
            pilots=(Pilot(name=old.name, score=9, why=NASTY),), waves=((NASTY,),), gaps=(said,), steps=(step,), actor=by,
            updated_at=NOW,
        ),
        Comparison(
            id="cd" * 16, project="flights", name=old.name, created_at=NOW, endpoint="flight-delays", version=1,
            bundle=digest, url=NASTY, protocol="json", requests=digest, tolerance=0.1, rows=9, scored=7, agreeing=6,
            problems={"error": 2}, ours_ms=(1.0, 2.0), theirs_ms=(3.0, 4.0), actor=by, stopped=NASTY,
            mismatches=(Mismatch(row=1, ours=0.1, theirs=0.9),),
        ),
    )  # fmt: skip


def _contract() -> KeptContract:
    terms = ContractTerms(
        kpi="revenue per seat",
        formula="price * label / seats",
        columns=("price", "label", "seats"),
        unit=NASTY,
        hypothesis=HypothesisTerms(effect=0.1, by="2030-01-01", author=NASTY),
    )
    return KeptContract(
        id="flights/dev/revenue-per-seat",
        project="flights",
        name="revenue-per-seat",
        created_at=NOW,
        number=1,
        terms=terms,
        digest=terms.digest,
        endpoints=("flight-delays",),
        actor=Actor("ada"),
    )


def _model(digest: str, manifest: str) -> tuple[ModelVersion | Verdict | Approval, ...]:
    versions = [
        ModelVersion(
            **_common(id, "flight-delays"),
            number=number,
            bundle=digest,
            manifest=manifest,
            run_id=GOOD_RUN,
            actor=Actor("ada", roles=("admin",)),
        )
        for number, id in enumerate(MODELS, 1)
    ]
    verdict = Verdict(
        **_common("v1", ""),
        bundle=digest,
        gate="9" * 64,
        environment="dev",
        passed=True,
        outcomes=(
            Outcome(check="auc at least 0.70", result="passed", found="0.746 (0.738 to 0.754), 28,330 rows"),
            Outcome(check="not worse than the champion", result="not applicable", found="There is no champion yet."),
        ),
        actor=Actor("ada", roles=("admin",)),
    )
    approval = Approval(
        **_common("ap1", "accountable"),
        bundle=digest,
        actor=SIMULATED,
        decision="approved",
        comment="Good for the pilot.",
    )
    return (*versions, verdict, approval)


def _reproduction(digest: str) -> Reproduction:
    return Reproduction(
        **_common(f"{GOOD_RUN}-1", "release"),
        parent_id=GOOD_RUN,
        number=1,
        verdict="differs",
        sentence=f"It differs first at train: {NASTY}.",
        step="train",
        cause="seed",
        compared=2,
        run_id=BAD_RUN,
        bundle=digest,
        seconds=41.0,
        actor=SIMULATED,
    )


def _serving(digest: str) -> tuple[Record, ...]:
    revision = Revision(
        **_common("flights/flight-delays/1", "flight-delays"),
        number=1,
        environment="dev",
        served=Served(model="flight-delays", number=1, bundle=digest),
        contract=Contract(fields=FIELDS, key=("carrier",)),
        verdict_id="v1",
        actor=Actor("ada", roles=("admin",)),
        simulation=True,
        fallback=FallbackSpec(
            ways=(
                Way(by="version", served=Served(model="flight-delays", number=1, bundle=digest)),
                Way(by="value", value=0.2),
            ),
            within_us=200_000,
            required=("hour",),
        ),
    )
    finding = Finding(
        **_common("f1", "drift"),
        parent_id="flights/flight-delays",
        state="alert",
        window_from=NOW,
        window_until=NOW + timedelta(days=7),
        rows=6200,
        sentence=f"distance moved {NASTY}.",
        values={"share": math.nan},
    )
    incident = Incident(
        **_common("i1", "drift"),
        parent_id="flights/flight-delays",
        findings=("f1",),
        sentence="distance moved by 12 % since 1 April: look at the new routes.",
        owner="ml engineer",
    )
    report = ConsistencyReport(
        **_common("c1", "flight-delays"),
        parent_id="flights/flight-delays",
        model="flight-delays 1",
        bundle="b" * 64,
        window_from=NOW,
        window_until=NOW + timedelta(days=1),
        rows=16_000,
        sampled=1000,
        sample=1 / 16,
        features=(
            FeatureConsistency(
                feature="hour",
                compared=1000,
                mismatches=1,
                late=2,
                smape=0.5,
                greatest=3.0,
                first=f"1 was served {NASTY}",
            ),
        ),
        late_rows=2,
        late_median_us=60_000_000,
        late_greatest_us=7_200_000_000,
    )
    scoring = Scoring(
        **_common("5c" * 16, "flight-delays"),
        parent_id="flights/flight-delays",
        number=1,
        state="finished",
        environment="dev",
        revision=1,
        served=revision.served,
        trigger="by hand",
        actor=Actor("ada", roles=("admin",)),
        table="flights",
        source_version="abcdef0123456789",
        source_number=1,
        into="scored_flights",
        rows=100,
        parts=1,
        refused=1,
        reasons={NASTY: 1},
        sentence=f"99 rows were scored, {NASTY}.",
    )
    return (revision, finding, incident, report, scoring)
