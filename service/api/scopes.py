"""Which scope a caller's key needs for each method."""

from __future__ import annotations

from service.api.auth import Scope

SCOPES = {
    "akin.v1.AnalysisService.FindDuplicates": Scope.READ,
    "akin.v1.AnalysisService.FindOutliers": Scope.READ,
    "akin.v1.AnalysisService.ClusterItems": Scope.READ,
    "akin.v1.AnalysisService.ClassifyText": Scope.READ,
    "akin.v1.AnalysisService.SearchPassages": Scope.READ,
    "akin.v1.CatalogService.CreateCatalog": Scope.ADMIN,
    "akin.v1.CatalogService.GetCatalog": Scope.READ,
    "akin.v1.CatalogService.ListCatalogs": Scope.READ,
    "akin.v1.CatalogService.DeleteCatalog": Scope.ADMIN,
    "akin.v1.CatalogService.EstimateReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.StartReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.GetReembedding": Scope.READ,
    "akin.v1.CatalogService.CancelReembedding": Scope.ADMIN,
    "akin.v1.CatalogService.FinishReembedding": Scope.ADMIN,
    "akin.v1.RecommenderService.UpsertItem": Scope.WRITE,
    "akin.v1.RecommenderService.ImportItems": Scope.WRITE,
    "akin.v1.RecommenderService.GetItem": Scope.READ,
    "akin.v1.RecommenderService.DeleteItem": Scope.WRITE,
    "akin.v1.RecommenderService.ListItems": Scope.READ,
    "akin.v1.RecommenderService.UpsertUser": Scope.WRITE,
    "akin.v1.RecommenderService.GetUser": Scope.READ,
    "akin.v1.RecommenderService.DeleteUser": Scope.WRITE,
    "akin.v1.RecommenderService.RecommendSimilar": Scope.READ,
}
"""By full name; a method that is not here is not served."""
