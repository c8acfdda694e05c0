"""A store in which one person's address stands wherever it may come to, and the way to everything that its faces show."""

import gzip
import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from html import unescape
from typing import Any

import numpy as np
import polars as pl

import slipway as sw
from server_desk import Ask
from slipway.errors import InvalidInput, StepFailed
from slipway.ledger import projects
from slipway.operations.table import OPERATIONS
from slipway.pipelines import engine
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.runs import tracking
from slipway.tables.versions import append

CANARY = "Zebra-Canary-7F3A"
OTHERS = ["wolf@example.org", "yak@example.org", "gnu@example.org"]
PHONE = 491701234567


@sw.table(
    key="owner",
    personal=["owner", "phone"],
    checks=[
        sw.between("age", 0, 90, severity="warn"),
        sw.between("age", 0, 200, severity="quarantine"),
        sw.not_null("city"),
    ],
)
def people() -> None: ...


def rows(ages: tuple[int, ...], city: str | None = "Ulm") -> pl.DataFrame:
    owners = [CANARY, *OTHERS][: len(ages)]
    phones = [PHONE + n for n in range(len(ages))]
    return pl.DataFrame({"owner": owners, "phone": phones, "age": ages, "city": [city] * len(ages)})


@sw.step(cache=False)
def told(n: int) -> pl.DataFrame:
    frame = people.read().collect()
    print(f"the first of them is {frame['owner'][0]}, {frame['phone'][0]}")
    return frame


@sw.step(cache=False)
def fails(frame: pl.DataFrame) -> int:
    raise ValueError(f"{frame['owner'][0]} has no age")


@sw.pipeline
def teller(n: int = 1) -> pl.DataFrame:
    return told(n)


@sw.pipeline
def failing(n: int = 1) -> int:
    return fails(told(n))


def archive() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as files:
        files.writestr("inner/notes.txt", f"of {CANARY}\n" * 50)
    return sink.getvalue()


def parquet(frame: pl.DataFrame) -> bytes:
    sink = io.BytesIO()
    frame.write_parquet(sink)
    return sink.getvalue()


FILES: dict[str, bytes] = {
    "notes.txt": f"About {CANARY}: late.".encode(),
    "report.md": f"# {CANARY}\n\nand **{PHONE}**".encode(),
    "page.html": f"<b>{CANARY}</b>".encode(),
    "rows.csv": rows((1, 2)).write_csv().encode(),
    "rows.json": f'{{"columns": ["owner", "age"], "data": [["{CANARY}", 1]]}}'.encode(),
    "escaped.json": ('{"who": "' + "".join(f"\\u{ord(c):04x}" for c in CANARY) + '"}').encode(),
    "book.ipynb": f'{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": [{{"cell_type": "code", "source": "x = \'{CANARY}\'", "outputs": [{{"output_type": "stream", "name": "stdout", "text": "{CANARY}"}}]}}]}}'.encode(),
    "rows.parquet": parquet(rows((1, 2))),
    "renamed.parquet": parquet(rows((1, 2)).select(who="owner", n="age")),
    "listed.parquet": parquet(pl.DataFrame({"all": [[CANARY, "x"]]})),
    "model.pkl": pickle.dumps({"classes": [CANARY, "b"]}),
    "array.npy": np.array([CANARY, "b"]).tobytes() + b"\0\xff",
    "files.zip": archive(),
    "log.gz": gzip.compress(f"seen {CANARY}".encode()),
}


def fill(workspace: Workspace) -> None:
    """Make a project that holds the canary in tables, runs, logs, errors, files, checks and refusals."""
    projects.register(workspace)
    people.overwrite(rows((99, 2)))
    people.overwrite(rows((98, 2, 300)))
    with suppress(InvalidInput):
        people.overwrite(rows((3,), city=None))
    append(workspace, "people", rows((97, 2, 3, 4))[3:])
    with tracking.start(workspace, f"of {CANARY}", system_metrics=False) as run:
        run.log_params({"owner": CANARY, "note": f"it is {CANARY}."})
        run.set_tags({"mlflow.note.content": f"see {CANARY}", f"who {CANARY}": "x"})
        run.log_metric(f"error[owner={CANARY}]", 1.0)
        run.log_metric("curve", 1.0, 1)
        run.log_metric("curve", 2.0, 2)
        for name, data in FILES.items():
            path = workspace.root / "given"
            path.write_bytes(data)
            run.log_artifact(name, path)
        run.log_artifact(f"of/{CANARY}.txt", "nothing")
        run.log_table("frame", people.read().collect())
    engine.run(workspace, teller, {"n": 1})
    with suppress(StepFailed):
        engine.run(workspace, failing, {"n": 1})


def pages(ask: Ask, begin: str = "/") -> Iterator[tuple[str, bytes]]:
    """Every page, picture and download that can be reached by links, with what it answers."""
    seen, waiting = {begin}, [begin]
    while waiting:
        path = waiting.pop()
        answer = ask("GET", path)
        yield path, answer.content + str(answer.headers).encode()
        if "html" not in answer.headers.get("content-type", ""):
            continue
        for found in re.findall(r'(?:href|src)="(/[^"]*)"', answer.text):
            link = unescape(found).partition("#")[0]
            if link not in seen and not link.startswith(("/static", "/logout")):
                seen.add(link)
                waiting.append(link)


def requests(runs: list[str], steps: list[tuple[str, str]], names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation that reads, with what it can be asked of this store."""
    yield from ((name, {}) for name, one in OPERATIONS.items() if not one.changes and not one.request.__struct_fields__)
    for name in (
        "runs.search",
        "models.search",
        "tables.search",
        "tables.list",
        "models.list",
        "trash.list",
        "audit.list",
    ):
        yield name, {}
    yield "runs.search", {"where": f"params.owner = '{CANARY}'"}
    yield "runs.search", {"where": f"params.{CANARY}"}
    yield "catalog.search", {"text": ""}
    yield "catalog.search", {"text": "owner"}
    for table in ("people", "quarantine.people"):
        for version in ("", "1", "2", "refused", CANARY):
            yield "tables.get", {"name": table, "version": version}
            yield "tables.profile", {"name": table, "version": version}
            yield "tables.failing", {"name": table, "version": version}
        yield "tables.profile", {"name": table, "version": "1", "against": "2"}
        yield "tables.refusals", {"name": table}
        yield "tables.history", {"name": table}
        yield "tables.diff", {"name": table, "before": "1", "after": "2"}
        yield "catalog.lineage", {"what": table}
        yield "catalog.lineage", {"what": f"{table}.owner"}
    for run in runs:
        for name in ("runs.get", "runs.curves", "runs.diff", "runs.changes"):
            yield name, {"id": run}
        for other in runs:
            yield "runs.changes", {"id": run, "other": other}
        for file in names:
            yield "runs.artifact", {"id": run, "name": file}
            yield "runs.rows", {"id": run, "name": file}
    for run, step in steps:
        yield "runs.step_log", {"id": run, "step": step}


def as_role(workspace: Workspace, role: str, *scopes: str) -> Workspace:
    """The workspace of somebody with one role."""
    return replace(workspace, actor=Actor("somebody", roles=(role,), scopes=scopes))


def shows(data: bytes) -> bool:
    """Whether an answer shows the canary: as text, inside of a frame or an archive, in any wide encoding, or its number."""
    needles = (CANARY.encode(), str(PHONE).encode())
    looked = [data, data.replace(b"\0", b"")]
    if b"PAR1" in data[:4]:
        looked.append(str(pl.read_parquet(io.BytesIO(data[: data.rindex(b"PAR1") + 4])).rows()).encode())
    return any(needle in one for one in looked for needle in needles)
