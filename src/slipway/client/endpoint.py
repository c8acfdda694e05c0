"""An endpoint, asked over HTTP."""

import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from slipway.client.http import Connection
from slipway.errors import BackendError, Unavailable

__all__ = ["EndpointClient"]

_encode = msgspec.json.Encoder().encode
_COUNT = re.compile(r"^(slipway_\w+)\{endpoint=\"[^\"]*\"\} (\d+)$", re.MULTILINE)
_ARROW = "application/vnd.apache.arrow.stream"
_PAUSE_S = (0.002, 0.05)
# What an endpoint began, what that is called in a sentence, and the counters that tell what became of each.
_ACCOUNTS = (
    ("slipway_rows_total", "answered rows", ("log_written", "log_dropped", "log_passed_over", "log_failed")),
    ("slipway_shadow_sampled_total", "rows of the comparison", ("shadow_compared", "shadow_dropped")),
    ("slipway_old_system_sampled_total", "rows for the old system", ("old_system_compared", "old_system_dropped")),
    ("slipway_failures_total", "failures", ("failures_written", "failures_lost")),
)


class EndpointClient(Connection):
    """Asks one endpoint. Keeps its connection open. Safe for threads; use it in a `with` block or close it.

    Args:
        url: Where the endpoint's process answers: "http://127.0.0.1:41001".
        name: The endpoint's name.
        token: Who asks; None where the endpoint's store knows nobody.
        timeout_s: Seconds to wait for an answer.

    Example:
        `EndpointClient(url, "flight-delays").predict([{"carrier": "AA", ...}])["predictions"][0]["score"]`
    """

    def __init__(self, url: str, name: str, token: str | None = None, *, timeout_s: float = 30.0) -> None:
        super().__init__(
            url,
            token=token,
            timeout_s=timeout_s,
            remedy=f"See whether the endpoint runs: slipway endpoints show {name}",
        )
        self.name = name
        self._home = f"/endpoints/{name}"

    def predict(
        self, rows: Sequence[Mapping[str, Any]], at: datetime | None = None, *, explain: int = 0
    ) -> dict[str, Any]:
        """Ask for predictions.

        Args:
            rows: The request's rows: plain values, aware datetimes, dates.
            at: The decision time, aware; only an endpoint that was started for simulation takes one.
            explain: How many contributions of each row are told, the greatest first; 0 for no explanation.

        Returns:
            `{"predictions": [{"id", "score", "decision", "version"}, ...], "model": {...}, "revision": n}`. Where it was
            asked for, each prediction has its "explanation": `{"scale", "how", "score", "base", "contributions":
            [{"input", "value", "contribution"}, ...], "rest", "residual"}`, or None with the reason
            as "unexplained".

        Raises:
            InvalidInput: A row does not fit the endpoint's contract; `field` names the place.
            Unavailable: Nobody answers, the endpoint is still loading, or it explains as much as it may at once.
        """
        body = {"rows": rows} if at is None else {"rows": rows, "at": at}
        query = {"explain": str(explain)} if explain else None
        return self._answer(self.send("POST", f"{self._home}/predict", query=query, body=_encode(body)))

    def predict_arrow(self, stream: bytes) -> bytes:
        """Ask for predictions of many rows at once; give `timeout_s` of the client room for them.

        Args:
            stream: An Arrow IPC stream, uncompressed, with a column for each field of the contract. Polars writes it with
                `frame.write_ipc_stream(None).getvalue()`, pyarrow with `pyarrow.ipc.new_stream`.

        Returns:
            An Arrow IPC stream of the same number of rows and in their order: id, score, decision, version, and where the
            endpoint has a fallback why that answered, "" where a model did. `polars.read_ipc_stream` reads it.

        Raises:
            InvalidInput: A row does not fit the endpoint's contract, or there are too many; `field` names the place.
            Unavailable: Nobody answers, the endpoint is still loading, or as many such requests are under way as may be.
        """
        return self.send("POST", f"{self._home}/predict", body=stream, content_type=_ARROW)

    def labels(self, labels: Sequence[Mapping[str, Any]]) -> int:
        """Send labels that became known.

        Args:
            labels: Each has "value" and either "prediction" (an id) or "key" (the contract's key fields); "observed_at"
                says when it became known, the endpoint's present if missing.

        Returns:
            How many were taken.
        """
        return int(self._post("labels", {"labels": labels})["accepted"])

    def events(self, source: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Push rows of a table into the endpoint's online store as they become known.

        Args:
            source: The table that the endpoint's windows read.
            rows: Its rows.

        Returns:
            How many of them were new.
        """
        return int(self._post("events", {"source": source, "rows": rows})["new"])

    def view_rows(self, view: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Push rows of a feature view; returns how many of them were new."""
        return int(self._post("events", {"view": view, "rows": rows})["new"])

    def describe(self) -> dict[str, Any]:
        """What the endpoint says of itself: model, revision, contract, unknown fields seen."""
        return self._answer(self.send("GET", self._home))

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was answered before is in the endpoint's log, the comparison of a roll-out included.

        Args:
            timeout_s: Seconds to wait at most.

        Raises:
            Unavailable: It is not, or nobody answers; the sentence says what is missing.
        """
        until = time.monotonic() + timeout_s
        pause_s = _PAUSE_S[0]
        while True:
            problem: Exception | None = None
            try:
                missing = _missing(self.send("GET", "/metrics").decode())
            except Unavailable as nobody:  # a worker that was killed a moment ago is being replaced
                missing, problem = str(nobody), nobody
            if not missing:
                return
            if time.monotonic() >= until:
                raise Unavailable(
                    f"The log of {self.name!r} did not settle within {timeout_s:g} s: {missing}",
                    why="The endpoint is overloaded, or a worker ended with rows that it had not written.",
                    fix="Ask fewer rows at once; look into the endpoint's front.log.",
                ) from problem
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S[1])

    def _post(self, verb: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer(self.send("POST", f"{self._home}/{verb}", body=_encode(body)))

    def _answer(self, body: bytes) -> dict[str, Any]:
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise BackendError(
                f"The answer of {self.url} cannot be read: {problem}.",
                fix="Check that a Slipway endpoint answers there.",
            ) from problem


def _missing(metrics: str) -> str:
    """What an endpoint's counters say is still under way, "" for nothing."""
    counts = {name: int(count) for name, count in _COUNT.findall(metrics)}
    said = []
    for begun, what, ends in _ACCOUNTS:
        names = [f"slipway_{end}_total" for end in ends]
        absent = [name for name in (begun, *names) if name not in counts]
        if absent:
            raise BackendError(
                f"The endpoint's /metrics have no {absent[0]}.", fix="Restart it with this release of Slipway."
            )
        under_way = counts[begun] - sum(counts[name] for name in names)
        if under_way > 0:
            said.append(f"{under_way:,} of {counts[begun]:,} {what} are on their way.")
    return " ".join(said)
