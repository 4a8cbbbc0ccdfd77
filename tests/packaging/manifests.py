"""packaging/kubernetes as ``kubectl apply -k`` renders it."""

from __future__ import annotations

import subprocess
from functools import cache
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.e2e.tools import ToolMissing, kubectl
from tests.helpers import PATIENCE, ROOT

FOLDER = ROOT / "packaging/kubernetes"


@cache
def rendered() -> list[dict[str, Any]]:
    try:
        tool = kubectl()
    except ToolMissing as missing:
        pytest.skip(str(missing))
    command = [*tool.argv, "kustomize", str(FOLDER)]
    done = subprocess.run(command, env=tool.env, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    return list(YAML(typ="safe", pure=True).load_all(done.stdout))


def one(kind: str, name: str = "smtpmock") -> dict[str, Any]:
    (found,) = [each for each in rendered() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def container() -> dict[str, Any]:
    """That of a replica."""
    (only,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def variables(namespace: str) -> dict[str, str]:
    """A replica's environment, as Kubernetes resolves it in a namespace."""
    plain = {each["name"]: each["value"] for each in container()["env"] if "value" in each}
    return {name: value.replace("$(NAMESPACE)", namespace) for name, value in plain.items()}
