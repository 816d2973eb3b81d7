// Generated from protos/akin/v1/service_config.json. DO NOT EDIT.

export const serviceConfig = {
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [
    {
      "name": [
        {"service": "akin.v1.AnalysisService", "method": "FindOutliers"},
        {"service": "akin.v1.AnalysisService", "method": "ClusterItems"},
        {"service": "akin.v1.AnalysisService", "method": "ClassifyText"},
        {"service": "akin.v1.AnalysisService", "method": "SearchPassages"},
        {"service": "akin.v1.CatalogService", "method": "CreateCatalog"},
        {"service": "akin.v1.CatalogService", "method": "GetCatalog"},
        {"service": "akin.v1.CatalogService", "method": "ListCatalogs"},
        {"service": "akin.v1.CatalogService", "method": "DeleteCatalog"},
        {"service": "akin.v1.CatalogService", "method": "UpdateCatalog"},
        {"service": "akin.v1.CatalogService", "method": "EstimateReembedding"},
        {"service": "akin.v1.CatalogService", "method": "StartReembedding"},
        {"service": "akin.v1.CatalogService", "method": "GetReembedding"},
        {"service": "akin.v1.CatalogService", "method": "CancelReembedding"},
        {"service": "akin.v1.CatalogService", "method": "RollbackReembedding"},
        {"service": "akin.v1.CatalogService", "method": "CommitReembedding"},
        {"service": "akin.v1.CatalogService", "method": "Reindex"},
        {"service": "akin.v1.InteractionService", "method": "RecordInteractions"},
        {"service": "akin.v1.InteractionService", "method": "ListInteractions"},
        {"service": "akin.v1.InteractionService", "method": "DeleteInteractions"},
        {"service": "akin.v1.RecommenderService", "method": "UpsertItem"},
        {"service": "akin.v1.RecommenderService", "method": "UpdateItem"},
        {"service": "akin.v1.RecommenderService", "method": "GetItem"},
        {"service": "akin.v1.RecommenderService", "method": "BatchGetItems"},
        {"service": "akin.v1.RecommenderService", "method": "ListItems"},
        {"service": "akin.v1.RecommenderService", "method": "DeleteItem"},
        {"service": "akin.v1.RecommenderService", "method": "BatchDeleteItems"},
        {"service": "akin.v1.RecommenderService", "method": "UpsertUser"},
        {"service": "akin.v1.RecommenderService", "method": "UpdateUser"},
        {"service": "akin.v1.RecommenderService", "method": "GetUser"},
        {"service": "akin.v1.RecommenderService", "method": "ListUsers"},
        {"service": "akin.v1.RecommenderService", "method": "DeleteUser"},
        {"service": "akin.v1.RecommenderService", "method": "RecommendSimilar"},
        {"service": "akin.v1.RecommenderService", "method": "BatchRecommend"}
      ],
      "retryPolicy": {
        "maxAttempts": 5,
        "initialBackoff": "0.5s",
        "maxBackoff": "4s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]
      }
    }
  ],
  "retryThrottling": {
    "maxTokens": 1000,
    "tokenRatio": 1
  }
};
