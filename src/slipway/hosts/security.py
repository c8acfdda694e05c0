"""Whether a store's data and code are protected, point by point, as far as its own machine can see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from slipway.errors import Corrupt, InvalidInput, NotFound, SlipwayError
from slipway.flows.endpoints import folder_of
from slipway.flows.floors import floor_of
from slipway.gates.floors import floor_name
from slipway.governance.audit import head_of
from slipway.governance.people import identity_of, known
from slipway.hosts.settings_secrets import plain_secrets
from slipway.ledger import entries, events, sealed_records
from slipway.models import bundle as bundles
from slipway.operations.declare import check_allowed
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace, in_project
from slipway.records.callers import CALLERS_FILE
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Revision
from slipway.records.gates import Verdict
from slipway.records.people import Person, Token
from slipway.records.projects import Project
from slipway.records.reach import Reach
from slipway.records.security import Point
from slipway.serving.reach import SERVER_REACH_FILE, read_reach
from slipway.serving.tls import read_certificate
from slipway.tables.catalog import heads

__all__ = ["look_at_security"]

_MOST = 10_000
_UNUSED = timedelta(days=90)
_ENDS_SOON = timedelta(days=21)
_GUARDED = ("test", "prod")
_TELLING = ("email", "e_mail", "phone", "surname", "lastname", "last_name", "firstname", "first_name", "birth", "iban",
    "passport", "ssn", "address", "postcode", "zip_code", "ip_address", "salary", "gender", "religion")  # fmt: skip
_ADD_ADMIN = "slipway people add NAME --role admin"


def look_at_security(workspace: Workspace, settings: Path | None = None, *, ledger_url: str = "") -> Iterator[Point]:
    """Look at everything, one point after another.

    Args:
        workspace: The store's, in whatever project.
        settings: The project's slipway.toml, None where there is none here.
        ledger_url: The URL of the ledger as settings write it, "" for a file in the store's folder.

    Raises:
        Denied: Whoever asks may not see how the store is protected.
    """
    workspace = in_project(workspace, "") if workspace.identity else workspace
    check_allowed(workspace, "doctor.security", "security.look")
    with workspace.ledger.read() as tx:
        people = [one for one in known(tx) if one.disabled_at is None]
        tokens = [one for person in people for one in entries.find(tx, Token, name=person.name, limit=_MOST)]
        projects = [one.name for one in entries.find(tx, Project, limit=_MOST)]
    yield from _people(people)
    yield from _rights(people)
    yield from _tokens(tokens, people, workspace.clock.now())
    yield _reach(workspace.root, SERVER_REACH_FILE, "server", bool(people))
    yield _reach(workspace.root, None, "endpoints", bool(people))
    yield from _endpoints(workspace, projects, bool(people))
    yield _floors(workspace)
    yield from _files(workspace.root, ledger_url)
    yield _keys(workspace.root)
    yield from _audit(workspace)
    yield _settings(settings)
    yield _personal(workspace, projects)
    yield Point(
        about="backups",
        state="cannot tell",
        found=f"Whether {workspace.root} and its ledger are copied elsewhere, and come back, is not seen from here.",
        fix="Copy the folder, or the database and the object store, each day; open a copy: slipway doctor --root COPY",
    )


def _people(people: list[Person]) -> Iterator[Point]:
    if not people:
        found = "The store knows nobody: whoever reaches it, or its machine's accounts, may do everything."
        yield Point(about="people", state="to mend", found=found, fix=_ADD_ADMIN)
        return
    admins = [one.name for one in people if any(grant.role == "admin" and not grant.project for grant in one.grants)]
    yield Point(about="people", state="good", found=f"The store knows {len(people)}: it answers to them alone.")
    if len(admins) == 1:
        found = f"{admins[0]} is the only admin: while they are away nobody can take a lost token's rights."
        yield Point(about="admins", state="to mend", found=found, fix=_ADD_ADMIN)
    else:
        many = len(admins) > 5
        yield Point(
            about="admins",
            state="to mend" if many else "good",
            found=f"{len(admins)} may let people in: {', '.join(admins)}.",
            fix="Take the role from who does not need it: slipway people revoke NAME admin" if many else "",
        )


def _rights(people: list[Person]) -> Iterator[Point]:
    """Who reaches what: the rights that matter most, with those who hold them anywhere."""
    for right, what in (
        ("endpoints.deploy", "bring models into production"),
        ("tables.personal", "see personal columns"),
        ("floors.write", "set the floor"),
        ("gates.break", "break the glass"),
    ):
        holders = [one.name for one in people if _holds(one, right)]
        if people:
            found = f"May {what}: {', '.join(holders) or 'nobody'}."
            lacks = not holders and right == "floors.write"
            fix = "slipway people add NAME --role governance" if lacks else ""
            yield Point(about=f"right {right}", state="to mend" if lacks else "good", found=found, fix=fix)


def _holds(person: Person, right: str) -> bool:
    identity = identity_of(person)
    return any(allowed(identity.actor_in(grant.project), right) for grant in person.grants)


def _tokens(tokens: list[Token], people: list[Person], now: datetime) -> Iterator[Point]:
    live = [one for one in tokens if one.revoked_at is None and one.expires_at > now and not one.session]
    services = {one.name for one in people if one.is_service}
    unused = [one for one in live if now - (one.used_at or one.created_at) >= _UNUSED]
    wide = [one for one in live if one.name in services and not one.scopes and not one.only]
    yield Point(
        about="tokens that nobody uses",
        state="to mend" if unused else "good",
        found=f"No server has seen these for 90 days: {_named(unused)}."
        if unused
        else f"Of {len(live)} live tokens each was seen by a server, or made, within 90 days; each has an end.",
        fix=f"slipway tokens revoke {unused[0].id}" if unused else "",
    )
    yield Point(
        about="tokens of services",
        state="to mend" if wide else "good",
        found=f"These may do all that their service may, in all projects: {_named(wide)}."
        if wide
        else "Each is limited to some rights or to one project.",
        fix=f"slipway tokens add --for {wide[0].name} --scope RIGHT --only PROJECT; slipway tokens revoke {wide[0].id}"
        if wide
        else "",
    )


def _named(tokens: list[Token]) -> str:
    shown = ", ".join(f"{one.name}'s {one.label or one.id[:8]!r}" for one in tokens[:5])
    return shown + (f" and {len(tokens) - 5} more" if len(tokens) > 5 else "")


def _reach(root: Path, file: str | None, what: str, has_people: bool) -> Point:
    """From where a server or the endpoints are reached, and whether others can read on the way."""
    about = f"reach of the {what}"
    command = "slipway up" if file else "slipway endpoints listen"
    try:
        if file and not (root / file).exists():
            return Point(about=about, state="cannot tell", found="No server was started over this store yet.")
        reach = read_reach(root, file) if file else read_reach(root)
    except Corrupt as problem:
        return Point(about=about, state="to mend", found=problem.what, fix=problem.fix)
    if reach.is_local:
        return Point(about=about, state="good", found=f"Only this machine reaches the {what}, on {reach.host}.")
    if not has_people:
        found = f"The {what} would be reached from elsewhere, and the store knows nobody."
        return Point(about=about, state="to mend", found=found, fix=_ADD_ADMIN)
    if not reach.certificate:
        found = f"Reached as {', '.join(reach.names)} through the proxy {', '.join(reach.proxies)}, which ends TLS."
        return Point(about=about, state="good", found=found)
    return _certified(about, reach, command)


def _certified(about: str, reach: Reach, command: str) -> Point:
    try:
        ends = read_certificate(Path(reach.certificate), Path(reach.key)).not_valid_after_utc
    except InvalidInput as problem:
        return Point(about=about, state="to mend", found=problem.what, fix=problem.fix)
    if ends - datetime.now(UTC) < _ENDS_SOON:
        found = f"The certificate of {', '.join(reach.names)} ends on {ends:%Y-%m-%d}."
        return Point(about=about, state="to mend", found=found, fix="Renew it in its files; nothing is restarted.")
    if _mode(Path(reach.key)) & 0o077:
        found = f"Others on this machine may read the key {reach.key}."
        return Point(about=about, state="to mend", found=found, fix=f"chmod 600 {reach.key}")
    found = f"Reached from elsewhere by TLS as {', '.join(reach.names)}, until {ends:%Y-%m-%d}."
    return Point(about=about, state="good", found=found)


def _endpoints(workspace: Workspace, projects: list[str], has_people: bool) -> Iterator[Point]:
    revisions: list[Revision] = []
    passed: dict[str, bool] = {}
    with workspace.ledger.read() as tx:
        for project in projects:
            revisions += [entries.get(tx, Revision, id) for id in tx.refs(project, "endpoint").values()]
        for one in revisions:
            with suppress(NotFound):  # one that was deployed without a verdict is told below
                passed[one.id] = entries.get(tx, Verdict, one.verdict_id).passed
    if not revisions:
        yield Point(about="endpoints", state="good", found="Nothing is deployed.")
        return
    homes = {one.id: folder_of(replace(workspace, project=one.project), one.name) for one in revisions}
    for about, is_well, good, bad, fix in (
        ("callers of endpoints", lambda one: has_people and (one.by_token or (homes[one.id] / CALLERS_FILE).exists()),
         "Each endpoint answers only to tokens", "Whoever reaches these may ask them", _ADD_ADMIN),
        ("gates of endpoints", lambda one: passed.get(one.id, False),
         "All that serves passed its gate", "These serve although no gate let them through",
         "slipway rollback ENDPOINT"),
        ("bundles of endpoints", _bundle_check(workspace, homes, unsigned=True),
         "All that is deployed is signed and unaltered", "These bundles are unsigned, altered or not here",
         "slipway deploy MODEL"),
        ("pickles", _bundle_check(workspace, homes, unsigned=False),
         "No deployed model is a pickle", "These models are pickles, which run code when they are loaded",
         "Save them in a format without code (skops, LightGBM, XGBoost), and forbid pickle: slipway floor set prod"),
    ):  # fmt: skip
        unwell = [f"{one.project}/{one.name}" for one in revisions if not is_well(one)]
        found = f"{bad}: {', '.join(unwell)}." if unwell else f"{good}."
        yield Point(about=about, state="to mend" if unwell else "good", found=found, fix=fix if unwell else "")


def _bundle_check(workspace: Workspace, homes: dict[str, Path], *, unsigned: bool) -> Callable[[Revision], bool]:
    def is_well(one: Revision) -> bool:
        try:
            found = [
                bundles.verify(homes[one.id] / "bundles" / each.bundle, expect=each.bundle, signer=workspace.signer)
                for each in one.versions
            ]
        except (Corrupt, NotFound):
            return not unsigned
        return unsigned or all(bundle.format != "pickle" for bundle in found)

    return is_well


def _floors(workspace: Workspace) -> Point:
    """Of those environments that this store keeps: the one that is looked at, and where something was declared."""
    with workspace.ledger.read() as tx:
        declared = entries.find(tx, DeclaredEndpoint, limit=_MOST)
        kept = {floor_name(name) for name in (workspace.environment, *(one.id.split("/")[1] for one in declared))}
        guarded = [name for name in _GUARDED if name in kept]
        missing = [name for name in guarded if floor_of(tx, name) is None]
    if not guarded:
        found = f"This store keeps neither test nor prod, and {workspace.environment} needs no floor."
        return Point(about="floors", state="cannot tell", found=found, fix="slipway doctor --security --env prod")
    if not missing:
        found = f"What every model must show is set for {' and '.join(guarded)}."
        return Point(about="floors", state="good", found=found)
    found = f"No floor is set for {' and '.join(missing)}: each project decides for itself what its models must show."
    return Point(
        about="floors",
        state="to mend",
        found=found,
        fix=f"slipway floor set {missing[-1]} FILE --reason WHY --env {missing[-1]}",
    )


def _files(root: Path, ledger_url: str) -> Iterator[Point]:
    key = root / "keys" / "signing.key"
    loose = [path for path in (root, root / "keys", root / "endpoints", root / "blobs") if _mode(path) & 0o022]
    reached = _mode(root) & 0o011  # who may not enter the folder reads nothing in it, whatever a file says
    others, group = (0o006 if reached & 0o001 else 0), (0o060 if reached & 0o010 else 0)
    further = key.with_name("model-signing.pem")
    private = [
        (key, others | group),
        (further, others | group),
        *([] if ledger_url else [(root / "ledger.db", others)]),
    ]
    readable = [path for path, open_to in private if _mode(path) & open_to]
    yield Point(
        about="who may write the store's files",
        state="to mend" if loose else "good",
        found=f"Other accounts of this machine may write {loose[0]}, beside every role."
        if loose
        else "Only the store's own account.",
        fix=f"chmod -R go-w {root}" if loose else "",
    )
    yield Point(
        about="who may read the ledger and the key",
        state="to mend" if readable else "good",
        found=f"Other accounts of this machine may read or change {readable[0]}." if readable else "Only who should.",
        fix=f"chmod o-rwx {root}; chmod 600 {key}" if readable else "",
    )
    if ledger_url:
        is_tls = any(f"sslmode={mode}" in ledger_url for mode in ("require", "verify-ca", "verify-full"))
        is_here = any(f"{at}{host}" in ledger_url for at in ("@", "//") for host in ("127.0.0.1", "localhost", "/"))
        is_hidden = ledger_url.startswith(("env:", "file:", "command:"))
        yield Point(
            about="way to the database",
            state="good" if is_tls or is_here else "cannot tell" if is_hidden else "to mend",
            found="It is this machine's own, or reached by TLS."
            if is_tls or is_here
            else "Its URL is kept elsewhere."
            if is_hidden
            else "Its URL asks for no TLS: what is read and written could be read on the way.",
            fix="" if is_tls or is_here else 'ledger = "postgresql://...?sslmode=verify-full"',
        )


def _keys(root: Path) -> Point:
    folder = root / "keys"
    trusted = sorted(path.stem for path in folder.glob("trusted/*.pub"))
    if not (folder / "signing.key").exists():
        found = "No signing key is here: nothing can be signed, so nothing deployed."
        return Point(about="signing keys", state="to mend", found=found, fix=f"Restore {folder} from a backup.")
    if len(trusted) > 1:
        found = f"{len(trusted)} keys are trusted: whoever holds one of {', '.join(trusted)} may sign what serves here."
        fix = f"Remove from {folder / 'trusted'} what is nobody's any more."
        return Point(about="signing keys", state="cannot tell", found=found, fix=fix)
    return Point(about="signing keys", state="good", found="Only this store's own key is trusted.")


def _audit(workspace: Workspace) -> Iterator[Point]:
    try:
        sealed, unsealed = events.verify(workspace.ledger, workspace.signer, head=head_of(workspace))
        sealed_records.verify(workspace.ledger)
    except SlipwayError as problem:
        yield Point(about="audit log", state="to mend", found=problem.what, fix="slipway audit verify")
    else:
        behind = unsealed > 1000 or (unsealed and not sealed)
        yield Point(
            about="audit log",
            state="to mend" if behind else "good",
            found=f"{sealed:,} sealed events hold; {unsealed:,} are not sealed yet.",
            fix="slipway audit seal" if behind else "",
        )
    has_anchor = (workspace.root / "keys" / "audit.anchors").exists()
    yield Point(
        about="audit log elsewhere",
        state="good" if has_anchor else "cannot tell",
        found="Its signed roots are written elsewhere too."
        if has_anchor
        else "Whoever holds the key and the folder could seal another history; no copy of the roots elsewhere is known.",
        fix="" if has_anchor else f"Copy {head_of(workspace)} to another machine each day, and compare.",
    )


def _settings(file: Path | None) -> Point:
    if file is None:
        return Point(about="secrets in settings", state="cannot tell", found="No slipway.toml is here.")
    found = plain_secrets(file)
    if not found:
        return Point(about="secrets in settings", state="good", found=f"No secret stands in {file.name}.")
    return Point(
        about="secrets in settings",
        state="to mend",
        found=f"{file.name} holds what looks like a secret: {', '.join(found)}.",
        fix='Name where it is kept: "env:NAME", "file:/path" or "command:..."; then change it, for it was seen.',
    )


def _personal(workspace: Workspace, projects: list[str]) -> Point:
    tagged, untagged = 0, []
    for project in projects:
        for head in heads(replace(workspace, project=project)):
            tagged += len(head.about.personal)
            untagged += [
                f"{project}/{head.name}.{field.name}"
                for field in head.fields
                if field.name not in head.about.personal and any(word in field.name.lower() for word in _TELLING)
            ]
    if untagged:
        more = f" and {len(untagged) - 5} more" if len(untagged) > 5 else ""
        return Point(
            about="personal columns",
            state="to mend",
            found=f"These sound like a person's, and everybody who may read the table sees them: "
            f"{', '.join(untagged[:5])}{more}.",
            fix="Declare them: sw.Table(..., personal=[...]); or give them names that say what they are.",
        )
    found = f"{tagged} columns are declared personal; no other column's name sounds like a person's."
    return Point(about="personal columns", state="good" if tagged else "cannot tell", found=found)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return 0
