"""Chooses the items that an analysis examines.

Items are examined in a random order that is the same each time. However many of them are examined
before the deadline, they are a fair sample. (Where similar items are examined one after the other,
`candidate_search.order_by_list` keeps it fair.)
"""

from __future__ import annotations

from collections.abc import Sequence

from service.analysis.examination import Sample
from service.domain.filters import Filter
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.read_requests import plan_items

# Items in a sample. Finding their neighbors takes 40 microseconds for each with neighbor lists and
# 300 without: 10 to 75 s for this many, about as long as anybody waits for a reply.
MAX_SAMPLE_ITEMS = 250_000

# Items whose presence and match with a filter are checked at once, in 3 ms.
MATCHED_ITEMS_AT_ONCE = 5_000


async def draw_sample(reader: IndexReader, filter_: Filter | None) -> Sample:
    """Draw a random sample of the items that have vectors and match a filter."""
    drawn = await reader.draw_matching(filter_, MAX_SAMPLE_ITEMS)
    return Sample(drawn.item_ids, drawn.total, drawn.sequence)


async def find_matching_ids(
    reader: IndexReader, item_ids: Sequence[str], filter_: Filter | None
) -> tuple[set[str], int]:
    """Return those items that have vectors and match a filter now, and the sequence of now."""
    matching: set[str] = set()
    sequence = reader.sequence
    for start in range(0, len(item_ids), MATCHED_ITEMS_AT_ONCE):
        batch = item_ids[start : start + MATCHED_ITEMS_AT_ONCE]

        def match(item_index: ItemIndex, batch: Sequence[str] = batch) -> tuple[set[str], int]:
            return set(item_index.find_matching_keys(batch, filter_)), item_index.sequence

        batch_matching, sequence = await reader.read_in_worker(match, plan_items(batch))
        matching |= batch_matching
    return matching, sequence
