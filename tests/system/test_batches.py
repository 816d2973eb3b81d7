"""Batches of queries to a real server."""

from pathlib import Path

import akin
import pytest
from support.security import entry, write_keys
from support.server import RunningServer

from service.domain import limits


def test_each_query_counts_for_the_rate_limit(tmp_path: Path) -> None:
    """A batch is admitted as one call is, and its key then waits as after as many calls."""
    keys = tmp_path / "keys"
    write_keys(keys, entry("slow", "read", calls_per_second=0.5), entry("other", "read"))
    queries: list[akin.options.RecommendSimilarOptions] = [{"text": "tea"}] * limits.BATCH_QUERIES
    with RunningServer(tmp_path, API_KEYS=str(keys), EMBEDDER="local") as server:
        with server.client(api_key="slow-key") as slow:
            assert limits.BATCH_QUERIES == len(slow.batch_recommend(queries).results)
            with pytest.raises(akin.AkinError) as raised:
                slow.recommend_similar(text="tea")
        assert raised.value.reason == "RATE_LIMITED"
        assert (raised.value.retry_after_seconds or 0) > limits.BATCH_QUERIES
        with server.client(api_key="other-key") as other:
            other.batch_recommend(queries)
            other.recommend_similar(text="tea")


def test_a_batch_is_refused_with_the_scope_or_catalog_missing(tmp_path: Path) -> None:
    """A batch needs the scope `read`, and a key that is for its catalog."""
    keys = tmp_path / "keys"
    own = entry("own", "read", catalogs=["default"])
    write_keys(keys, own, entry("writer", "write"), entry("admin", "admin"))
    with RunningServer(tmp_path, API_KEYS=str(keys), EMBEDDER="local") as server:
        with server.client(api_key="admin-key") as admin:
            admin.create_catalog("secret")
        with server.client(api_key="writer-key") as writer, pytest.raises(akin.AkinError) as raised:
            writer.batch_recommend([{"text": "tea"}])
        assert raised.value.reason == "PERMISSION_DENIED"
        with server.client(api_key="own-key") as client:
            (result,) = client.batch_recommend([{"text": "tea"}]).results
            assert not result.code
        with (
            server.client(api_key="own-key", catalog="secret") as client,
            pytest.raises(akin.AkinError) as raised,
        ):
            client.batch_recommend([{"text": "tea"}])
        assert raised.value.reason == "PERMISSION_DENIED"
