"""An embedding provider that fails for a while."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from akin.v1 import catalog_service_pb2 as pb
from support.faults import MALFORMED, STATUSES
from support.provider import DIMENSIONS, Fault, Reply, ScriptedProvider, success
from support.waiting import until

from faults.disturbances import STATES_BETWEEN
from faults.session import Session
from faults.tally import Tally
from faults.writer import CALL_SECONDS, Stubs

# Faults that do not blame a text, so that every text is embedded in the end.
TEMPORARY_FAULTS: tuple[Fault, ...] = (
    *(STATUSES[f"{status} with JSON"][0] for status in (401, 402, 408, 429, 500, 502, 503, 529)),
    *(fault for fault, _refusal in MALFORMED.values()),
)

FAULT_SHARE = 0.4


def make_settings(provider: ScriptedProvider) -> Mapping[str, str]:
    """Return the settings of a server that embeds with a provider."""
    return {
        "EMBEDDER": "openai",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
        "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
    }


def disturb_provider(
    provider: ScriptedProvider, session: Session, rng: random.Random, tally: Tally
) -> None:
    """Have a share of the requests to the provider fail, while writers write."""
    tally.provider_faults += 1
    choices = random.Random(rng.random())

    def answer(request: Mapping[str, Any]) -> Reply | None:
        fault = choices.choice(TEMPORARY_FAULTS) if choices.random() < FAULT_SHARE else success
        return fault(request)

    provider.otherwise = answer
    session.write_more(STATES_BETWEEN)
    provider.otherwise = success


def check_recovery(session: Session, rng: random.Random, tally: Tally) -> None:
    """Restart the server, and wait until nothing is pending any more."""
    tally.restarts += 1
    session.stop_writers()
    session.server.stop()
    session.start_server()
    with Stubs(session.server.address) as stubs:

        def is_settled() -> bool:
            request = pb.ListCatalogsRequest()
            catalogs = stubs.catalogs.ListCatalogs(request, timeout=CALL_SECONDS).catalogs
            return not any(catalog.pending_items for catalog in catalogs)

        until(is_settled)
