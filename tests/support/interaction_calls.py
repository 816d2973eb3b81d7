"""Calls of InteractionService, with the requests and results to expect."""

from __future__ import annotations

from datetime import UTC, datetime

import akin
from akin.v1 import interaction_service_pb2 as pb

from support.recommender_calls import ClientCall, ClientResult

TIME = datetime(2026, 1, 2, tzinfo=UTC)
LIKE = akin.interaction(
    "u", "a", "LIKE", TIME, interaction_id="like-1", value=4.5, recommendation_id="r"
)

CALLS_WITH_OPTIONS = [
    ClientCall(
        "import_interactions",
        ([LIKE],),
        {"validate_only": True},
        pb.ImportInteractionsRequest(catalog="books", interactions=[LIKE], validate_only=True),
    ),
    ClientCall(
        "list_interactions",
        (7, "next"),
        {"user_id": "u", "min_sequence": 9},
        pb.ListInteractionsRequest(
            catalog="books",
            user_id="u",
            page_size=7,
            page_token="next",  # noqa: S106
            min_sequence=9,
        ),
    ),
]

CALLS_WITHOUT_OPTIONS = [
    ClientCall(
        "record_interactions",
        ([LIKE],),
        {},
        pb.RecordInteractionsRequest(catalog="books", interactions=[LIKE]),
    ),
    ClientCall(
        "import_interactions",
        ([LIKE],),
        {},
        pb.ImportInteractionsRequest(catalog="books", interactions=[LIKE]),
    ),
    ClientCall("list_interactions", (), {}, pb.ListInteractionsRequest(catalog="books")),
    ClientCall(
        "delete_interactions",
        ("u",),
        {},
        pb.DeleteInteractionsRequest(catalog="books", user_id="u"),
    ),
]

RECORDED = akin.RecordInteractionsResponse(sequence=7, recorded_count=1)
BATCH = akin.ImportInteractionsResponse(
    recorded_count=1, failures=[akin.InteractionFailure(position=0, code=3)]
)

RESULTS = [
    ClientResult("record_interactions", ([LIKE],), {"RecordInteractions": [RECORDED]}, RECORDED),
    ClientResult("import_interactions", ([LIKE],), {"ImportInteractions": [BATCH]}, [BATCH]),
]
