"""`sw.redis_stream`: events that an endpoint takes in by itself."""

from slipway.errors import InvalidDeclaration
from slipway.records.endpoints import StreamSpec
from slipway.serving.secret_urls import check_url

__all__ = ["redis_stream"]


def redis_stream(url: str, name: str, *, source: str = "", view: str = "") -> StreamSpec:
    """A Redis stream whose entries an endpoint takes into its online store, as if they had been pushed.

    Each entry has one field `row`, a JSON object with the columns of a row. It is acknowledged once the online store has
    it, so that nothing is lost however the endpoint ends; one that comes twice changes nothing. What does not fit goes to
    the stream `<name>:refused` with the reason.

    Args:
        url: The Redis: "redis://127.0.0.1:6379/0"; a password is named, as in `online` of slipway.toml.
        name: The stream's key.
        source: The table whose rows the entries are.
        view: The feature view whose rows they are; one of both is given.

    Raises:
        InvalidDeclaration: Both or none of `source` and `view` were given, or no name.
        InvalidSetting: The URL names no Redis, or holds a password.

    Example:
        `sw.Endpoint("delays", ..., streams=[sw.redis_stream("redis://127.0.0.1:6379/0", "flights", source="flights")])`
    """
    for what, given in (("url", url), ("name", name), ("source", source), ("view", view)):
        if not isinstance(given, str) or (what == "url" and not given):
            raise InvalidDeclaration(
                f"A Redis stream was given {given!r} as its {what}.",
                why="Each is a text.",
                fix='For example sw.redis_stream("redis://127.0.0.1:6379/0", "flights", source="flights").',
            )
    if bool(source) == bool(view) or not name:
        raise InvalidDeclaration(
            f"The Redis stream {name!r} was given {'both a source and a view' if source else 'neither source nor view'}."
            if name
            else "A Redis stream was given no name.",
            fix='Say whose rows its entries are: sw.redis_stream(url, name, source="flights")',
        )
    check_url(url, f"The URL of the Redis stream {name!r}")
    return StreamSpec(url=url, name=name, source=source, view=view)
