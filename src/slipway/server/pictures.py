"""Pictures among bytes that somebody stored: which kind they are, by what they begin with and never by their name."""

from base64 import b64encode

from markupsafe import Markup

__all__ = ["drawing", "inline", "kind_of"]

_LARGEST_BYTES = 4_000_000


def kind_of(data: bytes) -> str:
    """The content type of a PNG, JPEG, GIF or WebP picture, "" for anything else.

    SVG is none of these: it is a document that may hold scripts; see `drawing`.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return ""


def inline(data: bytes, title: str) -> Markup | None:
    """A picture inside the page itself; None for what is none, and for one that is too large."""
    kind = kind_of(data)
    return _image(kind, data, title) if kind and len(data) <= _LARGEST_BYTES else None


def drawing(svg: str, title: str) -> Markup | None:
    """An SVG drawing inside the page itself, as an image; None for one that is too large.

    Browsers run no script in an image and load nothing for it, and it has no address at which it could be opened as a
    document of this server.
    """
    data = svg.encode()
    return _image("image/svg+xml", data, title) if len(data) <= _LARGEST_BYTES else None


def _image(kind: str, data: bytes, title: str) -> Markup:
    return Markup('<img src="data:{};base64,{}" alt="{}">').format(kind, b64encode(data).decode(), title)
