// Made from protos/akin/v1/service_config.json. DO NOT EDIT.

export const serviceConfig = {
  "methodConfig": [
    {
      "name": [
        {"service": "akin.v1.CatalogService", "method": "GetCatalog"},
        {"service": "akin.v1.RecommenderService", "method": "UpsertItem"},
        {"service": "akin.v1.RecommenderService", "method": "GetItem"},
        {"service": "akin.v1.RecommenderService", "method": "DeleteItem"},
        {"service": "akin.v1.RecommenderService", "method": "ListItems"},
        {"service": "akin.v1.RecommenderService", "method": "UpsertUser"},
        {"service": "akin.v1.RecommenderService", "method": "GetUser"},
        {"service": "akin.v1.RecommenderService", "method": "DeleteUser"},
        {"service": "akin.v1.RecommenderService", "method": "RecommendSimilar"}
      ],
      "retryPolicy": {
        "maxAttempts": 5,
        "initialBackoff": "0.5s",
        "maxBackoff": "4s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"]
      }
    }
  ]
};
