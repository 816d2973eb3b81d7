"""Client of Akin, the recommendation service: texts in, recommendations out.

    import akin

    with akin.Client("127.0.0.1:50051") as client:
        client.upsert_item("sku-1", "Lightweight running shoes for wet trails", {"price": 89})
        for hit in client.recommend_similar(text="jogging in the rain").recommendations:
            print(hit.item_id, hit.score)

`Client` blocks, and `AsyncClient` is for asyncio. Both have the same methods, deadlines, retries
and errors. Methods return the messages of `akin.v1`, and this package exports their types.
`akin.options` documents the keyword options of the methods, and `akin.filters` builds filters.
"""

from akin import filters, options
from akin._async.client import AsyncClient
from akin._call_info import CallInfo, call_info
from akin._distributions import warn_of_other_package
from akin._errors import AkinError, Violation
from akin._policy import Tls
from akin._requests import examples, interaction, item, user
from akin._sync.client import Client
from akin.options import ModelOptions
from akin.v1.analysis_service_pb2 import (
    ClassifyTextResponse,
    Cluster,
    ClusterItem,
    ClusterItemsResponse,
    ClusterPoint,
    Coverage,
    DuplicateGroup,
    DuplicateGroups,
    DuplicateItem,
    DuplicatesProgress,
    FindDuplicatesResponse,
    FindOutliersResponse,
    Label,
    Neighbor,
    Outlier,
    Passage,
    SearchPassagesResponse,
)
from akin.v1.catalog_service_pb2 import (
    AttributePrior,
    BehaviorModel,
    Catalog,
    CatalogSettings,
    ClickThrough,
    DailyUsage,
    EmbeddingSpace,
    EstimateReembeddingResponse,
    IndexKind,
    IndexStats,
    PendingItems,
    Ranking,
    Reembedding,
    ReembeddingState,
    SignalMode,
    TextFormat,
    VectorStorage,
)
from akin.v1.embedding_usage_pb2 import (
    EmbeddingUsage,
)
from akin.v1.filter_pb2 import (
    Condition,
    Filter,
    Range,
)
from akin.v1.interaction_pb2 import (
    Interaction,
)
from akin.v1.interaction_service_pb2 import (
    DeleteInteractionsResponse,
    ImportInteractionsResponse,
    InteractionFailure,
    ListInteractionsResponse,
    RecordInteractionsResponse,
)
from akin.v1.item_pb2 import (
    Item,
    ItemResult,
    ItemState,
    ItemView,
)
from akin.v1.recommender_service_pb2 import (
    BatchDeleteItemsResponse,
    BatchGetItemsResponse,
    BatchRecommendResponse,
    Boost,
    BoostCurve,
    Decay,
    DecayShape,
    Example,
    Examples,
    Explanation,
    Fallback,
    GroupBy,
    ImportItemsResponse,
    ImportUsersResponse,
    ListItemsResponse,
    ListUsersResponse,
    NumberBoost,
    Popular,
    Recommendation,
    RecommendSimilarResponse,
    Relation,
    Signal,
    Signals,
    UpdateItemResponse,
    UpdateUserResponse,
    UpsertItemResponse,
    UpsertUserResponse,
)
from akin.v1.user_pb2 import (
    LikedItem,
    Preference,
    User,
    UserResult,
)

__all__ = [
    "AkinError",
    "AsyncClient",
    "AttributePrior",
    "BatchDeleteItemsResponse",
    "BatchGetItemsResponse",
    "BatchRecommendResponse",
    "BehaviorModel",
    "Boost",
    "BoostCurve",
    "CallInfo",
    "Catalog",
    "CatalogSettings",
    "ClassifyTextResponse",
    "ClickThrough",
    "Client",
    "Cluster",
    "ClusterItem",
    "ClusterItemsResponse",
    "ClusterPoint",
    "Condition",
    "Coverage",
    "DailyUsage",
    "Decay",
    "DecayShape",
    "DeleteInteractionsResponse",
    "DuplicateGroup",
    "DuplicateGroups",
    "DuplicateItem",
    "DuplicatesProgress",
    "EmbeddingSpace",
    "EmbeddingUsage",
    "EstimateReembeddingResponse",
    "Example",
    "Examples",
    "Explanation",
    "Fallback",
    "Filter",
    "FindDuplicatesResponse",
    "FindOutliersResponse",
    "GroupBy",
    "ImportInteractionsResponse",
    "ImportItemsResponse",
    "ImportUsersResponse",
    "IndexKind",
    "IndexStats",
    "Interaction",
    "InteractionFailure",
    "Item",
    "ItemResult",
    "ItemState",
    "ItemView",
    "Label",
    "LikedItem",
    "ListInteractionsResponse",
    "ListItemsResponse",
    "ListUsersResponse",
    "ModelOptions",
    "Neighbor",
    "NumberBoost",
    "Outlier",
    "Passage",
    "PendingItems",
    "Popular",
    "Preference",
    "Range",
    "Ranking",
    "RecommendSimilarResponse",
    "Recommendation",
    "RecordInteractionsResponse",
    "Reembedding",
    "ReembeddingState",
    "Relation",
    "SearchPassagesResponse",
    "Signal",
    "SignalMode",
    "Signals",
    "TextFormat",
    "Tls",
    "UpdateItemResponse",
    "UpdateUserResponse",
    "UpsertItemResponse",
    "UpsertUserResponse",
    "User",
    "UserResult",
    "VectorStorage",
    "Violation",
    "call_info",
    "examples",
    "filters",
    "interaction",
    "item",
    "options",
    "user",
]

warn_of_other_package()
