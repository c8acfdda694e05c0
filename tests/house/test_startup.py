"""What a start loads, counted in modules: they do not depend on the machine's speed."""

import subprocess
import sys

import pytest

FORBIDDEN = {"numpy", "pandas", "polars", "sqlalchemy", "asyncio", "starlette", "uvicorn", "pydantic", "httpx"}
COUNT = "import sys; before = set(sys.modules); {}; print(*sorted(set(sys.modules) - before))"


def loaded(work: str) -> list[str]:
    """The modules that some code loads, beyond what a bare interpreter has."""
    answer = subprocess.run(
        [sys.executable, "-c", COUNT.format(work)], capture_output=True, text=True, check=True, timeout=900
    )
    return answer.stdout.splitlines()[-1].split()


def roots(modules: list[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_importing_slipway_loads_nothing_but_its_table() -> None:
    found = loaded("import slipway")
    assert len(found) <= 10, found
    assert roots(found) & FORBIDDEN == set()


def test_help_needs_click_and_the_table() -> None:
    found = loaded(
        "from slipway.cli import main; from click.testing import CliRunner; "
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0"
    )
    found = [name for name in found if name != "click.testing"]
    assert len(found) <= 120, (len(found), found)
    assert roots(found) & FORBIDDEN == set()


@pytest.mark.parametrize(
    "module",
    [
        "slipway.errors",
        "slipway.operations.table",
        "slipway.records.models",
        "slipway.ports.workspace",
        "slipway.plugins",
    ],
)
def test_declarations_and_records_are_light(module: str) -> None:
    assert roots(loaded(f"import {module}")) & FORBIDDEN == set()


def test_a_command_that_only_reads_loads_no_frames_and_no_web() -> None:
    heavy = FORBIDDEN - {"asyncio"}
    found = loaded(
        "import slipway.cli.runs, slipway.cli.models, slipway.cli.endpoints, slipway.cli.audit, slipway.cli.api"
    )
    assert roots(found) & heavy == set()


def test_the_server_starts_without_frames() -> None:
    """Idle memory: what works on frames is loaded when it is first asked for."""
    found = loaded("import slipway.server.app, slipway.hosts.control_plane")
    assert roots(found) & {"numpy", "pandas", "polars", "sqlalchemy", "pydantic", "httpx"} == set()


def test_the_client_needs_no_store_and_no_frames() -> None:
    found = loaded("import slipway.client.api, slipway.client.endpoint")
    assert roots(found) & {"numpy", "pandas", "polars", "sqlite3", "starlette", "uvicorn"} == set()
