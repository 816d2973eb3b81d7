"""Shares snapshots among processes that have no folder in common."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import structlog

from service import errors
from service.domain.snapshot_files import is_snapshot_file
from service.files import create_folder, replace_file
from service.index.change_feed import ChangeFeed
from service.index.snapshot_manifest import Manifest, compute_checksum
from service.index.snapshots import Snapshots

# The interval at which a process looks whether its snapshot is published, or a newer one is.
SHELF_SECONDS = 2.0

# Downloads of a snapshot that a newer one replaced during the download, before a pause.
DOWNLOAD_ATTEMPTS = 3


class SnapshotShelf(Protocol):
    """The published snapshot of one generation: a manifest, and files that never change."""

    async def read_manifest(self) -> str | None:
        """Return the manifest, None if no snapshot is published.

        Raises:
            StoreUnavailable: the shelf cannot be read.
        """

    async def has_files(self, sizes: Mapping[str, int]) -> bool:
        """Return whether files are published completely.

        Args:
            sizes: the size of each file in bytes, by name.

        Raises:
            StoreUnavailable: the shelf cannot be read.
        """

    async def publish(self, manifest: str, sequence: int, files: Mapping[str, Path]) -> None:
        """Publish a snapshot in place of the former one.

        Args:
            manifest: its manifest.
            sequence: that of its place in the history of the store, which must be kept.
            files: all its files, by name.

        Raises:
            StoreUnavailable, StoreFull: the former snapshot stays. Another process may be
                publishing.
            OSError: a file cannot be read; the former snapshot stays.
        """

    async def fetch(self, name: str, path: Path) -> None:
        """Write a file of the snapshot to a path.

        Raises:
            FileNotFoundError: a newer snapshot without this file was published.
            StoreUnavailable: the shelf cannot be read.
            OSError: the file cannot be written.
        """


class SnapshotPublisher:
    """Publishes the snapshots that this process saves, while `run` runs.

    Args:
        feed: the store, which knows its history.
        snapshots: what to publish.
        shelf: where to publish.
    """

    def __init__(self, feed: ChangeFeed, snapshots: Snapshots, shelf: SnapshotShelf) -> None:
        self._feed = feed
        self._snapshots = snapshots
        self._shelf = shelf

    async def run(self) -> None:
        """Publish until cancelled. The shelf may lose a snapshot, which is then published again."""
        while True:
            try:
                await self.publish()
            except errors.AkinError as exc:
                structlog.get_logger().warning("snapshot_not_published", reason=exc.reason)
            except OSError as exc:
                # The next snapshot may have replaced the files since.
                structlog.get_logger().warning("snapshot_not_published", reason=str(exc))
            await asyncio.sleep(SHELF_SECONDS)

    async def publish(self) -> None:
        """Publish the snapshot, unless it is published, or one that is newer.

        If the store does not confirm it, it must be saved again.

        Raises:
            StoreUnavailable, StoreFull, OSError: it is not published.
        """
        own = await asyncio.to_thread(self._snapshots.read_manifest)
        if own is None:
            return
        text, manifest = own
        if not await self._feed.confirms(manifest.anchor):
            self._snapshots.needs_renewal = True
            return
        if await self._is_published(text, manifest):
            return
        files = {name: self._snapshots.folder / name for name in manifest.files}
        await self._shelf.publish(text, manifest.anchor_sequence, files)
        structlog.get_logger().info("snapshot_published", sequence=manifest.sequence)

    async def _is_published(self, text: str, own: Manifest) -> bool:
        """Return whether the own snapshot is published, or one that can be used and is newer."""
        published = await self._shelf.read_manifest()
        if published is None:
            return False
        try:
            manifest = self._snapshots.parse(published)
        except ValueError:
            return False
        if published != text:
            is_newer = manifest.sequence > own.sequence
            if not is_newer or not await self._feed.confirms(manifest.anchor):
                return False
        return await self._shelf.has_files(
            {name: checksum.bytes for name, checksum in manifest.files.items()}
        )


class SnapshotDownloader:
    """Brings published snapshots into the folder of this process.

    Args:
        feed: the store, which knows its history.
        snapshots: where they belong.
        shelf: where they are published.
    """

    def __init__(self, feed: ChangeFeed, snapshots: Snapshots, shelf: SnapshotShelf) -> None:
        self._feed = feed
        self._snapshots = snapshots
        self._shelf = shelf
        self._seen: str | None = None

    async def download(self) -> None:
        """Download the published snapshot if it can be used and is newer than that in the folder.

        A failure is logged: the index is then built from the store.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        for _ in range(DOWNLOAD_ATTEMPTS):
            text = await self._shelf.read_manifest()
            if text is None or text == self._seen:
                return
            try:
                await self._download(text)
            except FileNotFoundError:
                continue  # a newer snapshot has just replaced it
            except (OSError, ValueError) as exc:
                if await self._shelf.read_manifest() != text:
                    continue  # likewise, while a file of several pieces was read
                structlog.get_logger().warning("snapshot_download_failed", reason=str(exc))
            self._seen = text
            return

    async def _download(self, text: str) -> None:
        """Download the files that are not in the folder, and then the manifest.

        Raises:
            ValueError: the snapshot cannot be used.
            FileNotFoundError: another snapshot has replaced it.
            OSError: it cannot be written.
        """
        manifest = self._snapshots.parse(text)
        own = await asyncio.to_thread(self._snapshots.read_manifest)
        if own is not None and (own[0] == text or own[1].sequence > manifest.sequence):
            return
        if not await self._feed.confirms(manifest.anchor):
            raise ValueError("the store has lost writes that are in the snapshot")
        if not all(map(is_snapshot_file, manifest.files)):
            raise ValueError("it has files of other names")
        await asyncio.to_thread(create_folder, self._snapshots.folder, private_levels=2)
        for name in manifest.files:
            await self._fetch(name, manifest)
        await asyncio.to_thread(self._snapshots.install, text)
        structlog.get_logger().info("snapshot_downloaded", sequence=manifest.sequence)

    async def _fetch(self, name: str, manifest: Manifest) -> None:
        """Download a file unless it is in the folder.

        Raises:
            ValueError: the published file is damaged.
            FileNotFoundError, OSError: as `_download` raises them.
        """
        path, checksum = self._snapshots.folder / name, manifest.files[name]
        if path.exists() and await asyncio.to_thread(compute_checksum, path) == checksum:
            return
        with replace_file(path) as temporary:
            await self._shelf.fetch(name, temporary)
            if await asyncio.to_thread(compute_checksum, temporary) != checksum:
                raise ValueError(f"{name} is damaged")
