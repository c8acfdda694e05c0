"""Three models of a team as they are served elsewhere, by plain HTTP: run as a process, it prints its port."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WEIGHTS = {"churn": (2.0, 1.0), "upsell": (3.0, -1.0), "fraud": (1.0, 1.0)}


def score(name: str, row: dict[str, Any]) -> float:
    """What a model answers."""
    age, visits = WEIGHTS[name]
    return age * float(row["age"]) + visits * float(row["visits"])


def answer(path: str, sent: Any) -> tuple[int, Any]:
    """The status and the answer to what was sent to a path."""
    if path == "/churn":
        return 200, {"result": {"value": score("churn", sent)}}
    if path == "/rounded":
        return 200, {"result": {"value": score("churn", sent) + (0.5 if sent["visits"] == 3 else 0.0)}}
    if path == "/invocations":
        return 200, {"predictions": [score("upsell", row) for row in sent["dataframe_records"]]}
    if path == "/v2/models/fraud/infer":
        row = {one["name"]: one["data"][0] for one in sent["inputs"]}
        return 200, {"outputs": [{"name": "score", "shape": [1, 1], "datatype": "FP64", "data": [score("fraud", row)]}]}
    return 503, {"error": "closed"}


class Old(BaseHTTPRequestHandler):
    """Answers POST."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *said: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """An answer of one of the models."""
        status, said = answer(self.path, json.loads(self.rfile.read(int(self.headers["content-length"]))))
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
