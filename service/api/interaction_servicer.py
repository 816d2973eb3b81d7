"""InteractionService: each method parses its request, calls one use case and words the response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from akin.v1 import interaction_service_pb2 as pb

from service import errors
from service.api.import_stream import run_import
from service.api.messages import interactions as messages
from service.catalog.handle import CatalogHandle, CatalogSource
from service.domain.interactions import Interaction

Parsed = Sequence[Interaction | errors.InvalidRequest]


class InteractionServicer:
    """Serves akin.v1.InteractionService; any method may raise AkinError."""

    def __init__(self, catalogs: CatalogSource, clock_ns: Callable[[], int]) -> None:
        self._catalogs = catalogs
        self._clock_ns = clock_ns

    async def RecordInteractions(
        self, request: pb.RecordInteractionsRequest
    ) -> pb.RecordInteractionsResponse:
        """Record interactions."""
        messages.check_record_interactions(request)
        async with self._catalogs.use(request.catalog) as catalog:
            rules = self._make_rules(catalog)
            interactions = messages.parse_record_interactions(request, rules)
            recording = await catalog.interactions.record(interactions)
        return pb.RecordInteractionsResponse(
            sequence=recording.sequence,
            recorded_count=recording.recorded_count,
            duplicate_count=len(interactions) - recording.recorded_count,
        )

    async def ImportInteractions(
        self, requests: AsyncIterator[pb.ImportInteractionsRequest]
    ) -> AsyncIterator[pb.ImportInteractionsResponse]:
        """Record many interactions."""
        async for response in run_import(requests, self._parse_import, self._store_import):
            yield response

    async def _parse_import(
        self, request: pb.ImportInteractionsRequest
    ) -> tuple[pb.ImportInteractionsRequest, Parsed]:
        messages.check_import_interactions(request)
        async with self._catalogs.use(request.catalog) as catalog:
            rules = self._make_rules(catalog)
        return request, messages.parse_import_interactions(request, rules)

    async def _store_import(
        self, work: tuple[pb.ImportInteractionsRequest, Parsed]
    ) -> pb.ImportInteractionsResponse:
        request, parsed = work
        failures = messages.list_failures(parsed)
        interactions = [entry for entry in parsed if isinstance(entry, Interaction)]
        async with self._catalogs.use(request.catalog) as catalog:
            if request.validate_only:
                return pb.ImportInteractionsResponse(failures=failures)
            recording = await catalog.interactions.record(interactions)
        return pb.ImportInteractionsResponse(
            sequence=recording.sequence,
            recorded_count=recording.recorded_count,
            duplicate_count=len(interactions) - recording.recorded_count,
            failures=failures,
        )

    def _make_rules(self, catalog: CatalogHandle) -> messages.InteractionRules:
        types = catalog.record.settings.all_weights.keys()
        return messages.InteractionRules(types, catalog.attribution.ids, self._clock_ns() // 1_000)

    async def ListInteractions(
        self, request: pb.ListInteractionsRequest
    ) -> pb.ListInteractionsResponse:
        """Return a page of interactions."""
        query = messages.parse_list_interactions(request)
        async with self._catalogs.use(request.catalog, request.min_sequence) as catalog:
            page = await catalog.interactions.list_page(query.user_id, query.after, query.page_size)
        return messages.list_interactions_response(page, request)

    async def DeleteInteractions(
        self, request: pb.DeleteInteractionsRequest
    ) -> pb.DeleteInteractionsResponse:
        """Delete all interactions of a user."""
        user_id = messages.parse_delete_interactions(request)
        async with self._catalogs.use(request.catalog) as catalog:
            deletion = await catalog.interactions.delete_of_user(user_id)
        return pb.DeleteInteractionsResponse(
            deleted_count=deletion.deleted_count, sequence=deletion.sequence
        )
