"""Requests of InteractionService whose validity depends on their catalog."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from akin.v1 import interaction_pb2
from akin.v1 import interaction_service_pb2 as pb
from google.rpc import code_pb2
from support.open_catalogs import WordCatalogs, word_catalogs

from service import errors
from service.api.interaction_servicer import InteractionServicer
from service.domain.catalog_settings import CatalogSettings, SettingsField
from service.domain.recommendation_ids import ResponseKind, SignalKind, SourceKind


def message(
    type_: str, recommendation_id: str = "", user_id: str = "u"
) -> interaction_pb2.Interaction:
    return interaction_pb2.Interaction(
        user_id=user_id, item_id="a", type=type_, recommendation_id=recommendation_id
    )


async def set_weights(factory: WordCatalogs, **weights: float) -> None:
    """Set the weights of the catalog `shop`."""
    settings = CatalogSettings(interaction_weights=weights)
    fields = [SettingsField.INTERACTION_WEIGHTS]
    await factory.stores.catalog_settings.update("shop", settings, fields)
    await factory.catalogs.update()


async def write_id(factory: WordCatalogs, catalog: str) -> str:
    """Return the id of a response for a catalog."""
    async with factory.catalogs.use(catalog) as handle:
        kind = ResponseKind(handle.record.catalog_id, 1, SourceKind.USER, SignalKind.TEXT)
        return handle.attribution.ids.write(kind)


async def record(
    factory: WordCatalogs, *messages: interaction_pb2.Interaction, catalog: str = "shop"
) -> int:
    servicer = InteractionServicer(factory.catalogs, factory.clock)
    request = pb.RecordInteractionsRequest(catalog=catalog, interactions=messages)
    return (await servicer.RecordInteractions(request)).recorded_count


async def refuse(
    factory: WordCatalogs, *messages: interaction_pb2.Interaction, catalog: str = "shop"
) -> list[str]:
    """Return the invalid fields of a request that is refused."""
    with pytest.raises(errors.InvalidRequest) as caught:
        await record(factory, *messages, catalog=catalog)
    return [violation.field for violation in caught.value.violations]


async def import_all(
    factory: WordCatalogs, *messages: interaction_pb2.Interaction, validate_only: bool = False
) -> pb.ImportInteractionsResponse:
    async def requests() -> AsyncIterator[pb.ImportInteractionsRequest]:
        yield pb.ImportInteractionsRequest(
            catalog="shop", interactions=messages, validate_only=validate_only
        )

    servicer = InteractionServicer(factory.catalogs, factory.clock)
    (response,) = [response async for response in servicer.ImportInteractions(requests())]
    return response


async def test_a_type_is_valid_while_the_catalog_has_a_weight_for_it(tmp_path: Path) -> None:
    """Custom types follow the settings of the catalog, and built-in types are always valid."""
    async with word_catalogs(tmp_path) as factory:
        assert ["interactions[0].type"] == await refuse(factory, message("SAVE"))
        await set_weights(factory, SAVE=0.0)
        assert 2 == await record(factory, message("SAVE"), message("SKIP"))
        assert ["interactions[0].type"] == await refuse(factory, message("SAVE"), catalog="default")
        await set_weights(factory, OTHER=1.0)
        assert ["interactions[1].type"] == await refuse(factory, message("LIKE"), message("SAVE"))
        assert 1 == await record(factory, message("LIKE"))


async def test_every_violation_of_every_interaction_is_reported(tmp_path: Path) -> None:
    """One invalid interaction refuses the call, with the violations of all."""
    async with word_catalogs(tmp_path) as factory:
        other = await write_id(factory, "default")
        own = await write_id(factory, "shop")
        assert [
            "interactions[1].user_id",
            "interactions[1].type",
            "interactions[2].recommendation_id",
            "interactions[3].type",
            "interactions[3].recommendation_id",
        ] == await refuse(
            factory,
            message("LIKE", own),
            message("like", own, user_id=""),
            message("LIKE", other),
            message("", "made up"),
        )
        assert 1 == await record(factory, message("LIKE", own))


async def test_an_import_reports_types_and_ids_by_position(tmp_path: Path) -> None:
    """Invalid interactions of an import fail alone, also if it only validates them."""
    async with word_catalogs(tmp_path) as factory:
        await set_weights(factory, SAVE=1.0)
        other = await write_id(factory, "default")
        own = await write_id(factory, "shop")
        messages = [
            message("SAVE", own),
            message("KEEP"),
            message("LIKE", other),
            message("LIKE", own[:-1]),
            message("LIKE", own),
        ]
        checked = await import_all(factory, *messages, validate_only=True)
        response = await import_all(factory, *messages)
        assert (0, 2) == (checked.recorded_count, response.recorded_count)
        assert checked.failures == response.failures
        assert [1, 2, 3] == [failure.position for failure in response.failures]
        assert [code_pb2.INVALID_ARGUMENT] * 3 == [failure.code for failure in response.failures]
        fields = [failure.message.partition(" ")[0] for failure in response.failures]
        assert ["interaction.type"] + ["interaction.recommendation_id"] * 2 == fields


@pytest.mark.parametrize("count", [0, 1_001])
async def test_a_wrong_number_of_interactions_is_refused_first(tmp_path: Path, count: int) -> None:
    """The number and the name of the catalog are checked even if the catalog does not exist."""
    async with word_catalogs(tmp_path) as factory:
        messages = [message("LIKE")] * count
        assert ["interactions"] == await refuse(factory, *messages, catalog="missing")
        assert ["catalog", "interactions"] == await refuse(factory, *messages, catalog="NO NAME")
        with pytest.raises(errors.CatalogNotFound):
            await record(factory, message("SAVE"), catalog="missing")


async def test_listed_interactions_name_their_responses(tmp_path: Path) -> None:
    """The recommendation id is listed as it was recorded, and empty for other interactions."""
    async with word_catalogs(tmp_path) as factory:
        own = await write_id(factory, "shop")
        await record(factory, message("LIKE", own), message("VIEW"))
        servicer = InteractionServicer(factory.catalogs, factory.clock)
        listed = await servicer.ListInteractions(pb.ListInteractionsRequest(catalog="shop"))
        ids = {entry.type: entry.recommendation_id for entry in listed.interactions}
        assert {"LIKE": own, "VIEW": ""} == ids
