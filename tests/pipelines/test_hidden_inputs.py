"""What a step reads by itself: recorded, compared, found again; and what nothing can compare."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fresh_steps import Fresh

from slipway.errors import InvalidDeclaration
from slipway.ledger import entries
from slipway.pipelines import cache, why
from slipway.pipelines.declare import step
from slipway.ports.workspace import Workspace
from slipway.records.runs import HiddenInput, StepRun

RATE = "import os\n@sw.step\ndef answer():\n    return os.environ.get('RATE')\n"
READ = "@sw.step\ndef answer():\n    with open('in.txt') as file:\n        return file.read()\n"


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


def records(step: StepRun) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in step.hidden]


def test_each_result_is_found_again_when_its_inputs_come_back(tmp_path: Path, workspace: Workspace) -> None:
    project = Fresh(tmp_path, workspace, RATE)
    for value in ("a", "b", "c"):
        os.environ["RATE"] = value
        assert project.run().computed != {}
    for value in ("b", "a", "c", "a"):
        os.environ["RATE"] = value
        found = project.run()
        assert (found.computed, found.value) == ({}, value)
    del os.environ["RATE"]
    assert project.answer().reason == "environment variable RATE is no longer set"
    os.environ["RATE"] = "a"
    assert project.run().computed == {}


def test_what_is_recorded_holds_no_value(tmp_path: Path, workspace: Workspace) -> None:
    os.environ["RATE"] = "a secret of 1 person"
    project = Fresh(tmp_path, workspace, RATE)
    found = project.answer()
    assert records(found) == [("env", "RATE")]
    stored = (workspace.root / "ledger.db").read_bytes() + b"".join(
        p.read_bytes() for p in workspace.root.glob("*-wal")
    )
    # The result of this step is the value; its record is not.
    assert found.hidden[0].content in stored.decode("latin-1")
    assert "a secret of" not in str(found)


def test_a_mixture_names_each_cause(tmp_path: Path, workspace: Workspace) -> None:
    project = Fresh(tmp_path, workspace, RATE.replace("return os", "open('in.txt').close()\n    return os"))
    (project.data / "in.txt").write_text("1")
    project.run()
    (project.data / "in.txt").write_text("2")
    os.environ["RATE"] = "1"
    project.edit("flow.py", "'RATE'", "'RA' + 'TE'")
    assert project.answer().reason == (
        "function flow:answer changed, environment variable RATE is now set, file in.txt changed"
    )


@pytest.mark.parametrize(
    ("code", "what", "told"),
    [
        ("import time\n@sw.step{allow}\ndef answer():\n    return time.time() > 0\n", "clock", "its code reads the clock (time.time in flow:answer)"),
        ("from datetime import datetime as d\ndef now():\n    return d.now()\n@sw.step{allow}\ndef answer():\n    return now().year > 0\n", "clock", "datetime.datetime.now in flow:now"),
        ("import datetime\n@sw.step{allow}\ndef answer():\n    return datetime.date.today().year > 0\n", "clock", "datetime.date.today in flow:answer"),
        ("from datetime import datetime\nnow = datetime.now\n@sw.step{allow}\ndef answer():\n    return now().year > 0\n", "clock", "datetime.datetime.now in flow:now"),
        ("import time\nD = {'t': time.time}\n@sw.step{allow}\ndef answer():\n    return D['t']() > 0\n", "clock", "time.time in flow:D"),
        ("import numpy as np\n@sw.step{allow}\ndef answer():\n    return len(str(np.datetime64('now')))\n", "clock", "numpy.datetime64.now in flow:answer"),
        ("import pandas as pd\n@sw.step{allow}\ndef answer():\n    return pd.to_datetime('today').year > 0\n", "clock", "pandas.to_datetime.today in flow:answer"),
        ("import duckdb\n@sw.step{allow}\ndef answer():\n    return len(duckdb.sql('select year(now())').fetchall())\n", "clock", "its SQL reads the clock (now())"),
        ("import time\n@sw.step{allow}\ndef answer():\n    return len(time.strftime('%Y'))\n", "clock", "time.strftime in flow:answer"),
        ("import time\n@sw.step{allow}\ndef answer():\n    return time.localtime()[0] > 0\n", "clock", "time.localtime in flow:answer"),
        ("from dataclasses import dataclass, field\nfrom time import time\n@dataclass\nclass A:\n    at: float = field(default_factory=time)\n@sw.step{allow}\ndef answer():\n    return A().at > 0\n", "clock", "time.time in flow:A"),
        ("import socket\n@sw.step{allow}\ndef answer():\n    s = socket.socket()\n    s.connect_ex(('127.0.0.1', 1))\n    s.close()\n", "network", "it connects to 127.0.0.1:1"),
        ("import socket\n@sw.step{allow}\ndef answer():\n    return len(socket.getaddrinfo('localhost', 80)) > 0\n", "network", "it looks up the address of localhost"),
        ("import urllib.request\n@sw.step{allow}\ndef answer():\n    try:\n        urllib.request.urlopen('http://127.0.0.1:1')\n    except OSError:\n        return 1\n", "network", "it looks up the address of 127.0.0.1"),
        ("import polars as pl\n@sw.step{allow}\ndef answer():\n    pl.scan_parquet('s3://bucket/a.parquet')\n    return 1\n", "network", "it reads s3://bucket"),
        ("import subprocess, sys\n@sw.step{allow}\ndef answer():\n    return subprocess.run(['true'], check=True).returncode\n", "subprocess", "it starts true"),
        ("import os\n@sw.step{allow}\ndef answer():\n    return os.system('true')\n", "subprocess", "it starts true"),
        ("import multiprocessing\n@sw.step{allow}\ndef answer():\n    p = multiprocessing.get_context('spawn').Process(target=len, args=('a',))\n    p.start()\n    p.join()\n    return 1\n", "subprocess", "it starts a process"),
    ],
)  # fmt: skip
def test_what_nothing_can_compare_makes_it_uncached_unless_it_is_declared(
    code: str, what: str, told: str, tmp_path: Path, workspace: Workspace
) -> None:
    project = Fresh(tmp_path, workspace, code.replace("{allow}", ""))
    for _ in range(2):
        found = project.answer()
        assert (found.state, found.key) == ("finished", "")
        assert told in found.reason
        assert told in found.refusal
        assert f"@step(allow=({what!r},))" in found.reason
    project.write("flow.py", "import slipway as sw\n" + code.replace("{allow}", f"(allow=({what!r},))"))
    with (project.folder / "flow.py").open("a") as file:
        file.write("@sw.pipeline\ndef release():\n    return answer()\n")
    assert project.answer().state == "finished"
    assert project.answer().state == "cached"


def test_the_next_run_says_why_the_result_was_not_kept(tmp_path: Path, workspace: Workspace) -> None:
    code = "import os\n@sw.step\ndef answer():\n    return os.system('true')\n"
    project = Fresh(tmp_path, workspace, code)
    first = project.answer()
    assert project.answer().reason == (
        f"run {first.parent_id[:12]} did not keep its result; its result is not kept for later runs: it starts true, "
        "and another process cannot be compared; if it does not matter, say @step(allow=('subprocess',))"
    )


def test_only_known_names_are_allowed() -> None:
    with pytest.raises(InvalidDeclaration, match="clock, network, subprocess"):
        step(allow=("clok",))(lambda: 1)
    with pytest.raises(InvalidDeclaration, match=r"Write allow=\('clock',\)"):
        step(allow="clock")(lambda: 1)


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        ("np.random.default_rng().normal()", "numpy.random.default_rng in flow:answer"),
        ("np.random.rand()", "numpy.random.rand in flow:answer"),
        ("random.random()", "random.random in flow:answer"),
        ("np.random.default_rng(1).normal()", ""),
        ("(random.seed(1), random.random())[1]", ""),
        ("random.Random(1).random()", ""),
    ],
)
def test_unseeded_random_numbers_are_kept_and_said(draw: str, told: str, tmp_path: Path, workspace: Workspace) -> None:
    code = f"import random\nimport numpy as np\n@sw.step\ndef answer():\n    return float({draw})\n"
    project = Fresh(tmp_path, workspace, code)
    first = project.run()
    assert ("without a seed" in first.computed["answer"]) is bool(told)
    assert told in first.computed["answer"]
    again = project.run()
    assert (again.computed, again.value) == ({}, first.value)


def test_a_lost_or_damaged_result_is_a_miss(tmp_path: Path, workspace: Workspace) -> None:
    project = Fresh(tmp_path, workspace, READ)
    (project.data / "in.txt").write_text("1")
    digest = project.answer().outputs[0].digest
    for damage in (lambda path: path.write_bytes(b"?"), lambda path: path.unlink()):
        path = workspace.root / "blobs" / digest[:2] / digest[2:]
        path.chmod(0o600)
        damage(path)
        assert "stored result" in project.answer().reason
        assert project.run().computed == {}


def test_a_lost_record_of_one_result_leaves_the_others(tmp_path: Path, workspace: Workspace) -> None:
    project = Fresh(tmp_path, workspace, RATE)
    found = {}
    for value in ("a", "b"):
        os.environ["RATE"] = value
        found[value] = project.answer()
    with workspace.ledger.write() as tx:
        tx.remove(entries.kind_of(StepRun), found["b"].id)
    os.environ["RATE"] = "a"
    assert project.run().computed == {}
    os.environ["RATE"] = "b"
    assert "the record of the stored result was gone" in project.answer().reason


def test_a_purged_result_is_forgotten_and_the_others_stay(tmp_path: Path, workspace: Workspace) -> None:
    project = Fresh(tmp_path, workspace, RATE)
    found = {}
    for value in ("a", "b"):
        os.environ["RATE"] = value
        found[value] = project.answer()
    with workspace.ledger.write() as tx:
        cache.forget(tx, found["b"])
    assert project.answer().state == "finished"
    os.environ["RATE"] = "a"
    assert project.answer().state == "cached"
    with workspace.ledger.write() as tx:
        for step in (found["a"],):
            cache.forget(tx, step)
        cache.forget(tx, found["a"])
    assert project.answer().state == "finished"


def test_old_records_are_read_as_they_were(workspace: Workspace) -> None:
    import msgspec

    old = {
        "id": "a.1",
        "project": "p",
        "name": "s",
        "created_at": workspace.clock.now(),
        "parent_id": "a",
        "type": "step",
    }
    assert msgspec.convert(old, StepRun).hidden == ()
    kept = HiddenInput(kind="file", name="a")
    assert msgspec.json.decode(msgspec.json.encode(kept), type=HiddenInput) == kept


def test_polars_reads_are_all_seen(tmp_path: Path, workspace: Workspace) -> None:
    """A release of Polars that opens files another way must be noticed here."""
    frame = pl.DataFrame({"n": [1]})
    calls = {
        "in.csv": ["read_csv", "scan_csv", "read_lines", "scan_lines"],
        "in.parquet": ["read_parquet", "scan_parquet", "read_parquet_schema", "read_parquet_metadata"],
        "in.arrow": ["read_ipc", "scan_ipc", "read_ipc_schema"],
        "in.stream": ["read_ipc_stream"],
        "in.ndjson": ["read_ndjson", "scan_ndjson"],
        "in.json": ["read_json"],
        "in.avro": ["read_avro"],
    }
    reads = [f"pl.{name}('{file}')" for file, names in calls.items() for name in names]
    lines = "".join(f"@sw.step\ndef read_{number}():\n    return str({read})\n" for number, read in enumerate(reads))
    whole = "".join(f"    read_{number}()\n" for number in range(len(reads)))
    project = Fresh(tmp_path, workspace, f"import polars as pl\n{lines}@sw.pipeline\ndef release():\n{whole}")
    frame.write_csv(project.data / "in.csv")
    frame.write_parquet(project.data / "in.parquet")
    frame.write_ipc(project.data / "in.arrow")
    frame.write_ipc_stream(project.data / "in.stream")
    frame.write_ndjson(project.data / "in.ndjson")
    frame.write_json(project.data / "in.json")
    frame.write_avro(project.data / "in.avro")
    seen = {reads[int(one.name[5:])]: [h.name for h in one.hidden if h.kind == "file"] for one in project.run().steps}
    assert seen == {read: [read.split("'")[1]] for read in reads}
    known = {name for names in calls.values() for name in names}
    elsewhere = {
        "read_clipboard", "read_database", "read_database_uri", "read_delta", "read_excel", "read_ods", "scan_delta",
        "scan_arrow_c_stream", "scan_external_reader", "scan_iceberg", "scan_lance", "scan_pyarrow_dataset",
    }  # fmt: skip
    assert {name for name in dir(pl) if name.startswith(("read_", "scan_"))} == known | elsewhere


def test_polars_that_is_loaded_after_the_watch_began_is_seen() -> None:
    """Polars puts its compiled module in the place of the one that is imported: `slipway run` loads it like this."""
    code = (
        "import sys\nfrom slipway.pipelines.hidden import hooks\nassert 'polars' not in sys.modules\nhooks.install()\n"
        "import polars\nfrom polars._plr import PyLazyFrame\n"
        "assert hasattr(PyLazyFrame.new_from_csv, '__slipway_seen__')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_that_sql_of_polars_names_are_seen(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "import polars as pl\n@sw.step\ndef answer():\n"
        "    return pl.sql(\"SELECT SUM(n) AS n FROM read_csv('in.csv')\", eager=True).item()\n"
    )
    project = Fresh(tmp_path, workspace, code)
    (project.data / "in.csv").write_text("n\n1\n")
    assert project.run().value == 1
    (project.data / "in.csv").write_text("n\n2\n")
    assert project.run().value == 2
    assert project.run().computed == {}


def test_a_file_of_pyarrow_that_nobody_sees_opened_is_not_cached(tmp_path: Path, workspace: Workspace) -> None:
    code = "import pyarrow as pa\n@sw.step\ndef answer():\n    return bytes(pa.OSFile('in.txt').read()).decode()\n"
    project = Fresh(tmp_path, workspace, code)
    (project.data / "in.txt").write_text("a")
    assert project.run().value == "a"
    (project.data / "in.txt").write_text("b")
    assert project.run().value == "b"


def test_models_of_lightgbm_by_path_are_seen(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "import lightgbm\nimport numpy as np\n@sw.step\ndef answer():\n"
        "    lightgbm.Dataset('in.csv').construct()\n    return lightgbm.Booster(model_file='in.model').num_trees()\n"
    )
    lightgbm = pytest.importorskip("lightgbm")
    project = Fresh(tmp_path, workspace, code)
    (project.data / "in.csv").write_text("".join(f"{n % 2},{n}\n" for n in range(100)))
    data = lightgbm.Dataset(np.arange(100.0).reshape(-1, 1), np.arange(100) % 2)
    lightgbm.train({"verbose": -1}, data, 1).save_model(project.data / "in.model")
    assert {("file", "in.csv"), ("file", "in.model")} <= set(records(project.answer()))


def test_duckdb_still_finds_frames_by_their_names(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "import duckdb\nimport polars as pl\n@sw.step\ndef answer():\n    rows = pl.DataFrame({'n': [1, 2]})\n"
        "    return duckdb.sql('select sum(n) from rows').fetchall(), "
        "duckdb.connect().execute('select sum(n) from rows').fetchall()\n"
    )
    assert str(Fresh(tmp_path, workspace, code).run().value) == "([(3,)], [(3,)])"


def test_a_file_named_by_a_computed_text_of_sql_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "import duckdb\n@sw.step\ndef answer():\n"
        "    return duckdb.sql(\"select * from read_csv('in' || '.csv')\").fetchall()\n"
    )
    project = Fresh(tmp_path, workspace, code)
    (project.data / "in.csv").write_text("n\n1\n")
    assert "computed name" in project.answer().refusal


def test_a_step_that_appends_to_what_it_reads_is_not_kept(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "from pathlib import Path\n@sw.step\ndef answer():\n    with open('log.txt', 'a') as file:\n        file.write('x')\n"
        "    return len(Path('log.txt').read_text())\n"
    )
    project = Fresh(tmp_path, workspace, code)
    (project.data / "log.txt").write_text("x")
    assert [project.run().value for _ in range(3)] == [2, 3, 4]


def test_why_and_the_pages_words(tmp_path: Path, workspace: Workspace) -> None:
    project = Fresh(tmp_path, workspace, RATE)
    project.run()
    os.environ["RATE"] = "1"
    project.run()
    assert why.explain(workspace, "answer").endswith("because: environment variable RATE is now set.")
    project.run()
    assert "was not computed: nothing that it depends on has changed" in why.explain(workspace, "answer")


def test_nothing_is_hooked_before_a_step_is_recorded() -> None:
    code = (
        "import os, threading\nbefore = os.stat, type(os.environ).__getitem__, threading.Thread.start\n"
        "import slipway, slipway.pipelines.engine\n"
        "assert before == (os.stat, type(os.environ).__getitem__, threading.Thread.start)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_runs_outside_a_step_is_not_recorded(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "import os\n@sw.step\ndef answer(x):\n    return x\n"
        "@sw.pipeline\ndef release():\n    return answer(os.environ.get('RATE'))\n"
    )
    project = Fresh(tmp_path, workspace, code)
    assert project.answer().hidden == ()
    os.environ["RATE"] = "1"
    assert project.answer().reason == "argument x changed"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("C = open('in.txt')\ndef read():\n    C.seek(0)\n    return C.read()", "flow:C (_io.TextIOWrapper)"),
        ("import random\nC = random.Random(1)\nread = C.random", "random.Random"),
        ("C = {'rows': iter([1, 2])}\ndef read():\n    return next(C['rows'])", "flow:C"),
        ("class C:\n    rows = open('in.txt')\ndef read():\n    C.rows.seek(0)\n    return C.rows.read()", "a _io.TextIOWrapper in flow:C"),
        ("from pyarrow import fs\ndef read():\n    return fs.LocalFileSystem().open_input_stream('in.txt').read()", "pyarrow.fs.LocalFileSystem"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_value_that_gives_something_else_each_time_is_refused(
    made: str, told: str, tmp_path: Path, workspace: Workspace
) -> None:
    project = Fresh(tmp_path, workspace, f"{made}\n@sw.step\ndef answer():\n    return str(read())\n")
    (project.data / "in.txt").write_text("1")
    assert told in project.answer().refusal
    assert project.answer().state == "finished"


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_does_not_answer_is_said(tmp_path: Path, workspace: Workspace) -> None:
    code = (
        "from concurrent.futures import ProcessPoolExecutor\n@sw.step\ndef answer():\n"
        "    with ProcessPoolExecutor(1) as pool:\n        return str(type(pool.submit(len, 1).exception()))\n"
    )
    assert "a worker process did not answer" in Fresh(tmp_path, workspace, code).answer().refusal


def test_files_of_h5py_deltalake_and_onnxruntime_are_seen(tmp_path: Path, workspace: Workspace) -> None:
    """Held against whichever of them is installed; at least Delta tables are."""
    reads = {"deltalake": "deltalake.DeltaTable('in').version()"}
    for name, read in (
        ("h5py", "h5py.File('in.h5')['n'][()]"),
        ("onnxruntime", "onnxruntime.InferenceSession('in.onnx')"),
    ):
        if importlib.util.find_spec(name):
            reads[name] = read
    deltalake = pytest.importorskip("deltalake")
    for number, (name, read) in enumerate(reads.items()):
        code = f"import {name}\n@sw.step\ndef answer():\n    try:\n        return str({read})\n    except Exception:\n        return ''\n"
        project = Fresh(tmp_path / str(number), workspace, code)
        deltalake.write_deltalake(str(project.data / "in"), pl.DataFrame({"n": [1]}).to_arrow())
        (project.data / "in.h5").write_bytes(b"no HDF5")
        (project.data / "in.onnx").write_bytes(b"no model")
        project.answer()
        deltalake.write_deltalake(str(project.data / "in"), pl.DataFrame({"n": [2]}).to_arrow(), mode="append")
        (project.data / "in.h5").write_bytes(b"something else")
        (project.data / "in.onnx").write_bytes(b"something else")
        reason = project.answer().reason
        assert "changed" in reason or "holds other files" in reason, (name, reason)
