"""How both clients treat the network: deadlines, retries, sizes."""

from __future__ import annotations

import json

TIMEOUT_SECONDS = 10.0
"""The deadline of a call that is given none; retries happen within it."""

MESSAGE_BYTES = 64 * 1024 * 1024

# UNAVAILABLE says that nothing was done, so trying again is safe. Four attempts at up to 0.2, 0.4
# and 0.8 s outlast a restart of a small server, and stay within the deadline.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [
                {"service": "akin.v1.RecommenderService"},
                {"service": "akin.v1.CatalogService"},
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

CHANNEL_OPTIONS = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
)
