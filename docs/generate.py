"""Write docs/reference/ from the code: commands, public names, operations, settings, errors, roles.

`make docs` runs it (another folder may be named); a test fails when a page is not what the code says now. What has no entry, no words or no place ends it:
a name, a command, a key, an operation, an error's code, an exit code.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec

import slipway
import slipway.conformance
import slipway.ports
from slipway import errors, plugins, testing
from slipway.cli import COMMANDS
from slipway.cli.exits import ENDINGS, exit_code
from slipway.client.endpoint_openapi import _REFUSALS as OF_ENDPOINTS
from slipway.errors import SlipwayError
from slipway.hosts import settings
from slipway.operations.acts import ACTS
from slipway.operations.permissions import RIGHTS, ROLES, allowed
from slipway.operations.table import OPERATIONS
from slipway.records.ci_runs import WAITING
from slipway.records.costs import Rates
from slipway.records.limits import Quota, Retention
from slipway.records.log_in import OidcSettings, ServerSettings
from slipway.records.notifications import ChannelSettings, NotifySettings
from slipway.records.people import MEMBER, Actor
from slipway.server import errors as server_errors
from slipway.server.mlflow import wire as mlflow
from slipway.server.openapi import _REFUSALS as OF_THE_SERVER
from slipway.serving import front_requests
from slipway.serving import http as endpoint_errors

FOLDER = Path(__file__).parent / "reference"
SOURCE = Path(slipway.__file__).parent

# Where a public name is told: by the module that it lives in, the longest that fits.
AREAS = {
    "data": ("Tables, checks and sources", ("data", "tables")),
    "features": ("Features", ("features",)),
    "pipelines": (
        "Steps, pipelines and what starts them",
        ("pipelines", "flows.schedule", "flows.triggers", "flows.shared"),
    ),
    "runs": ("Runs", ("runs", "hosts.session")),
    "models": ("Models", ("models", "backends.lightgbm_parts", "flows.warm_start")),
    "gates": ("Gates and promotion", ("gates", "flows.promotion")),
    "endpoints": (
        "Endpoints",
        ("flows.endpoint", "flows.endpoint_of", "flows.batch_endpoint", "flows.fallback", "flows.log", "flows.streams"),
    ),
    "monitoring": (
        "Monitors, business figures and retraining",
        ("monitoring", "schema.metric_contract", "flows.retrain"),
    ),
    "rollouts": ("Roll-outs", ("rollout",)),
}
# What the functions above hand out: module and class, and how one gets it.
HANDED_OUT = (
    ("runs.tracking:ActiveRun", "`with sw.run(...) as run:`, and `sw.active_run()` inside"),
    ("hosts.project:Project", "`with sw.open(...) as project:`"),
    ("data.declare:Table", "what `@sw.table` makes of a function"),
    ("data.fileset:FileSet", "`sw.fileset(...)`"),
    ("features.scalars:Feature", "what `@sw.feature` makes of a function"),
    ("pipelines.declare:Step", "what `@sw.step` makes of a function"),
    ("pipelines.declare:Pipeline", "what `@sw.pipeline` makes of a function"),
)
PAGES = {
    "commands": "every command with its options",
    "settings": "every key of slipway.toml, every environment variable",
    "names": "what `import slipway as sw` offers, by area, and what plug-ins are made of",
    "operations": "what can be asked over HTTP, by Python and by `slipway api`",
    "errors": "every error's code, HTTP status and exit code: when it arises, what to do",
    "roles": "what each role may do",
}
SECTIONS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("project", settings.ProjectSettings),
    ("environments.NAME", settings.EnvironmentSettings),
    ("audit", settings.AuditSettings),
    ("raci.STAGE", settings.RaciSettings),
    ("cost", Rates),
    ("retention", Retention),
    ("quota", Quota),
    ("server", ServerSettings),
    ("server.oidc", OidcSettings),
    ("notify", NotifySettings),
    ("notify.channels.NAME", ChannelSettings),
)
VARIABLES = {
    "SLIPWAY_STORE": "The store's folder, in place of `store` of every environment.",
    "SLIPWAY_BLOBS": "Where blobs and tables' parts are, in place of `blobs` of every environment.",
    "SLIPWAY_SERVER": "The server that keeps the store, in place of `server` of every environment.",
    "SLIPWAY_TOKEN": "The token by which the command line and Python are known.",
    "SLIPWAY_TOKEN_PROD": "The same for the environment `prod` alone; so for each: SLIPWAY_TOKEN_ and its name in capitals.",
    "SLIPWAY_HOST": "Inside an image: the address that the model's server listens on.",
    "SLIPWAY_PORT": "Inside an image: its port.",
}
NOT_SET_BY_PEOPLE = {"SLIPWAY_SERVER_OF", "SLIPWAY_ONLINE"}
"""What processes of Slipway say to each other, and what the code only watches for."""


class Missing(Exception):
    """Something public has no entry, or an entry has no words."""


def pages() -> dict[str, str]:
    """The pages by file name, below docs/reference."""
    made = {
        "index.md": _index(),
        "commands.md": _commands(),
        "names.md": _names(),
        **{f"names/{area}.md": _area(area) for area in AREAS},
        "names/objects.md": _objects(),
        "names/testing.md": _testing(),
        "names/plug-ins.md": _plug_ins(),
        "operations.md": _operations(),
        "settings.md": _settings(),
        "errors.md": _errors(),
        "roles.md": _roles(),
    }
    return {name: re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) for name, lines in made.items()}


def _index() -> Iterator[str]:
    yield "# Reference\n\nWritten from the code; a test fails when a page is not what the code says.\n"
    yield "| page | what it has |\n|---|---|"
    yield from (f"| [{name.capitalize()}]({name}.md) | {what} |" for name, what in PAGES.items())
    yield "\n```{toctree}\n:hidden:\n\n" + "\n".join(PAGES) + "\n```\n"


def _commands() -> Iterator[str]:
    yield "# Commands\n\nEvery command takes `--json` and `--help`; an error is a sentence, its exit code [says its kind](errors.md).\n"
    for name, (module, attribute, line) in COMMANDS.items():
        yield f"## slipway {name}\n\n{line}\n"
        command: click.Command = getattr(import_module(module), attribute)
        yield from _command(command, f"slipway {name}")


def _command(command: click.Command, path: str) -> Iterator[str]:
    _told(path, command.help)
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            _told(f"{path} {option.opts[0]}", option.help)
    # As the command line itself shows it: click keeps the first help option that a command was asked with.
    command._help_option = None
    context = click.Context(command, info_name=path, help_option_names=["-h", "--help"])
    yield f"```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield f"### {path} {name}\n"
            yield from _command(command.commands[name], f"{path} {name}")


def area_of(name: str) -> str:
    """The page of a public name, a key of `AREAS`.

    Raises:
        Missing: No area has the module that it lives in.
    """
    home = slipway._HOMES[name].partition(":")[0].removeprefix("slipway.")
    for area, (_, rooms) in AREAS.items():
        if any(home == room or home.startswith(f"{room}.") for room in rooms):
            return area
    raise Missing(f"sw.{name} lives in slipway.{home}, which belongs to no page: name it in AREAS of docs/generate.py.")


def _of(area: str) -> list[str]:
    return sorted((name for name in slipway.__all__ if name != "errors" and area_of(name) == area), key=str.lower)


def _names() -> Iterator[str]:
    yield "# Names\n\nWhat `import slipway as sw` offers, and what belongs to it. `sw.errors` is told in [errors](errors.md).\n"
    for area, (title, _) in AREAS.items():
        yield f"## [{title}](names/{area}.md)\n\n| name | |\n|---|---|"
        for name in _of(area):
            line = _cell(_first(getattr(slipway, name), f"sw.{name}"))
            yield f"| [`sw.{name}`](names/{area}.md#{_slug(f'sw.{name}')}) | {line} |"
        yield ""
    more = {
        "objects": "what functions hand out: runs, the project, tables, steps",
        "testing": "`slipway.testing`, for the tests of a project's own code",
        "plug-ins": "ports and the suites that each backend passes, for who writes one",
    }
    yield "## Beyond `sw`\n\n| page | |\n|---|---|"
    yield from (f"| [{name.capitalize()}](names/{name}.md) | {what} |" for name, what in more.items())
    yield "\n```{toctree}\n:hidden:\n\n" + "\n".join(f"names/{name}" for name in (*AREAS, *more)) + "\n```\n"


def _area(area: str) -> Iterator[str]:
    yield f"# {AREAS[area][0]}\n\nEach name is one of `import slipway as sw`.\n"
    for name in _of(area):
        yield from _entry(f"sw.{name}", getattr(slipway, name), members=True)


def _objects() -> Iterator[str]:
    yield "# What is handed out\n\nNobody makes these by hand.\n"
    for place, how in HANDED_OUT:
        module, _, name = place.partition(":")
        kind = getattr(import_module(f"slipway.{module}"), name)
        yield f"## {name}\n\nHow to get one: {how}.\n\n{_prose(_told(name, inspect.getdoc(kind)))}\n"
        yield from _members(name, kind)


def _testing() -> Iterator[str]:
    yield "# Testing\n\n`from slipway import testing`; how it is used is told in [testing](../../testing.md).\n"
    for name in testing.__all__:
        yield from _entry(f"testing.{name}", getattr(testing, name), members=True)


def _plug_ins() -> Iterator[str]:
    yield "# Plug-ins\n"
    yield (
        "A port is what a backend must be able to do; a suite is a class of tests that it must pass. What is no part of Slipway is "
        "found by an entry point: group `slipway.PORT`, name as in settings, value `module:Class`.\n"
    )
    yield "Ports that are opened by name: " + ", ".join(f"`slipway.{port}`" for port in sorted(plugins.TABLE)) + ".\n"
    for title, package in (("Suites", slipway.conformance), ("Ports", slipway.ports)):
        yield f"## {title}\n\n{inspect.getdoc(package) or ''}\n"
        for path in sorted(Path(package.__path__[0]).glob("[!_]*.py")):
            module = import_module(f"{package.__name__}.{path.stem}")
            offered = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
            yield f"### {package.__name__}.{path.stem}\n\n{_prose(_told(path.stem, inspect.getdoc(module)))}\n"
            told = {
                name: value for name, value in offered.items() if inspect.isclass(value) or inspect.isfunction(value)
            }
            for name, value in told.items():
                yield from _entry(name, value, members=title == "Ports", depth=4)
            if plain := [f"`{name}`" for name in offered if name not in told]:
                yield f"Values and types: {', '.join(plain)}.\n"


def _entry(name: str, value: Any, *, members: bool = False, depth: int = 2) -> Iterator[str]:
    yield f"{'#' * depth} {name}\n"
    if callable(value) and not getattr(value, "_is_protocol", False) and not name.endswith("Suite"):
        yield f"```python\n{_signature(name.removeprefix('sw.'), value)}\n```\n"
    yield _prose(_told(name, inspect.getdoc(value))) + "\n"
    if members and inspect.isclass(value):
        yield from _members(name.removeprefix("sw."), value, depth + 1)


def _members(owner: str, kind: type, depth: int = 3) -> Iterator[str]:
    """The public methods and properties that a class of Slipway has words for; the docstring above tells its plain values."""
    seen: dict[str, Any] = {}
    for one in kind.__mro__:
        if one.__module__.startswith("slipway") and not one.__name__.startswith("Struct"):
            for name, value in vars(one).items():
                if not name.startswith("_"):
                    seen.setdefault(name, value)
    for name, value in seen.items():
        value = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if isinstance(value, property):
            yield f"{'#' * depth} {owner}.{name}\n\n{_prose(_told(f'{owner}.{name}', inspect.getdoc(value)))}\n"
        elif inspect.isfunction(value):
            yield f"{'#' * depth} {owner}.{name}\n\n```python\n{_signature(name, value)}\n```\n"
            yield _prose(_told(f"{owner}.{name}", inspect.getdoc(value))) + "\n"


def _signature(name: str, value: Callable[..., Any]) -> str:
    """How something is called, a parameter a line where one line is too short."""
    found = inspect.signature(value)
    parts, star, slash = [], False, False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if slash and parameter.kind is not parameter.POSITIONAL_ONLY:
            parts.append("/")
        slash = parameter.kind is parameter.POSITIONAL_ONLY
        star = star or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        text = f"{mark}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            default = re.sub(r"<function \S+ at 0x[0-9a-f]+>|(?<=_)[0-9a-f]{32}", "...", repr(parameter.default))
            text += f"{' = ' if ':' in text else '='}{default}"
        parts.append(text)
    if slash:
        parts.append("/")
    answer = (
        "" if found.return_annotation in (found.empty, None, "None") else f" -> {_annotation(found.return_annotation)}"
    )
    line = f"{name}({', '.join(parts)}){answer}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts).replace("    /,", "    /,") + f"){answer}"


def _annotation(given: Any) -> str:
    text = given if isinstance(given, str) else inspect.formatannotation(given)
    return re.sub(r"\b(?:slipway|collections|typing|datetime)\.(?:\w+\.)*(?=\w)", "", text).strip("'")


def _operations() -> Iterator[str]:
    yield "# Operations\n\nWhat a user can do, the same through Python, command line and HTTP.\n"
    yield (
        "`slipway up` answers to them; `slipway api NAME field=value` asks for one, and /api/v1/openapi.json describes all. A GET takes "
        "its fields from the query, a POST from a JSON object. Refusals are sentences: [errors](errors.md). Beside them stand "
        "`POST /api/v1/hooks/{hook}`, which [fires a schedule](../schedules.md), [MLflow's routes](../mlflow.md), and what "
        "[an endpoint](../endpoints.md) answers itself.\n"
    )
    for operation in OPERATIONS.values():
        yield f"## {operation.name}\n\n{_told(operation.name, operation.summary)}\n"
        yield f"`{operation.method} {operation.path}`, permission `{operation.permission}`.\n"
        fields = msgspec.structs.fields(operation.request)
        said = _told(f"the request of {operation.name}", inspect.getdoc(operation.request))
        if fields:
            if (sentence := said.partition("\n\n")[0].replace("\n", " ")) != operation.summary:
                yield f"Request: {sentence}\n"
            words = _args(said)
            yield "| field | type | default | meaning |\n|---|---|---|---|"
            yield from (
                f"| {f.name} | {_type(f.type)} | {_default(f)} | {_cell(words.get(f.name, ''))} |" for f in fields
            )
            yield ""
        yield "Answer: " + _first(operation.response, f"the answer of {operation.name}") + "\n"


def _settings() -> Iterator[str]:
    yield "# Settings: slipway.toml\n"
    yield "A key that is not here is refused, with the nearest that is. `slipway.local.toml` beside it is written by `slipway env create`.\n"
    known = {name.partition(".")[0] for name, _ in SECTIONS}
    if lost := set(settings.Settings.__struct_fields__) - known:
        raise Missing(
            f"These sections of slipway.toml are in no table: {', '.join(sorted(lost))}. Name them in SECTIONS."
        )
    for name, kind in SECTIONS:
        doc = _told(name, inspect.getdoc(kind))
        words = _args(doc)
        yield f"## [{name}]\n\n{_prose(doc.partition('Args:')[0])}\n"
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        for f in msgspec.structs.fields(kind):
            meaning = _cell(_told(f"[{name}] {f.name}", words.get(f.name)))
            yield f"| {f.name} | {_type(f.type)} | {_default(f)} | {meaning} |"
        yield ""
    used = {
        word for path in SOURCE.rglob("*.py") for word in re.findall(r"\bSLIPWAY_[A-Z]+(?:_[A-Z]+)*", path.read_text())
    }
    if lost := used - VARIABLES.keys() - NOT_SET_BY_PEOPLE:
        raise Missing(
            f"These environment variables are in no table: {', '.join(sorted(lost))}. Name them in VARIABLES."
        )
    yield "## Environment variables\n\n| variable | meaning |\n|---|---|"
    yield from (f"| {name} | {what} |" for name, what in VARIABLES.items())
    yield ""


def error_kinds() -> dict[str, list[type[SlipwayError]]]:
    """Every class of error by its code; two classes with one code stand at two doors."""
    places = (errors, server_errors, endpoint_errors, front_requests, mlflow)
    found: dict[str, list[type[SlipwayError]]] = {}
    for place in places:
        for value in vars(place).values():
            if inspect.isclass(value) and issubclass(value, SlipwayError) and value.__module__ == place.__name__:
                found.setdefault(value.__name__, []).append(value)
    return dict(sorted(found.items()))


def _errors() -> Iterator[str]:
    kinds = error_kinds()
    yield f"# Errors\n\n```text\n{inspect.getdoc(errors)}\n```\n"
    yield (
        'Over HTTP and with `--json` an error is `{"error": {"code": ..., "what": ..., "why": ..., "fix": ..., "field": ...}}`. The code '
        "is the class's name, and stays: programs may go by it, never by a sentence.\n"
    )
    yield "## Codes\n\n| code | of the server | of an endpoint | of the command line | |\n|---|---:|---:|---:|---|"
    for name, found in kinds.items():
        yield f"| [{name}](#{name.lower()}) | {' | '.join(_doors(found))} | {_cell(_first(found[0], name))} |"
    yield "\n## HTTP statuses\n\nOf the server:\n\n| status | meaning |\n|---:|---|"
    yield from (f"| {status} | {meaning} |" for status, meaning in OF_THE_SERVER.items())
    yield "\nOf an endpoint:\n\n| status | meaning |\n|---:|---|"
    yield from (f"| {status} | {meaning} |" for status, meaning in OF_ENDPOINTS.items())
    yield "| 404 | There is no such path, or no such model. |\n| 405 | The path has another method: the header Allow names it. |"
    yield "| 504 | The model took longer than it may. |\n"
    yield from _exit_codes(kinds)
    for name, found in kinds.items():
        yield f"## {name}\n"
        for kind in found:
            doc = _told(name, inspect.getdoc(kind))
            for part in ("When", "To do"):
                if f"\n{part}: " not in doc:
                    raise Missing(f"The docstring of {kind.__module__}.{name} has no paragraph `{part}:`.")
            yield ("" if len(found) == 1 else f"*{_door(kind)}* ") + _prose(doc) + "\n"


def _exit_codes(kinds: dict[str, list[type[SlipwayError]]]) -> Iterator[str]:
    yield "## Exit codes\n\n| code | what happened | what to do |\n|---:|---|---|"
    yield from (f"| {code} | {said} | {todo} |" for code, said, todo in ENDINGS)
    yield "| 1 | of `doctor`, `import`, `erase`, `restore`: something that was looked at is not as it must be | each line says what mends it |"
    yield "| 3 | of a comparison, a check, a proof or a drill: it found what it looks for | read its table |"
    yield f"| {WAITING} | `slipway ci run` waits for somebody's word | the last line says whose, and how it is given |"
    yield "| 75 | `slipway promote` waits: for time, for evidence or for a word | type it again, or leave it to `slipway up` |\n"
    known = {code for codes, *_ in ENDINGS for code in codes.split(", ")}
    for name, found in kinds.items():
        if str(exit_code(found[0].__new__(found[0]))) not in known:
            raise Missing(f"The exit code of {name} is not in ENDINGS of slipway/cli/exits.py.")


def _doors(kinds: list[type[SlipwayError]]) -> tuple[str, str, str]:
    """What stands for an error at the server, at an endpoint and at the command line; "" where it does not come."""
    server = endpoint = shell = ""
    for kind in kinds:
        door, one = _door(kind), kind.__new__(kind)
        if door in ("", "Of the server."):
            server = str(server_errors.status_of(one))
        if door == "":
            shell = str(exit_code(one))
        if door in ("", "Of an endpoint."):
            endpoint = str(endpoint_errors.status_of(one)) if kind is not front_requests.Unreadable else "400 to 505"
    return server, endpoint, shell


def _door(kind: type) -> str:
    if kind.__module__.startswith("slipway.server"):
        return "Of the server."
    return "Of an endpoint." if kind.__module__.startswith("slipway.serving") else ""


def _roles() -> Iterator[str]:
    yield "# Roles\n\nWhat each role may do, made from the one table that every face asks. A right is written `noun.right`.\n"
    roles = [role for role in ROLES if role != MEMBER]
    held = {role: Actor("x", roles=(role, MEMBER)) for role in roles}
    used: dict[str, list[str]] = {}
    for operation in OPERATIONS.values():
        used.setdefault(operation.permission, []).append(operation.name)
    here: dict[str, list[str]] = {}
    for act, needed in ACTS.items():
        for right in needed:
            here.setdefault(right, []).append(act)
    nouns: dict[str, list[str]] = {}
    for right in sorted({*RIGHTS, *used}):
        nouns.setdefault(right.partition(".")[0], []).append(right)
    for noun, rights in nouns.items():
        yield f"## {noun}\n"
        yield "| may | " + " | ".join(roles) + " |"
        yield "|---|" + "---|" * len(roles)
        for right in rights:
            marks = ["yes" if allowed(held[role], right) else "" for role in roles]
            yield f"| {RIGHTS[right]} (`{right}`) | " + " | ".join(marks) + " |"
        yield ""
        for right in rights:
            parts = [", ".join(f"`{name}`" for name in used.get(right, ()))]
            if right in here:
                parts.append("where the code or the store is: " + ", ".join(f"`{name}`" for name in here[right]))
            yield f"- `{right}`: {'; '.join(filter(None, parts)) or 'asked where it is used'}"
        yield ""


def _type(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind)).replace("|", "or")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.default is msgspec.NODEFAULT:
        return "required" if field.default_factory is msgspec.NODEFAULT else "empty"
    return f"`{field.default!r}`"


def _told(what: str, words: str | None) -> str:
    if not (words or "").strip():
        raise Missing(f"{what} has no words: write its docstring or help.")
    return str(words)


def _first(value: Any, what: str) -> str:
    """The first sentence or paragraph of a docstring, on one line."""
    return _told(what, inspect.getdoc(value)).partition("\n\n")[0].replace("\n", " ")


def _args(doc: str) -> dict[str, str]:
    """What a docstring says of each argument."""
    found: dict[str, str] = {}
    name = ""
    for line in doc.partition("Args:\n")[2].splitlines():
        if line and not line.startswith(" "):
            break
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name = start[1]
            found[name] = start[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _prose(text: str) -> str:
    """A docstring as Markdown: its sections become lists, its examples blocks."""
    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        head = re.fullmatch(r"(Args|Returns|Raises|Attributes|Guarantees|Source|Example|When|To do):\s*(.*)", line)
        if head:
            if section == "Example":
                lines.append("```")
            section = head[1]
            if section in ("When", "To do"):
                lines += ["", f"**{section}.** {head[2][:1].upper()}{head[2][1:]}"]
            else:
                lines += ["", f"**{section}**", "", "```pycon" if section == "Example" else head[2]]
        elif section == "Example" and (line.startswith("    ") or not line):
            lines.append(re.sub(r" *# doctest:.*", "", line.removeprefix("    ")))
        elif section == "Example":
            lines += ["```", line]
            section = ""
        elif section and (item := re.match(r"    ([\w*, ]+): (.*)", line)):
            lines.append(f"- `{item[1]}`: {item[2]}")
        elif section and line.startswith("    "):
            lines.append(("" if section in ("When", "To do") else "  ") + line.strip())
        else:
            lines.append(line)
    if section == "Example":
        lines.append("```")
    return re.sub(r"\n+```$", "\n```", "\n".join(lines).strip())


if __name__ == "__main__":
    into = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    for name, text in pages().items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(text.rstrip() + "\n")
