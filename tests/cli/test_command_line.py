"""The command line: its table, its help, its failures and their exit codes."""

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import redis_here
from filled_store import BAD_RUN, GOOD_RUN, fill
from hosts_up import up
from slipway import errors
from slipway.cli import _MEANT, COMMANDS, main
from slipway.cli.exits import exit_code
from slipway.hosts.project import open_project
from slipway.ledger import projects
from slipway.operations.table import OPERATIONS
from slipway.ports.workspace import Workspace

TOML = '[project]\nname = "flights"\n'


def slipway(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def store(workspace: Workspace) -> list[str]:
    """The options that lead to a filled store."""
    fill(workspace)
    return ["--root", str(workspace.root), "--project", "flights"]


@pytest.fixture
def checkout(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder whose store is filled; it is the present folder."""
    fill(workspace)
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "slipway.toml").write_text(f'{TOML}[environments.dev]\nstore = "{workspace.root}"\n')
    monkeypatch.chdir(folder)
    return folder


def test_help_lists_every_command_with_one_line() -> None:
    text = slipway("--help").output
    for name, (_, _, line) in COMMANDS.items():
        assert f"  {name} " in text
        assert " ".join(line.split()[:3]) in text
    assert slipway("-h").output == text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_helps(name: str) -> None:
    answer = slipway(name, "--help")
    assert answer.exit_code == 0, answer.output
    assert answer.output.startswith("Usage:")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_answer_in_json(name: str) -> None:
    context = click.Context(main)
    command = main.get_command(context, name)
    assert command is not None
    leaves = _leaves(command)
    lacking = [leaf.name for leaf in leaves if not any("--json" in option.opts for option in leaf.params)]
    assert lacking == []


def _leaves(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for inner in command.commands.values() for leaf in _leaves(inner)]


def _groups(command: click.Command, *path: str) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return []
    context = click.Context(command)
    inner = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [path, *(found for name, one in inner if one is not None for found in _groups(one, *path, name))]


@pytest.mark.parametrize("path", _groups(main), ids=lambda path: " ".join(path) or "slipway")
def test_every_group_without_a_command_says_what_there_is(path: tuple[str, ...]) -> None:
    answer = slipway(*path)
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert answer.stdout == slipway(*path, "--help").stdout
    assert "\nCommands:\n" in answer.stdout
    wrong = slipway(*path, "no-such-command")
    assert wrong.exit_code in (2, 5)
    assert "no-such-command" in wrong.stderr


def test_the_version() -> None:
    assert slipway("--version").output.startswith("slipway 0.")


READS: list[tuple[list[str], str, list[str]]] = [
    (["runs", "list", "--all"], "runs.search", ["release", "failed", "auc 0.746", "Grace Hopper (simulated)"]),
    (["runs", "search", "metrics.auc > 0.7", "--order", "metrics.auc desc", "--best-per", "pipeline"], "runs.search", ["release", "auc 0.746"]),
    (["models", "search", "number < 3", "--order", "number", "--limit", "1"], "models.search", ["flight-delays", "auc 0.746", "Next page: --token "]),
    (["data", "search", "failed_checks > 0 and tags.raw is not null"], "tables.search", ["81,000", "flights"]),
    (["runs", "show", GOOD_RUN[:8]], "runs.get", ["learning_rate = 0.1", "helper rows.clean changed", "1 metric of slices"]),
    (["runs", "show", BAD_RUN], "runs.get", ["failed in step train: KeyError", "flights.py"]),
    (["models", "list"], "models.list", ["flight-delays", "champion", "auc 0.746"]),
    (["models", "history", "flight-delays", "--at", "2030-01-01"], "models.history", ["No alias was set", "has ever been moved"]),
    (["models", "show", "flight-delays"], "models.get", ["Not compiled: The model KNeighborsClassifier", "Passed for dev", "0.738 to 0.754", "(simulated)", "carrier: category"]),
    (["data", "list"], "tables.list", ["81,000", "1 of 2 broken", "2013-03-31 23:59"]),
    (["data", "profile", "flights"], "tables.profile", ["carrier", "200 rows", "median"]),
    (["data", "failing", "flights"], "tables.failing", ["9 rows", "were refused at 2013-04-01 00:00", "BROKEN"]),
    (["data", "show", "flights"], "tables.get", ["12,000 of 81,000 rows", "holds", "flights.csv"]),
    (["endpoints", "list"], "endpoints.list", ["stopped", "flight-delays 1"]),
    (["endpoints", "show", "flight-delays"], "endpoints.get", ["distance moved", "open incident for the ml engineer", "newest roll-out: flight-delays 4 for 2: canary at 50 %", "it answers 10 % of the rows", "closed incident for the data engineer, broken feed"]),
    (["endpoints", "callers", "flight-delays"], "endpoints.callers", ["Nobody is known by a token"]),
    (["rollout", "status", "flight-delays"], "rollouts.get", ["canary at 50 %, since 2013-12-22 03:00", "flight-delays 4", "not worse"]),
    (["rollout", "status", "flight-delays", "--id", "ro2"], "rollouts.get", ["stopped 2013-06-21 03:00", "worse in shadow"]),
    (["audit", "list"], "audit.list", ["models.register"]),
    (["audit", "verify"], "audit.verify", ["Nothing is sealed yet, 6 events could be: slipway audit seal"]),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "name", "words"), READS, ids=[" ".join(read[0]) for read in READS])
def test_what_is_there_is_shown_in_words_and_in_json(
    store: list[str], arguments: list[str], name: str, words: list[str]
) -> None:
    answer = slipway(*arguments, *store)
    assert answer.exit_code == 0, answer.output
    assert [word for word in words if word not in answer.output] == []
    data = json.loads(slipway(*arguments, *store, "--json").output)
    assert set(data) == set(OPERATIONS[name].response.__struct_fields__)


def test_changes(store: list[str]) -> None:
    moved = slipway("models", "alias", "flight-delays", "1", "challenger", "--reason", "trial", *store)
    assert moved.output == "challenger is version 1 now.\n"
    again = slipway("models", "alias", "flight-delays", "1", "challenger", *store)
    assert "(before: version 1)" in again.output
    told = slipway("models", "history", "flight-delays", "--alias", "challenger", *store).output
    assert ("challenger: version 1" in told, "trial" in told) == (True, True)
    assert "approved the bundle" in slipway("approve", "flight-delays", "--role", "business owner", *store).output
    assert "rejected the bundle" in slipway("approve", "flight-delays", "--reject", *store).output
    assert "Sealed events 1 to" in slipway("audit", "seal", *store).output
    assert slipway("endpoints", "stop", "flight-delays", *store).output == "It was not running.\n"


def test_without_runs_it_is_said_how_one_begins(workspace: Workspace) -> None:
    projects.register(workspace)
    asked = ["--root", str(workspace.root), "--project", "flights"]
    assert "with sw.run(" in slipway("runs", "list", *asked).output
    assert slipway("runs", "list", "--state", "failed", *asked).output == "No run fits.\n"
    assert slipway("runs", "search", "metrics.auc > 0.7", *asked).output == "No run fits.\n"


def test_runs_are_put_side_by_side(store: list[str]) -> None:
    lines = slipway("runs", "compare", GOOD_RUN[:8], BAD_RUN, *store).output.splitlines()
    assert lines[0].split()[0] == "release"
    assert lines[1].split() == ["state", "finished", "failed"]
    assert any(line.split() == ["metric", "auc", "0.746"] for line in lines)
    assert not any("[" in line for line in lines)
    data = json.loads(slipway("runs", "compare", GOOD_RUN, BAD_RUN, *store, "--json").output)
    assert [one["run"]["id"] for one in data] == [GOOD_RUN, BAD_RUN]


def test_trash_is_put_restored_purged_and_swept(store: list[str]) -> None:
    item = f"run:{BAD_RUN}"
    assert slipway("trash", "put", item, "--reason", "a mistake", *store).output == f"{item} is in the trash.\n"
    shown = slipway("runs", "show", BAD_RUN, *store).output
    assert "in the trash  since" in shown
    assert "purged after" in shown
    listed = slipway("trash", "list", *store).output
    assert item in listed
    assert "a mistake" in listed
    assert slipway("trash", "restore", item, *store).output == f"{item} is not in the trash.\n"
    slipway("trash", "put", item, *store)
    assert "1 record and 0 bytes in 0 blobs would go." in slipway("trash", "purge", item, "--dry-run", *store).output
    assert "1 record and 0 bytes in 0 blobs went." in slipway("trash", "purge", item, *store).output
    again = slipway("trash", "purge", item, *store)
    assert again.output == f"{item} was purged before\nNothing was to be purged.\n"
    assert "stays there until" in slipway("trash", "keep", "forever", *store).output
    assert "purged after 90 days" in slipway("trash", "keep", "90", *store).output
    assert slipway("trash", "keep", "long", *store).exit_code == 2
    assert "that nothing names would go" in slipway("trash", "sweep", "--dry-run", "--grace", "0", *store).output


def test_why_says_what_was_recorded(store: list[str]) -> None:
    assert "helper rows.clean changed" in slipway("why", "train", *store).output
    assert "did not have to run: nothing changed" in slipway("why", "training_set", *store).output
    missing = slipway("why", "trian", *store)
    assert missing.exit_code == 5
    assert "Did you mean 'train'?" in missing.output


def test_any_operation_can_be_called_by_name(store: list[str]) -> None:
    answer = slipway("api", "runs.search", "limit=1", "where=state = 'finished'", *store)
    assert [row["run"]["id"] for row in json.loads(answer.output)["runs"]] == [GOOD_RUN]
    listed = slipway("api").output
    assert all(name in listed for name in OPERATIONS)
    described = json.loads(slipway("api", "--json").output)
    assert {each["name"] for each in described} == set(OPERATIONS)
    assert "Did you mean 'runs.search'?" in slipway("api", "runs.serch", *store).output
    assert "FIELD=five" in slipway("api", "runs.search", "five", *store).output


def test_what_other_tools_call_a_command_leads_to_one_that_is_there() -> None:
    for word, told in _MEANT.items():
        assert word not in COMMANDS
        for command in told.split(", "):
            name, *words = command.removeprefix("slipway ").split()
            group = main.get_command(click.Context(main), name)
            assert group is not None, command
            if isinstance(group, click.Group) and words:
                assert words[0] in group.commands, command


def test_an_interrupt_anywhere_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, context: click.Context, name: str) -> click.Command:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(main), "get_command", interrupted)
    answer = slipway("runs", "list")
    assert (answer.exit_code, answer.stdout) == (130, "")
    assert answer.stderr == "Interrupted. What was done stays; say the same again to go on.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["rnus"], 5, "Did you mean 'runs'?"),
        (
            ["status"],
            5,
            "You may want: slipway endpoints list, slipway inbox, slipway story. All of them: slipway --help",
        ),
        (["runs", "lst"], 2, "No such command 'lst'"),
        (["runs", "list", "--nonsense"], 2, "No such option"),
        (["runs", "search", "auc > 0.7"], 2, "Or is it params.auc or tags.auc or metrics.auc?"),
        (["runs", "show"], 2, "Missing argument 'RUN'"),
        (["runs", "show", "ffffffff"], 5, "There is no run 'ffffffff'"),
        (["models", "show", "flight-dely"], 5, "Did you mean 'flight-delays'?"),
        (["approve", "flight-delays", "--version", "9"], 5, "has no version '9'"),
        (["approve", "flight-delays", "--standing"], 2, "--standing needs --until."),
        (["approve", "flight-delays", "--standing", "--until", "soon"], 2, "'soon' is no day"),
        (["approve", "flight-delays", "--standing", "--reject"], 2, "approvals.revoke id=ID"),
        (["approve", "flight-delays", "--until", "2014-01-31"], 2, "--until is given without --standing."),
        (["rollout", "status", "nix"], 5, "The endpoint 'nix' in 'flights' has no roll-out."),
        (["retrain", "flight-delays"], 2, "Missing option '--reason'"),
        (["api", "audit.seal", "x=1"], 2, "has no field 'x'"),
    ],
)
def test_a_failure_is_a_sentence_with_its_exit_code(
    store: list[str], arguments: list[str], code: int, sentence: str
) -> None:
    where = store if len(arguments) > 1 else []
    answer = slipway(*arguments, *where)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert answer.stderr.startswith("Error: ")
    assert sentence in answer.stderr
    assert "Traceback" not in answer.stderr
    if where:
        said = json.loads(slipway(*arguments, *where, "--json").stderr)["error"]
        assert sentence in f"{said['what']} {said['why']} {said['fix']}"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.InvalidInput, 2), (errors.InvalidSetting, 2), (errors.MissingExtra, 2), (errors.GateRefused, 3),
        (errors.NotFound, 5), (errors.Conflict, 6), (errors.Denied, 7), (errors.Unavailable, 75),
        (errors.BackendError, 1), (errors.Corrupt, 1),
    ],
)  # fmt: skip
def test_exit_codes(kind: type[errors.SlipwayError], code: int) -> None:
    assert exit_code(kind("x")) == code


def test_a_failed_step_shows_the_users_own_traceback(store: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any) -> None:
        raise errors.StepFailed(
            "The step 'train' failed.", step="train", trace='File "flights.py", line 7', fix="Mend it."
        )

    monkeypatch.setattr("slipway.operations.declare.call", failing)
    answer = slipway("runs", "list", *store)
    assert answer.exit_code == 4
    assert answer.stderr == "Error: The step 'train' failed.\n\nFile \"flights.py\", line 7\n\n       Mend it.\n"


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        ([], 5, "slipway new my-project"),
        (["-C", "nowhere"], 5, "No slipway.toml"),
        (["--root", "."], 2, "Add --project NAME"),
        (["--project", "x"], 2, "Add --root DIR"),
        (["--root", ".", "--project", "x"], 2, "is not a store"),
    ],
)
def test_outside_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = slipway("runs", "list", *options)
    assert answer.exit_code == code
    assert sentence in answer.stderr
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_a_store_holds_only_its_projects(store: list[str]) -> None:
    answer = slipway("runs", "list", *store[:2], "--project", "fligths")
    assert answer.exit_code == 5
    assert "Did you mean 'flights'?" in answer.stderr


def test_inside_a_project_no_option_is_needed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "release" in slipway("runs", "list").output
    (checkout / "deep").mkdir()
    monkeypatch.chdir(checkout / "deep")
    assert "release" in slipway("runs", "list").output
    monkeypatch.chdir("/")
    assert "release" in slipway("runs", "list", "-C", str(checkout)).output
    answer = slipway("runs", "list", "-C", str(checkout), "--env", "prd")
    assert answer.exit_code == 5
    assert "no environment 'prd'" in answer.stderr


def test_through_a_server_the_answer_is_the_same(checkout: Path, workspace: Workspace) -> None:
    here = {" ".join(read[0]): slipway(*read[0], "--json").output for read in READS}
    words = slipway("models", "show", "flight-delays").output
    with up(workspace.root) as (url, _):
        (checkout / "slipway.toml").write_text(f'{TOML}[environments.dev]\nserver = "{url}"\n')
        for read in READS:
            if read[0][0] != "audit":  # the server writes events and seals them meanwhile
                assert slipway(*read[0], "--json").output == here[" ".join(read[0])]
        assert slipway("models", "show", "flight-delays").output == words
        missing = slipway("models", "show", "flight-delay")
        assert missing.exit_code == 5
        assert "Did you mean 'flight-delays'?" in missing.stderr
        assert "is version 1 now" in slipway("models", "alias", "flight-delays", "1", "challenger").output
    answer = slipway("runs", "list")
    assert answer.exit_code == 75
    assert "Nobody answers" in answer.stderr
    assert not (checkout / ".slipway").exists()


def test_opening_a_project_writes_it_down_once(checkout: Path, workspace: Workspace) -> None:
    for _ in range(2):
        with open_project(checkout) as project:
            assert project.name == "flights"
    found = json.loads(slipway("api", "projects.list").output)["projects"]
    assert [project["name"] for project in found] == ["flights"]


def test_the_doctor_says_what_is_there_and_what_is_not(checkout: Path) -> None:
    answer = slipway("doctor")
    assert answer.exit_code == 0, answer.output
    for words in ("Python", "extra data", "can be read", "GB free"):
        assert words in answer.output
    found = json.loads(slipway("doctor", "--json").output)
    assert {"about", "is_well", "found", "remedy"} == set(found[0])
    (checkout / "slipway.toml").write_text(f'{TOML}[environments.dev]\nserver = "http://127.0.0.1:9"\n')
    sick = slipway("doctor")
    assert sick.exit_code == 1
    assert "Nobody answers" in sick.output
    (checkout / "slipway.toml").write_text("nonsense")
    assert slipway("doctor").exit_code == 1


@pytest.mark.full
def test_the_doctor_looks_at_the_redis_of_an_environment(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one answers, what should be changed about it, and what to do where none does."""
    monkeypatch.setenv("REDIS_PASSWORD", "secret-word")
    with redis_here.own_redis(tmp_path / "redis", "--requirepass", "secret-word") as own:
        url = own.url.replace("//", "//:${REDIS_PASSWORD}@")
        (checkout / "slipway.toml").write_text(f'{TOML}[environments.dev]\nonline = "{url}"\n')
        answer = slipway("doctor")
        assert answer.exit_code == 0, answer.output
        assert re.search(rf"online store: Redis \d+\.\d+\S* answers at {own.url}\n", answer.output)
        assert "Set appendonly yes" in answer.output
        with pytest.importorskip("redis").Redis.from_url(own.url, password="secret-word") as client:
            client.config_set("appendonly", "yes")
            (found,) = (one for one in json.loads(slipway("doctor", "--json").output) if one["about"] == "online store")
            assert found["remedy"] == ""
            client.config_set("maxmemory", "100mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert "Set maxmemory-policy noeviction" in slipway("doctor").output
            monkeypatch.setenv("REDIS_PASSWORD", "other-word")
            wrong = slipway("doctor")
            assert wrong.exit_code == 1
            assert "Check the user and the password" in wrong.output
            monkeypatch.delenv("REDIS_PASSWORD")
            assert "REDIS_PASSWORD is not set" in slipway("doctor").output
            monkeypatch.setenv("REDIS_PASSWORD", "secret-word")
    gone = slipway("doctor")
    assert gone.exit_code == 1
    assert "cannot be reached" in gone.output
    assert "redis-server" in gone.output
    for said in (answer, wrong, gone):
        assert "-word" not in said.output


def test_the_doctor_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = slipway("doctor")
    assert answer.exit_code == 0
    assert "none in this folder" in answer.output
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_found_by_the_doctor(checkout: Path, workspace: Workspace) -> None:
    workspace.ledger.close()
    (workspace.root / "ledger.db").write_bytes(b"damaged" * 1000)
    answer = slipway("doctor")
    assert answer.exit_code == 1
    assert "backup" in answer.output
