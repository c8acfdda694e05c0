"""Exactly one notification of one incident: real servers, two control planes, and kill -9 at every moment between."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

import postgres_here
from hosts_up import up
from incident_desk import deliveries, incidents, notifications
from slipway.governance import channels
from slipway.hosts.project import open_workspace
from slipway.hosts.teller import Teller
from slipway.ledger import projects
from slipway.ports.workspace import Workspace
from slipway.records.notifications import ChannelSettings, NotifySettings
from told_here import MailServer, Receiver, mail_server, web_hook

pytestmark = pytest.mark.full

DECIDE = """
import os, signal, sys
from pathlib import Path
from incident_desk import broken, finding, look, monitor
from slipway.hosts.project import open_workspace

# a feed of 40 columns fails; the drift monitor and that of its freshness see it, look after look
workspace = open_workspace(Path(sys.argv[1]), project="flights")
cause = broken(columns=[f"weather_{place}" for place in range(40)])
for again in range(3):
    seen = [(monitor(kind, name), name) for kind, name in (("drift", "drift"), ("freshness", "freshness of weather"))]
    look(workspace, *((spec, finding(workspace, spec, cause)) for spec, _ in seen))
os.kill(os.getpid(), signal.SIGKILL)
"""

TELL = """
import os, signal, sys
from pathlib import Path
from slipway.backends import mail_notifier, webhook_notifier
from slipway.hosts.project import open_workspace
from slipway.hosts.teller import Teller
from slipway.loop import notifying

moment, kind = sys.argv[2], sys.argv[3]
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
channel = {"mail": mail_notifier.MailNotifier, "webhook": webhook_notifier.WebhookNotifier}[kind]

class Dying(channel):
    def send(self, message, handing_over):
        if moment == "claimed":
            die()
        def handed():
            if moment == "connected":
                die()
            handing_over()
            if moment == "handing over":
                die()
        outcome = super().send(message, handed)
        if moment == "sent":
            die()
        return outcome

notifying.plugins.TABLE["notifier"][kind] = (__name__ + ":Dying", "")
if moment == "routed":
    notifying.send_due = lambda *_, **__: die()
workspace = open_workspace(Path(sys.argv[1]), project="flights")
Teller(workspace, lease_s=1.0).look()
raise SystemExit("it was to die")
"""


def run(script: str, *words: str) -> None:
    """Run a script that kills itself."""
    ended = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


@pytest.fixture(params=postgres_here.LEDGERS)
def ledger_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with postgres_here.ledger_of(request.param) as found:
        yield found


@pytest.fixture
def servers() -> Iterator[tuple[MailServer, Receiver]]:
    with mail_server() as mail, web_hook() as hook:
        yield mail, hook


@pytest.fixture
def store(tmp_path: Path, servers: tuple[MailServer, Receiver], ledger_url: str) -> Iterator[Workspace]:
    mail, hook = servers
    named = {
        "mail": ChannelSettings(
            kind="mail", host="127.0.0.1", port=mail.port, security="none", sender="watch@example.org",
            to="team@example.org",
        ),
        "hook": ChannelSettings(kind="webhook", url=hook.url),
    }  # fmt: skip
    workspace = open_workspace(tmp_path / "store", project="flights", ledger=ledger_url or None)
    with closing(workspace.ledger):
        projects.register(workspace)
        channels.remember(workspace.root, "flights", NotifySettings(channels=named))
        yield workspace


def wait_until_sent(workspace: Workspace) -> None:
    until = time.monotonic() + 60
    while len([one for one in deliveries(workspace) if one.state == "sent"]) < 2:
        assert time.monotonic() < until, deliveries(workspace)
        time.sleep(0.1)


def test_a_feed_of_forty_columns_and_three_replicas_is_one_message(
    store: Workspace, servers: tuple[MailServer, Receiver], ledger_url: str, tmp_path: Path
) -> None:
    mail, hook = servers
    second = (
        tmp_path / "second" if ledger_url else store.root
    )  # two folders on one database, or two servers of one folder
    if ledger_url:
        shutil.copytree(store.root, second, ignore=shutil.ignore_patterns("folder.id"))
    with ThreadPoolExecutor(3) as replicas:  # each of them sees it, at one moment
        list(replicas.map(lambda _: run(DECIDE, str(store.root)), range(3)))
    ((one,), (said,)) = incidents(store), notifications(store)
    assert (len(one.columns), one.monitors, said.state) == (40, ("drift", "freshness of weather"), "due")
    assert (mail.came, hook.requests) == ([], [])
    with up(store.root), up(second):
        wait_until_sent(store)
        time.sleep(5.0)  # both look twice more
    assert (len(mail.came), len(hook.requests)) == (1, 1)
    assert "weather_11 and 28 more" in mail.came[0].get_content()  # type: ignore[attr-defined]
    assert len(hook.came[0]["columns"]) == 40


@pytest.mark.parametrize(
    ("ledger_url", "kind"), [("sqlite", "mail"), ("sqlite", "webhook"), ("postgres", "mail")], indirect=["ledger_url"]
)
@pytest.mark.parametrize("moment", ["routed", "claimed", "connected", "handing over", "sent"])
def test_killed_at_any_moment_one_arrives(
    store: Workspace, servers: tuple[MailServer, Receiver], kind: str, moment: str
) -> None:
    mail, hook = servers
    run(DECIDE, str(store.root))
    run(TELL, str(store.root), moment, kind)
    time.sleep(1.1)  # the dead one's claim has run out
    for _ in range(2):
        Teller(store, lease_s=1.0).look()
    states = {one.name: one.state for one in deliveries(store)}
    assert len(hook.came) == 1, "a key that came before is dropped there"
    assert len(hook.requests) == (2 if (kind, moment) == ("webhook", "sent") else 1)
    if kind == "mail" and moment in ("handing over", "sent"):
        # Nobody here can know which it was, so it is not sent twice, and says so; in the first case nothing arrived.
        assert (states["mail"], len(mail.came)) == ("uncertain", moment == "sent")
    else:
        assert (states, len(mail.came)) == ({"mail": "sent", "hook": "sent"}, 1)
