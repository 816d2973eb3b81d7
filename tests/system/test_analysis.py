from collections.abc import Iterator
from typing import Any

import akin
import grpc
import pytest
from akin import filters
from akin.v1 import analysis_service_pb2 as pb
from akin.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from google.protobuf.message import Message
from support.analysis import found_groups, stub
from support.rejections import invalid, translated
from support.server import RunningServer
from support.texts import distinct

NAN = float("nan")
WORN = "A worn leather jacket with brass buttons, lined with wool, that smells of smoke and rain"
ITEMS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose items are those of these tests alone."""
    with RunningServer(tmp_path_factory.mktemp("analysis")) as running, running.client() as client:
        texts = {f"i{n:02}": distinct(67 * n) for n in range(ITEMS)}
        texts |= {"jacket": WORN, "jacket again": WORN.upper(), "jacket once more": f"{WORN}!"}
        items = (
            akin.item(
                name, text, {"kind": name[0], "size": {"eu": 38.0}, "odd": name[-1] in "13579"}
            )
            for name, text in texts.items()
        )
        assert {0} == {each.code for each in client.import_items(items)}
        yield running


@pytest.fixture
def calls(server: RunningServer) -> Iterator[AnalysisServiceStub]:
    with stub(server.address) as found:
        yield found


def test_duplicates(calls: AnalysisServiceStub) -> None:
    """The groups come last, with the whole catalog examined; one item's are its own."""
    replies = list(calls.FindDuplicates(pb.FindDuplicatesRequest(), timeout=30))
    assert [{"jacket", "jacket again", "jacket once more"}] == [
        set(group) for group in found_groups(replies)
    ]
    assert "jacket" == found_groups(replies)[0][0]
    extent = replies[-1].groups.coverage
    assert (ITEMS + 3, ITEMS + 3, False) == (
        extent.item_count,
        extent.examined_item_count,
        extent.sampled,
    )
    around = list(calls.FindDuplicates(pb.FindDuplicatesRequest(item_id="jacket again")))
    assert found_groups(replies) == found_groups(around)
    alone = list(calls.FindDuplicates(pb.FindDuplicatesRequest(item_id="i00")))
    assert [] == found_groups(alone)


def test_duplicates_of_nothing(calls: AnalysisServiceStub) -> None:
    """Without an item of that id the answer is NOT_FOUND."""
    with pytest.raises(akin.AkinError) as caught, translated():
        list(calls.FindDuplicates(pb.FindDuplicatesRequest(item_id="nothing")))
    assert (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND") == (
        caught.value.code,
        caught.value.reason,
    )


def test_outliers(calls: AnalysisServiceStub, client: akin.Client) -> None:
    """The text that is like no other comes first, with the item where it is asked for."""
    wanted = filters.all_of(filters.equals("kind", "i"))
    answer = calls.FindOutliers(pb.FindOutliersRequest(limit=5, filter=wanted))
    assert 5 == len(answer.outliers)
    assert not answer.outliers[0].HasField("item")
    full = calls.FindOutliers(pb.FindOutliersRequest(view=akin.ItemView.ITEM_VIEW_FULL, limit=2))
    for each in full.outliers:
        assert client.get_item(each.item_id) == each.item
    assert 20 == len(calls.FindOutliers(pb.FindOutliersRequest()).outliers)


def test_clusters(calls: AnalysisServiceStub) -> None:
    """Groups hold every item once, largest first, each with words and representatives."""
    answer = calls.ClusterItems(pb.ClusterItemsRequest(cluster_count=4, point_limit=1000))
    sizes = [each.item_count for each in answer.clusters]
    assert sorted(sizes, reverse=True) == sizes
    assert ITEMS + 3 == sum(sizes) == len({each.item_id for each in answer.points})
    for number, each in enumerate(answer.clusters):
        assert each.item_count == sum(point.cluster_index == number for point in answer.points)
        assert 1 <= len(each.representatives) <= 5
        assert 0 < each.cohesion <= 1.0 + 1e-5
    assert 1 <= len(calls.ClusterItems(pb.ClusterItemsRequest()).clusters) <= 32


def test_too_few_items(calls: AnalysisServiceStub) -> None:
    """More groups than items are refused with a reason of its own."""
    with pytest.raises(akin.AkinError) as caught, translated():
        calls.ClusterItems(pb.ClusterItemsRequest(cluster_count=ITEMS + 4))
    assert (grpc.StatusCode.FAILED_PRECONDITION, "TOO_FEW_ITEMS") == (
        caught.value.code,
        caught.value.reason,
    )


def test_labels(calls: AnalysisServiceStub) -> None:
    """Labels are values of any kind, at any path; voters come nearest first."""
    request = pb.ClassifyTextRequest(text="leather jacket", attribute="kind", neighbor_count=3)
    answer = calls.ClassifyText(request)
    assert "j" == answer.labels[0].value.string_value
    assert 0.5 < answer.labels[0].probability <= 1.0
    assert 3 == len(answer.neighbors)
    sizes = calls.ClassifyText(pb.ClassifyTextRequest(text="a", attribute="size.eu")).labels
    assert [38.0] == [each.value.number_value for each in sizes]
    odd = calls.ClassifyText(pb.ClassifyTextRequest(text="a", attribute="odd")).labels
    assert {True, False} == {each.value.bool_value for each in odd}
    assert 1 == answer.usage.text_count
    assert answer.sequence >= ITEMS + 3


def test_passages(calls: AnalysisServiceStub, client: akin.Client) -> None:
    """A passage is a piece of its item's text; a write that is waited for is there."""
    answer = calls.SearchPassages(pb.SearchPassagesRequest(text="worn leather jacket", limit=3))
    assert {"jacket", "jacket again", "jacket once more"} == {p.item_id for p in answer.passages}
    assert [0, 0, 0] == [each.start_offset for each in answer.passages]
    assert {len(WORN), len(WORN) + 1} == {each.end_offset for each in answer.passages}
    stored = client.upsert_item("new", "A hat of straw with a blue ribbon")
    found = calls.SearchPassages(
        pb.SearchPassagesRequest(text="straw hat", limit=1, min_sequence=stored.item.sequence)
    )
    client.delete_item("new")
    assert "new" == found.passages[0].item_id
    assert found.sequence >= stored.item.sequence


BAD_FILTER = akin.Filter(all=[akin.Condition(attribute="a")])
BAD: dict[str, tuple[str, Message, list[str]]] = {
    "duplicates": (
        "FindDuplicates",
        pb.FindDuplicatesRequest(item_id="a\n", min_similarity=1.5, filter=BAD_FILTER),
        ["item_id", "min_similarity", "filter.all[0].test"],
    ),
    "not a number": (
        "FindDuplicates",
        pb.FindDuplicatesRequest(min_similarity=NAN),
        ["min_similarity"],
    ),
    "outliers": (
        "FindOutliers",
        pb.FindOutliersRequest(catalog="No!", limit=1001, filter=BAD_FILTER),
        ["catalog", "limit", "filter.all[0].test"],
    ),
    "clusters": (
        "ClusterItems",
        pb.ClusterItemsRequest(
            cluster_count=1001, representative_limit=101, point_limit=100_001, filter=BAD_FILTER
        ),
        ["cluster_count", "filter.all[0].test", "representative_limit", "point_limit"],
    ),
    "negative clusters": (
        "ClusterItems",
        pb.ClusterItemsRequest(cluster_count=-1, representative_limit=-1, point_limit=-1),
        ["cluster_count", "representative_limit", "point_limit"],
    ),
    "labels": (
        "ClassifyText",
        pb.ClassifyTextRequest(
            text=" ",
            filter=BAD_FILTER,
            neighbor_count=1001,
            limit=1001,
            exclude_item_ids=["fine", ""],
        ),
        [
            "text",
            "attribute",
            "filter.all[0].test",
            "neighbor_count",
            "limit",
            "exclude_item_ids[1]",
        ],
    ),
    "many excluded": (
        "ClassifyText",
        pb.ClassifyTextRequest(text="a", attribute="b", exclude_item_ids=["x"] * 10_001),
        ["exclude_item_ids"],
    ),
    "passages": (
        "SearchPassages",
        pb.SearchPassagesRequest(
            limit=-1, min_score=NAN, limit_per_item=-1, min_sequence=-1, filter=BAD_FILTER
        ),
        ["min_sequence", "text", "limit", "filter.all[0].test", "min_score", "limit_per_item"],
    ),
    "future": (
        "SearchPassages",
        pb.SearchPassagesRequest(text="a", min_sequence=10**9),
        ["min_sequence"],
    ),
}


@pytest.mark.parametrize(("method", "request_", "fields"), BAD.values(), ids=BAD.keys())
def test_every_bad_field_is_told(
    calls: AnalysisServiceStub, method: str, request_: Message, fields: list[str]
) -> None:
    """A request that breaks the contract is refused with each field at fault."""
    call: Any = getattr(calls, method)
    with invalid(*fields), translated():
        answer = call(request_)
        if method == "FindDuplicates":
            list(answer)


def test_unknown_catalog(calls: AnalysisServiceStub) -> None:
    """A catalog that is not there is NOT_FOUND, also for a stream."""
    with pytest.raises(akin.AkinError) as caught, translated():
        list(calls.FindDuplicates(pb.FindDuplicatesRequest(catalog="elsewhere")))
    assert "CATALOG_NOT_FOUND" == caught.value.reason
