"""The connection to Qdrant, and its collections."""

from __future__ import annotations

import json
from typing import Any, Self

from qdrant_client import AsyncQdrantClient

from service.domain.shared_indexes import SharedIndexRecord
from service.index.shared.engine_address import EngineAddress
from service.index.shared.qdrant_calls import CollectionLayout, QdrantCalls
from service.index.shared.qdrant_reads import QdrantReads
from service.index.shared.qdrant_writes import QdrantWrites

# The longest time of one call. Reads take milliseconds, and writes of a batch tens of them.
CALL_SECONDS = 10

# One connection to each machine. Calls of one that fails go to another one: all of them can be
# repeated without harm.
_RETRIES = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
# The options of the connection.
ENGINE_CHANNEL_OPTIONS: dict[str, Any] = {
    "grpc.service_config": json.dumps(_RETRIES),
    "grpc.enable_retries": 1,
    # A machine that is gone without a word is noticed after this time.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
    # A machine that comes back is used again within this time.
    "grpc.max_reconnect_backoff_ms": 2_000,
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
}


class QdrantEngine:
    """A connection to Qdrant. End it with `close`.

    Args:
        client: of Qdrant.
        store_id: tells the collections of this store from those of others.
        shards: the number of parts of each new collection; None for one for each machine.
        replicas: the number of copies of each part.
    """

    def __init__(
        self,
        client: AsyncQdrantClient,
        store_id: str,
        *,
        shards: int | None = None,
        replicas: int = 1,
    ) -> None:
        self._client = client
        self._store_id = store_id
        self._shards = shards
        self._replicas = replicas

    @classmethod
    def connect(
        cls,
        address: EngineAddress,
        store_id: str,
        *,
        shards: int | None = None,
        replicas: int = 1,
    ) -> Self:
        """Return an engine at an address; it need not be there yet."""
        client = AsyncQdrantClient(
            host=address.target,
            grpc_port=address.port,
            prefer_grpc=True,
            https=address.tls,
            api_key=address.api_key or None,
            timeout=CALL_SECONDS,
            grpc_options={**ENGINE_CHANNEL_OPTIONS, "grpc.default_authority": address.authority},
            pool_size=1,
            check_compatibility=False,
        )
        return cls(client, store_id, shards=shards, replicas=replicas)

    def open_reads(self, record: SharedIndexRecord, dimensions: int, space: str) -> QdrantReads:
        """Return the reads of the collection of a shared index."""
        return QdrantReads(self._open_calls(record, dimensions, space))

    def open_writes(self, record: SharedIndexRecord, dimensions: int, space: str) -> QdrantWrites:
        """Return the writes of the collection of a shared index."""
        return QdrantWrites(self._open_calls(record, dimensions, space))

    async def close(self) -> None:
        """End the connection."""
        await self._client.close()

    def _open_calls(self, record: SharedIndexRecord, dimensions: int, space: str) -> QdrantCalls:
        name = f"akin-{self._store_id}-{record.generation_id}-{record.version}"
        identity = f"{self._store_id} {space}"
        layout = CollectionLayout(dimensions, identity, self._shards, self._replicas)
        return QdrantCalls(self._client, name, layout)
