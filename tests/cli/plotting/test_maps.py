import struct
import zlib
from itertools import combinations
from pathlib import Path

import akin
import numpy as np
import pytest
from numpy.typing import NDArray

from service.cli.plotting import labels, maps

FRAME = np.array([[0.0, 0.0], [1000.0, 800.0]])


def answer(groups: int, points: int) -> akin.ClusterItemsResponse:
    """Groups in a row, and points around them in turn."""
    clusters = [
        akin.Cluster(item_count=1, words=["winter", "$sea", "storms"], x=each / groups)
        for each in range(groups)
    ]
    placed = [
        akin.ClusterPoint(item_id=str(each), cluster=each % groups, x=each / points, y=0.5)
        for each in range(points)
    ]
    extent = akin.Extent(item_count=points, examined_count=points)
    return akin.ClusterItemsResponse(clusters=clusters, points=placed, extent=extent)


def boxes(*middles: tuple[float, float]) -> NDArray[np.float64]:
    """Boxes of 100 by 20 around these middles."""
    half = np.array([50.0, 10.0])
    return np.array([[np.array(each) - half, np.array(each) + half] for each in middles])


def overlapping(found: NDArray[np.float64]) -> int:
    return sum(
        bool((np.minimum(a[1], b[1]) > np.maximum(a[0], b[0])).all())
        for a, b in combinations(found, 2)
    )


@pytest.mark.parametrize(("groups", "points"), [(0, 0), (1, 1), (2, 0), (14, 300), (100, 300)])
def test_any_answer_is_drawn(tmp_path: Path, groups: int, points: int) -> None:
    """There is a picture of one size for nothing, for little, and for more groups than colors."""
    picture = tmp_path / "map.png"
    maps.draw(picture, answer(groups, points))
    header = picture.read_bytes()[:24]
    assert b"\x89PNG\r\n\x1a\n" == header[:8]
    assert (1320, 1200) == struct.unpack(">II", header[16:])


def test_the_same_answer_is_the_same_picture(tmp_path: Path) -> None:
    """Nothing in a map is left to chance."""
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for each in pictures:
        maps.draw(each, answer(5, 50))
    first, second = (zlib.crc32(each.read_bytes()) for each in pictures)
    assert first == second


def test_labels_are_pushed_apart() -> None:
    """Labels at one place, and in a crowd, end without overlaps, inside of the frame."""
    crowd = boxes(*[(500.0 + 3 * each, 400.0 + each % 2) for each in range(12)], (0.0, 0.0))
    moved = labels.nudged(np.concatenate([crowd, crowd[:3]]), FRAME)
    assert 0 == overlapping(moved)
    assert (moved >= FRAME[0]).all()
    assert (moved <= FRAME[1]).all()


def test_labels_with_room_stay() -> None:
    """What overlaps with nothing is not moved."""
    apart = boxes((100.0, 100.0), (400.0, 100.0), (100.0, 200.0))
    assert np.array_equal(apart, labels.nudged(apart, FRAME))
