"""Trainings of catalogs, each in a process of its own."""

import asyncio
import multiprocessing
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict
from support.clock import START_US
from support.disks import created_with_mode_mask, largest_file, modes
from support.item_lists import SUMMARY, draw_lists
from support.open_catalogs import WordCatalogs, word_catalogs
from support.stores import default_catalog, folder_of, indexed, upsert_user

from service import errors
from service.background.training import Trainer
from service.background.training_process import STATE_FOLDER
from service.background.training_schedule import MAX_MODEL_AGE_SECONDS, is_due
from service.domain.behavior import BlendWeights, TrainingInput, TrainingSummary
from service.domain.catalog_settings import CatalogSettings, SettingsField, SignalMode
from service.domain.generations import Generation
from service.domain.users import LikedItem, User
from service.recommend.behavior_model import BehaviorModel
from service.recommend.collaborative.item_ids import ItemIds
from service.storage.behavior_models import BehaviorModelStore
from service.storage.database import ReadSource
from service.storage.sqlite.sqlite_database import SqliteSource

ITEM_COUNT = 40
CLUSTERS = 2
LISTS = draw_lists(1, 40, ITEM_COUNT, clusters=CLUSTERS)


@dataclass(frozen=True, slots=True)
class Running:
    """A trainer that runs: `models` gets an entry for each new model, `logs` has its log."""

    factory: WordCatalogs
    generation: Generation
    folder: Path
    models: asyncio.Queue[None]
    logs: list[EventDict]

    async def wait_for_model(self) -> TrainingSummary:
        """Wait for the next model, and return its summary."""
        await self.models.get()
        summary = await self.factory.stores.behavior_models.read_summary(self.generation.catalog_id)
        assert summary is not None
        return summary

    async def load(self) -> BehaviorModel:
        """Return the model as it is stored."""
        loaded = await self.factory.stores.behavior_models.load(self.generation.catalog_id)
        assert loaded is not None
        return BehaviorModel(*loaded)

    async def list_item_ids(self) -> list[str]:
        """Return all ids that the stored model has."""
        loaded = await self.factory.stores.behavior_models.load(self.generation.catalog_id)
        assert loaded is not None
        return ItemIds(loaded[1]).list_all()

    def list_events(self, name: str) -> list[EventDict]:
        """Return the lines of the log with this event."""
        return [line for line in self.logs if line["event"] == name]

    def list_folders(self) -> list[str]:
        """Return the folders of trainings, relative to that of all."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_dir())
        return [str(path.relative_to(self.folder)) for path in paths]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition; the test ends after a time if it never holds."""
    pause = asyncio.Event()
    while not holds():
        with suppress(TimeoutError):
            await asyncio.wait_for(pause.wait(), 0.01)


@asynccontextmanager
async def run_trainer(
    factory: WordCatalogs, source: ReadSource | None = None, store: BehaviorModelStore | None = None
) -> AsyncIterator[Running]:
    """Run a trainer, and end it."""
    stores = factory.stores
    folder = folder_of(stores) / "training"
    models: asyncio.Queue[None] = asyncio.Queue()
    trainer = Trainer(
        store or stores.behavior_models,
        factory.catalogs,
        source or stores.database.read_source,
        folder,
        factory.clock,
        lambda: models.put_nowait(None),
    )
    with capture_logs() as logs:
        task = asyncio.create_task(trainer.run())
        try:
            async with factory.catalogs.use("shop") as catalog:
                generation = catalog.record.serving.generation
            yield Running(factory, generation, folder, models, logs)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert [] == multiprocessing.active_children()


async def like(factory: WordCatalogs, user_id: str, item_ids: Sequence[str]) -> None:
    async with factory.catalogs.use("shop") as catalog:
        liked = tuple(LikedItem(item_id) for item_id in item_ids)
        generation = catalog.record.serving.generation
        await upsert_user(factory.stores, generation, User(user_id, (), liked))


async def fill(factory: WordCatalogs) -> None:
    """Store items, and people who like items of their own half."""
    async with factory.catalogs.use("shop") as catalog:
        items = [indexed(f"i{number}", f"word{number % 7}") for number in range(ITEM_COUNT)]
        await factory.stores.items.upsert_many(catalog.record.serving.generation, items)
    for person, likes in enumerate(LISTS):
        await like(factory, f"u{person}", [f"i{number}" for number in likes])


def measure_largest(folder: Path) -> int:
    """Return the size of the largest file."""
    return max(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def like_more(factory: WordCatalogs) -> None:
    """Store further people, who like items that do not exist."""
    for person in range(20):
        await like(factory, f"later {person}", ["more", "i3", "even more"])


async def set_signals(factory: WordCatalogs, name: str, signals: SignalMode) -> None:
    settings = CatalogSettings(signals=signals)
    await factory.stores.catalog_settings.update(name, settings, [SettingsField.SIGNALS])
    await factory.catalogs.update()


async def test_a_model_is_learned_from_likes(tmp_path: Path) -> None:
    """A model says what people like together; of its training only the state is kept."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            summary = await running.wait_for_model()
            assert sum(map(len, LISTS)) == summary.like_count
            assert 0 < summary.item_count <= ITEM_COUNT
            assert START_US <= summary.train_time_us
            behavior = (await running.load()).score(
                [LikedItem("i1")], BlendWeights(1.0, 0.4, 0.0), oldest_first=True
            )
            assert behavior is not None
            ids = await running.list_item_ids()
            best = [ids[number] for number in behavior.numbers[behavior.scores > behavior.base]]
            assert len(best) > 5
            assert all(int(item_id[1:]) < ITEM_COUNT // CLUSTERS for item_id in best)
            own = f"{running.generation.catalog_id}/{summary.train_time_us}"
            expected = [own.partition("/")[0], own, f"{own}/{STATE_FOLDER}"]
            await until(lambda: expected == running.list_folders())
            (line,) = running.list_events("trained")
            assert ("shop", summary.like_count) == (line["catalog"], line["likes"])


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
async def test_what_is_learned_is_private(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, only the owner can read the files and folders of trainings."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        with created_with_mode_mask(mask):
            async with run_trainer(factory) as running:
                summary = await running.wait_for_model()
                state = f"{running.generation.catalog_id}/{summary.train_time_us}/{STATE_FOLDER}"
                found = modes(running.folder)
    files = {name for name in found if name.startswith(f"{state}/")}
    assert {0o600} == {found[name] for name in files}
    assert {0o700} == {found[name] for name in (".", *map(str, Path(state).parents[:2]), state)}


async def test_a_deleted_user_is_forgotten(tmp_path: Path) -> None:
    """After the deletion of a user everything is learned again, and nothing of the user is left."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        for user_id in ("u", "v", "w"):  # enough for a pair
            await like(factory, user_id, ["secret", "i1", "i2"])
        async with run_trainer(factory) as running:
            await running.wait_for_model()
            assert "secret" in await running.list_item_ids()
            assert set() == (await running.load()).select_unlearned(["secret"])
            await factory.stores.users.delete(running.generation, "u")
        async with run_trainer(factory) as running:
            await running.wait_for_model()
            assert {"secret"} == (await running.load()).select_unlearned(["secret"])
            for user_id in ("v", "w"):
                await factory.stores.users.delete(running.generation, user_id)
        async with run_trainer(factory) as running:
            await running.wait_for_model()
            assert "secret" not in await running.list_item_ids()


async def test_more_likes_are_added_to_what_was_learned(tmp_path: Path) -> None:
    """A later training keeps the numbers of items, and learns about the further ones."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            await running.wait_for_model()
            former_ids = await running.list_item_ids()
            await like_more(factory)
        async with run_trainer(factory) as running:
            await running.wait_for_model()
            ids = await running.list_item_ids()
            assert former_ids == ids[: len(former_ids)]
            assert set() == (await running.load()).select_unlearned(["more", "even more"])


@pytest.mark.parametrize("damage", ["cut", "other", "gone"])
async def test_a_damaged_state_costs_only_time(tmp_path: Path, damage: str) -> None:
    """If the state of the training before cannot be used, everything is learned again."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            await running.wait_for_model()
        (state,) = running.folder.glob(f"*/*/{STATE_FOLDER}")
        for path in state.iterdir():
            if damage == "cut":
                path.write_bytes(path.read_bytes()[:-3])
        if damage == "other":
            shutil.copy(state / "columns_weights.npy", state / "columns_offsets.npy")
        if damage == "gone":
            (state / "ids.npy").unlink()
        await like_more(factory)
        async with run_trainer(factory) as running:
            await running.wait_for_model()
            assert set() == (await running.load()).select_unlearned(["more", "even more"])
            assert [] == running.list_events("training_failed")


async def test_a_killed_training_leaves_the_former_model(tmp_path: Path) -> None:
    """A training whose process is killed is logged and leaves no files; the model stays."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            former = await running.wait_for_model()
            own = running.folder / str(running.generation.catalog_id)
            await like_more(factory)
        async with run_trainer(factory) as running:
            await until(lambda: bool(multiprocessing.active_children()))
            multiprocessing.active_children()[0].kill()
            await until(lambda: bool(running.list_events("training_failed")))
            (line,) = running.list_events("training_failed")
            assert ("shop", "the process has ended") == (line["catalog"], line["reason"])
            store = factory.stores.behavior_models
            assert former == await store.read_summary(running.generation.catalog_id)
            assert [str(former.train_time_us)] == [path.name for path in own.iterdir()]
        async with run_trainer(factory) as running:
            assert former.like_count < (await running.wait_for_model()).like_count


async def test_an_end_during_a_training_leaves_no_process(tmp_path: Path) -> None:
    """A trainer that ends takes its process along, and the next one removes what it left."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            await until(lambda: bool(multiprocessing.active_children()))
        assert [] == running.list_events("training_failed")
        own = running.folder / str(running.generation.catalog_id)
        for name in ("1", "2"):  # as after SIGKILL
            (own / name / STATE_FOLDER).mkdir(parents=True)
        (running.folder / "99" / "3").mkdir(parents=True)
        async with run_trainer(factory) as running:
            summary = await running.wait_for_model()
            await until(lambda: [str(summary.train_time_us)] == [p.name for p in own.iterdir()])
            assert [own] == list(running.folder.iterdir())


async def test_a_training_that_cannot_read_is_logged(tmp_path: Path) -> None:
    """A training that fails in its process reports why, in one line, and the trainer goes on."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory, SqliteSource(tmp_path / "none")) as running:
            await until(lambda: bool(running.list_events("training_failed")))
            assert "StoreUnavailable" == running.list_events("training_failed")[0]["reason"]


async def test_a_full_disk_leaves_the_former_model(tmp_path: Path) -> None:
    """A model that does not fit on the disk is not saved; once there is room, one is."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            former = await running.wait_for_model()
            await like_more(factory)
        with largest_file(measure_largest(tmp_path) + 4_096):
            async with run_trainer(factory) as running:
                await until(lambda: bool(running.list_events("training_failed")))
                store = factory.stores.behavior_models
                assert former == await store.read_summary(running.generation.catalog_id)
                await running.load()
        async with run_trainer(factory) as running:
            assert former.like_count < (await running.wait_for_model()).like_count
            assert [] == await factory.stores.behavior_models.list_outdated()


class FullStore(BehaviorModelStore):
    """Models in a database that has no room for the third piece of a model."""

    piece_count = 0

    async def read_summary(self, catalog_id: int) -> TrainingSummary | None:
        """Return the summary, unless a model did not fit: then no other training begins."""
        if self.piece_count > 2:
            raise errors.StoreUnavailable("it fails")
        return await super().read_summary(catalog_id)

    async def _write_piece(self, catalog_id: int, piece: tuple[int, str, int, bytes]) -> None:
        self.piece_count += 1
        if self.piece_count > 2:
            raise errors.StoreFull("the disk is full")
        await super()._write_piece(catalog_id, piece)


async def test_a_model_that_does_not_fit_leaves_no_pieces(tmp_path: Path) -> None:
    """The pieces of a model that could not be saved do not stay on the disk."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        store = FullStore(factory.stores.database)
        async with run_trainer(factory, store=store) as running:
            await until(lambda: bool(running.list_events("training_failed")))
            assert "STORE_FULL" == running.list_events("training_failed")[0]["reason"]
            while await store.list_outdated():
                await until(lambda: True)


class BrokenStore(BehaviorModelStore):
    """Models of which the first summary cannot be read, for a reason that nobody expects."""

    is_broken = True

    async def read_summary(self, catalog_id: int) -> TrainingSummary | None:
        """Return the summary, but not at first."""
        if self.is_broken:
            self.is_broken = False
            raise RuntimeError("can't start new thread")
        return await super().read_summary(catalog_id)


async def test_a_failure_that_nobody_expects_does_not_end_the_trainer(tmp_path: Path) -> None:
    """Any failure of a training is logged with its traceback, and the trainer goes on."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory, store=BrokenStore(factory.stores.database)) as running:
            await running.wait_for_model()
            (line,) = running.list_events("training_failed")
            assert ("RuntimeError", True) == (line["reason"], line["exc_info"])


async def test_a_deleted_user_is_forgotten_where_nothing_is_learned(tmp_path: Path) -> None:
    """With signals of text alone, a deletion removes the model, for no training replaces it."""
    async with word_catalogs(tmp_path) as factory:
        await fill(factory)
        async with run_trainer(factory) as running:
            await running.wait_for_model()
        await set_signals(factory, "shop", SignalMode.TEXT)
        store = factory.stores.behavior_models
        async with run_trainer(factory) as running:
            await like(factory, "u0", ["i1", "more"])
            await running.load()
            await factory.stores.users.delete(running.generation, "u0")
            while await store.load(running.generation.catalog_id) is not None:
                await until(lambda: True)
            await until(lambda: [] == running.list_folders())
            await set_signals(factory, "shop", SignalMode.AUTO)
            summary = await running.wait_for_model()
            assert sum(map(len, LISTS[1:])) == summary.like_count


async def test_a_catalog_without_behavior_is_not_trained(tmp_path: Path) -> None:
    """With signals of text alone nothing is learned, until the catalog gets other settings."""
    async with word_catalogs(tmp_path) as factory:
        store = factory.stores.behavior_models
        await fill(factory)
        default = (await default_catalog(factory.stores)).serving.generation
        await upsert_user(factory.stores, default, User("u", (), (LikedItem("x"),)))
        await set_signals(factory, "default", SignalMode.TEXT)
        async with run_trainer(factory) as running:
            await running.wait_for_model()  # the default catalog comes first
            assert {running.generation.catalog_id} == set(await store.read_train_times())
            await set_signals(factory, "default", SignalMode.BEHAVIOR)
            await running.models.get()
            assert default.catalog_id in await store.read_train_times()


PRESENT = SUMMARY.input
DAY_US = 86_400_000_000
OLD_US = round(MAX_MODEL_AGE_SECONDS * 1e6) + 1


@pytest.mark.parametrize(
    ("present", "age_us", "due"),
    [
        (PRESENT, 1, False),
        (PRESENT, DAY_US, False),
        (replace(PRESENT, like_change_count=31), 1, False),
        (replace(PRESENT, like_change_count=31), OLD_US, True),
        (replace(PRESENT, like_change_count=31), -DAY_US, False),  # the clock was set back
        (replace(PRESENT, like_change_count=32), 1, True),
        (replace(PRESENT, like_deletion_count=1), 1, True),
        (replace(PRESENT, weights={"LIKE": 2.0}), 1, True),
        (replace(PRESENT, weights={**PRESENT.weights, "BUY": 1.0}), 1, True),
    ],
)
def test_a_model_is_out_of_date_after_changes(
    present: TrainingInput, age_us: int, due: bool
) -> None:
    """It is after 5% more likes, any more within an hour, any fewer, and other weights."""
    assert due is is_due(SUMMARY, present, SUMMARY.train_time_us + age_us)


def test_the_first_training_is_due_with_the_first_like() -> None:
    """A catalog without likes is not trained."""
    assert not is_due(None, TrainingInput(0, 0, {}), START_US)
    assert is_due(None, TrainingInput(1, 0, {}), START_US)
