"""Reads boosts and groups from messages."""

from __future__ import annotations

from akin.v1 import recommender_service_pb2 as pb

from service.api.messages.filters import read_filter
from service.api.messages.timestamps import read_time
from service.domain import limits
from service.domain.boosts import Boost, BoostCurve, Decay, DecayShape, NumberBoost
from service.domain.groups import GroupBy
from service.domain.violations import Violation

_CURVES: dict[int, BoostCurve] = {
    pb.BOOST_CURVE_UNSPECIFIED: BoostCurve.RANK,
    pb.BOOST_CURVE_RANK: BoostCurve.RANK,
    pb.BOOST_CURVE_LINEAR: BoostCurve.LINEAR,
    pb.BOOST_CURVE_LOG: BoostCurve.LOG,
}
_SHAPES: dict[int, DecayShape] = {
    pb.DECAY_SHAPE_UNSPECIFIED: DecayShape.EXPONENTIAL,
    pb.DECAY_SHAPE_EXPONENTIAL: DecayShape.EXPONENTIAL,
    pb.DECAY_SHAPE_GAUSSIAN: DecayShape.GAUSSIAN,
    pb.DECAY_SHAPE_LINEAR: DecayShape.LINEAR,
}


def read_group_by(request: pb.RecommendSimilarRequest) -> GroupBy | None:
    """Return how a request groups items, not yet validated."""
    if not request.HasField("group_by"):
        return None
    return GroupBy(request.group_by.attribute, request.group_by.max_per_group or 1)


def read_boosts(
    request: pb.RecommendSimilarRequest, violations: list[Violation]
) -> tuple[Boost, ...]:
    """Return the boosts of a request, not yet validated.

    Of too many, one too many is read, so that validation reports it. Values that cannot be read are
    added to `violations`.
    """
    messages = request.boosts[: limits.BOOSTS + 1]
    return tuple(
        _read_boost(message, f"boosts[{number}]", violations)
        for number, message in enumerate(messages)
    )


def _read_boost(message: pb.Boost, path: str, violations: list[Violation]) -> Boost:
    weight = message.weight if message.HasField("weight") else 1.0
    match message.WhichOneof("function"):
        case "filter":
            return Boost(read_filter(message.filter), weight)
        case "number":
            return Boost(_read_number(message.number, f"{path}.number", violations), weight)
        case "decay":
            return Boost(_read_decay(message.decay, f"{path}.decay", violations), weight)
    return Boost(None, weight)


def _read_number(message: pb.NumberBoost, path: str, violations: list[Violation]) -> NumberBoost:
    if message.curve not in _CURVES:
        violations.append(Violation(f"{path}.curve", "must be a value of BoostCurve"))
    return NumberBoost(
        message.attribute,
        _CURVES.get(message.curve, BoostCurve.RANK),
        message.min if message.HasField("min") else None,
        message.max if message.HasField("max") else None,
    )


def _read_decay(message: pb.Decay, path: str, violations: list[Violation]) -> Decay:
    if message.shape not in _SHAPES:
        violations.append(Violation(f"{path}.shape", "must be a value of DecayShape"))
    origin: float | None = None
    if message.WhichOneof("origin") == "number":
        origin = message.number
    elif message.WhichOneof("origin") == "time":
        time_us = read_time(message.time, f"{path}.time", violations)
        origin = None if time_us is None else time_us / 1_000_000
    return Decay(
        message.attribute,
        message.scale,
        origin,
        message.offset,
        message.decay if message.HasField("decay") else 0.5,
        _SHAPES.get(message.shape, DecayShape.EXPONENTIAL),
    )
