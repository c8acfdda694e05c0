"""A place in a bucket of an object store: requests in bounded time, and their failures as sentences.

Credentials, endpoint and region are what obstore finds in the environment; no message repeats what a store answered,
which may hold an access key, but for the name of its error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from slipway.errors import BackendError, InvalidSetting, SlipwayError, Unavailable

__all__ = ["Bucket", "Found"]

_CONNECT = timedelta(seconds=3)
_SILENCE = timedelta(seconds=30)
_RETRY_FOR = timedelta(seconds=15)
_WHOLE = timedelta(hours=1)
_PIECE_BYTES = 8 << 20
_PIECES = 9_000
_AT_ONCE = 4
_CODE = re.compile(r"<Code>\s*([A-Za-z]+)\s*</Code>|\"reason\":\s*\"([A-Za-z]+)\"")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist")
_KEY_SERVICES = ("169.254.169.254", "metadata.google.internal", "No credentials", "MissingCredential")
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a role of the machine), AWS_REGION, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (or the machine's service account)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or the machine's identity), AZURE_STORAGE_ENDPOINT",
}


class Found(NamedTuple):
    """An object that is there: its name below the place, its size in bytes, and when it was last written."""

    name: str
    size_bytes: int
    put_at: datetime


class Bucket:
    """What lies under a prefix of a bucket. Safe for many threads.

    Args:
        url: s3://, gs:// or az://, the bucket (for az:// the container), and a prefix.

    Raises:
        InvalidSetting: The environment does not say what the store needs: for az:// which account.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.kind = parts.scheme
        self.shown = url.rstrip("/")
        self._name = parts.netloc
        self._prefix = parts.path.strip("/")
        self._is_seen = False
        self._away_until = 0.0
        self._patient = self._opened(retries=100)  # the time ends it
        self._hasty = self._opened(retries=0)

    @property
    def _store(self) -> ObjectStore:
        """Whoever comes while the store is known to be away does not wait: a server has not threads enough for all."""
        return self._hasty if time.monotonic() < self._away_until else self._patient

    def _opened(self, retries: int) -> ObjectStore:
        try:
            return from_url(
                f"{self.kind}://{self._name}",
                # http:// is for whoever names such an endpoint.
                client_options={
                    "allow_http": True,
                    "connect_timeout": _CONNECT,
                    "read_timeout": _SILENCE,
                    "timeout": _WHOLE,
                },
                retry_config={
                    "max_retries": retries,
                    "retry_timeout": _RETRY_FOR,
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=100),
                        "max_backoff": timedelta(seconds=2),
                        "base": 2,
                    },
                },
            )
        except (BaseError, ValueError) as problem:
            raise InvalidSetting(
                f"The object store {self.shown} cannot be opened: {str(problem).splitlines()[0]}.",
                fix=f"Set in the environment: {_VARIABLES[self.kind]}.",
            ) from None

    def put(self, name: str, data: bytes | memoryview, *, create: bool) -> bool:
        """Write an object in one request.

        Args:
            name: Its name below the place.
            data: Its bytes.
            create: Whether to leave one alone that is there already.

        Returns:
            Whether it was written.
        """
        with self._sentences("written"):
            try:
                mode = "create" if create else "overwrite"
                obstore.put(self._store, self._at(name), data, mode=mode, use_multipart=False)  # type: ignore[arg-type]
            except AlreadyExistsError:
                return False
        return True

    def put_pieces(self, name: str, pieces: Iterable[bytes], size: int) -> None:
        """Write an object piece by piece, in the place of one that is there; it appears whole, when all have come.

        Args:
            name: Its name below the place.
            pieces: Its bytes; where they raise, nothing is written.
            size: How many there are, about.
        """
        piece = max(_PIECE_BYTES, size // _PIECES)
        with self._sentences("written"):
            obstore.put(
                self._store,
                self._at(name),
                iter(pieces),
                use_multipart=True,
                chunk_size=piece,
                max_concurrency=_AT_ONCE,
            )

    def head(self, name: str) -> Found | None:
        """What is there under a name; None for nothing."""
        with self._sentences("looked at"):
            try:
                found = obstore.head(self._store, self._at(name))
            except FileNotFoundError as problem:
                self._check_bucket(problem)
                return None
        return Found(name, found["size"], found["last_modified"])

    def get(self, name: str) -> bytes | None:
        """An object's bytes; None where there is none."""
        with self._sentences("read"):
            try:
                return bytes(obstore.get(self._store, self._at(name)).bytes())
            except FileNotFoundError as problem:
                self._check_bucket(problem)
                return None

    def pieces(self, name: str) -> Iterator[bytes] | None:
        """An object's bytes, as they come; None where there is none."""
        with self._sentences("read"):
            try:
                answer = obstore.get(self._store, self._at(name))
            except FileNotFoundError as problem:
                self._check_bucket(problem)
                return None
        return self._streamed(answer.stream(min_chunk_size=_PIECE_BYTES))

    def delete(self, name: str) -> None:
        """Remove an object; it need not be there."""
        with self._sentences("deleted"):
            try:
                obstore.delete(self._store, self._at(name))
            except FileNotFoundError as problem:  # not every store calls that well done
                self._check_bucket(problem)

    def under(self, name: str) -> Iterator[Found]:
        """All objects under a name, in no order."""
        start = len(self._prefix) + 1 if self._prefix else 0
        chunks = iter(obstore.list(self._store, self._at(name)))
        while True:
            with self._sentences("listed"):
                chunk = next(chunks, None)
            if chunk is None:
                return
            for one in chunk:
                yield Found(one["path"][start:], one["size"], one["last_modified"])

    def _at(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    def _streamed(self, stream: Iterator[object]) -> Iterator[bytes]:
        while True:
            with self._sentences("read"):
                piece = next(stream, None)
            if piece is None:
                return
            yield bytes(piece)  # type: ignore[call-overload]

    def _check_bucket(self, problem: Exception) -> None:
        """Whether it is the object that is missing, not the whole bucket; asked once, as some answers do not say."""
        if any(word in str(problem) for word in _NO_BUCKET):
            raise self._no_bucket() from None
        if not self._is_seen:
            next(iter(obstore.list(self._store, self._at("blobs"), chunk_size=1)), None)
            self._is_seen = True

    @contextmanager
    def _sentences(self, done: str) -> Iterator[None]:
        try:
            yield
        except SlipwayError:
            raise
        except (BaseError, FileNotFoundError) as problem:
            told = self._told(problem, done)
            if isinstance(told, Unavailable):
                self._away_until = time.monotonic() + _RETRY_FOR.total_seconds()
            # Not "from": what the store answered may hold what is nobody's business.
            raise told from None
        self._away_until = 0.0

    def _told(self, problem: Exception, done: str) -> SlipwayError:
        text = str(problem).partition("Debug source")[0]
        status = _STATUS.search(text)
        number = int(status[1]) if status else 0
        code = next((one[1] or one[2] for one in _CODE.finditer(text)), "")
        if any(word in text for word in _NO_BUCKET):
            return self._no_bucket()
        if any(word in text for word in _KEY_SERVICES):
            return BackendError(
                f"The object store {self.shown} cannot be used: there are no credentials for it.",
                fix=f"Set in the environment: {_VARIABLES[self.kind]}.",
            )
        if isinstance(problem, PermissionDeniedError | UnauthenticatedError) or number in (401, 403):
            return BackendError(
                f"The object store {self.shown} refuses: nothing may be {done} there{f' ({code})' if code else ''}.",
                why="The credentials are wrong or have ended, or their policy lacks reading, writing, deleting or listing.",
                fix=f"Check them in the environment: {_VARIABLES[self.kind]}.",
            )
        if "redirect" in text.lower() or 300 <= number < 400:
            return BackendError(
                f"The object store {self.shown} is elsewhere: it sends its clients to another region.",
                fix="Set the bucket's region in the environment: AWS_REGION.",
            )
        if 400 <= number < 500 and number not in (408, 409, 429):
            return BackendError(
                f"The object store {self.shown} refuses: nothing can be {done} there "
                f"({code or 'without a reason'}, status {number}).",
                fix=f"Check the address, and in the environment: {_VARIABLES[self.kind]}.",
            )
        state = f"answers with status {number}" if number else "cannot be reached, or does not answer"
        return Unavailable(
            f"The object store {self.shown} {state}: nothing was {done} there.",
            fix="Try again later; if it stays so, check the network and the endpoint in the environment.",
        )

    def _no_bucket(self) -> SlipwayError:
        what = "container" if self.kind == "az" else "bucket"
        return BackendError(
            f"The {what} {self._name!r} of {self.shown} does not exist.",
            fix=f"Make it with the store's own tools, or mend `blobs` in slipway.toml and the endpoint in the environment: "
            f"{_VARIABLES[self.kind]}.",
        )
