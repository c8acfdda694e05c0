"""A person's rows are removed everywhere, under pins too, and it is proven."""

import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.data.checks import between, not_null
from slipway.data.declare import table
from slipway.data.write import write
from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows import erase as flow
from slipway.flows.erase import erase, list_erasures
from slipway.ledger import entries, events
from slipway.operations import declare
from slipway.operations.declare import Empty
from slipway.operations.delta import ExportDelta
from slipway.operations.erasures import Erase, ErasureReport
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.projects import Project
from slipway.records.runs import Artifact, CodeVersion, Environment, Run
from slipway.records.schema import Field
from slipway.records.tables import AboutTable, CheckResult, TableRefusal
from slipway.schema.frame_digests import of_frame
from slipway.tables import erasing, part_folders, parts, versions
from slipway.tables.catalog import get, head, manifest_of, node
from slipway.tables.cleaning import clean
from slipway.tables.delta_export import export_delta
from slipway.tables.file_folders import add_folder, check_out, read_file
from slipway.tables.filesets import entries_of, resolve
from slipway.tables.versions import Origin, append, overwrite, read, verify

ADA = "ada@example.org"


def people(start: int, stop: int, *, ada: int | None = None) -> pl.DataFrame:
    numbers = range(start, stop)
    return pl.DataFrame(
        {
            "email": [ADA if n == ada else f"p{n}@example.org" for n in numbers],
            "age": [n % 90 for n in numbers],
            "city": ["Ulm" if n % 2 else "Bern" for n in numbers],
        }
    )


ABOUT = AboutTable(personal=("email",))


@pytest.fixture
def three(workspace: Workspace, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Three versions, all with Ada: small parts, so that most of them have nothing of hers."""
    monkeypatch.setattr(parts, "PART_ROWS", 50)
    overwrite(workspace, "people", people(0, 300, ada=120), key=("email",), origin=Origin(about=ABOUT))
    append(workspace, "people", people(300, 320))
    overwrite(workspace, "people", people(100, 140, ada=120), key=("email",))
    return workspace


def everything(workspace: Workspace) -> Iterator[tuple[Path, bytes]]:
    for path in workspace.root.rglob("*"):
        if path.is_file() and not path.name.startswith("ledger.db"):
            yield path, path.read_bytes()


def holding(workspace: Workspace, text: str = ADA) -> list[str]:
    """Every file of the store in which the text is, in plain sight or inside Parquet."""
    found = []
    for path, data in everything(workspace):
        inside = text.encode() in data
        if data[:4] == b"PAR1":
            inside = text in str(pl.read_parquet(io.BytesIO(data)).to_dict(as_series=False))
        if inside:
            found.append(str(path.relative_to(workspace.root)))
    return found


def run_erase(workspace: Workspace, **fields: object) -> ErasureReport:
    wanted = {"table": "people", "key": (ADA,), "reason": "request 17", **fields}
    return erase(workspace, msgspec.convert(wanted, Erase, strict=False))


def test_rows_are_gone_from_every_version_and_each_keeps_its_hash(three: Workspace) -> None:
    before = {v.number: v for v in versions.history(three, "people")}
    contents = {n: read(three, "people", v.version).collect() for n, v in before.items()}
    assert holding(three)
    report = run_erase(three)
    assert report.left == 0
    assert holding(three) == []
    for number, old in before.items():
        now = get(three, "people", old.version)
        assert (now.id, now.version, now.number, now.created_at) == (old.id, old.version, old.number, old.created_at)
        expected = contents[number].filter(pl.col("email") != ADA)
        assert read(three, "people", old.version).collect().equals(expected)
        assert (now.rows, now.fingerprint) == (expected.height, of_frame(expected))
        (told,) = now.erased
        assert (told.rows, told.by, told.reason, told.erasure) == (1, "ada", "request 17", report.erasure)
        verify(three, "people", old.version)


def test_parts_without_such_rows_are_not_touched(three: Workspace) -> None:
    def inodes() -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in part_folders.table_folder(three, "people").glob("*.parquet")}

    before = inodes()
    run_erase(three)
    kept = {name for name, inode in inodes().items() if before.get(name) == inode}
    assert len(kept) == len(before) - 2, "two parts held her: one of versions 1 and 2, one of version 3"


def test_a_dry_run_counts_per_place_and_changes_nothing(three: Workspace) -> None:
    before = dict(everything(three))
    report = run_erase(three, dry_run=True, reason="")
    assert [(p.place, p.rows, p.note) for p in report.places] == [("table people", 2, "versions 1, 2, 3")]
    assert dict(everything(three)) == before
    assert list_erasures(three, Empty()).erasures == ()


def test_it_can_be_asked_for_again(three: Workspace) -> None:
    first = run_erase(three)
    again = run_erase(three)
    assert (again.left, again.places) == (0, ())
    assert first.erasure != again.erasure
    assert [len(v.erased) for v in versions.history(three, "people")] == [1, 1, 1]


def test_appending_goes_on_from_what_is_left(three: Workspace) -> None:
    run_erase(three)
    append(three, "people", people(500, 503))
    made = append(three, "people", people(503, 505))
    content = read(three, "people").collect()
    assert content.height == 39 + 5
    assert (made.rows, made.fingerprint) == (content.height, of_frame(content))


def test_who_built_on_a_version_before_does_not_bring_the_rows_back(three: Workspace) -> None:
    former = head(three, "people")
    manifest = msgspec.structs.replace(manifest_of(three, former), time="")
    manifest = msgspec.structs.replace(manifest, parts=(*manifest.parts, manifest.parts[0]))
    run_erase(three)
    draft = versions.Draft(manifest=manifest, change="append", fingerprint="0" * 64, data_until=None)
    with pytest.raises(Conflict, match="Rows were erased"):
        versions.commit(three, "people", draft, former=former, origin=Origin())
    assert holding(three) == []


def test_a_source_that_still_has_the_person_is_told_of(three: Workspace) -> None:
    run_erase(three)
    with pytest.raises(InvalidInput, match=r"from which 1 rows were erased.*Remove these rows there"):
        overwrite(three, "people", people(100, 140, ada=120), key=("email",))
    assert read(three, "people").collect().height == 39
    manifests = [one for one in holding(three) if one.startswith("blobs")]
    assert manifests == []


def test_a_write_in_the_middle_is_erased_too(three: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite = erasing.rewrite

    def and_meanwhile(*args: object, **more: object) -> object:
        monkeypatch.setattr(erasing, "rewrite", rewrite)
        append(three, "people", people(120, 121, ada=120))
        return rewrite(*args, **more)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(erasing, "rewrite", and_meanwhile)
    assert run_erase(three).left == 0
    assert holding(three) == []
    assert head(three, "people").number == 4


@pytest.mark.parametrize("after", ["rewrite", "switch", "remove"])
def test_a_kill_in_each_phase_is_made_good_by_asking_again(three: Workspace, after: str) -> None:
    script = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from slipway.hosts.project import open_workspace
        from slipway.flows.erase import erase
        from slipway.operations.erasures import Erase
        from slipway.tables import erasing

        inner = erasing.{after}
        def dying(*args, **more):
            if {after!r} != "remove":
                inner(*args, **more)
                if {after!r} == "switch":
                    return
            os.kill(os.getpid(), signal.SIGKILL)
        erasing.{after} = dying
        if {after!r} == "switch":
            erasing.remove = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        workspace = open_workspace(Path({str(three.root)!r}), project="flights", environment="dev")
        erase(workspace, Erase(table="people", key=({ADA!r},), reason="request 17"))
        """
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    for version in versions.history(three, "people"):
        verify(three, "people", version.version)
    (begun,) = list_erasures(three, Empty()).erasures
    assert begun.state == "started"
    later = run_erase(three)
    if after == "rewrite":  # new parts of the killed process hold nothing of hers
        assert later.left == 0
    assert holding(three) == []
    (ended,) = list_erasures(three, Empty()).erasures
    assert (ended.id, ended.state, ended.doomed) == (begun.id, "finished", ())


def test_what_checks_kept_is_erased(workspace: Workspace) -> None:
    sink = io.BytesIO()
    people(0, 10, ada=3).write_parquet(sink)
    failing = workspace.blobs.put(sink.getvalue())
    check = CheckResult(
        check="age is known", passed=False, severity="warn", failed_rows=10, rows=10,
        note=f"Twice: {ADA}.", sample=("p1@example.org", ADA), failing=failing,
    )  # fmt: skip
    origin = Origin(about=ABOUT, checks=(check,), profile=workspace.blobs.put(b'{"low": "ada@example.org"}'))
    overwrite(workspace, "people", people(0, 10, ada=3), key=("email",), origin=origin)
    assert len(holding(workspace)) >= 3
    assert run_erase(workspace).left == 0
    assert holding(workspace) == []
    (kept,) = head(workspace, "people").checks
    assert (kept.note, kept.sample) == ("Twice: (erased).", ("p1@example.org", "(erased)"))
    assert pl.read_parquet(io.BytesIO(workspace.blobs.get(kept.failing))).height == 9
    assert head(workspace, "people").profile == ""


def test_rows_that_were_refused_or_set_aside_are_erased(workspace: Workspace) -> None:
    def people_() -> pl.DataFrame:
        return people(0, 10)

    people_.__name__ = "people"
    declared = table(
        key="email", personal="email", checks=[between("age", 0, 8), not_null("city", severity="quarantine")]
    )(people_)
    with pytest.raises(InvalidInput, match="was refused"):
        write(workspace, declared, people(0, 10, ada=9))
    rows = people(0, 8, ada=3).with_columns(city=pl.when(pl.col("email") != ADA).then("city"))
    write(workspace, declared, rows)
    assert read(workspace, "quarantine.people").collect()["email"].to_list() == [ADA]
    assert len(holding(workspace)) > 1
    report = run_erase(workspace)
    assert report.left == 0
    assert {place.place for place in report.places} == {"table people", "table quarantine.people"}
    assert holding(workspace) == []
    with workspace.ledger.read() as tx:
        (refusal,) = entries.find(tx, TableRefusal)
    assert ADA not in str(refusal)


def test_what_was_cleaned_away_leaves_no_trace_either(three: Workspace, clock: SimulatedClock) -> None:
    clock.advance_to(clock.now() + timedelta(days=30))
    clean(three, ["people"], keep=1, grace=timedelta())
    assert [v.cleaned_at is None for v in versions.history(three, "people")] == [True, False, False]
    assert run_erase(three).left == 0
    assert holding(three) == []


def test_by_a_column_wherever_it_is_personal_or_the_key(workspace: Workspace) -> None:
    overwrite(workspace, "people", people(0, 10, ada=3), key=("email",))
    overwrite(workspace, "orders", people(0, 10, ada=3).with_row_index("id"), key=("id",), origin=Origin(about=ABOUT))
    overwrite(workspace, "letters", people(0, 10, ada=3), key=("age",))
    overwrite(workspace, "quarantine.orders", people(0, 10, ada=3))
    overwrite(workspace, "cities", pl.DataFrame({"city": ["Ulm"]}))
    report = run_erase(workspace, table="", key=(), where=(("email", ADA),))
    assert {p.place for p in report.places} == {"table people", "table orders", "table quarantine.orders"}
    assert report.kept == ("The table 'letters' has email, neither personal nor its key: not searched.",)
    assert {v.split("/")[2] for v in holding(workspace) if v.startswith("tables")} == {"letters"}


def test_other_projects_of_the_store_are_named_for_they_are_not_searched(three: Workspace) -> None:
    with three.ledger.write() as tx:
        for name in ("flights", "mail", "ads"):
            entries.put(tx, Project(id=name, name=name, project=name, created_at=three.clock.now()))
    told = ("Other projects of this store are not searched: ads, mail. Erase there too.",)
    assert run_erase(three, dry_run=True).kept == told
    assert run_erase(three).kept == told


def test_the_stores_of_simulations_are_named_for_they_are_not_searched(three: Workspace) -> None:
    places = [three.root / "simulations" / name for name in ("scores", "scores.previous")]
    for place in places:
        place.mkdir(parents=True)
    told = tuple(f"The store of a simulation in {place} is not searched. Remove that folder." for place in places)
    assert run_erase(three, dry_run=True).kept == told
    assert run_erase(three).kept == told


def test_what_was_made_from_a_table_is_searched_or_told(workspace: Workspace) -> None:
    made = overwrite(workspace, "people", people(0, 10, ada=3), key=("email",))
    inputs = (node("flights", "people", made.version),)
    for name in ("training.ages", "view.ages.0a1b2c3d4e5f", "mine"):
        overwrite(workspace, name, people(0, 10, ada=3), origin=Origin(inputs=inputs))
    overwrite(workspace, "training.other", people(0, 10, ada=3))
    report = run_erase(workspace)
    assert {p.place for p in report.places} == {"table people", "table training.ages", "table view.ages.0a1b2c3d4e5f"}
    assert [line.partition(":")[0] for line in report.kept] == ["The table 'mine' was made from 'people' and has email"]


def test_numbers_instants_and_composite_keys_are_found(workspace: Workspace) -> None:
    at = datetime(2013, 1, 1, 5, tzinfo=UTC)
    frame = pl.DataFrame({"id": [1, 2, 2], "at": [at, at, at.replace(hour=6)], "x": [1.5, 2.5, 3.5]})
    overwrite(workspace, "events", frame, key=("id", "at"))
    report = run_erase(workspace, table="events", key=("2", "2013-01-01T06:00:00Z"))
    assert [p.rows for p in report.places] == [1]
    assert read(workspace, "events").collect()["x"].to_list() == [1.5, 2.5]


def test_renamed_columns_are_found_under_the_name_in_the_file(workspace: Workspace) -> None:
    first = overwrite(workspace, "people", people(0, 10, ada=3), key=("email",))
    old = manifest_of(workspace, first)
    moved = msgspec.structs.replace(old.parts[0], columns=((1, "email"),))
    fields = (Field("mail", "string", False), *old.fields[1:])
    manifest = msgspec.structs.replace(old, fields=fields, parts=(moved,), key=("mail",))
    draft = versions.Draft(manifest=manifest, change="alter", fingerprint="0" * 64, data_until=None)
    second = versions.commit(workspace, "people", draft, former=first, origin=Origin())
    assert read(workspace, "people").collect()["mail"].to_list()[3] == ADA
    assert run_erase(workspace, table="people", key=(ADA,)).left == 0
    assert read(workspace, "people", second.version).collect().height == 9


def test_the_delta_log_is_written_anew(three: Workspace) -> None:
    deltalake = pytest.importorskip("deltalake", reason="install it: pip install 'slipway[delta]'")
    export_delta(three, ExportDelta(name="people"))
    run_erase(three)
    assert holding(three) == []
    folder = part_folders.table_folder(three, "people")
    assert deltalake.DeltaTable(folder, version=1).to_pyarrow_table().num_rows == 299


def test_the_audit_log_tells_it_without_the_person(three: Workspace) -> None:
    run_erase(three)
    (record,) = list_erasures(three, Empty()).erasures
    with three.ledger.read() as tx:
        told = [event for event in tx.events() if event.verb == "erasures.start"]
    assert [event.body["state"] for event in told] == ["started", "finished"]
    assert told[-1].body["places"] == {"table people": 2}
    assert told[-1].body["person"] == record.name
    assert ADA not in str(told)
    assert ADA not in str(record)
    events.seal(three.ledger, three.signer)
    ledger = (three.root / "ledger.db").read_bytes() + (three.root / "ledger.db-wal").read_bytes()
    assert ADA.encode() not in ledger


def test_a_stored_frame_goes_and_the_next_run_makes_it_again(three: Workspace) -> None:
    sink = io.BytesIO()
    people(0, 200, ada=120).write_parquet(sink)
    digest = three.blobs.put(sink.getvalue())
    run = Run(
        id="a" * 32, project="flights", name="train", created_at=three.clock.now(), started_at=three.clock.now(),
        actor=three.actor, code=CodeVersion(), environment=Environment(python="3.11", platform="Linux"),
        inputs=(f"table:flights/people@{head(three, 'people').version}",),
        artifacts=(Artifact(name="rows", digest=digest, fingerprint="f" * 64, format="parquet", size_bytes=1),),
    )  # fmt: skip
    with three.ledger.write() as tx:
        entries.put(tx, run)
    report = run_erase(three)
    assert ("stored results of steps", 1) in [(p.place, p.rows) for p in report.places]
    assert not three.blobs.has(digest)
    assert report.left == 0


def test_files_that_no_version_names_are_removed_when_they_are_old(three: Workspace) -> None:
    stray = part_folders.table_folder(three, "people") / f"{'0' * 64}.parquet"
    people(0, 5, ada=3).write_parquet(stray)
    young = run_erase(three)
    assert young.left == 1
    assert "younger than an hour" in young.kept[0]
    assert list_erasures(three, Empty()).erasures[0].state == "started"
    os.utime(stray, (1, 1))
    assert run_erase(three).left == 0
    assert not stray.exists()


def test_bad_requests_are_sentences_and_nothing_is_erased(three: Workspace) -> None:
    before = dict(everything(three))
    for fields, wrong in (
        ({"reason": " "}, "needs a reason"),
        ({"key": ()}, "one key of one table"),
        ({"where": (("email", ADA),)}, "one key of one table"),
        ({"key": (ADA, "x")}, "has the key email"),
        ({"table": "", "key": (), "where": (("e-mail", ADA),)}, "No table has 'e-mail'"),
    ):
        with pytest.raises(InvalidInput, match=wrong):
            run_erase(three, **fields)
    with pytest.raises(NotFound, match="no table 'peple'"):
        run_erase(three, table="peple")
    assert dict(everything(three)) == before


def test_only_admins_and_governance_may(three: Workspace) -> None:
    from dataclasses import replace

    scientist = replace(three, actor=Actor("bob", roles=("data scientist",)))
    with pytest.raises(Denied):
        declare.call(scientist, operation("erasures.start"), Erase(table="people", key=(ADA,), reason="x"))
    governor = replace(three, actor=Actor("eve", roles=("governance",)))
    assert declare.call(governor, operation("erasures.start"), Erase(table="people", key=(ADA,), reason="x")).left == 0


def test_the_name_of_a_person_can_be_made_by_the_holder_of_the_key_only(three: Workspace) -> None:
    named = b"ada"
    assert flow._subject(three, named) == flow._subject(three, named)
    from dataclasses import replace

    from slipway.backends.ed25519_signer import Ed25519Signer

    other = replace(three, signer=Ed25519Signer(three.root / "other keys"))
    assert flow._subject(other, named) != flow._subject(three, named)


def test_files_are_erased_from_every_version_of_a_set(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for path, content in {
        "ada/1.jpg": b"ada's face",
        "ada/2.jpg": b"shared",
        "bob.jpg": b"bob",
        "c.jpg": b"shared",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    first = add_folder(workspace, "photos", folder)
    (folder / "new.jpg").write_bytes(b"new")
    second = add_folder(workspace, "photos", folder)
    (folder / "bob.jpg").unlink()
    wanted = Erase(files="photos", paths=("ada",), reason="request 18")
    counted = erase(workspace, msgspec.structs.replace(wanted, dry_run=True, reason=""))
    assert [(p.place, p.rows, p.note) for p in counted.places] == [("file set photos", 2, "files, versions 1, 2")]
    report = erase(workspace, wanted)
    assert report.left == 0
    assert report.kept == ("The content of a file is also 'c.jpg' of the file set 'photos': it stays there.",)
    assert holding(workspace, "ada's face") == []
    assert holding(workspace, "ada/1.jpg") == []
    for version in (first, second):
        now = resolve(workspace, "photos", version.version)
        assert (now.id, now.number, now.erased[0].rows) == (version.id, version.number, 2)
        assert all(not entry.path.startswith("ada") for entry in entries_of(workspace, now))
        check_out(workspace, now, tmp_path / f"out{now.number}")
    assert read_file(workspace, "photos", "c.jpg") == b"shared"
    (folder / "bob.jpg").write_bytes(b"bob")
    with pytest.raises(InvalidInput, match="from which 2 files were erased"):
        add_folder(workspace, "photos", folder)
    assert erase(workspace, wanted).places == ()
    with pytest.raises(InvalidInput, match="apart from rows"):
        erase(workspace, msgspec.structs.replace(wanted, paths=()))
