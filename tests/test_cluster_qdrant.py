"""The Compose file that adds nodes of Qdrant to the replicas, and the values of Qdrant's chart."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from support.server import WAIT_SECONDS, free_address

from service.settings import Settings, list_variables

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
CLUSTER = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.qdrant.yaml").read_text())
NODES: dict[str, dict[str, Any]] = {
    name: service for name, service in COMPOSE["services"].items() if name != "akin"
}
AKIN = COMPOSE["services"]["akin"]
FIRST = "qdrant-0"
READY_PATH, READY_PORT = "/readyz", 6333


def test_the_file_extends_the_one_of_the_replicas() -> None:
    """It changes variables and dependencies of the replicas, and adds nodes with a volume each."""
    replica = CLUSTER["services"]["akin"]
    assert {"environment", "depends_on"} == AKIN.keys()
    assert not AKIN["environment"].keys() & replica["environment"].keys()
    assert not NODES.keys() & CLUSTER["services"].keys()
    volumes = [node["volumes"] for node in NODES.values()]
    assert [[f"{name}-data:/qdrant/storage"] for name in NODES] == volumes
    assert [f"{name}-data" for name in NODES] == list(COMPOSE["volumes"])


@pytest.mark.parametrize("name", NODES)
def test_every_node_is_confined_like_a_replica(name: str) -> None:
    """No node is root, writes to its root file system, can gain anything, or has a port outside."""
    node, replica = NODES[name], CLUSTER["services"]["akin"]
    assert node["user"].partition(":")[0] not in {"", "0", "root"}
    for key in ("read_only", "cap_drop", "security_opt", "restart", "logging"):
        assert replica[key] == node[key]
    assert {"cpus", "memory", "pids"} == node["deploy"]["resources"]["limits"].keys()
    assert "ports" not in node


@pytest.mark.parametrize("name", NODES)
def test_a_node_writes_to_its_volume(name: str) -> None:
    """The paths that Qdrant has for its files are below its volume."""
    (volume,) = NODES[name]["volumes"]
    folder = volume.rpartition(":")[2]
    paths = [value for key, value in NODES[name]["environment"].items() if key.endswith("_PATH")]
    assert 2 == len(paths)
    assert all(path.startswith(f"{folder}/") for path in paths)


def test_the_nodes_form_one_cluster() -> None:
    """The first node starts the cluster, and the others join it under their own names."""
    for name, node in NODES.items():
        assert "true" == node["environment"]["QDRANT__CLUSTER__ENABLED"]
        program, *words = node["command"]
        options = dict(zip(words[::2], words[1::2], strict=True))
        assert "./qdrant" == program
        assert f"http://{name}:6335" == options.pop("--uri")
        joining = name != FIRST
        assert options == ({"--bootstrap": f"http://{FIRST}:6335"} if joining else {})
        dependencies = {FIRST: {"condition": "service_healthy"}} if joining else {}
        assert dependencies == node.get("depends_on", {})


def test_the_replicas_use_all_nodes() -> None:
    """The URL has a name that all nodes have, and replicas start when all nodes are ready."""
    variables = {variable: name for name, variable in list_variables().items()}
    environment = AKIN["environment"]
    settings = Settings.model_validate(
        {variables[name]: value for name, value in environment.items()}
    )
    assert "shared" == settings.index
    url = urlsplit(settings.qdrant_url)
    assert ("http", 6334) == (url.scheme, url.port)
    assert all([url.hostname] == node["networks"]["default"]["aliases"] for node in NODES.values())
    assert 2 == settings.qdrant_replicas
    assert {name: {"condition": "service_healthy"} for name in NODES} == AKIN["depends_on"]


def test_compose_and_kubernetes_have_the_same_version_of_qdrant() -> None:
    """The image of the nodes is that of the chart's version, and both run as no root."""
    text = (DEPLOY / "helm/qdrant.yaml").read_text()
    values, (version,) = yaml.safe_load(text), re.findall(r"--version (\S+)", text)
    assert {f"qdrant/qdrant:v{version}-unprivileged"} == {n["image"] for n in NODES.values()}
    assert values["image"]["useUnprivilegedImage"]
    assert len(NODES) == values["replicaCount"]
    assert values["config"]["cluster"]["enabled"]
    assert values["apiKey"] is True


@pytest.mark.parametrize(("status", "is_ready"), [(200, True), (503, False)])
def test_the_health_check_asks_for_readiness(status: int, is_ready: bool) -> None:
    """A node is healthy if it answers that it is ready."""
    with _serve_readiness(status) as port:
        assert is_ready == (0 == _check_health(port))


def test_a_node_that_does_not_listen_is_not_healthy() -> None:
    """The health check fails while nothing listens."""
    assert 0 != _check_health(int(free_address().rpartition(":")[2]))


def _check_health(port: int) -> int:
    """Return the exit status of the health check of a node on another port."""
    kind, *words = NODES[FIRST]["healthcheck"]["test"]
    assert "CMD" == kind
    # Compose would replace variables.
    assert not any("$" in word for word in words)
    words = [word.replace(f"/{READY_PORT} ", f"/{port} ") for word in words]
    checked = subprocess.run(words, capture_output=True, timeout=WAIT_SECONDS, check=False)
    return checked.returncode


@contextmanager
def _serve_readiness(status: int) -> Iterator[int]:
    """Yield the port of an HTTP server with this status of readiness, and 404 elsewhere."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == READY_PATH else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
