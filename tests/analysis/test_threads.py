import asyncio
import threading

from support.stores import GIVE_UP_SECONDS
from support.tasks import started

from service.analysis.threads import ANALYSIS_THREADS, compute
from service.domain.text_formats import TextFormat
from service.embedding.documents import MAX_INLINE_CHARACTERS, read_documents


async def test_long_computations_do_not_hold_up_texts() -> None:
    """Many analyses at once leave threads to writes, here of a text with markup."""
    release = threading.Event()
    text = f"<p>{'tea ' * MAX_INLINE_CHARACTERS}</p>"
    computations = [await started(compute(release.wait)) for _ in range(10 * ANALYSIS_THREADS)]
    try:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            documents, failures = await read_documents([text], TextFormat.HTML)
        assert [text] == list(documents)
        assert {} == failures
    finally:
        release.set()
        assert all(await asyncio.gather(*computations))
