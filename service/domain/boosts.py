"""Boosts raise or lower the scores of items by their attributes.

The comments of akin.v1.Boost define each function; `recommend/boosts.py` implements them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from service.domain import limits
from service.domain.filters import Filter, attribute_violations, filter_violations
from service.domain.violations import Violation


class BoostCurve(Enum):
    """How the value of a number grows."""

    RANK = auto()
    LINEAR = auto()
    LOG = auto()


class DecayShape(Enum):
    """How the value of a decay falls with the distance."""

    EXPONENTIAL = auto()
    GAUSSIAN = auto()
    LINEAR = auto()


@dataclass(frozen=True, slots=True)
class NumberBoost:
    """A value that grows with a number: from 0 at `min` to 1 at `max`, or with its rank."""

    attribute: str
    curve: BoostCurve = BoostCurve.RANK
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class Decay:
    """A value that is 1 near an origin and falls with the distance from it.

    Attributes:
        attribute: the path of a number or a time.
        scale: the distance beyond `offset` at which the value is `decay`; of times in seconds.
        origin: a number, or a time in seconds since 1970 UTC; None for the present.
        offset: the distance up to which the value is 1.
        decay: a value between 0 and 1.
        shape: how the value falls.
    """

    attribute: str
    scale: float
    origin: float | None = None
    offset: float = 0.0
    decay: float = 0.5
    shape: DecayShape = DecayShape.EXPONENTIAL


@dataclass(frozen=True, slots=True)
class Boost:
    """Adds to scores: `weight` standard deviations times the value of an item, from 0 to 1.

    A filter has the value 1 for items that match. None is invalid.
    """

    function: Filter | NumberBoost | Decay | None
    weight: float = 1.0


def boosts_violations(boosts: Sequence[Boost]) -> Iterator[Violation]:
    """Validate the boosts of a query."""
    if len(boosts) > limits.BOOSTS:
        yield Violation("boosts", f"must have at most {limits.BOOSTS}")
        return
    for number, boost in enumerate(boosts):
        path = f"boosts[{number}]"
        yield from _function_violations(boost.function, path)
        if not abs(boost.weight) <= limits.BOOST_WEIGHT:  # also true of NaN
            rule = f"must be between {-limits.BOOST_WEIGHT:g} and {limits.BOOST_WEIGHT:g}"
            yield Violation(f"{path}.weight", rule)


def _function_violations(
    function: Filter | NumberBoost | Decay | None, path: str
) -> Iterator[Violation]:
    match function:
        case None:
            yield Violation(f"{path}.function", "must be one of filter, number, decay")
        case Filter():
            if function == Filter():
                yield Violation(f"{path}.filter", "must have a condition")
            yield from filter_violations(function, f"{path}.filter")
        case NumberBoost():
            yield from _number_violations(function, f"{path}.number")
        case Decay():
            yield from _decay_violations(function, f"{path}.decay")


def _number_violations(boost: NumberBoost, path: str) -> Iterator[Violation]:
    yield from attribute_violations(boost.attribute, path)
    for name, bound in (("min", boost.min), ("max", boost.max)):
        if boost.curve is BoostCurve.RANK:
            if bound is not None:
                yield Violation(f"{path}.{name}", "must not be set with BOOST_CURVE_RANK")
        elif bound is None or not math.isfinite(bound):
            yield Violation(f"{path}.{name}", "must be a finite number")
    if boost.min is None or boost.max is None:
        return
    if boost.min >= boost.max:
        yield Violation(f"{path}.max", "must be greater than min")
    elif (
        math.isfinite(boost.min) and math.isfinite(boost.max) and boost.max - boost.min == math.inf
    ):
        yield Violation(f"{path}.max", "must be so close to min that max - min is finite")


def _decay_violations(decay: Decay, path: str) -> Iterator[Violation]:
    yield from attribute_violations(decay.attribute, path)
    if decay.origin is not None and not math.isfinite(decay.origin):
        yield Violation(f"{path}.number", "must be a finite number")
    if not 0 < decay.scale < math.inf:  # also true of NaN
        yield Violation(f"{path}.scale", "must be a finite number greater than 0")
    if not 0 <= decay.offset < math.inf:
        yield Violation(f"{path}.offset", "must be a finite number that is not negative")
    if not 0 < decay.decay < 1:
        yield Violation(f"{path}.decay", "must be greater than 0 and less than 1")
