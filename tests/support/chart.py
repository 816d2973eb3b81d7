"""The Helm chart, rendered by Helm with few values and with many."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from support.programs import find_program
from support.server import WAIT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/akin"

# The range of versions of Kubernetes that the chart is for.
OLDEST, NEWEST = "1.27", "1.37"

REQUIRED: dict[str, Any] = {"store": {"secret": "akin-store"}}
EVERYTHING: dict[str, Any] = {
    "store": {"secret": "akin-store", "passwordKey": "password", "caSecret": "akin-store-ca"},
    "sharedIndex": {
        "url": "http://qdrant-headless:6334",
        "default": "shared",
        "replicas": 2,
        "shards": 6,
        "secret": "qdrant-apikey",
    },
    "workers": 3,
    "provider": {"secret": "akin-provider"},
    "apiKeys": {"secret": "akin-keys"},
    "tls": {"secret": "akin-tls", "verifyClients": True},
    "http": {"enabled": True},
    "settings": {
        "AKIN_LOG_LEVEL": "warning",
        "AKIN_REFLECTION": False,
        "AKIN_EMBEDDING_BATCH_TOKENS": 300_000,
        "AKIN_EMBEDDING_BUDGET_USD_PER_DAY": 2_000_000,
        "AKIN_PRIOR_WEIGHT": -0.25,
    },
    "env": [{"name": "PGAPPNAME", "value": "akin"}],
    "imagePullSecrets": [{"name": "registry"}],
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "backup": {"enabled": True, "storageClass": "fast"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "akin", "operator": "Exists"}],
    "podAnnotations": {"a": "b"},
}
VALUES = {"required": REQUIRED, "everything": EVERYTHING}


@cache
def _render_once(name: str, version: str) -> str:
    words = ("template", "akin", "--kube-version", version, "--values", "-")
    return run_helm(*words, values=json.dumps(VALUES[name])).stdout


def render(name: str, version: str = NEWEST) -> list[dict[str, Any]]:
    """Return the manifests of the chart for one entry of VALUES."""
    return [manifest for manifest in yaml.safe_load_all(_render_once(name, version)) if manifest]


def run_helm(
    command: str, *words: str, values: str | None = None
) -> subprocess.CompletedProcess[str]:
    helm = find_program("helm", "make deploy-tools")
    return subprocess.run(
        [helm, command, *words, str(CHART)],
        input=values,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


def write_values(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "values.json"
    path.write_text(json.dumps(values))
    return path


def find_manifest(name: str, kind: str) -> dict[str, Any]:
    """Return the only manifest of a kind."""
    (manifest,) = (manifest for manifest in render(name) if manifest["kind"] == kind)
    return manifest


def list_services(name: str) -> dict[str, dict[str, Any]]:
    return {
        manifest["metadata"]["name"]: manifest
        for manifest in render(name)
        if manifest["kind"] == "Service"
    }


def find_pod_template(name: str) -> dict[str, Any]:
    return dict(find_manifest(name, "Deployment")["spec"]["template"])


def find_pod(name: str) -> dict[str, Any]:
    return dict(find_pod_template(name)["spec"])


def find_container(name: str) -> dict[str, Any]:
    (container,) = find_pod(name)["containers"]
    return dict(container)


def list_literals(name: str) -> dict[str, str]:
    """Return the variables of a replica with a value of their own."""
    return {
        variable["name"]: variable["value"]
        for variable in find_container(name)["env"]
        if "value" in variable
    }
