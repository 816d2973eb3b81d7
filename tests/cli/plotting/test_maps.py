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


def build_response(clusters: int, points: int) -> akin.ClusterItemsResponse:
    """Return clusters in a row, and points that belong to them in turn."""
    response = akin.ClusterItemsResponse(
        coverage=akin.Coverage(item_count=points, examined_item_count=points)
    )
    for index in range(clusters):
        response.clusters.add(
            item_count=1, keywords=["winter", "$sea", "storms"], x=index / clusters
        )
    for number in range(points):
        response.points.add(
            item_id=str(number), cluster_index=number % clusters, x=number / points, y=0.5
        )
    return response


def build_boxes(*centers: tuple[float, float]) -> NDArray[np.float64]:
    """Return boxes of 100 by 20 around the centers, [boxes, 2, 2]."""
    half = np.array([50.0, 10.0])
    return np.array([[np.array(center) - half, np.array(center) + half] for center in centers])


def count_overlaps(boxes: NDArray[np.float64]) -> int:
    return sum(
        bool((np.minimum(a[1], b[1]) > np.maximum(a[0], b[0])).all())
        for a, b in combinations(boxes, 2)
    )


@pytest.mark.parametrize(("clusters", "points"), [(0, 0), (1, 1), (2, 0), (14, 300), (100, 300)])
def test_any_response_is_drawn(tmp_path: Path, clusters: int, points: int) -> None:
    """A map has the same size for no clusters, for few, and for more clusters than colors."""
    file = tmp_path / "map.png"
    maps.draw_map(file, build_response(clusters, points))
    header = file.read_bytes()[:24]
    assert b"\x89PNG\r\n\x1a\n" == header[:8]
    assert (1320, 1200) == struct.unpack(">II", header[16:])


def test_labels_have_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A keyword with control characters or without a glyph is drawn, with one line at most."""
    response = build_response(2, 20)
    response.clusters[0].keywords[:] = ["\x1b[31msea", "\n\t", "\U000e1234"]
    maps.draw_map(tmp_path / "map.png", response)
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_maps_are_reproducible(tmp_path: Path) -> None:
    """The same response produces the same map."""
    files = [tmp_path / name for name in ("a.png", "b.png")]
    for file in files:
        maps.draw_map(file, build_response(5, 50))
    first, second = (zlib.crc32(file.read_bytes()) for file in files)
    assert first == second


def test_labels_are_pushed_apart() -> None:
    """Crowded labels, even at the same position, end without overlaps inside the frame."""
    crowd = build_boxes(
        *[(500.0 + 3 * number, 400.0 + number % 2) for number in range(12)], (0.0, 0.0)
    )
    moved = labels.push_apart(np.concatenate([crowd, crowd[:3]]), FRAME)
    assert 0 == count_overlaps(moved)
    assert (moved >= FRAME[0]).all()
    assert (moved <= FRAME[1]).all()


def test_labels_with_room_stay() -> None:
    """Labels without overlaps are not moved."""
    apart = build_boxes((100.0, 100.0), (400.0, 100.0), (100.0, 200.0))
    assert np.array_equal(apart, labels.push_apart(apart, FRAME))
