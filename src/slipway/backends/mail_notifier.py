"""Mail by SMTP, with the standard library.

A mail server has a message from the moment on at which it answers the end of DATA; until the final line was sent it
surely has none. So what is recorded beforehand is recorded there, between the server's 354 and the message itself.

Source: RFC 5321, sections 3.3, 4.1.1.4 and 4.5.2; RFC 5322, section 3.6.4 (Message-ID).
"""

import os
import re
import smtplib
import ssl
from collections.abc import Callable, Sequence
from email import policy
from email.message import EmailMessage
from email.utils import formatdate, parseaddr

from slipway.errors import SlipwayError
from slipway.ports.notifier import Message, Outcome
from slipway.ports.secrets import read_secret
from slipway.ports.trust import TRUST_VARIABLE
from slipway.records.notifications import ChannelSettings

__all__ = ["MailNotifier"]

_WITHIN_S = 15.0
_PORTS = {"tls": 465, "starttls": 587, "none": 25}
_ADDRESS = re.compile(r"[!-;=?-~]+@[!-;=?-~]+")  # RFC 5321 without SMTPUTF8: what stands between < and > in a command
_BREAKS = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")


class MailNotifier:
    """See `Notifier`. The key is the Message-ID.

    Args:
        settings: Of the channel.
    """

    def __init__(self, settings: ChannelSettings) -> None:
        self._settings = settings

    @property
    def repeats_are_harmless(self) -> bool:
        """See `Notifier.repeats_are_harmless`: few mail servers drop a Message-ID that they have had."""
        return False

    def send(self, message: Message, handing_over: Callable[[], None]) -> Outcome:
        """See `Notifier.send`. One of several people whom no mail reaches is told; the others have theirs."""
        if not message.to:
            return Outcome("refused", "There is nobody to write to: no address is known of the people that it is for.")
        is_handed = False

        def handed() -> None:
            nonlocal is_handed
            handing_over()
            is_handed = True

        try:
            server = self._connected()
            try:  # without a word of farewell: where a message was begun and not ended, the server would wait for its end
                return self._given(server, message, handed)
            finally:
                server.close()
        except SlipwayError:
            raise
        except smtplib.SMTPAuthenticationError as problem:
            return Outcome("later", f"{self._place} does not let {self._settings.user!r} in ({problem.smtp_code}).")
        except (OSError, smtplib.SMTPException) as problem:
            told = str(problem) or type(problem).__name__
            if is_handed:
                return Outcome(
                    "unsure", f"{self._place} was cut off before it said whether it has the message: {told}."
                )
            return Outcome("later", f"{self._place} cannot be reached: {told}.")

    def _connected(self) -> smtplib.SMTP:
        chosen = self._settings
        port = chosen.port or _PORTS[chosen.security]
        if chosen.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(chosen.host, port, timeout=_WITHIN_S, context=_trusted())
        else:
            server = smtplib.SMTP(chosen.host, port, timeout=_WITHIN_S)
        try:
            if chosen.security == "starttls":
                server.starttls(context=_trusted())
            if chosen.user:
                server.login(chosen.user, read_secret(chosen.password))
        except BaseException:
            server.close()
            raise
        return server

    def _given(self, server: smtplib.SMTP, message: Message, handed: Callable[[], None]) -> Outcome:
        taken: list[str] = []
        problems = [_odd(address) for address in message.to if not _ADDRESS.fullmatch(address)]
        server.ehlo_or_helo_if_needed()
        code, said = server.docmd("mail", f"FROM:<{parseaddr(self._settings.sender)[1]}>")
        if code >= 400:
            return self._said(code, said)
        for address in filter(_ADDRESS.fullmatch, message.to):
            code, said = server.docmd("rcpt", f"TO:<{address}>")
            if 400 <= code < 500:
                return self._said(code, said)
            if code < 400:
                taken.append(address)
            else:
                problems.append(f"{address}: {self._said(code, said).problem}")
        left_out = " ".join(problems)
        if not taken:
            return Outcome("refused", left_out)
        code, said = server.docmd("data")
        if code >= 400:
            return self._said(code, said)
        letter = self._letter(message, taken)
        handed()
        server.send(re.sub(rb"(?m)^\.", b"..", letter) + b".\r\n")
        code, said = server.getreply()
        return Outcome("taken", left_out) if 200 <= code < 300 else self._said(code, said)

    def _said(self, code: int, said: bytes) -> Outcome:
        told = f"{self._place} said {code}: {_BREAKS.sub(' ', said.decode('utf-8', 'replace'))[:200]}"
        return Outcome("refused" if code >= 500 else "later", told)

    def _letter(self, message: Message, to: Sequence[str]) -> bytes:
        letter = EmailMessage(policy=policy.SMTP)
        letter["From"] = _BREAKS.sub(" ", self._settings.sender)
        letter["To"] = ", ".join(to)
        letter["Subject"] = _BREAKS.sub(" ", message.subject)[:200]
        letter["Date"] = formatdate()
        letter["Message-ID"] = f"<{message.key}@{parseaddr(self._settings.sender)[1].rpartition('@')[2] or 'slipway'}>"
        letter["Auto-Submitted"] = "auto-generated"
        if message.level == "page":
            letter["Importance"] = "high"
        letter.set_content(message.text, cte="quoted-printable")
        return letter.as_bytes()

    @property
    def _place(self) -> str:
        return f"The mail server {self._settings.host}:{self._settings.port or _PORTS[self._settings.security]}"


def _odd(address: str) -> str:
    told = f"{address!r} is no address to which mail goes: name@domain in ASCII (a domain's other letters as xn--...)."
    return f"{told} Mend it: slipway people change NAME --email ..., or in slipway.toml"


def _trusted() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ.get(TRUST_VARIABLE) or None)
