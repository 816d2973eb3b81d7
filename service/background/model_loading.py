"""Loads the models that catalogs learned, whichever process trained them."""

from __future__ import annotations

import asyncio

import structlog

from service import errors
from service.recommend.behavior_model import BehaviorModel
from service.storage.behavior_models import BehaviorModelStore

# The longest delay before a process uses a model that another one has trained.
LOADING_SECONDS = 2.0


class BehaviorModels:
    """The models of catalogs in this process, by catalog id, kept current while `run` runs."""

    def __init__(self, store: BehaviorModelStore) -> None:
        self._store = store
        self._models: dict[int, BehaviorModel] = {}
        self._news = asyncio.Event()
        self._loaded = asyncio.Event()

    def find(self, catalog_id: int) -> BehaviorModel | None:
        """Return the model of a catalog, None before its first training."""
        return self._models.get(catalog_id)

    async def wait_for_first(self, catalog_id: int) -> None:
        """Wait until a catalog has a model."""
        while catalog_id not in self._models:
            await self._loaded.wait()

    def wake(self) -> None:
        """Look for new models at once."""
        self._news.set()

    async def run(self) -> None:
        """Load new models until cancelled."""
        while True:
            self._news.clear()
            await self.update()
            try:
                async with asyncio.timeout(LOADING_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def update(self) -> None:
        """Load the models that are newer than those in memory.

        A damaged model is removed, so that another one is trained. If the database cannot be used,
        the former models stay.
        """
        try:
            await self._update()
        except errors.AkinError as exc:
            structlog.get_logger().warning("model_loading_failed", reason=exc.reason)

    async def _update(self) -> None:
        train_times_us = await self._store.read_train_times()
        for catalog_id in self._models.keys() - train_times_us.keys():
            del self._models[catalog_id]
        for catalog_id, train_time_us in train_times_us.items():
            model = self._models.get(catalog_id)
            if model is None or model.summary.train_time_us != train_time_us:
                await self._load(catalog_id, train_time_us)

    async def _load(self, catalog_id: int, train_time_us: int) -> None:
        try:
            loaded = await self._store.load(catalog_id)
            if loaded is not None:
                self._models[catalog_id] = await asyncio.to_thread(BehaviorModel, *loaded)
                self._loaded.set()
                self._loaded = asyncio.Event()
        except (KeyError, ValueError) as exc:
            structlog.get_logger().error(
                "behavior_model_damaged", catalog_id=catalog_id, error=type(exc).__name__
            )
            await self._store.remove(catalog_id, train_time_us)
