"""Questions about a catalog, in process and through a server's stubs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from akin.v1 import analysis_service_pb2 as pb
from akin.v1.analysis_service_pb2_grpc import AnalysisServiceStub

from service.analysis.analyst import Analyst
from service.domain.analyses import DuplicateGroups, DuplicatesProgress, DuplicatesQuery
from support.catalogs import Catalog
from support.rejections import OPTIONS


def analyst(catalog: Catalog) -> Analyst:
    """The use cases over a catalog."""
    return Analyst(catalog.store, catalog.row, catalog.follower, catalog.text_embedder)


async def duplicates(
    catalog: Catalog, query: DuplicatesQuery
) -> list[DuplicatesProgress | DuplicateGroups]:
    """All that a search for duplicates answers."""
    return [each async for each in analyst(catalog).find_duplicates(query)]


def groups(answers: list[DuplicatesProgress | DuplicateGroups]) -> list[list[str]]:
    """The groups of all answers, as ids."""
    return [
        [item.item_id for item in group]
        for answer in answers
        if isinstance(answer, DuplicateGroups)
        for group in answer.groups
    ]


@contextmanager
def stub(address: str) -> Iterator[AnalysisServiceStub]:
    """A stub of a server's AnalysisService."""
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        yield AnalysisServiceStub(channel)


def found_groups(replies: list[pb.FindDuplicatesResponse]) -> list[list[str]]:
    """The groups of all replies, as ids."""
    return [[item.item_id for item in group.items] for reply in replies for group in reply.groups]
