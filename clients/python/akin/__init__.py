"""Client of Akin, the recommendation service: texts in, recommendations out.

    import akin

    with akin.Client("127.0.0.1:50051") as client:
        client.upsert_item("sku-1", "Lightweight running shoes for wet trails", {"price": 89})
        for hit in client.recommend_similar(text="jogging in the rain").recommendations:
            print(hit.item_id, hit.score)

`Client` blocks and `AsyncClient` is for asyncio; both have the same methods, deadlines, retries and
errors. Methods return the messages of `akin.v1`; this package exports their types. `akin.options`
documents the keyword options of the methods, `akin.filters` builds filters.
"""

from akin import filters, options
from akin._async.client import AsyncClient
from akin._errors import AkinError, Violation
from akin._policy import Tls
from akin._requests import examples, item
from akin._sync.client import Client
from akin.options import ModelOptions
from akin.v1.analysis_service_pb2 import (
    ClassifyTextResponse,
    Cluster,
    ClusterItem,
    ClusterItemsResponse,
    ClusterPoint,
    DuplicateGroup,
    DuplicateItem,
    Extent,
    FindDuplicatesResponse,
    FindOutliersResponse,
    Label,
    Outlier,
    Passage,
    SearchPassagesResponse,
    Voter,
)
from akin.v1.catalog_service_pb2 import (
    Catalog,
    EmbeddingSpace,
    EstimateReembeddingResponse,
    Reembedding,
    ReembeddingState,
    VectorStorage,
)
from akin.v1.embedding_usage_pb2 import EmbeddingUsage
from akin.v1.filter_pb2 import Condition, Filter, Range
from akin.v1.item_pb2 import Item, ItemResult, ItemState
from akin.v1.recommender_service_pb2 import (
    Example,
    Examples,
    ImportItemsResponse,
    ItemView,
    ListItemsResponse,
    Reason,
    Recommendation,
    RecommendSimilarResponse,
    UpsertItemResponse,
    UpsertUserResponse,
)
from akin.v1.user_pb2 import LikedItem, Preference, User

__all__ = [
    "AkinError",
    "AsyncClient",
    "Catalog",
    "ClassifyTextResponse",
    "Client",
    "Cluster",
    "ClusterItem",
    "ClusterItemsResponse",
    "ClusterPoint",
    "Condition",
    "DuplicateGroup",
    "DuplicateItem",
    "EmbeddingSpace",
    "EmbeddingUsage",
    "EstimateReembeddingResponse",
    "Example",
    "Examples",
    "Extent",
    "Filter",
    "FindDuplicatesResponse",
    "FindOutliersResponse",
    "ImportItemsResponse",
    "Item",
    "ItemResult",
    "ItemState",
    "ItemView",
    "Label",
    "LikedItem",
    "ListItemsResponse",
    "ModelOptions",
    "Outlier",
    "Passage",
    "Preference",
    "Range",
    "Reason",
    "RecommendSimilarResponse",
    "Recommendation",
    "Reembedding",
    "ReembeddingState",
    "SearchPassagesResponse",
    "Tls",
    "UpsertItemResponse",
    "UpsertUserResponse",
    "User",
    "VectorStorage",
    "Violation",
    "Voter",
    "examples",
    "filters",
    "item",
    "options",
]
