"""Calls for what users do with items."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Unpack

from akin import _requests
from akin._async.connection import Connection
from akin._imports import FailurePositions
from akin.options import ImportInteractionsOptions, ListInteractionsOptions
from akin.v1 import interaction_pb2
from akin.v1 import interaction_service_pb2 as pb


class InteractionCalls(Connection):
    """Calls that record, import, list and delete interactions."""

    async def record_interactions(
        self, interactions: Iterable[interaction_pb2.Interaction]
    ) -> pb.RecordInteractionsResponse:
        """Record interactions, all or none; those that are recorded already change nothing.

        Args:
            interactions: 1 to 1,000 interactions (see `akin.interaction`). Those without a time get
                the present one, so that a retry of the call does not record them again.
        """
        request = pb.RecordInteractionsRequest(catalog=self._catalog, interactions=interactions)
        _requests.set_missing_times(request.interactions)
        return await self._channel.call(self._interactions.RecordInteractions, request)

    def import_interactions(
        self,
        interactions: Iterable[interaction_pb2.Interaction],
        **options: Unpack[ImportInteractionsOptions],
    ) -> AsyncIterator[pb.ImportInteractionsResponse]:
        """Record many interactions, and yield the counts and failures of each batch, in order.

        The positions of failures count from the beginning of `interactions`. Responses arrive while
        interactions are still being read. The call has no deadline and is not retried.

        Args:
            interactions: the interactions (see `akin.interaction`).
            **options: see `akin.options.ImportInteractionsOptions`.
        """
        _requests.check_options(ImportInteractionsOptions, options)
        positions = FailurePositions()

        def make_request(
            group: list[interaction_pb2.Interaction],
        ) -> pb.ImportInteractionsRequest:
            positions.add_group(len(group))
            request = pb.ImportInteractionsRequest(
                catalog=self._catalog, interactions=group, **options
            )
            _requests.set_missing_times(request.interactions)
            return request

        method = self._interactions.ImportInteractions
        return _complete(self._channel.exchange(method, interactions, make_request), positions)

    async def list_interactions(
        self, page_size: int = 0, page_token: str = "", **options: Unpack[ListInteractionsOptions]
    ) -> pb.ListInteractionsResponse:
        """Return one page of interactions, by ascending user id, and of each user by time.

        Args:
            page_size: maximum number of interactions, up to 1,000; 0 means 100.
            page_token: `next_page_token` of the previous page; empty for the first page.
            **options: see `akin.options.ListInteractionsOptions`.
        """
        request = _requests.build(
            pb.ListInteractionsRequest,
            ListInteractionsOptions,
            options,
            catalog=self._catalog,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._channel.call(self._interactions.ListInteractions, request)

    async def delete_interactions(self, user_id: str) -> pb.DeleteInteractionsResponse:
        """Delete all interactions of a user. Use it with `delete_user` to forget someone.

        If the call fails, some of the interactions can be deleted; call it again to delete the
        rest.

        Args:
            user_id: your id of the user.
        """
        request = pb.DeleteInteractionsRequest(catalog=self._catalog, user_id=user_id)
        return await self._channel.call(self._interactions.DeleteInteractions, request)


async def _complete(
    responses: AsyncIterator[pb.ImportInteractionsResponse], positions: FailurePositions
) -> AsyncIterator[pb.ImportInteractionsResponse]:
    async for response in responses:
        positions.complete(response.failures)
        yield response
