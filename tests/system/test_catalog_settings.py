"""Settings of catalogs, on a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import catalog_service_pb2 as pb
from akin.v1 import catalog_service_pb2_grpc as pb_grpc
from akin.v1 import interaction_service_pb2, interaction_service_pb2_grpc
from support import waiting
from support.security import entry, write_keys
from support.server import WAIT_SECONDS, RunningServer, refused
from support.workers import connect_to_workers

TEXT = pb.SIGNAL_MODE_TEXT
BEHAVIOR = pb.SIGNAL_MODE_BEHAVIOR
DEFAULT_WEIGHTS = {
    "VIEW": 0.2,
    "CLICK": 0.4,
    "LIKE": 1.0,
    "PURCHASE": 1.0,
    "SHARE": 1.0,
    "DISLIKE": -1.0,
    "SKIP": -0.2,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("settings")) as running:
        yield running


def weights_of(catalog: akin.Catalog) -> dict[str, float]:
    return {name: round(value, 6) for name, value in catalog.settings.interaction_weights.items()}


def test_settings_are_created_changed_and_shown(server: RunningServer) -> None:
    """Every way to read a catalog shows its settings with all weights, and updates change some."""
    with server.client() as client:
        plain = client.get_catalog().settings
        assert (0, 0.0) == (plain.signals, plain.new_item_boost)
        assert DEFAULT_WEIGHTS == weights_of(client.get_catalog())
        created = client.create_catalog(
            "shop", signals=TEXT, interaction_weights={"SAVE": 0.5, "VIEW": 0.0}, new_item_boost=2.0
        )
        weights = {**DEFAULT_WEIGHTS, "VIEW": 0.0, "SAVE": 0.5}
        assert weights == weights_of(created)
        assert (TEXT, 2.0) == (created.settings.signals, created.settings.new_item_boost)
        updated = client.update_catalog("shop", signals=BEHAVIOR)
        assert created.sequence < updated.sequence
        updated = client.update_catalog("shop", new_item_boost=None)
        assert (BEHAVIOR, 0.0) == (updated.settings.signals, updated.settings.new_item_boost)
        assert weights == weights_of(updated)
        updated = client.update_catalog("shop", interaction_weights={"LIKE": 2.0})
        assert {**DEFAULT_WEIGHTS, "LIKE": 2.0} == weights_of(updated)
        shown = client.get_catalog("shop", min_sequence=updated.sequence)
        listed = {catalog.name: catalog for catalog in client.list_catalogs()}
        assert shown.settings == updated.settings == listed["shop"].settings
        assert plain == listed["default"].settings
        client.delete_catalog("shop")


def test_a_catalog_has_a_ranking_and_a_prior_of_its_own(tmp_path: Path) -> None:
    """They replace those of the server, in the call after the change and after a restart."""
    examples = akin.examples([akin.Example(text="green tea"), akin.Example(text="black coffee")])

    def scores(client: akin.Client) -> dict[str, float]:
        response = client.recommend_similar(examples=examples)
        return {hit.item_id: hit.score for hit in response.recommendations}

    with RunningServer(tmp_path, PRIOR_ATTRIBUTE="rating", PRIOR_WEIGHT="1") as server:
        with server.client() as client:
            for number, text in enumerate(("green tea", "black coffee", "old gin", "cold milk")):
                client.upsert_item(f"i{number}", text, {"rating": number})
            by_server = scores(client)
            client.update_catalog(prior=akin.AttributePrior(attribute="rating", weight=-1.0))
            reversed_prior = scores(client)
            assert reversed_prior["i0"] > by_server["i0"]
            assert reversed_prior["i3"] < by_server["i3"]
            without = client.update_catalog(prior=akin.AttributePrior())
            assert without.settings.HasField("prior")
            plain = scores(client)
            assert reversed_prior["i3"] < plain["i3"] < by_server["i3"]
            client.update_catalog(ranking=pb.RANKING_NEAREST)
            nearest = scores(client)
            assert 1.0 == pytest.approx(nearest["i0"], abs=1e-4)
            assert nearest["i0"] != pytest.approx(plain["i0"], abs=1e-3)
        server.kill()
    with RunningServer(tmp_path, PRIOR_ATTRIBUTE="rating", PRIOR_WEIGHT="1") as server:
        with server.client() as client:
            assert nearest == pytest.approx(scores(client), abs=1e-6)
            reset = client.update_catalog(ranking=None, prior=None)
            assert not reset.settings.HasField("prior")
            assert by_server == pytest.approx(scores(client), abs=1e-6)


def test_invalid_settings_change_nothing(server: RunningServer) -> None:
    """Every invalid setting is named, nothing is changed, and a missing catalog is reported."""
    with server.client() as client:
        before = client.get_catalog().settings
        with pytest.raises(akin.AkinError) as caught:
            client.update_catalog(
                signals=TEXT, interaction_weights={"like": 1.0}, new_item_boost=float("nan")
            )
        assert ['settings.interaction_weights["like"]', "settings.new_item_boost"] == [
            violation.field for violation in caught.value.violations
        ]
        with pytest.raises(akin.AkinError) as caught:
            client.create_catalog("new", interaction_weights={"VIEW": 1e9})
        assert ['settings.interaction_weights["VIEW"]'] == [
            violation.field for violation in caught.value.violations
        ]
        with pytest.raises(akin.AkinError) as caught:
            client.update_catalog(update_mask=[])
        assert ["update_mask"] == [violation.field for violation in caught.value.violations]
        with pytest.raises(akin.AkinError) as caught:
            client.update_catalog("new", new_item_boost=1.0)
        assert "CATALOG_NOT_FOUND" == caught.value.reason
        assert before == client.get_catalog().settings


def test_an_own_type_of_interactions_needs_a_weight(server: RunningServer) -> None:
    """The next call after UpdateCatalog can record a new type, and the count includes it."""
    with server.client() as client:
        client.create_catalog("types")
        with server.client(catalog="types") as types:
            saved = akin.interaction("u", "a", "SAVE")
            with pytest.raises(akin.AkinError) as caught:
                types.record_interactions([akin.interaction("u", "a", "LIKE"), saved])
            assert ["interactions[1].type"] == [
                violation.field for violation in caught.value.violations
            ]
            types.update_catalog(interaction_weights={"SAVE": 1.0})
            assert 1 == types.record_interactions([saved]).recorded_count
            assert 1 == types.get_catalog().interaction_count
        client.delete_catalog("types")


def test_settings_of_different_callers_do_not_overwrite_each_other(server: RunningServer) -> None:
    """Concurrent updates of different settings are all kept."""
    with server.client() as client, ThreadPoolExecutor(3) as pool:
        client.create_catalog("shared")
        for number in range(1, 11):
            signals = (TEXT, BEHAVIOR)[number % 2]
            calls = [
                pool.submit(client.update_catalog, "shared", signals=signals),
                pool.submit(client.update_catalog, "shared", new_item_boost=number),
                pool.submit(client.update_catalog, "shared", interaction_weights={"X": number}),
            ]
            for call in calls:
                call.result()
            settings = client.get_catalog("shared").settings
            shown = settings.signals, settings.new_item_boost, settings.interaction_weights["X"]
            assert (signals, number, number) == shown
        client.delete_catalog("shared")


def test_settings_survive_a_kill(tmp_path: Path) -> None:
    """An update that returned is there after the server was killed, and no other is lost."""
    with RunningServer(tmp_path) as server, server.client() as client:
        client.update_catalog(signals=TEXT)
        client.update_catalog(interaction_weights={"SAVE": 0.25}, new_item_boost=0.5)
        server.kill()
    with RunningServer(tmp_path, SIGNALS="behavior") as server, server.client() as client:
        catalog = client.get_catalog()
        assert (TEXT, 0.5) == (catalog.settings.signals, catalog.settings.new_item_boost)
        assert {**DEFAULT_WEIGHTS, "SAVE": 0.25} == weights_of(catalog)


def test_settings_reach_every_worker(tmp_path: Path) -> None:
    """A worker shows and follows what another one changed."""
    with RunningServer(tmp_path, WORKERS="2") as server, ExitStack() as stack:
        workers = connect_to_workers(server, stack, 2)
        first, second = (pb_grpc.CatalogServiceStub(channel) for channel in workers.values())
        interactions = interaction_service_pb2_grpc.InteractionServiceStub([*workers.values()][1])
        request = pb.UpdateCatalogRequest(settings=pb.CatalogSettings(new_item_boost=3.0))
        request.settings.interaction_weights["SAVE"] = 1.0
        request.update_mask.paths.extend(["new_item_boost", "interaction_weights"])
        sequence = first.UpdateCatalog(request, timeout=WAIT_SECONDS).catalog.sequence
        shown = second.GetCatalog(
            pb.GetCatalogRequest(min_sequence=sequence), timeout=WAIT_SECONDS
        ).catalog
        assert 3.0 == shown.settings.new_item_boost
        saved = interaction_service_pb2.RecordInteractionsRequest(
            interactions=[akin.interaction("u", "a", "SAVE")]
        )

        def records_it() -> bool:
            with suppress(grpc.RpcError):  # the type is unknown until the worker sees the change
                return (
                    1 == interactions.RecordInteractions(saved, timeout=WAIT_SECONDS).recorded_count
                )
            return False

        waiting.until(records_it)


def test_changing_settings_needs_the_scope_admin(tmp_path: Path) -> None:
    """A key that may read and write cannot change settings, and one for other catalogs neither."""
    keys = tmp_path / "keys.json"
    write_keys(
        keys,
        entry("reader", "read", "write"),
        entry("keeper", "admin", "read", catalogs=["default"]),
    )
    with RunningServer(tmp_path, API_KEYS=str(keys)) as server:
        with server.client(api_key="reader-key") as client, pytest.raises(akin.AkinError) as caught:
            client.update_catalog(new_item_boost=1.0)
        assert "PERMISSION_DENIED" == caught.value.reason
        with server.client(api_key="keeper-key") as client:
            assert 1.0 == client.update_catalog(new_item_boost=1.0).settings.new_item_boost
            with pytest.raises(akin.AkinError) as caught:
                client.update_catalog("other", new_item_boost=1.0)
            assert "PERMISSION_DENIED" == caught.value.reason


@pytest.mark.parametrize("value", ["both", "Text", "0"])
def test_an_unknown_mode_of_the_server_is_refused(tmp_path: Path, value: str) -> None:
    """The server does not start with a mode that does not exist."""
    status, errors = refused(tmp_path, SIGNALS=value)
    assert 2 == status
    assert any("AKIN_SIGNALS" in line for line in errors)
