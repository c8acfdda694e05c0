"""Previews of artifacts and notebooks: what does not fit is said, what is too much is cut."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile_files import SCRIPT
from slipway.errors import InvalidInput
from slipway.operations.runs import ArtifactContent
from slipway.records.runs import Artifact
from slipway.server import markdown, notebooks
from slipway.server.previews import Preview, preview


def shown(name: str, data: bytes, form: str = "bytes") -> Preview:
    artifact = Artifact(name=name, digest="d" * 64, fingerprint="d" * 64, format=form, size_bytes=len(data))
    return preview(ArtifactContent(artifact=artifact, data=data, is_whole=True))


SUFFIXES = ("png", "svg", "md", "csv", "tsv", "json", "ipynb", "parquet", "html", "txt", "")


@given(st.sampled_from(SUFFIXES), st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_any_bytes_under_any_name_are_shown_or_said_to_be_nothing(suffix: str, data: bytes) -> None:
    found = shown(f"a.{suffix}", data)
    assert found.kind in ("html", "table", "text") or found.kind == "image" or found.note


@given(st.text(alphabet="<>\"'&`*#|-~12. \nab", max_size=200))
def test_no_text_becomes_markup_that_markdown_does_not_make(text: str) -> None:
    allowed = {"h3", "h4", "h5", "h6", "p", "ul", "ol", "li", "code", "pre", "strong", "em", "div", "table", "thead"}
    allowed |= {"tbody", "tr", "th", "td"}
    html = markdown.to_html(text).replace('<div class="wide">', "<div>")
    for part in html.split("<")[1:]:
        assert part.partition(">")[0].strip("/") in allowed


def test_a_table_with_too_many_rows_and_columns_is_cut() -> None:
    sink = io.StringIO()
    csv.writer(sink).writerows([[f"c{column}" for column in range(60)]] + [["x" * 300] * 60] * 300)
    found = shown("a.csv", sink.getvalue().encode())
    assert (len(found.head), len(found.rows), len(found.rows[0])) == (50, 100, 50)
    assert found.note == "The first 100 rows are shown. 10 more columns are in the download."
    assert len(found.rows[0][0]) == 200


@pytest.mark.parametrize(
    ("name", "data", "kind", "words"),
    [
        ("a.txt", b"x" * 100_001, "text", "1 more characters"),
        ("a.json", b"{nothing", "text", "no JSON that can be read"),
        ("a.json", b"[" * 100_000, "text", "no JSON that can be read"),
        ("a.parquet", b"PAR1\xff", "none", "no preview"),
        ("a.csv", b'"' + b"x" * 200_000, "text", "more characters"),
        ("a.bin", b"\0\1", "none", "no preview"),
        ("a.txt", b"\xff\xfe", "none", "no preview"),
        ("a.ipynb", b"{}", "none", "It is no notebook"),
    ],
)
def test_what_cannot_be_shown_says_so(name: str, data: bytes, kind: str, words: str) -> None:
    found = shown(name, data)
    assert found.kind == kind
    assert words in found.note


def _notebook(*cells: dict[str, Any], nbformat: int = 4) -> bytes:
    return json.dumps({"nbformat": nbformat, "cells": list(cells)}).encode()


def _code(*outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": [], "execution_count": None, "outputs": list(outputs)}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"nbformat": 4, "cells": [3]}',
        b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": {"a": 1}}]}',
        _notebook(nbformat=3),
    ],
)
def test_a_bad_notebook_says_so(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"It is (no|a) notebook"):
        notebooks.to_html(data)


def test_a_huge_notebook_is_cut() -> None:
    stream = {"output_type": "stream", "name": "stdout", "text": "x" * 20_001}
    cells = [_code(*[stream] * 51)] + [{"cell_type": "raw", "source": ""}] * 500
    html = notebooks.to_html(_notebook(*cells))
    assert "1 more characters are in the download." in html
    assert "1 more outputs are in the download." in html
    assert "1 more cells are in the download." in html


@pytest.mark.parametrize(
    "data",
    [
        {"image/png": "no base64"},
        {"image/png": ["iVBO", 3]},
        {"image/png": {"a": 1}, "text/html": [SCRIPT]},
        {"text/markdown": f"{SCRIPT} [x](javascript:alert(1))"},
        {"text/latex": SCRIPT, SCRIPT: SCRIPT},
        {},
    ],
)
def test_whatever_an_output_holds_nothing_of_it_is_markup(data: dict[str, Any]) -> None:
    html = notebooks.to_html(_notebook(_code({"output_type": "display_data", "data": data})))
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html
