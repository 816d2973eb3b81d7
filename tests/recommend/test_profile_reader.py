"""What a user likes, by liked items and interactions together."""

from collections.abc import Mapping, Sequence

import pytest

from service.domain.catalog_settings import DEFAULT_TYPE_WEIGHTS
from service.domain.interactions import Interaction, InteractionKey
from service.domain.users import LikedItem
from service.recommend.profile_reader import merge_likes

LIKED = (LikedItem("a"), LikedItem("b", -1.0), LikedItem("c", 2.0))


def merge(
    liked_items: Sequence[LikedItem],
    events: Sequence[tuple[str, str]],
    weights: Mapping[str, float] = DEFAULT_TYPE_WEIGHTS,
) -> list[tuple[str, float]]:
    """Merge with interactions, each the item and the type, oldest first."""
    interactions = [
        Interaction(InteractionKey("u", time, item_id, type_))
        for time, (item_id, type_) in enumerate(events)
    ]
    likes = merge_likes(liked_items, interactions, weights)
    return [(item.item_id, item.weight) for item in likes]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], [("a", 1.0), ("b", -1.0), ("c", 2.0)]),
        ([("d", "VIEW")], [("a", 1.0), ("b", -1.0), ("c", 2.0), ("d", 0.2)]),
        ([("a", "VIEW")], [("b", -1.0), ("c", 2.0), ("a", 1.0)]),  # the latest, at its strongest
        ([("a", "DISLIKE")], [("b", -1.0), ("c", 2.0), ("a", -1.0)]),
        ([("b", "PURCHASE"), ("b", "SKIP")], [("a", 1.0), ("c", 2.0), ("b", 1.0)]),
        ([("e", "OTHER")], [("a", 1.0), ("b", -1.0), ("c", 2.0)]),
    ],
)
def test_each_item_counts_once(
    events: Sequence[tuple[str, str]], expected: Sequence[tuple[str, float]]
) -> None:
    """The strongest event decides the weight, and the latest the place."""
    assert expected == merge(LIKED, events)


@pytest.mark.parametrize("events", [[], [("d", "VIEW")]])
def test_liked_items_weigh_as_likes_do(events: Sequence[tuple[str, str]]) -> None:
    """The weights of the types LIKE and DISLIKE hold for liked items too, with 0 for nothing."""
    weights = {**DEFAULT_TYPE_WEIGHTS, "LIKE": 0.5, "DISLIKE": 0.0}
    expected = [("a", 0.5), ("c", 1.0), *((item_id, 0.2) for item_id, _ in events)]
    assert expected == merge(LIKED, events, weights)
