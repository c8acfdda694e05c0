"""How people log in to the pages by an OpenID Connect provider, as settings say it."""

from msgspec import Struct

__all__ = ["OidcSettings", "ServerSettings"]


class OidcSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section `[server.oidc]`.

    Args:
        issuer: The provider's issuer, as its tokens say it: "https://login.example.org/realms/ours".
        client_id: As what the server is registered there; its redirect URI is the server's address with /login/oidc/back.
        client_secret: Where the secret is kept: "env:NAME", "file:/path" or "command:..."; "" for a public client.
        claim: The claim that is the person's name here; with "email" it is the address that is known of the person.
        domains: The domains of e-mail addresses that may log in, which the provider must have verified; () for any.
        role: The role, in all of the store, of people who are made known by logging in; "" refuses whom nobody made known.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    claim: str = "preferred_username"
    domains: tuple[str, ...] = ()
    role: str = ""


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The section `[server]`.

    Args:
        oidc: The provider by which people log in to the pages, None for tokens alone.
    """

    oidc: OidcSettings | None = None
