"""MLflow's API, asked without a socket and without MLflow."""

from collections.abc import Callable
from typing import Any

import httpx

from server_desk import asker
from slipway.ports.workspace import Workspace

Api = Callable[..., Any]
ROOT = "/api/2.0/mlflow"
WHOLE = ("/version", "/get-artifact", "/model-versions/get-artifact")


class Desk:
    """Asks a server by MLflow's API."""

    def __init__(self, workspace: Workspace) -> None:
        self.ask = asker(workspace)

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """One request; a body goes as JSON, in a GET as its query."""
        is_whole = path.startswith(("/api", "/ajax", "/projects")) or path in WHOLE
        full = path if is_whole else ROOT + path
        if body is not None:
            options["params" if method == "GET" else "json"] = body
        return self.ask(method, full, **options)

    def good(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request that must succeed."""
        answer = self.send(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def bad(self, status: int, code: str, method: str, path: str, body: Any = None, **options: Any) -> str:
        """The sentence that a request is refused with."""
        answer = self.send(method, path, body, **options)
        assert (answer.status_code, answer.json().get("error_code")) == (status, code), answer.text
        assert set(answer.json()) == {"error_code", "message"}
        return answer.json()["message"]

    def run(self, experiment: str = "0", **fields: Any) -> str:
        """A new run's id."""
        made = self.good("POST", "/runs/create", {"experiment_id": experiment, "start_time": "1700000000000", **fields})
        return made["run"]["info"]["run_id"]

    def get(self, run: str) -> Any:
        """A run."""
        return self.good("GET", "/runs/get", {"run_id": run})["run"]
