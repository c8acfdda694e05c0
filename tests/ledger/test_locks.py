"""The lock of what a process imports: stored once, named by runs, kept as long as one names it."""

import io
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from importlib.metadata import Distribution
from pathlib import Path

import msgspec
import pytest

from slipway.code import imports, wheels
from slipway.errors import Corrupt
from slipway.ledger import locks
from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.locks import Lock
from slipway.records.runs import Environment
from slipway.runs import tracking


def do(workspace: Workspace, name: str, **fields: object) -> object:
    wanted = operation(name)
    return declare.call(workspace, wanted, declare.convert(wanted, fields))


def stored(workspace: Workspace) -> set[str]:
    return {blob.digest for blob in workspace.blobs.stored()}


def of(workspace: Workspace, told: Environment | None) -> Lock:
    lock = locks.lock_of(workspace.blobs, told)
    assert lock is not None
    return lock


def test_runs_name_one_lock_and_none_repeats_it(workspace: Workspace) -> None:
    found = set()
    for _ in range(3):
        with tracking.start(workspace) as run:
            pass
        assert run.record.environment is not None
        assert run.record.environment.lock == ()
        found.add(run.record.environment.imports)
    (digest,) = found
    lock = of(workspace, run.record.environment)
    assert lock.digest == digest
    others = stored(workspace) - {run.record.code.diff}  # of a work tree with changes
    assert others == {digest, *(one.wheel for one in lock.packages if one.wheel)}


def test_the_wheel_of_slipway_is_kept_and_is_this_slipway(workspace: Workspace) -> None:
    lock = of(workspace, locks.environment(workspace))
    own = next(one for one in lock.packages if one.name == "slipway")
    assert own.file == f"slipway-{own.version}-py3-none-any.whl"
    names = zipfile.ZipFile(io.BytesIO(workspace.blobs.get(own.wheel))).namelist()
    assert "slipway/ledger/locks.py" in names
    others = [one for one in lock.packages if one.name != "slipway" and not one.origin]
    assert others
    assert all(one.content and not one.wheel for one in others)


def test_a_sweep_leaves_what_runs_name_and_a_purge_takes_it(workspace: Workspace) -> None:
    with tracking.start(workspace, "ends") as run:
        pass
    lock = of(workspace, run.record.environment)
    do(workspace, "trash.sweep", grace_days=0)
    kept = {one.wheel for one in lock.packages if one.wheel}
    assert {lock.digest, *kept} <= stored(workspace)
    do(workspace, "trash.put", items=[f"run:{run.id}"])
    do(workspace, "trash.purge", items=[f"run:{run.id}"], grace_days=0)
    assert stored(workspace) == set()


def test_differences_are_said_in_words(workspace: Workspace) -> None:
    lock = of(workspace, locks.environment(workspace))
    click = next(one for one in lock.packages if one.name == "click")
    rest = tuple(one for one in lock.packages if one.name not in ("click", "polars"))

    def told(**more: str) -> Environment:
        changed = msgspec.structs.replace(lock, packages=(*rest, msgspec.structs.replace(click, **more)))
        return Environment(python="3", platform="x", imports=workspace.blobs.put(changed.encoded))

    present = locks.environment(workspace)
    assert (
        locks.differences(workspace.blobs, present, told()) == []
    )  # polars is missing in one: it is not imported there
    assert locks.differences(workspace.blobs, told(version="1"), present) == [f"click 1 -> {click.version}"]
    other = locks.differences(workspace.blobs, told(content="0"), present)
    assert other == [f"click {click.version}, whose files are others"]
    old = Environment(python="3", platform="x", lock=("click==1", "gone==2"))
    assert locks.differences(workspace.blobs, old, present) == [f"click 1 -> {click.version}"]
    assert locks.names_of(workspace.blobs, old) == ("click==1", "gone==2")


def test_a_client_of_a_server_stores_nothing(workspace: Workspace) -> None:
    server: object = object()
    told = locks.environment(replace(workspace, run_server=server))  # type: ignore[arg-type]
    assert told.imports == ""
    assert any(line.startswith("polars==") for line in told.lock)
    assert stored(workspace) == set()


def test_what_is_no_lock_is_corrupt(workspace: Workspace) -> None:
    told = Environment(python="3", platform="x", imports=workspace.blobs.put(b"no lock"))
    with pytest.raises(Corrupt, match="lock cannot be read"):
        locks.lock_of(workspace.blobs, told)


def test_asked_again_nothing_is_looked_up(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first = locks.environment(workspace)

    def refuse(code: imports.Own) -> None:
        raise AssertionError(code)

    monkeypatch.setattr(imports, "needed", refuse)
    assert locks.environment(workspace) is first


def anchor(folder: Path, weight: int, monkeypatch: pytest.MonkeyPatch) -> imports.Own:
    """Code that imports a distribution which is installed in editable form."""
    for name, text in {
        "src/anchor_mod/__init__.py": f"WEIGHT = {weight}\n",
        "site/anchor_mod-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: anchor-mod\nVersion: 1.0\n",
        "site/anchor_mod-1.0.dist-info/direct_url.json": '{"url": "file:///x", "dir_info": {"editable": true}}',
        "site/anchor_mod-1.0.dist-info/RECORD": "anchor_mod-1.0.dist-info/METADATA,,\n",
        "uses.py": "import anchor_mod\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(sys, "path", [str(folder / "src"), str(folder / "site"), *sys.path])
    return imports.Own((str(folder / "uses.py"),))


def test_one_reading_of_an_editable_copy_gives_its_content_and_its_wheel(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = anchor(tmp_path, 1, monkeypatch)
    read: Counter[str] = Counter()
    reading = wheels.sources_of

    def counted(found: Distribution, modules: tuple[str, ...] = ()) -> wheels.Sources | None:
        sources = reading(found, modules)
        if sources is not None:
            read[found.metadata["Name"]] += 1
            (tmp_path / "src" / "anchor_mod" / "__init__.py").write_text("WEIGHT = 2\n")  # edited after it was read
        return sources

    monkeypatch.setattr(wheels, "sources_of", counted)
    lock = locks.present(workspace, code)
    assert read["anchor-mod"] == 1
    assert read["slipway"] <= 1
    own = next(one for one in lock.packages if one.name == "anchor-mod")
    wheel = zipfile.ZipFile(io.BytesIO(workspace.blobs.get(own.wheel)))
    assert wheel.read("anchor_mod/__init__.py") == b"WEIGHT = 1\n"
    wheel.extractall(tmp_path / "again")
    again = wheels.find("anchor-mod", str(tmp_path / "again"))
    assert again is not None
    assert wheels.content_of(again) == own.content


def test_a_copy_that_was_edited_since_its_content_was_read_has_no_wheel(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = anchor(tmp_path, 3, monkeypatch)
    monkeypatch.setattr(imports, "own", lambda: code)
    server: object = object()
    locks.environment(replace(workspace, run_server=server))  # type: ignore[arg-type]  # reads, and keeps no wheel
    (tmp_path / "src" / "anchor_mod" / "__init__.py").write_text("WEIGHT = 4\n")
    own = next(one for one in locks.present(workspace, code).packages if one.name == "anchor-mod")
    assert own.content
    assert own.wheel == own.file == ""
