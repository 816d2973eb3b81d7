"""Calls of CatalogService and AnalysisService, with the requests and results to expect."""

from __future__ import annotations

from typing import Any

import akin
from akin.v1 import analysis_service_pb2 as analysis
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from support.recommender_calls import NEW, ONLY_NEW, ClientCall, ClientResult

MODEL: dict[str, Any] = {
    "provider": "openai",
    "model": "small",
    "dimensions": 256,
    "template": "passage: {text}",
    "query_template": "query: {text}",
}
EMBEDDING = pb.EmbeddingModel(**MODEL)
SETTINGS: dict[str, Any] = {
    "signals": pb.SIGNAL_MODE_TEXT,
    "interaction_weights": {"VIEW": 0.5, "ADD_TO_CART": 2.0},
    "new_item_boost": 1.5,
    "ranking": pb.RANKING_NEAREST,
    "prior": pb.AttributePrior(attribute="rating", weight=0.0),
}

CALLS_WITH_OPTIONS = [
    ClientCall(
        "create_catalog",
        ("films",),
        {
            "vector_storage": pb.VECTOR_STORAGE_FLOAT16,
            "text_format": pb.TEXT_FORMAT_HTML,
            "index_kind": pb.INDEX_KIND_SHARED,
            **MODEL,
            **SETTINGS,
        },
        pb.CreateCatalogRequest(
            catalog="films",
            embedding=EMBEDDING,
            vector_storage=pb.VECTOR_STORAGE_FLOAT16,
            text_format=pb.TEXT_FORMAT_HTML,
            index_kind=pb.INDEX_KIND_SHARED,
            settings=pb.CatalogSettings(**SETTINGS),
        ),
    ),
    ClientCall(
        "update_catalog",
        ("films",),
        {**SETTINGS, "update_mask": ["signals"]},
        pb.UpdateCatalogRequest(
            catalog="films",
            settings=pb.CatalogSettings(**SETTINGS),
            update_mask=FieldMask(paths=["signals"]),
        ),
    ),
    ClientCall(
        "get_catalog",
        ("films",),
        {"min_sequence": 9},
        pb.GetCatalogRequest(catalog="films", min_sequence=9),
    ),
    ClientCall("list_catalogs", (), {"min_sequence": 9}, pb.ListCatalogsRequest(min_sequence=9)),
    ClientCall(
        "delete_catalog",
        ("films",),
        {"allow_missing": True},
        pb.DeleteCatalogRequest(catalog="films", allow_missing=True),
    ),
    ClientCall(
        "estimate_reembedding",
        ("films",),
        {**MODEL, "min_sequence": 9},
        pb.EstimateReembeddingRequest(catalog="films", embedding=EMBEDDING, min_sequence=9),
    ),
    ClientCall(
        "get_reembedding",
        ("films",),
        {"min_sequence": 9},
        pb.GetReembeddingRequest(catalog="films", min_sequence=9),
    ),
    ClientCall(
        "start_reembedding",
        ("films",),
        MODEL,
        pb.StartReembeddingRequest(catalog="films", embedding=EMBEDDING),
    ),
    ClientCall(
        "find_duplicates",
        (),
        {"item_id": "a", "min_similarity": 0.0, "where": NEW, "exact": True, "min_sequence": 9},
        analysis.FindDuplicatesRequest(
            catalog="books",
            item_id="a",
            min_similarity=0.0,
            filter=ONLY_NEW,
            exact=True,
            min_sequence=9,
        ),
    ),
    ClientCall(
        "find_outliers",
        (),
        {"limit": 7, "where": NEW, "full": True, "exact": True, "min_sequence": 9},
        analysis.FindOutliersRequest(
            catalog="books",
            limit=7,
            filter=ONLY_NEW,
            view=akin.ItemView.ITEM_VIEW_FULL,
            exact=True,
            min_sequence=9,
        ),
    ),
    ClientCall(
        "cluster_items",
        (),
        {
            "cluster_count": 3,
            "where": NEW,
            "representative_limit": 2,
            "point_limit": 9,
            "min_sequence": 9,
        },
        analysis.ClusterItemsRequest(
            catalog="books",
            cluster_count=3,
            filter=ONLY_NEW,
            representative_limit=2,
            point_limit=9,
            min_sequence=9,
        ),
    ),
    ClientCall(
        "classify_text",
        ("the sea", "topic"),
        {
            "where": NEW,
            "exclude_item_ids": ["a"],
            "neighbor_count": 5,
            "limit": 2,
            "exact": True,
            "min_sequence": 9,
        },
        analysis.ClassifyTextRequest(
            catalog="books",
            text="the sea",
            attribute="topic",
            filter=ONLY_NEW,
            exclude_item_ids=["a"],
            neighbor_count=5,
            limit=2,
            exact=True,
            min_sequence=9,
        ),
    ),
    ClientCall(
        "search_passages",
        ("the sea",),
        {
            "limit": 3,
            "limit_per_item": 1,
            "where": NEW,
            "min_score": 0.0,
            "lexical_weight": 0.0,
            "exact": True,
            "min_sequence": 9,
        },
        analysis.SearchPassagesRequest(
            catalog="books",
            text="the sea",
            limit=3,
            limit_per_item=1,
            filter=ONLY_NEW,
            min_score=0.0,
            lexical_weight=0.0,
            exact=True,
            min_sequence=9,
        ),
    ),
]

CALLS_WITHOUT_OPTIONS = [
    ClientCall("create_catalog", ("films",), {}, pb.CreateCatalogRequest(catalog="films")),
    ClientCall("get_catalog", ("films",), {}, pb.GetCatalogRequest(catalog="films")),
    ClientCall("get_catalog", (), {}, pb.GetCatalogRequest(catalog="books")),
    ClientCall("get_catalog", ("",), {}, pb.GetCatalogRequest()),
    ClientCall("update_catalog", (), {}, pb.UpdateCatalogRequest(catalog="books")),
    ClientCall("list_catalogs", (), {}, pb.ListCatalogsRequest()),
    ClientCall("delete_catalog", ("films",), {}, pb.DeleteCatalogRequest(catalog="films")),
    ClientCall("estimate_reembedding", (), {}, pb.EstimateReembeddingRequest(catalog="books")),
    ClientCall("start_reembedding", (), {}, pb.StartReembeddingRequest(catalog="books")),
    ClientCall("get_reembedding", (), {}, pb.GetReembeddingRequest(catalog="books")),
    ClientCall("get_reembedding", ("films",), {}, pb.GetReembeddingRequest(catalog="films")),
    ClientCall("cancel_reembedding", (), {}, pb.CancelReembeddingRequest(catalog="books")),
    ClientCall("cancel_reembedding", ("films",), {}, pb.CancelReembeddingRequest(catalog="films")),
    ClientCall("rollback_reembedding", (), {}, pb.RollbackReembeddingRequest(catalog="books")),
    ClientCall(
        "rollback_reembedding", ("films",), {}, pb.RollbackReembeddingRequest(catalog="films")
    ),
    ClientCall("commit_reembedding", (), {}, pb.CommitReembeddingRequest(catalog="books")),
    ClientCall("commit_reembedding", ("films",), {}, pb.CommitReembeddingRequest(catalog="films")),
    ClientCall(
        "reindex",
        (pb.INDEX_KIND_SHARED,),
        {},
        pb.ReindexRequest(catalog="books", index_kind=pb.INDEX_KIND_SHARED),
    ),
    ClientCall(
        "reindex",
        (pb.INDEX_KIND_MEMORY, "films"),
        {},
        pb.ReindexRequest(catalog="films", index_kind=pb.INDEX_KIND_MEMORY),
    ),
    ClientCall("find_duplicates", (), {}, analysis.FindDuplicatesRequest(catalog="books")),
    ClientCall("find_outliers", (), {}, analysis.FindOutliersRequest(catalog="books")),
    ClientCall("cluster_items", (), {}, analysis.ClusterItemsRequest(catalog="books")),
    ClientCall(
        "classify_text",
        ("sea", "topic"),
        {},
        analysis.ClassifyTextRequest(catalog="books", text="sea", attribute="topic"),
    ),
    ClientCall(
        "search_passages",
        ("sea",),
        {},
        analysis.SearchPassagesRequest(catalog="books", text="sea"),
    ),
]

FILMS = akin.Catalog(name="films")
REEMBEDDING = akin.Reembedding(item_count=7)

RESULTS = [
    ClientResult(
        "create_catalog",
        ("films",),
        {"CreateCatalog": [pb.CreateCatalogResponse(catalog=FILMS)]},
        FILMS,
    ),
    ClientResult("get_catalog", (), {"GetCatalog": [pb.GetCatalogResponse(catalog=FILMS)]}, FILMS),
    ClientResult(
        "update_catalog", (), {"UpdateCatalog": [pb.UpdateCatalogResponse(catalog=FILMS)]}, FILMS
    ),
    ClientResult(
        "list_catalogs",
        (),
        {"ListCatalogs": [pb.ListCatalogsResponse(catalogs=[FILMS])]},
        [FILMS],
    ),
    ClientResult("delete_catalog", ("films",), {}, None),
    ClientResult(
        "start_reembedding",
        (),
        {"StartReembedding": [pb.StartReembeddingResponse(reembedding=REEMBEDDING)]},
        REEMBEDDING,
    ),
    ClientResult(
        "get_reembedding",
        (),
        {"GetReembedding": [pb.GetReembeddingResponse(reembedding=REEMBEDDING)]},
        REEMBEDDING,
    ),
    ClientResult(
        "reindex",
        (pb.INDEX_KIND_SHARED,),
        {"Reindex": [pb.ReindexResponse(catalog=FILMS)]},
        FILMS,
    ),
    ClientResult("cancel_reembedding", (), {}, None),
    ClientResult("rollback_reembedding", (), {}, None),
    ClientResult("commit_reembedding", (), {}, None),
]
