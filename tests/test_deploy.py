import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.server import EMBEDDING_HEALTH, RECOMMENDER
from service.server.workers import CLOSING_SECONDS
from service.settings import Settings, list_variables

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["akin"]
MANIFESTS = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/akin.yaml").read_text()))
FILES = sorted(
    path
    for path in (ROOT / "Dockerfile", ROOT / "compose.yaml", *(ROOT / "deploy").rglob("*"))
    if path.is_file()
)
USER = 10001
DRAIN_SECONDS = Settings.model_fields["shutdown_grace_seconds"].default


def test_every_manifest_is_for_the_same_pods() -> None:
    """Services, budget and policy select the pods that the StatefulSet makes, and no others."""
    labels = _manifest("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        spec["selector"].get("matchLabels", spec["selector"])
        for spec in (each["spec"] for each in MANIFESTS)
        if "selector" in spec
    ]
    assert [labels] * 4 == selectors
    assert labels == _manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]


def test_stopping_may_take_longer_than_the_drain() -> None:
    """Calls under way get all of their grace period, and the database its time to close."""
    for settings, seconds in (
        (COMPOSE["environment"], float(COMPOSE["stop_grace_period"].removesuffix("s"))),
        (_environment(), _pod()["terminationGracePeriodSeconds"]),
    ):
        drain_seconds = float(settings.get("AKIN_SHUTDOWN_GRACE_SECONDS", DRAIN_SECONDS))
        assert max(drain_seconds, DRAIN_SECONDS) + CLOSING_SECONDS <= seconds


def test_the_image_runs_as_nobody_else() -> None:
    """The image's user is its own, by number, and process 1 is Akin itself, told to end."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert [f"{USER}:{USER}"] == re.findall(r"^USER (.+)$", final, re.MULTILINE)
    assert ["SIGTERM"] == re.findall(r"^STOPSIGNAL (.+)$", final, re.MULTILINE)
    assert ['["akin", "serve"]'] == re.findall(r"^CMD (.+)$", final, re.MULTILINE)


def test_compose_confines_the_container() -> None:
    """Under Compose the server is no root, writes to its volume only, and can gain nothing."""
    expected = {
        "user": f"{USER}:{USER}",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "volumes": ["akin-data:/data"],
    }
    assert expected == {name: COMPOSE[name] for name in expected}
    assert {"cpus", "memory", "pids"} == COMPOSE["deploy"]["resources"]["limits"].keys()
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["ports"])


def test_monitoring_under_compose_finds_its_files() -> None:
    """Prometheus scrapes the port of the metrics, and every file that is mounted exists."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    monitoring = {
        name for name, each in services.items() if "monitoring" in each.get("profiles", ())
    }
    assert {"prometheus", "grafana"} == monitoring
    folder = ROOT / "deploy/prometheus"
    configuration = yaml.safe_load((folder / "prometheus.yaml").read_text())
    assert all((folder / name).is_file() for name in configuration["rule_files"])
    (scraped,) = configuration["scrape_configs"]
    port = COMPOSE["environment"]["AKIN_METRICS_LISTEN"].rpartition(":")[2]
    assert [{"targets": [f"akin:{port}"]}] == scraped["static_configs"]
    mounts = [mount for name in monitoring for mount in services[name]["volumes"]]
    paths = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert len(paths) > len(monitoring)
    assert all((ROOT / path).exists() for path in paths)
    assert all(
        port.startswith("127.0.0.1:") for name in monitoring for port in services[name]["ports"]
    )


def test_kubernetes_confines_the_pod() -> None:
    """In a cluster the server is no root, writes to its claim only, and can gain nothing."""
    container, expected = _container(), {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER}
    confined = _pod()["securityContext"]
    assert expected == {name: confined[name] for name in expected}
    assert {"type": "RuntimeDefault"} == confined["seccompProfile"]
    expected_container = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert expected_container == container["securityContext"]
    assert [{"name": "data", "mountPath": "/data"}] == container["volumeMounts"]
    assert {"cpu", "memory"} == container["resources"]["limits"].keys()


def test_one_server_has_the_data_folder() -> None:
    """There is one replica, with a claim of its own."""
    spec = _manifest("StatefulSet")["spec"]
    assert 1 == spec["replicas"]
    assert ["data"] == [each["metadata"]["name"] for each in spec["volumeClaimTemplates"]]
    headless = [
        each["metadata"]["name"]
        for each in MANIFESTS
        if each["kind"] == "Service" and each["spec"].get("clusterIP") == "None"
    ]
    assert [spec["serviceName"]] == headless


def test_kubernetes_adds_no_settings() -> None:
    """Kubernetes sets no variables for the Service named akin: the server would refuse them."""
    assert not _pod()["enableServiceLinks"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_settings_that_exist_are_named(path: Path) -> None:
    """Whatever looks like a setting in a file for deployment is one."""
    named = set(re.findall(r"\bAKIN_[A-Z][A-Z_]*[A-Z]\b", path.read_text()))
    assert set() == named - set(list_variables().values())


def test_settings_of_the_deployments_are_good() -> None:
    """The server takes the values that the deployments set, and listens on the probed port."""
    variables = {variable: name for name, variable in list_variables().items()}
    for given in (COMPOSE["environment"], _environment()):
        literal = {each: value for each, value in given.items() if not value.startswith("$")}
        Settings.model_validate({variables[each]: value for each, value in literal.items()})
    ports = {each["name"]: each["containerPort"] for each in _container()["ports"]}
    listens = (
        _environment()[each]
        for each in ("AKIN_LISTEN", "AKIN_METRICS_LISTEN", "AKIN_HEALTH_LISTEN")
    )
    assert list(ports.values()) == [int(each.rpartition(":")[2]) for each in listens]


@pytest.mark.parametrize(
    ("probe", "service"),
    [("startupProbe", ""), ("readinessProbe", RECOMMENDER), ("livenessProbe", "")],
)
def test_probes_ask_for_names_that_health_knows(probe: str, service: str) -> None:
    """Probes ask where health is for names the server has; none restarts it for its provider."""
    (port,) = (each["containerPort"] for each in _container()["ports"] if each["name"] == "health")
    assert {"port": port, "service": service} == _container()[probe]["grpc"]
    assert service != EMBEDDING_HEALTH


def test_only_calls_and_scrapes_come_in() -> None:
    """The policy lets in the gRPC port and that of the metrics, and Services offer no others."""
    policy = _manifest("NetworkPolicy")["spec"]
    assert ["Ingress"] == policy["policyTypes"]
    assert ["grpc", "metrics"] == [
        port["port"] for rule in policy["ingress"] for port in rule["ports"]
    ]
    offered = {
        port["targetPort"]
        for each in MANIFESTS
        if each["kind"] == "Service"
        for port in each["spec"]["ports"]
    }
    assert {"grpc", "metrics"} == offered


def test_the_image_is_built_with_the_backend_that_is_developed_with() -> None:
    """What builds the image's wheels is pinned by hash, at the versions of the development lock."""
    development = dict(_pins(ROOT / "requirements-dev.lock"))
    build = dict(_pins(ROOT / "deploy/build-requirements.lock"))
    assert "hatchling" in build
    assert build == {name: development[name] for name in build}
    # Otherwise pip would take whatever the index has, for itself or to build with.
    for command in re.findall(r"pip\S* .*?(?=&&|\n[A-Z])", DOCKERFILE, re.DOTALL):
        if " install " in command or " wheel " in command:
            assert "--require-hashes" in command or "--no-index" in command


def _manifest(kind: str) -> dict[str, Any]:
    (found,) = (each for each in MANIFESTS if each["kind"] == kind)
    return dict(found)


def _pod() -> dict[str, Any]:
    return dict(_manifest("StatefulSet")["spec"]["template"]["spec"])


def _container() -> dict[str, Any]:
    (container,) = _pod()["containers"]
    return dict(container)


def _environment() -> dict[str, str]:
    return {each["name"]: each["value"] for each in _container()["env"]}


def _pins(path: Path) -> Iterator[tuple[str, str]]:
    """Each pinned package with its version and hashes."""
    for match in re.finditer(
        r"^(\S+)==(.+?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL
    ):
        yield match[1], match[2].strip()
