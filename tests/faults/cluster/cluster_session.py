"""Writers against three replicas, through faults of replicas and of the database."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import grpc
from akin.v1 import catalog_service_pb2 as catalog_pb
from support.provider import DIMENSIONS
from support.waiting import until

from faults.cluster.calls import CallCounter
from faults.cluster.cluster_writer import ClusterWriter, run_cluster_writer
from faults.cluster.payments import PaymentProvider
from faults.cluster.probes import PROBE_CATALOG, upsert
from faults.cluster.replicas import Replica
from faults.comparison import compare
from faults.model import Observation, Violation
from faults.observation import check_index
from faults.server import FaultyServer
from faults.session import ServerOptions, Session
from faults.writer import CALL_SECONDS, Stubs, Writer

REPLICAS = 3


class ClusterSession(Session):
    """Three replicas and the model of what they have.

    Args:
        folder: an empty folder.
        seed: of everything that writers do.
        address: of the database.
        provider: embeds the texts.
    """

    def __init__(self, folder: Path, seed: str, address: str, provider: PaymentProvider) -> None:
        settings = make_settings(address, provider)
        self.calls = CallCounter()
        self.replicas = [Replica("replica-0", folder, settings)]
        try:
            _create_probe_catalog(self.replicas[0])
            for number in range(1, REPLICAS):
                self.replicas.append(Replica(f"replica-{number}", folder, settings))
            super().__init__(folder / "data", seed, ServerOptions())
        except BaseException:
            self.close()
            raise

    def start_server(self) -> FaultyServer:
        """Return the server of the first replica, which runs."""
        return self.replicas[0].server

    def verify(self) -> list[Violation]:
        """Compare all that each replica has with the model, once nothing is under way."""
        violations: list[Violation] = []
        self._finish_writes()
        for replica in self.replicas:
            with Stubs(replica.address) as stubs:
                observed = self._observe(stubs)
                violations += compare(self.recorder.model, observed)
                violations += check_index(stubs, observed, observed.last_sequence)
            self.verified_states += len(observed.versions)
        self.recorder.model.settle(observed, has_restarted=True)
        violations += self.recorder.violations
        self.recorder.violations = []
        return violations

    def close(self) -> None:
        """End the replicas."""
        for replica in self.replicas:
            replica.kill()

    def _observe(self, stubs: Stubs) -> Observation:
        observed = super()._observe(stubs)
        observed.catalogs.pop(PROBE_CATALOG, None)
        for key in [key for key in observed.versions if key.catalog == PROBE_CATALOG]:
            del observed.versions[key]
        return observed

    def _make_writer(self, number: int) -> ClusterWriter:
        seed = f"{self._seed}/{self._rounds}/{number}"
        addresses = [replica.address for replica in self.replicas]
        return ClusterWriter(number, seed, self.recorder, addresses, self.calls)

    def _run_writer(self, writer: Writer) -> None:
        assert isinstance(writer, ClusterWriter)
        run_cluster_writer(writer)

    def _finish_writes(self) -> None:
        """Have each replica commit a write, after which nothing that was sent before is queued."""
        for replica in self.replicas:
            with Stubs(replica.address) as stubs:
                until(partial(_can_write, stubs))


def make_settings(address: str, provider: PaymentProvider) -> Mapping[str, str]:
    """Return the settings of a replica."""
    return {
        "STORE": address,
        "EMBEDDER": "openai",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
        "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
    }


def _can_write(stubs: Stubs) -> bool:
    try:
        upsert(stubs, 0)
    except grpc.RpcError:
        return False
    return True


def _create_probe_catalog(replica: Replica) -> None:
    with Stubs(replica.address) as stubs:
        request = catalog_pb.CreateCatalogRequest(catalog=PROBE_CATALOG)
        stubs.catalogs.CreateCatalog(request, timeout=CALL_SECONDS)
        upsert(stubs, 0)
