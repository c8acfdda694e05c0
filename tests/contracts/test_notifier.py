"""The suite of channels on each of them, with real servers, and what is a single one's own."""

import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest

from authority import Authority
from slipway.backends.apprise_notifier import AppriseNotifier
from slipway.backends.console_notifier import ConsoleNotifier
from slipway.backends.mail_notifier import MailNotifier
from slipway.backends.slack_notifier import SlackNotifier
from slipway.backends.webhook_notifier import WebhookNotifier
from slipway.conformance.notifier import MESSAGE, NotifierSuite
from slipway.ports.notifier import Notifier
from slipway.records.notifications import ChannelSettings
from told_here import MailServer, Receiver, mail_server, web_hook


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "s3cret")
    monkeypatch.setenv("HOOK_SECRET", "s3cret")


class TestConsole(NotifierSuite):
    @pytest.fixture(autouse=True)
    def read(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def make(self, folder: Path) -> Notifier:
        return ConsoleNotifier(ChannelSettings(kind="console"))

    def lose(self) -> bool:
        return False

    def refuse(self) -> bool:
        return False

    def came(self) -> list[str]:
        return [text] if (text := self.capsys.readouterr().err) else []


class TestMail(NotifierSuite):
    @pytest.fixture(autouse=True)
    def serve(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        authority = Authority(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        with mail_server(authority.sign("127.0.0.1"), "s3cret") as self.server:
            yield

    def make(self, folder: Path) -> Notifier:
        return MailNotifier(mail_to(self.server, user="slipway", password="env:SMTP_PASSWORD", security="starttls"))

    def lose(self) -> bool:
        self.server.server_close()
        return True

    def refuse(self) -> bool:
        self.server.says["END"] = "554 no such thing here"
        return True

    def came(self) -> list[str]:
        return [one.get_content() for one in self.server.came]  # type: ignore[attr-defined]

    def test_it_is_a_letter_that_stays_one_line_by_line_and_its_way_is_protected(self, tmp_path: Path) -> None:
        hostile = MESSAGE._replace(subject="wind\r\nBcc: everybody@example.org", level="page")
        assert self.make(tmp_path).send(hostile, lambda: None).state == "taken"
        (letter,) = self.server.came
        assert letter["Message-ID"] == f"<{'k' * 32}@slipway.example.org>"
        assert (letter["Bcc"], letter["Importance"], self.server.to) == (None, "high", ["grace@example.org"])
        assert letter.get_content().replace("\r", "") == MESSAGE.text  # type: ignore[attr-defined]
        assert self.server.was_secure == [True]

    @pytest.mark.parametrize(
        ("verb", "said", "state", "has"),
        [
            ("RCPT", "450 later", "later", 0),
            ("RCPT", "550 nobody", "refused", 0),
            ("AUTH", "535 who are you?", "later", 0),
            ("DATA", "cut", "later", 0),
            ("END", "451 later", "later", 0),
            ("END", "cut", "unsure", 1),
        ],
    )
    def test_what_is_known_of_a_message_that_was_not_taken(self, verb: str, said: str, state: str, has: int) -> None:
        self.server.says[verb] = said
        handed: list[str] = []
        outcome = self.make(Path()).send(MESSAGE, lambda: handed.append(verb))
        assert (outcome.state, len(self.server.came), bool(handed)) == (state, has, verb == "END")

    def test_nobody_to_write_to_is_said(self) -> None:
        outcome = self.make(Path()).send(MESSAGE._replace(to=()), lambda: None)
        assert (outcome.state, "no address is known" in outcome.problem) == ("refused", True)

    @pytest.mark.parametrize(
        "odd", ["gräce@example.org", "grace@exämple.org", "a@b\r\nBcc: c@d", "a@b\0", "x", "<a@b>"]
    )
    def test_an_address_that_mail_cannot_have_is_said_and_never_sent(self, odd: str) -> None:
        outcome = self.make(Path()).send(MESSAGE._replace(to=(odd,)), lambda: None)
        assert (outcome.state, repr(odd) in outcome.problem, self.server.to) == ("refused", True, [])
        outcome = self.make(Path()).send(MESSAGE._replace(to=(odd, *MESSAGE.to)), lambda: None)
        assert (outcome.state, repr(odd) in outcome.problem, self.server.to) == ("taken", True, [*MESSAGE.to])
        assert [one["To"] for one in self.server.came] == [*MESSAGE.to]

    def test_one_whom_the_server_does_not_know_keeps_the_letter_from_nobody_else(self) -> None:
        self.server.says["RCPT <gone@example.org>"] = "550 no such user"
        outcome = self.make(Path()).send(MESSAGE._replace(to=("gone@example.org", *MESSAGE.to)), lambda: None)
        assert outcome.state == "taken"
        assert "gone@example.org" in outcome.problem
        assert "550: no such user" in outcome.problem
        assert [one["To"] for one in self.server.came] == [*MESSAGE.to]

    def test_a_certificate_that_is_not_believed_is_given_no_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        assert self.make(Path()).send(MESSAGE, lambda: None).state == "later"
        assert self.server.came == []


def mail_to(server: MailServer, **more: str) -> ChannelSettings:
    settings = {"security": "none", "sender": "Slipway <watch@slipway.example.org>", **more}
    return ChannelSettings(kind="mail", host="127.0.0.1", port=server.port, **settings)  # type: ignore[arg-type]


class Posting(NotifierSuite):
    server: Receiver

    @pytest.fixture(autouse=True)
    def serve(self) -> Iterator[None]:
        with web_hook() as self.server:
            yield

    def lose(self) -> bool:
        self.server.server_close()
        return True

    def refuse(self) -> bool:
        self.server.status = [410]
        return True

    def came(self) -> list[str]:
        return [body.decode().replace("\\n", "\n") for _, body in self.server.requests]


class TestWebhook(Posting):
    def make(self, folder: Path) -> Notifier:
        return WebhookNotifier(ChannelSettings(kind="webhook", url=self.server.url, secret="env:HOOK_SECRET"))

    def test_it_is_signed_and_has_its_key_and_facts(self, tmp_path: Path) -> None:
        assert self.make(tmp_path).send(MESSAGE, lambda: None).state == "taken"
        ((headers, body),) = self.server.requests
        at, signed = (part.partition("=")[2] for part in headers["slipway-signature"].split(","))
        assert signed == hmac.new(b"s3cret", f"{at}.".encode() + body, "sha256").hexdigest()
        assert headers["idempotency-key"] == MESSAGE.key == self.server.came[0]["key"]
        assert self.server.came[0]["cause"] == "broken feed"

    @pytest.mark.parametrize(("status", "state"), [(429, "later"), (503, "later"), (302, "refused"), (404, "refused")])
    def test_what_an_answer_means(self, tmp_path: Path, status: int, state: str) -> None:
        self.server.status = [status]
        assert self.make(tmp_path).send(MESSAGE, lambda: None).state == state


class TestSlack(Posting):
    def make(self, folder: Path) -> Notifier:
        return SlackNotifier(ChannelSettings(kind="slack", url=self.server.url))

    def test_nothing_of_it_is_a_link_or_calls_somebody(self, tmp_path: Path) -> None:
        self.make(tmp_path).send(MESSAGE._replace(text="<!channel> & <https://example.org>"), lambda: None)
        assert "&lt;!channel&gt; &amp; &lt;https://example.org&gt;" in self.server.came[0]["text"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what it imports to know all services
class TestApprise(Posting):
    def make(self, folder: Path) -> Notifier:
        return AppriseNotifier(ChannelSettings(kind="apprise", url=self.server.url.replace("http://", "json://")))

    def refuse(self) -> bool:
        return False  # it does not tell a refusal from a connection that was cut

    def test_an_address_that_it_does_not_know_is_refused(self) -> None:
        channel = AppriseNotifier(ChannelSettings(kind="apprise", url="nothing-like-it://x"))
        assert channel.send(MESSAGE, lambda: None).state == "refused"
