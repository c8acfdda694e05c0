"""The sections [raci.*] of slipway.toml: the default put in, mistakes as sentences."""

from pathlib import Path

import pytest

from slipway.errors import InvalidSetting
from slipway.hosts.settings import raci_rows, read_settings
from slipway.records.responsibility import STAGES, RaciRow

HEAD = '[project]\nname = "p"\n'


def rows(folder: Path, text: str) -> dict[str, RaciRow]:
    (folder / "slipway.toml").write_text(HEAD + text)
    return {row.stage: row for row in raci_rows(read_settings(folder))}


def test_a_letter_that_a_stage_leaves_out_is_the_defaults(tmp_path: Path) -> None:
    found = rows(
        tmp_path,
        '[raci.default]\nresponsible = ["dan", "dan"]\naccountable = "grace"\ninformed = ["eve"]\n'
        '[raci.deploy]\nresponsible = "mia"\ninformed = []\n',
    )
    assert tuple(found) == STAGES
    assert found["train"] == RaciRow(
        stage="train", responsible=("dan",), accountable=("grace",), consulted=(), informed=("eve",)
    )
    assert found["deploy"] == RaciRow(stage="deploy", responsible=("mia",), accountable=("grace",))


def test_without_a_section_there_is_no_table(tmp_path: Path) -> None:
    assert rows(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[raci.deplyo]\nresponsible = ["dan"]\n', "no stage 'deplyo'.*'deploy'"),
        ('[raci.deploy]\nresponsable = ["dan"]\n', r"'responsable' in \[raci.deploy\].*'responsible'"),
        ("[raci.deploy]\nresponsible = [1]\n", "does not fit"),
        ('[raci]\nresponsible = ["dan"]\n', "no stage 'responsible'"),
        ('raci = "dan"\n', "."),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InvalidSetting, match=words):
        rows(tmp_path, text)
