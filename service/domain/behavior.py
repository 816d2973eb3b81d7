"""What a catalog learned from likes, without the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

# One-dimensional arrays by name.
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TrainingInput:
    """What a training begins with, which tells later whether it is out of date.

    Attributes:
        like_change_count: the number of likes that the catalog had ever recorded or changed.
        like_deletion_count: the number of times that likes had been deleted from it.
        weights: of the types of interactions, by type.
    """

    like_change_count: int
    like_deletion_count: int
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class BlendWeights:
    """What the z-scores of each model count; only their proportions matter.

    Attributes:
        ridge: of local ridge, which says what people like together.
        following: of what people like next.
        text: of the similarity of texts.
    """

    ridge: float
    following: float
    text: float

    @property
    def uses_behavior(self) -> bool:
        """Whether anything but text counts."""
        return self.ridge > 0 or self.following > 0

    def normalize(self) -> BlendWeights:
        """Return the weights as shares, whose sum is 1."""
        total = self.ridge + self.following + self.text
        return BlendWeights(self.ridge / total, self.following / total, self.text / total)


TEXT_ONLY = BlendWeights(0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Blend:
    """The weights that were chosen, and why.

    Attributes:
        weights: TEXT_ONLY unless behavior gains beyond chance.
        people_count: the people whose likes were predicted.
        text_quality: the mean nDCG@20 of text alone.
        gain: the mean gain of behavior with text over text alone, in nDCG@20.
        lower_bound: the gain is above it with 97.5% probability.
    """

    weights: BlendWeights
    people_count: int
    text_quality: float
    gain: float
    lower_bound: float


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """What a training found.

    Attributes:
        train_time_us: when it began, in microseconds since 1970 UTC.
        input: what it began with.
        like_count: the number of likes that it learned from.
        item_count: the number of items that it learned something about.
        blend: the weights of text and behavior.
    """

    train_time_us: int
    input: TrainingInput
    like_count: int
    item_count: int
    blend: Blend
