"""The Helm chart: rendered by Helm, and compared with what Kubernetes and Akin accept."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.chart import (
    CHART,
    NEWEST,
    OLDEST,
    REQUIRED,
    ROOT,
    VALUES,
    find_container,
    find_manifest,
    find_pod,
    find_pod_template,
    list_literals,
    list_services,
    render,
    run_helm,
    write_values,
)

from service.server.workers import CLOSING_SECONDS
from service.settings import Settings, list_variables

PLAIN = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/akin.yaml").read_text()))


# Of the Prometheus operator, and so in no schema of Kubernetes.
FOREIGN_KINDS = {"ServiceMonitor"}


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_to_complain_about(tmp_path: Path, name: str) -> None:
    """`helm lint` accepts the chart with few values and with many."""
    linted = run_helm("lint", "--strict", "--values", str(write_values(tmp_path, VALUES[name])))
    assert 0 == linted.returncode, linted.stdout + linted.stderr


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_accepts_every_manifest(name: str, version: str) -> None:
    """Every manifest has the fields of its kind, in the oldest and the newest Kubernetes."""
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="run `make deploy-tools`"
    )
    manifests = render(name, version)
    for manifest in manifests:
        if manifest["kind"] not in FOREIGN_KINDS:
            kubernetes_validate.validate(manifest, version, strict=True)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_accepts_the_manifests_of_one_replica(version: str) -> None:
    """The manifests without Helm are for the same versions of Kubernetes."""
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="run `make deploy-tools`"
    )
    for manifest in PLAIN:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_optional_objects_are_left_out() -> None:
    """With only a store, there is no autoscaler, no backup, no monitor, and no claim."""
    kinds = sorted(manifest["kind"] for manifest in render("required"))
    assert kinds == ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service"]


@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_for_the_pods_of_the_server(name: str) -> None:
    """Services, budget, policy and spread select the server's pods, and not those of backups."""
    labels = find_pod_template(name)["metadata"]["labels"]
    spec = find_manifest(name, "Deployment")["spec"]
    selectors = [
        spec["selector"]["matchLabels"],
        find_manifest(name, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        find_manifest(name, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(service["spec"]["selector"] for service in list_services(name).values()),
        *(
            constraint["labelSelector"]["matchLabels"]
            for constraint in find_pod(name)["topologySpreadConstraints"]
        ),
    ]
    assert [labels] * 7 == selectors


def test_the_autoscaler_and_the_monitor_find_their_objects() -> None:
    """The autoscaler scales the Deployment, and the monitor scrapes the one port of every pod."""
    deployment = find_manifest("everything", "Deployment")
    target = find_manifest("everything", "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert [deployment["kind"], deployment["metadata"]["name"]] == [target["kind"], target["name"]]
    assert "replicas" not in deployment["spec"]
    assert "replicas" in find_manifest("required", "Deployment")["spec"]
    monitor = find_manifest("everything", "ServiceMonitor")["spec"]
    (service,) = (
        service
        for service in list_services("everything").values()
        if monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert "None" == service["spec"]["clusterIP"]
    ports = {port["name"] for port in service["spec"]["ports"]}
    scraped = {endpoint["port"] for endpoint in monitor["endpoints"]}
    assert {"metrics"} == scraped == ports - {"grpc", "http"}


@pytest.mark.parametrize("name", VALUES)
def test_ports_have_the_names_that_others_use(name: str) -> None:
    """Services and the policy name ports of the container, and its settings have their numbers."""
    ports = {port["name"]: port["containerPort"] for port in find_container(name)["ports"]}
    offered = {
        port["targetPort"]
        for service in list_services(name).values()
        for port in service["spec"]["ports"]
    }
    admitted = {
        port["port"]
        for rule in find_manifest(name, "NetworkPolicy")["spec"]["ingress"]
        for port in rule["ports"]
    }
    assert offered == admitted
    assert offered == {port for port in ports if not port.startswith("health")}
    environment = list_literals(name)
    assert [ports["grpc"], ports["metrics"], ports["health"]] == [
        int(environment[variable].rpartition(":")[2])
        for variable in ("AKIN_LISTEN", "AKIN_METRICS_LISTEN", "AKIN_HEALTH_LISTEN")
    ]
    http_address = f"0.0.0.0:{ports['http']}" if "http" in ports else None
    assert http_address == environment.get("AKIN_HTTP_LISTEN")


@pytest.mark.parametrize("name", VALUES)
def test_the_pods_are_those_of_one_replica(name: str) -> None:
    """Confinement and probes are the same as in the manifests for one replica."""
    (stateful,) = (manifest for manifest in PLAIN if manifest["kind"] == "StatefulSet")
    plain_pod = stateful["spec"]["template"]["spec"]
    pod, (plain,), container = find_pod(name), plain_pod["containers"], find_container(name)
    for key in ("securityContext", "enableServiceLinks", "automountServiceAccountToken"):
        assert plain_pod[key] == pod[key]
    for key in ("securityContext", "startupProbe", "readinessProbe", "livenessProbe"):
        assert plain[key] == container[key]


def test_the_backup_is_confined_like_the_server() -> None:
    """The pod of a backup is no root either, and writes to its volume only."""
    pod = find_manifest("everything", "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert find_pod("everything")["securityContext"] == pod["securityContext"]
    assert find_container("everything")["securityContext"] == container["securityContext"]
    writable = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert [{"name": "backups", "mountPath": "/backups"}] == writable
    claim = find_manifest("everything", "PersistentVolumeClaim")["metadata"]
    assert {"claimName": claim["name"]} == pod["volumes"][0]["persistentVolumeClaim"]
    assert "keep" == claim["annotations"]["helm.sh/resource-policy"]


@pytest.mark.parametrize("name", VALUES)
def test_replicas_have_no_volume_of_their_own(name: str) -> None:
    """The data folder of a replica goes with its pod, and every other volume is a Secret."""
    volumes = {volume.pop("name"): volume for volume in find_pod(name)["volumes"]}
    assert ["emptyDir"] == list(volumes.pop("data"))
    assert all(["secret"] == list(volume) for volume in volumes.values())
    mounts = {mount["name"]: mount["mountPath"] for mount in find_container(name)["volumeMounts"]}
    assert mounts.pop("data") == list_literals(name)["AKIN_DATA_DIR"]
    assert mounts.keys() == volumes.keys()


def test_files_of_secrets_are_where_the_settings_look() -> None:
    """Each setting with the path of a file has one below the mount of a Secret."""
    mounts = [
        mount["mountPath"]
        for mount in find_container("everything")["volumeMounts"]
        if mount["name"] != "data"
    ]
    environment = list_literals("everything")
    files = {value for value in environment.values() if value.startswith("/etc/akin")}
    assert 5 == len(files)
    assert sorted(mounts) == sorted({file.rpartition("/")[0] for file in files})


@pytest.mark.parametrize("name", VALUES)
def test_the_store_comes_from_a_secret(name: str) -> None:
    """No replica starts without the Secret of the store: it would use a database of its own."""
    source = {"secretKeyRef": {"name": "akin-store", "key": "url"}}
    variables = {"name": "AKIN_STORE", "valueFrom": source}
    assert variables in find_container(name)["env"]
    if name == "everything":
        template = find_manifest(name, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]
        assert variables in template["spec"]["containers"][0]["env"]


@pytest.mark.parametrize("name", VALUES)
def test_the_server_takes_its_settings(name: str) -> None:
    """Every variable of a replica is a setting with an allowed value, or one of libpq's."""
    variables = {variable: name for name, variable in list_variables().items()}
    literals = list_literals(name)
    given = {key: value for key, value in literals.items() if key.startswith("AKIN_")}
    settings = Settings.model_validate({variables[key]: value for key, value in given.items()})
    assert settings.workers == VALUES[name].get("workers", 1)
    others = {variable["name"] for variable in find_container(name)["env"]} - given.keys()
    secrets = {"AKIN_STORE", "AKIN_QDRANT_API_KEY", "PGPASSWORD"}
    assert others <= secrets | {"PGSSLROOTCERT", "PGAPPNAME"}


def test_the_settings_of_shared_indexes_are_those_of_the_values() -> None:
    """Replicas connect to Qdrant only if the values name it, with the key from its Secret."""
    values, environment = VALUES["everything"]["sharedIndex"], list_literals("everything")
    assert [values["default"], values["url"], str(values["replicas"]), str(values["shards"])] == [
        environment[name]
        for name in (
            "AKIN_INDEX",
            "AKIN_QDRANT_URL",
            "AKIN_QDRANT_REPLICAS",
            "AKIN_QDRANT_SHARDS",
        )
    ]
    source = {"secretKeyRef": {"name": values["secret"], "key": "api-key"}}
    variables = find_container("everything")["env"]
    assert {"name": "AKIN_QDRANT_API_KEY", "valueFrom": source} in variables
    names = {variable["name"] for variable in find_container("required")["env"]}
    assert not {name for name in names if "QDRANT" in name or "INDEX" in name}


@pytest.mark.parametrize("name", VALUES)
def test_a_pod_has_the_time_to_stop(name: str) -> None:
    """The pause before SIGTERM, the grace period and the time to close end before SIGKILL."""
    (_, pause) = find_container(name)["lifecycle"]["preStop"]["exec"]["command"]
    grace = float(list_literals(name)["AKIN_SHUTDOWN_GRACE_SECONDS"])
    assert int(pause) + grace + CLOSING_SECONDS <= find_pod(name)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"store": {"secret": ""}}, "store.secret: name the Secret"),
        ({"settings": {"AKIN_STORE": "x"}}, "settings.AKIN_STORE: the URL can have a password"),
        ({"settings": {"AKIN_WORKERS": "2"}}, "settings.AKIN_WORKERS: set workers instead"),
        (
            {"settings": {"AKIN_QDRANT_API_KEY": "x"}},
            "settings.AKIN_QDRANT_API_KEY: set sharedIndex.secret instead",
        ),
        ({"sharedIndex": {"default": "shared"}}, "sharedIndex.default: requires sharedIndex.url"),
        ({"sharedIndex": {"replicas": 17}}, "maximum"),
        ({"tls": {"verifyClients": True}}, "tls.verifyClients: requires tls.secret"),
        ({"replicaCount": 2}, "'replicaCount' not allowed"),
        ({"settings": {"LOG_LEVEL": "info"}}, "'LOG_LEVEL' does not match"),
        ({"workers": 0}, "minimum"),
    ],
)
def test_values_that_cannot_work_are_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """Helm refuses values that no replica could use, and names them."""
    rendered = run_helm(
        "template",
        "--kube-version",
        NEWEST,
        "--values",
        str(write_values(tmp_path, REQUIRED | change)),
    )
    assert 0 != rendered.returncode
    assert message in rendered.stderr


def test_the_chart_is_for_this_version() -> None:
    """The chart's image is that of this version, and its Kubernetes the documented one."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == chart["appVersion"]
    assert f">={OLDEST}.0-0" == chart["kubeVersion"]
    assert f"akin:{version}" == find_container("required")["image"]


def test_the_schema_has_every_value() -> None:
    """The schema of values allows those of the chart, each with a type, and no others."""

    def list_paths(values: Any, schema: Any) -> list[str]:
        properties = schema.get("properties")
        if properties is None:
            return []
        assert not schema["additionalProperties"]
        return [
            path
            for name in {*values, *properties} - {"global"}
            for path in (
                [name]
                if name not in values or name not in properties
                else list_paths(values[name], properties[name])
            )
        ]

    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert [] == list_paths(values, schema)
