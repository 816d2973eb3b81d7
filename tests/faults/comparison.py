"""Compares what was observed with what must be true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from faults.model import (
    ABSENT,
    INTERACTION,
    Attempt,
    CatalogContent,
    Content,
    Group,
    Key,
    Model,
    Observation,
    Version,
    Violation,
)

# An expiry may pass between the clock of the server and the reading of the test's clock.
CLOCK_MARGIN_US = 1_000_000


def compare(model: Model, observed: Observation) -> list[Violation]:
    """Return every broken promise that the observation shows."""
    attempts = model.collect_attempts()
    violations = [*observed.violations, *_check_catalogs(model, attempts, observed)]
    uncertain = {key.catalog for key in attempts if not key.kind and _may_be_deleted(attempts[key])}
    for key in {*model.versions, *attempts, *observed.versions}:
        if not key.kind:
            continue
        version = model.versions.get(key, ABSENT)
        seen = observed.versions.get(key)
        if key.catalog in uncertain and seen is None:
            continue
        if key.kind == INTERACTION:
            violations += _check_interaction(key, version, attempts.get(key, ()), seen)
        else:
            violations += _check_version(key, version, attempts.get(key, ()), seen, observed)
    for group in model.open_groups.values():
        violations += _check_group(group, attempts, model, observed)
    violations += _check_sequences(model, observed)
    return violations


def _may_be_deleted(attempts: list[Attempt]) -> bool:
    return any(attempt.content is None for attempt in attempts)


def _check_catalogs(
    model: Model, attempts: Mapping[Key, list[Attempt]], observed: Observation
) -> Iterator[Violation]:
    for name in {*model.catalogs, *observed.catalogs}:
        key = Key(name, "", "")
        allowed: set[object] = {model.catalogs.get(name)}
        allowed |= {attempt.content for attempt in attempts.get(key, ())}
        allowed |= {state.switch() for state in allowed if isinstance(state, CatalogContent)}
        seen = observed.catalogs.get(name)
        if seen in allowed:
            continue
        expected = " or ".join(sorted(map(str, allowed)))
        kind = "lost" if seen is None else "doubled" if allowed == {None} else "wrong"
        yield Violation(kind, key, f"expected {expected}, found {seen}")


def _check_version(
    key: Key,
    version: Version,
    attempts: list[Attempt] | tuple[()],
    seen: Version | None,
    observed: Observation,
) -> Iterator[Violation]:
    contents = [attempt.content for attempt in attempts]
    if seen is None:
        latest_us = observed.latest_us + CLOCK_MARGIN_US
        possible = [version.content, *contents]
        is_expired = any(
            isinstance(content, Content) and content.is_expired(latest_us) for content in possible
        )
        if None not in possible and not is_expired:
            yield Violation("lost", key, f"expected {version}, found nothing")
        return
    if seen == version or (seen.sequence > version.sequence and seen.content in contents):
        earliest_us = observed.earliest_us - CLOCK_MARGIN_US
        if seen.content is not None and seen.content.is_expired(earliest_us):
            yield Violation("doubled", key, f"it has expired: {seen}")
    elif seen.sequence < version.sequence:
        kind = "doubled" if version.content is None else "lost"
        yield Violation(kind, key, f"expected {version}, found the older {seen}")
    else:
        yield Violation("wrong", key, f"expected {version} or one of {contents}, found {seen}")


def _check_interaction(
    key: Key, version: Version, attempts: list[Attempt] | tuple[()], seen: Version | None
) -> Iterator[Violation]:
    """Check an interaction, whose sequence number is not known."""
    possible = {version.content, *(attempt.content for attempt in attempts)}
    content = None if seen is None else seen.content
    if content not in possible:
        kind = "lost" if content is None else "doubled" if possible == {None} else "wrong"
        yield Violation(kind, key, f"expected {version} or one of {possible}, found {content}")


def _check_group(
    group: Group, attempts: Mapping[Key, list[Attempt]], model: Model, observed: Observation
) -> Iterator[Violation]:
    """Check that all attempts of an atomic group took effect, or none."""
    if not group.is_atomic:
        return
    effects = {
        attempt.key: effect
        for attempt in group.attempts
        if len(attempts[attempt.key]) == 1  # others may hide what this one did
        and (effect := _find_effect(attempt, group.floor, model, observed)) is not None
    }
    if len({*effects.values()}) > 1:
        key = group.attempts[0].key
        problem = f"only a part of {group.method} {group.number} took effect: {effects}"
        yield Violation("wrong", key, problem)


def _find_effect(attempt: Attempt, floor: int, model: Model, observed: Observation) -> bool | None:
    """Return whether an attempt took effect; None if the observation does not show it."""
    if not attempt.key.kind or not isinstance(attempt.content, Content | None):
        return None
    version = model.versions.get(attempt.key, ABSENT)
    seen = observed.versions.get(attempt.key)
    contents = (version.content, attempt.content)
    if any(content is not None and content.expire_time_us is not None for content in contents):
        return None
    is_hidden = version.sequence > floor or attempt.key.catalog not in observed.catalogs
    if is_hidden or attempt.content == version.content:
        return None  # a later request hides what this one did, or it changes nothing
    if attempt.content is None:
        return seen is None
    if seen is None or seen == version:
        return False
    return True if seen.content == attempt.content else None


def _check_sequences(model: Model, observed: Observation) -> Iterator[Violation]:
    sequences = (version.sequence for version in observed.versions.values())
    counts = Counter(sequence for sequence in sequences if sequence)
    for key, version in observed.versions.items():
        if counts[version.sequence] > 1:
            yield Violation("doubled", key, f"others have its sequence number {version.sequence}")
        if version.sequence > observed.last_sequence:
            yield Violation("wrong", key, f"{version} is beyond {observed.last_sequence}")
    if observed.last_sequence < model.last_sequence:
        problem = f"the last sequence is {observed.last_sequence}, not {model.last_sequence}"
        yield Violation("lost", Key("", "", ""), problem)
