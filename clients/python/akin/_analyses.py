"""The blocking client's calls for what else the vectors of a catalog tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from akin import _policy, _requests
from akin._connection import Connection
from akin.v1 import analysis_service_pb2 as pb
from akin.v1 import filter_pb2


class AnalysisCalls(Connection):
    """Finds repetitions, oddities, groups, labels and passages.

    What goes through a whole catalog may take minutes, and has a deadline of its own. Shortly
    before it the server answers from what it has looked at, a random sample; `extent` tells.
    """

    def find_duplicates(
        self,
        *,
        item_id: str = "",
        min_similarity: float | None = None,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
        timeout_seconds: float = _policy.ANALYSIS_TIMEOUT_SECONDS,
    ) -> Iterator[pb.FindDuplicatesResponse]:
        """Groups of items whose texts say the same in nearly the same words.

        The first answers tell the progress, the last ones hold the groups, largest first. It begins
        when the answers are gone through, and ends when they are left.

        Args:
            item_id: look for repetitions of this item only.
            min_similarity: compare the texts of items that are at least this similar.
            where: only items that pass (see `akin.filters`).
            timeout_seconds: the call's deadline.
        """
        request = pb.FindDuplicatesRequest(
            catalog=self._catalog,
            item_id=item_id,
            min_similarity=min_similarity,
            filter=_requests.filter_(where),
        )
        return self._stream(self._analyses.FindDuplicates, request, timeout_seconds)

    def find_outliers(
        self,
        *,
        limit: int = 0,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
        full: bool = False,
        timeout_seconds: float = _policy.ANALYSIS_TIMEOUT_SECONDS,
    ) -> pb.FindOutliersResponse:
        """The items that are least like any others, oddest first.

        Args:
            limit: the most items wanted; 0 means 20.
            where: only items that pass (see `akin.filters`), also as neighbours.
            full: whether to return whole items, not just ids and scores.
            timeout_seconds: the call's deadline, retries included.
        """
        request = pb.FindOutliersRequest(
            catalog=self._catalog,
            limit=limit,
            filter=_requests.filter_(where),
            view=_requests.view(full=full),
        )
        return self._call(self._analyses.FindOutliers, request, timeout_seconds)

    def cluster_items(
        self,
        *,
        cluster_count: int = 0,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
        representative_limit: int = 0,
        point_limit: int = 0,
        timeout_seconds: float = _policy.ANALYSIS_TIMEOUT_SECONDS,
    ) -> pb.ClusterItemsResponse:
        """The items in groups of similar ones, largest first, and what each group is about.

        Args:
            cluster_count: how many groups; 0 lets the server choose.
            where: only items that pass (see `akin.filters`).
            representative_limit: the most items from the middle of each group; 0 means 5.
            point_limit: the most items to return with their group and their place on a map.
            timeout_seconds: the call's deadline, retries included.
        """
        request = pb.ClusterItemsRequest(
            catalog=self._catalog,
            cluster_count=cluster_count,
            filter=_requests.filter_(where),
            representative_limit=representative_limit,
            point_limit=point_limit,
        )
        return self._call(self._analyses.ClusterItems, request, timeout_seconds)

    def classify_text(
        self,
        text: str,
        attribute: str,
        *,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
        neighbor_count: int = 0,
        limit: int = 0,
        exclude_item_ids: Sequence[str] = (),
    ) -> pb.ClassifyTextResponse:
        """The values of an attribute that items like a text have, likeliest first.

        Args:
            text: what to label.
            attribute: whose values are the labels; dots lead into nested ones.
            where: only items that pass vote (see `akin.filters`).
            neighbor_count: how many items vote; 0 means 20.
            limit: the most labels wanted; 0 means 10.
            exclude_item_ids: items that do not vote, such as the text's own.
        """
        request = pb.ClassifyTextRequest(
            catalog=self._catalog,
            text=text,
            attribute=attribute,
            filter=_requests.filter_(where),
            neighbor_count=neighbor_count,
            limit=limit,
            exclude_item_ids=exclude_item_ids,
        )
        return self._call(self._analyses.ClassifyText, request)

    def search_passages(
        self,
        text: str,
        *,
        limit: int = 0,
        where: filter_pb2.Filter | filter_pb2.Condition | None = None,
        min_score: float | None = None,
        passages_per_item: int = 0,
        min_sequence: int = 0,
    ) -> pb.SearchPassagesResponse:
        """The passages of items' texts that are most like a text, best first.

        Args:
            text: what to look for.
            limit: the most passages wanted; 0 means 10.
            where: only passages of items that pass (see `akin.filters`).
            min_score: the least score that may come back.
            passages_per_item: the most passages of one item; 0 means any number.
            min_sequence: wait for this write, the sequence of an earlier reply, first.
        """
        request = pb.SearchPassagesRequest(
            catalog=self._catalog,
            text=text,
            limit=limit,
            filter=_requests.filter_(where),
            min_score=min_score,
            passages_per_item=passages_per_item,
            min_sequence=min_sequence,
        )
        return self._call(self._analyses.SearchPassages, request)
