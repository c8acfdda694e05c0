"""The compose file and the Helm chart: read as what they are, and nothing in them is meant for something that is not there."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from slipway.hosts.settings import read_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "helm" / "slipway"
KINDS = {
    "StatefulSet": "V1StatefulSet",
    "Service": "V1Service",
    "ConfigMap": "V1ConfigMap",
    "Ingress": "V1Ingress",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
}
USED = re.compile(r"\{\{ (\.Values\.(\w+)|\.Release\.Name)( \| quote)? \}\}")
"""All that the chart's templates may say: a value, the release's name, a value in quotes."""


def yaml(path: Path) -> Any:
    return msgspec.yaml.decode(path.read_text())


def rendered() -> list[dict[str, Any]]:
    """The chart's documents, as Helm makes them of what `USED` allows."""
    values = yaml(CHART / "values.yaml")

    def value(found: re.Match[str]) -> str:
        said = values[found[2]] if found[2] else "slipway"
        return json.dumps(said) if found[3] else str(said)

    texts = [USED.sub(value, path.read_text()) for path in sorted((CHART / "templates").glob("*.yaml"))]
    assert not any("{{" in text for text in texts)
    return [msgspec.yaml.decode(part) for text in texts for part in text.split("\n---\n")]


@pytest.mark.full
def test_the_charts_documents_are_read_by_kubernetes_own_models_with_nothing_left_over() -> None:
    kubernetes = pytest.importorskip("kubernetes")
    with kubernetes.client.ApiClient(kubernetes.client.Configuration()) as api:
        for document in rendered():

            class Answer:
                data = json.dumps(document)

            read = api.deserialize(Answer, KINDS[document["kind"]])
            assert api.sanitize_for_serialization(read) == document


def test_the_charts_parts_name_each_other() -> None:
    found = {(one["kind"], one["metadata"]["name"]): one for one in rendered()}
    servers = found["StatefulSet", "slipway"]["spec"]
    pod = servers["template"]["spec"]
    labels = servers["template"]["metadata"]["labels"]
    assert servers["selector"]["matchLabels"] == labels
    for kind, name in (("Service", "slipway"), ("Service", servers["serviceName"])):
        assert found[kind, name]["spec"]["selector"] == labels
    volumes = {one["name"] for one in pod["volumes"]} | {
        one["metadata"]["name"] for one in servers["volumeClaimTemplates"]
    }
    mounts = {mount["name"] for one in (*pod["initContainers"], *pod["containers"]) for mount in one["volumeMounts"]}
    assert mounts == volumes
    (rule,) = found["Ingress", "slipway"]["spec"]["rules"]
    assert ("Service", rule["http"]["paths"][0]["backend"]["service"]["name"]) in found


def test_the_charts_values_are_those_of_its_schema_and_all_of_them_are_used() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml(CHART / "values.yaml")
    jsonschema.validate(values, schema)
    used = {found[2] for path in (CHART / "templates").glob("*") for found in USED.finditer(path.read_text())} - {None}
    assert used == set(values) == set(schema["required"]) == set(schema["properties"]) - {"global"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "servers": 0}, schema)


def test_the_compose_files_services_need_only_what_it_has() -> None:
    composed = yaml(DEPLOY / "compose.yaml")
    services = composed["services"]
    assert {"postgres", "minio", "redis", "one", "two", "proxy"} <= set(services)
    volumes: set[str] = set()
    for name, service in services.items():
        assert set(service["networks"]) <= set(composed["networks"]), name
        assert "image" in service, name
        for needed, how in service.get("depends_on", {}).items():
            assert needed in services
            assert how["condition"] != "service_healthy" or "healthcheck" in services[needed], needed
        for place in service.get("volumes", ()):
            source = place.partition(":")[0]
            if source.startswith("./"):
                assert source == "./tls" or (DEPLOY / source).is_file(), source
            else:
                volumes.add(source)
    assert volumes == set(composed["volumes"])
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert asked == {"POSTGRES_PASSWORD", "S3_PASSWORD", "REDIS_PASSWORD", "SLIPWAY_NAME"}
    proxied = re.findall(r"server (\w+):8300", (DEPLOY / "nginx.conf").read_text())
    assert proxied == ["one", "two"]
    assert services["one"]["environment"] == services["two"]["environment"]
    assert services["one"]["volumes"][0] != services["two"]["volumes"][0], "a folder each"
    assert services["one"]["volumes"][1] == services["two"]["volumes"][1], "and the same keys"


def test_the_settings_of_both_are_slipways() -> None:
    kept = read_settings(DEPLOY).environment("prod")
    assert (kept.ledger, kept.blobs, kept.online) == ("env:DATABASE_URL", "s3://slipway/store", "env:REDIS_URL")
    (settings,) = [one for one in rendered() if one["kind"] == "ConfigMap"]
    assert settings["data"]["slipway.toml"].strip() == (DEPLOY / "slipway.toml").read_text().strip()
