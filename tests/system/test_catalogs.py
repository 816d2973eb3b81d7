from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import catalog_service_pb2 as pb
from akin.v1 import catalog_service_pb2_grpc as pb_grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from support.provider import DIMENSIONS, ScriptedProvider, failure
from support.security import METHODS
from support.server import WAIT_SECONDS, RunningServer

SECRET = "porcelain-hidden-elsewhere"  # noqa: S105  (it stands for another tenant's data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("catalogs")) as running:
        yield running


def rejected(error: pytest.ExceptionInfo[akin.AkinError]) -> tuple[str, str]:
    return error.value.code.name, error.value.reason


def test_a_catalog_is_made_listed_and_deleted(server: RunningServer) -> None:
    """A new catalog is empty, is listed with its figures, and is gone once deleted."""
    with server.client() as client:
        made = client.create_catalog("shoes", template="shoe: {text}")
        assert ("shoes", 0, "shoe: {text}") == (made.name, made.item_count, made.space.template)
        with server.client(catalog="shoes") as shoes:
            shoes.upsert_item("a", "red running shoes")
            shoes.upsert_user("u", ["running"])
        listed = {each.name: each for each in client.list_catalogs()}
        assert ["default", "shoes"] == sorted(listed)
        shown = listed["shoes"]
        assert (1, 1, 1) == (shown.item_count, shown.user_count, shown.index.vector_count)
        assert 1024 <= shown.index.memory_bytes
        client.delete_catalog("shoes")
        assert ["default"] == [each.name for each in client.list_catalogs()]
        with server.client(catalog="shoes") as shoes, pytest.raises(akin.AkinError) as caught:
            shoes.get_item("a")
        assert ("NOT_FOUND", "CATALOG_NOT_FOUND") == rejected(caught)
        assert "shoes" == client.create_catalog("shoes").name
        assert 0 == client.get_catalog("shoes").item_count
        client.delete_catalog("shoes")


def test_what_cannot_be_made_or_deleted(server: RunningServer) -> None:
    """Names taken or malformed, models that cannot be had, and the default catalog are refused."""
    with server.client() as client:
        client.create_catalog("taken")
        with pytest.raises(akin.AkinError) as caught:
            client.create_catalog("taken")
        assert ("ALREADY_EXISTS", "CATALOG_EXISTS") == rejected(caught)
        bad: list[tuple[str, dict[str, Any], str]] = [
            ("", {}, "catalog"),
            ("Bad", {}, "catalog"),
            ("new", {"provider": "openrouter"}, "embedding.provider"),
            ("new", {"model": "someone/model"}, "embedding.model"),
            ("new", {"dimensions": 64}, "embedding.dimensions"),
            ("new", {"dimensions": -1}, "embedding.dimensions"),
            ("new", {"template": "no place"}, "embedding.template"),
            ("new", {"query_template": "{text}" + "x" * 5_000}, "embedding.query_template"),
            ("new", {"vector_storage": 9}, "vector_storage"),
        ]
        for name, options, field in bad:
            with pytest.raises(akin.AkinError) as caught:
                client.create_catalog(name, **options)
            assert [field] == [each.field for each in caught.value.violations]
        with pytest.raises(akin.AkinError) as caught:
            client.delete_catalog("default")
        assert ["catalog"] == [each.field for each in caught.value.violations]
        with pytest.raises(akin.AkinError) as caught:
            client.delete_catalog("missing")
        assert ("NOT_FOUND", "CATALOG_NOT_FOUND") == rejected(caught)
        client.delete_catalog("missing", allow_missing=True)
        client.delete_catalog("taken")


def test_reads_reflect_the_write_in_min_sequence(server: RunningServer) -> None:
    """Each read waits for the write in min_sequence, and refuses a number that is no write."""
    with server.client() as client:
        client.create_catalog("tides")
        with server.client(catalog="tides") as tides:
            sequence = tides.upsert_item("a", "a tide table").item.sequence
            shown = tides.get_catalog(min_sequence=sequence)
            assert (1, 1) == (shown.item_count, shown.index.vector_count)
            listed = {each.name: each for each in client.list_catalogs(min_sequence=sequence)}
            assert (1, 1) == (listed["tides"].item_count, listed["tides"].index.vector_count)
            assert all(each.sequence >= sequence for each in listed.values())
            estimate = tides.estimate_reembedding(template="tide: {text}", min_sequence=sequence)
            assert 1 == estimate.text_count
            tides.start_reembedding(template="tide: {text}")
            assert 1 == tides.get_reembedding(min_sequence=sequence).item_count
            for read in (
                tides.get_catalog,
                client.list_catalogs,
                tides.estimate_reembedding,
                tides.get_reembedding,
            ):
                for wrong in (-1, 2**62):
                    with pytest.raises(akin.AkinError) as caught:
                        read(min_sequence=wrong)
                    assert ("INVALID_ARGUMENT", "INVALID_REQUEST") == rejected(caught)
                    assert ["min_sequence"] == [each.field for each in caught.value.violations]
        client.delete_catalog("tides")


def filled(message: Any) -> Any:
    """A request with whatever a caller might name of another catalog's."""
    fields = message.DESCRIPTOR.fields_by_name
    for name in ("item_id", "user_id", "text", "attribute"):
        if name in fields:
            setattr(message, name, SECRET if name != "attribute" else "kind")
    if "min_similarity" in fields:
        message.min_similarity = -1.0
    if "item" in fields:
        message.item.item_id = message.item.text = "own"
    if "items" in fields:
        message.items.add(item_id="own", text="own")
    if "user" in fields:
        message.user.user_id = "own"
    return message


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_call_tells_of_another_catalog(server: RunningServer, method: MethodDescriptor) -> None:
    """Whatever is asked of one catalog, no byte of the answer is another's: every method."""
    whole = {"CreateCatalog", "ListCatalogs", "DeleteCatalog", "StartReembedding"}
    with server.client() as client:
        client.create_catalog("here")
        client.create_catalog("there")
        with server.client(catalog="there") as there:
            for number in range(3):
                there.upsert_item(
                    SECRET + str(number) * number, f"{SECRET} {number}", {"kind": SECRET}
                )
            there.upsert_user(SECRET, [SECRET], [SECRET])
        request = GetMessageClass(method.input_type)()
        if method.name not in whole:
            request = filled(GetMessageClass(method.input_type)(catalog="here"))
        sent = request.SerializeToString()
        path = f"/{method.containing_service.full_name}/{method.name}"
        with grpc.insecure_channel(server.address) as channel:
            answers: list[bytes] = []
            try:
                if method.client_streaming:
                    stream = channel.stream_stream(path, bytes, bytes)
                    answers += stream(iter([sent]), timeout=WAIT_SECONDS)
                elif method.server_streaming:
                    answers += channel.unary_stream(path, bytes, bytes)(sent, timeout=WAIT_SECONDS)
                else:
                    call = channel.unary_unary(path, bytes, bytes)
                    answers.append(call(sent, timeout=WAIT_SECONDS))
            except grpc.RpcError as exc:
                # The error names the id in the request, in quotes.
                answers.append(str(exc.details()).replace(f"'{SECRET}'", "").encode())
        assert [] == [each for each in answers if SECRET.encode() in each]
        assert 1 <= len(answers)
        client.delete_catalog("here")
        client.delete_catalog("there")


def test_catalogs_have_models_of_their_own(tmp_path: Path) -> None:
    """A catalog keeps its own model, width and storage over a restart, beside the settings'."""
    with ScriptedProvider() as provider:
        settings = {
            "OPENROUTER_API_KEY": "sk-or-test",
            "EMBEDDING_BASE_URL": provider.url,
            "EMBEDDING_MODEL": "someone/model",
        }
        with RunningServer(tmp_path, **settings) as server, server.client() as client:
            small = client.create_catalog(
                "small",
                model="someone/other",
                dimensions=16,
                vector_storage=pb.VECTOR_STORAGE_FLOAT16,
            )
            local = client.create_catalog("local", provider="local")
            assert (16, pb.VECTOR_STORAGE_FLOAT16) == (small.space.dimensions, small.vector_storage)
            assert ("local", 256) == (local.space.provider, local.space.dimensions)
            for name in ("", "small", "local"):
                with server.client(catalog=name) as each:
                    each.upsert_item("a", "tea")
            assert 0 == server.stop()
        asked = [(each["model"], each.get("dimensions")) for each in provider.requests]
        assert ("someone/other", 16) == asked[-1]
        with RunningServer(tmp_path, **settings) as server, server.client() as client:
            shown = {each.name: each for each in client.list_catalogs()}
            widths = {name: each.space.dimensions for name, each in shown.items()}
            assert {"default": DIMENSIONS, "small": 16, "local": 256} == widths
            for name in ("", "small", "local"):
                with server.client(catalog=name) as each:
                    each.upsert_item("b", "coffee")
                    response = each.recommend_similar(item_id="b")
                    assert ["a"] == [hit.item_id for hit in response.recommendations]
        asked = [(each["model"], each.get("dimensions")) for each in provider.requests]
        assert ("someone/other", 16) in asked[-2:]


def test_a_model_that_cannot_be_had_makes_no_catalog(tmp_path: Path) -> None:
    """Where the provider refuses the model, nothing is made."""
    with ScriptedProvider() as provider:
        settings = {"OPENROUTER_API_KEY": "sk-or-test", "EMBEDDING_BASE_URL": provider.url}
        settings["EMBEDDING_MODEL"] = "someone/model"
        with RunningServer(tmp_path, **settings) as server, server.client() as client:
            provider.otherwise = failure(402)
            with pytest.raises(akin.AkinError) as caught:
                client.create_catalog("new", model="someone/other")
            assert ("FAILED_PRECONDITION", "EMBEDDING_REJECTED") == rejected(caught)
            assert ["default"] == [each.name for each in client.list_catalogs()]


def test_workers_know_each_others_catalogs(tmp_path: Path) -> None:
    """Any worker takes calls for a catalog that another made, and lists none that is deleted."""
    with RunningServer(tmp_path, WORKERS="2") as server, server.client() as client:
        made = "made"
        client.create_catalog(made)
        for number in range(20):  # each a connection of its own, to whichever worker
            with server.client(catalog=made) as each:
                each.upsert_item(str(number), "tea")
        client.delete_catalog(made)
        with grpc.insecure_channel(server.address) as channel:
            stub = pb_grpc.CatalogServiceStub(channel)
            listed = stub.ListCatalogs(pb.ListCatalogsRequest(), timeout=WAIT_SECONDS)
            assert ["default"] == [each.name for each in listed.catalogs]
