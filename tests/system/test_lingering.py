import os
import urllib.request
from pathlib import Path

import akin
import pytest
from support.server import RunningServer, free_address
from support.waiting import until

from service.server import heaps

pytestmark = pytest.mark.slow

CATALOGS = 60

# Enough to see descriptors that remain of each catalog.
FURTHER_CATALOGS = 20

# Applying more changes than 133 at once takes a thread.
ITEMS = 150

PROCESSORS = len(os.sched_getaffinity(0))

# Threads of indexes, of the event loop's own pool, of gRPC, and a few single ones.
MAX_THREADS = 6 * PROCESSORS + 30

HEAP_BYTES = 64 * 1024 * 1024


class Counts:
    """What a server process holds, as the system and the metrics show it."""

    def __init__(self, server: RunningServer, metrics: str) -> None:
        self._process = Path("/proc") / str(server.events("serving")[0]["process_id"])
        self._index = server.folder / "data" / "index"
        self._metrics = f"http://{metrics}/metrics"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def threads(self) -> int:
        """Return the number of threads."""
        return len(list((self._process / "task").iterdir()))

    def heaps(self) -> int:
        """Return the number of heaps of glibc: the main one, and those at multiples of 64 MiB.

        A full heap goes on at another multiple, and other memory can start there by chance.
        """
        starts = (
            int(line.partition("-")[0], 16)
            for line in (self._process / "maps").read_text().splitlines()
            if line.endswith(" 00:00 0 ")
        )
        return 1 + sum(start % HEAP_BYTES == 0 for start in starts)

    def descriptors(self) -> int:
        """Return the number of open files and connections."""
        return len(list((self._process / "fd").iterdir()))

    def catalog_labels(self) -> set[str]:
        """Return the catalogs that metrics name."""
        with self._opener.open(self._metrics, timeout=10.0) as response:
            lines = response.read().decode().splitlines()
        return {line.split('catalog="')[1].split('"')[0] for line in lines if 'catalog="' in line}

    def index_folders(self) -> list[str]:
        """Return the folders of snapshots."""
        return [path.name for path in self._index.iterdir()] if self._index.exists() else []


def use_catalogs(server: RunningServer, count: int) -> None:
    """Create catalogs, each with a model of its own by its template, use them, and delete them."""
    with server.client() as client:
        for number in range(count):
            name = f"catalog-{number}"
            client.create_catalog(name, template=f"{number}: {{text}}")
            with server.client(catalog=name) as catalog:
                items = (akin.item(f"i{place}", f"word{place % 20}") for place in range(ITEMS))
                assert ITEMS == len(list(catalog.import_items(items)))
                assert catalog.recommend_similar(item_id="i1").recommendations
                assert ITEMS == catalog.find_outliers().coverage.item_count
        for number in range(count):
            client.delete_catalog(f"catalog-{number}")


def test_nothing_lingers_of_catalogs_that_are_gone(tmp_path: Path) -> None:
    """After many catalogs came and went, threads, files, metrics and folders are as before.

    The threads share few heaps: what one frees in a heap of its own, others cannot use.
    """
    metrics = free_address()
    with RunningServer(tmp_path, METRICS_LISTEN=metrics) as server:
        counts = Counts(server, metrics)
        with server.client() as client:
            client.upsert_item("a", "tea")
        until(lambda: counts.catalog_labels() == {"default"})
        use_catalogs(server, CATALOGS)
        until(lambda: counts.catalog_labels() == {"default"})
        descriptors = counts.descriptors()
        use_catalogs(server, FURTHER_CATALOGS)
        until(lambda: counts.catalog_labels() == {"default"})
        assert counts.threads() <= MAX_THREADS
        assert counts.heaps() <= 2 * heaps.MAX_HEAPS
        until(lambda: counts.descriptors() <= descriptors)
        assert [] == counts.index_folders()
        assert 0 == server.stop()
