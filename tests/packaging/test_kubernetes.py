"""packaging/kubernetes, rendered as ``kubectl apply -k`` does, against Kubernetes' schemas and the program."""

from __future__ import annotations

import json

import pytest

from smtpmock_cli import Configuration
from smtpmock_cli.control.openapi import document
from smtpmock_cli.version import VERSION

from .manifests import container, one, rendered

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="kubernetes-validate is missing: pip install it"
)

OLDEST = "1.25"
"""The oldest Kubernetes that is tried; the newest is the newest that the validator knows."""


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_schema(version: str) -> None:
    assert len(rendered()) == 3
    for resource in rendered():
        kubernetes_validate.validate(json.loads(json.dumps(resource)), version, strict=True)


@pytest.mark.parametrize("name", ["smtpmock", "smtpmock-replicas"])
def test_services_lead_to_the_replicas(name: str) -> None:
    service, pods = one("Service", name)["spec"], one("Deployment")["spec"]["template"]
    assert service["selector"].items() <= pods["metadata"]["labels"].items()
    ports = {port["name"] for port in container()["ports"]}
    assert {port["targetPort"] for port in service["ports"]} <= ports


def test_the_image_is_this_version() -> None:
    assert container()["image"] == f"smtpmock/smtpmock:{VERSION}"


def test_unprivileged() -> None:
    pod = one("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["enableServiceLinks"] is False
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_variables_are_settings() -> None:
    names = {variable["name"] for variable in container()["env"]}
    assert names - {setting.variable for setting in Configuration.SETTINGS} == {"NAMESPACE"}


def test_probes_are_endpoints() -> None:
    for probe in ("livenessProbe", "readinessProbe"):
        request = container()[probe]["httpGet"]
        assert request["path"] in document()["paths"]
        assert request["port"] == "http"
