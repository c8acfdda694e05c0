"""What whoever asks for something that cannot be is told, by HTTP and on the command line."""

from typing import Any

import httpx

from conformance_journey.world import NAME, World


def _error(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json()["error"])


def unknown_field(world: World) -> None:
    """A field that an operation does not have is refused with those that it has."""
    error = _error(world.api("runs.search", wherre="x"), 422)
    assert (error["field"], error["fix"]) == ("wherre", "Its fields are: where, order, best_per, token, limit.")


def missing_field(world: World) -> None:
    """A field that is missing is named."""
    assert "missing required field `id`" in _error(world.api("runs.get"), 422)["what"]


def wrong_field(world: World) -> None:
    """A field of another type is refused by name."""
    assert _error(world.api("runs.search", limit="many"), 422)["field"] == "limit"


def twice(world: World) -> None:
    """A field that is given twice is refused."""
    answer = world.http.get(f"/api/v1/projects/{NAME}/runs/search?limit=1&limit=2")
    assert _error(answer, 422)["what"] == "The field 'limit' is given twice."


def no_such_run(world: World) -> None:
    """A run that does not exist is a 404 with the latest ones."""
    error = _error(world.api("runs.get", id="ffff"), 404)
    assert error["what"] == "There is no run 'ffff'."
    assert error["fix"].startswith("The latest runs are: ")


def no_such_project(world: World) -> None:
    """A project that does not exist is told with those that do."""
    error = _error(world.http.get("/api/v1/projects/nothing/runs/search"), 404)
    assert error["fix"] == f"The projects are: {NAME}."


def no_such_route(world: World) -> None:
    """A route that does not exist leads to the description of all."""
    assert "/api/v1/openapi.json" in _error(world.http.get("/api/v1/nothing"), 404)["fix"]


def wrong_method(world: World) -> None:
    """A change is not made by a GET, nor a question asked by a POST."""
    assert _error(world.api("comments.add"), 405)["code"] == "MethodNotAllowed"
    assert _error(world.api("runs.search", "POST"), 405)["fix"] in ("Use GET, HEAD.", "Use HEAD, GET.")


def not_json(world: World) -> None:
    """A body that is not JSON is a 400."""
    kind = {"content-type": "application/json"}
    answer = world.http.post(f"/api/v1/projects/{NAME}/comments/add", content=b"{", headers=kind)
    assert _error(answer, 400)["code"] == "NotJson"


def not_an_object(world: World) -> None:
    """A body that is JSON and no object is a 400 with what is one."""
    answer = world.http.post(f"/api/v1/projects/{NAME}/comments/add", json=[1])
    assert _error(answer, 400)["what"] == "The request's body is not a JSON object."


def form(world: World) -> None:
    """A form of a foreign page is not taken for JSON."""
    answer = world.http.post(f"/api/v1/projects/{NAME}/comments/add", data={"text": "x"})
    assert "announced as application/x-www-form-urlencoded" in _error(answer, 400)["what"]


def foreign_host(world: World) -> None:
    """A request under a foreign host's name is denied."""
    assert "evil.example" in _error(world.http.get("/", headers={"host": "evil.example"}), 403)["what"]


def foreign_page(world: World) -> None:
    """A change that comes from a foreign page is denied."""
    answer = world.http.post(f"/projects/{NAME}/start", headers={"origin": "http://evil.example"})
    assert "may not come from a page of 'http://evil.example'" in _error(answer, 403)["what"]


def no_page(world: World) -> None:
    """A page that does not exist is a page that says so."""
    answer = world.http.get("/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "<title>404" in answer.text


def pages(world: World) -> None:
    """Every page of the project is served, with a policy that lets no foreign script in."""
    run = world.spread.run.id
    for path in ("", "/runs", f"/runs/{run}", f"/models/{NAME}/1", f"/endpoints/{NAME}", "/audit", "/tables/notes"):
        answer = world.http.get(f"/projects/{NAME}{path}", follow_redirects=True)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'"), path


def healthy(world: World) -> None:
    """The server says that it is ready."""
    assert world.get("/health").json() == {"status": "ready"}


def figures(world: World) -> None:
    """The server counts its own requests by route, method and status."""
    route = 'route="/api/v1/projects/{project}/runs/get",method="GET",status="404"'
    world.api("runs.get", id="ffff")
    assert f"slipway_http_requests_total{{{route}}}" in world.get("/metrics").text


def described(world: World) -> None:
    """All operations are described in OpenAPI."""
    told = world.get("/api/v1/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    assert len(told["paths"]) > 150


def settings(world: World) -> None:
    """What the server goes by is told with where each setting comes from."""
    told = {one.name: one for one in world.call("settings.get").settings}
    assert told["Environment"].value == "dev"


def unknown_command(world: World) -> None:
    """A command that does not exist is told with the one that is nearest."""
    done = world.slipway("modles")
    assert done.exit_code == 5
    assert "Did you mean 'models'?" in done.output


def unknown_option(world: World) -> None:
    """An option that does not exist has exit code 2."""
    assert world.slipway("runs", "list", "--nothing").exit_code == 2


def nothing_found(world: World) -> None:
    """What a command does not find has exit code 5."""
    assert world.slipway("runs", "show", "ffff").exit_code == 5


def in_json(world: World) -> None:
    """With `--json` an error is JSON, too."""
    done = world.slipway("runs", "show", "ffff", "--json")
    assert '"code":"NotFound"' in done.output.replace('": "', '":"')


def bad_setting(world: World) -> None:
    """A key of slipway.toml that does not exist is refused with the nearest one."""
    settings = world.project.folder / "slipway.toml"
    before = settings.read_text()
    settings.write_text(before.replace("[environments.dev]", "[environments.dev]\nexecutro = 1"))
    try:
        done = world.slipway("runs", "list")
    finally:
        settings.write_text(before)
    assert done.exit_code == 2
    assert "executor" in done.output


def no_environment(world: World) -> None:
    """An environment that does not exist is told with those that do."""
    done = world.slipway("runs", "list", "--env", "prod")
    assert done.exit_code != 0
    assert "dev" in done.output


BEHAVIOURS = (
    unknown_field,
    missing_field,
    wrong_field,
    twice,
    no_such_run,
    no_such_project,
    no_such_route,
    wrong_method,
    not_json,
    not_an_object,
    form,
    foreign_host,
    foreign_page,
    no_page,
    pages,
    healthy,
    figures,
    described,
    settings,
    unknown_command,
    unknown_option,
    nothing_found,
    in_json,
    bad_setting,
    no_environment,
)
