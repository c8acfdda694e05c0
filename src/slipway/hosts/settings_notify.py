"""Looks whether `[notify]` can be followed, before anybody depends on it."""

from slipway import plugins
from slipway.errors import InvalidDeclaration, InvalidSetting, near
from slipway.ports.secrets import is_kept_elsewhere
from slipway.records.notifications import ChannelSettings, NotifySettings
from slipway.schema.durations import microseconds

__all__ = ["check_notify"]

_HERE = ("localhost", "127.0.0.1", "::1")


def check_notify(settings: NotifySettings) -> None:
    """Refuse what could never be sent, or would show a secret.

    Args:
        settings: The section.

    Raises:
        InvalidSetting: It does not fit.
    """
    for name in ("escalate", "escalate_pages", "cooldown", "hold"):
        try:
            microseconds(getattr(settings, name), name)
        except InvalidDeclaration as problem:
            raise InvalidSetting(f"The setting notify.{name}: {problem.what}", fix=problem.fix) from problem
    if not 0 <= settings.digest <= 23:
        raise InvalidSetting(
            f"The setting notify.digest is {settings.digest}.", fix="Give an hour, 0 to 23: digest = 7"
        )
    if settings.address and not settings.address.startswith(("http://", "https://")):
        raise InvalidSetting(
            f"The setting notify.address is {settings.address!r}.", fix='For example "https://slipway.example.org".'
        )
    for name, chosen in settings.channels.items():
        _check_channel(f"[notify.channels.{name}]", chosen)


def _check_channel(where: str, chosen: ChannelSettings) -> None:
    if not plugins.is_known("notifier", chosen.kind):
        raise InvalidSetting(
            f"{where} is of the kind {chosen.kind!r}.",
            fix=near(chosen.kind, plugins.names("notifier"), what="kinds of channels"),
        )
    is_posted = chosen.kind in ("webhook", "slack", "apprise")
    needed = ("host", "sender") if chosen.kind == "mail" else ("url",) if is_posted else ()
    for key in needed:
        if not getattr(chosen, key):
            raise InvalidSetting(f"{where} has no {key}.", fix=f"A channel of the kind {chosen.kind!r} needs one.")
    for key in ("secret", "password"):
        value = getattr(chosen, key)
        if value and not is_kept_elsewhere(value):
            raise InvalidSetting(
                f"{where} holds its {key} itself.",
                why="It is kept in version control.",
                fix=f'Name where it is kept: {key} = "env:NOTIFY_{key.upper()}", or "file:/run/secrets/{key}".',
            )
    for key in ("secret", "password", "url"):
        if "command:" in getattr(chosen, key):
            raise InvalidSetting(
                f"{where}: {key} names a command, which the server would run.",
                why="The store's folder remembers it, and what a folder says must not run anything.",
                fix="Let the command write a file, and name that: file:/run/secrets/notify",
            )
    if chosen.kind == "mail" and chosen.security == "none" and chosen.user and chosen.host not in _HERE:
        raise InvalidSetting(
            f"{where} would send the password of {chosen.user!r} to {chosen.host} in clear.",
            fix='Write security = "starttls", or "tls".',
        )
    if chosen.user and not chosen.password:
        raise InvalidSetting(f"{where} has a user and no password.", fix='Add password = "env:SMTP_PASSWORD".')
    addresses = (chosen.to,) if isinstance(chosen.to, str) else chosen.to
    for address in (*addresses, *filter(None, (chosen.sender,))):
        if "@" not in address or not address.isprintable():
            raise InvalidSetting(f"{where}: {address!r} is no address.", fix='For example "team@example.org".')
