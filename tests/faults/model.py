"""What must be true: plain dicts of every acknowledged state, and the requests without an outcome.

A request is a group of attempts, one for each item, user or catalog that it changes. Until its
outcome is known, each of its keys may be in the state before or after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

# The kind of keys of interactions, which have no sequence numbers of their own and never change.
INTERACTION = "interaction"

# Methods whose responses have one sequence number for all that they change.
BATCH_METHODS = frozenset(
    {"BatchDeleteItems", "RecordInteractions", "ImportInteractions", "DeleteInteractions"}
)


class Key(NamedTuple):
    """An item, user or interaction of a catalog, or with an empty kind the catalog itself."""

    catalog: str
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Content:
    """What callers chose of an item, a user or an interaction, as canonical JSON; the expiry."""

    body: str
    expire_time_us: int | None = None

    def is_expired(self, now_us: int) -> bool:
        """Return whether the item has expired."""
        return self.expire_time_us is not None and self.expire_time_us <= now_us


@dataclass(frozen=True, slots=True)
class CatalogContent:
    """The templates of a catalog's generations, and its boost of new items.

    An empty template stands for no generation.
    """

    serving: str
    next: str = ""
    previous: str = ""
    boost: float = 0.0

    def switch(self) -> CatalogContent:
        """Return the catalog after the switch, which the server does when it is ready."""
        if not self.next:
            return self
        return replace(self, serving=self.next, next="", previous=self.serving)


@dataclass(frozen=True, slots=True)
class Version:
    """A state and the sequence number of its write, 0 if it is not known; no content: absent."""

    content: Content | None
    sequence: int


ABSENT = Version(None, 0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The state of a key after a request, if the request takes effect; no content: absent."""

    key: Key
    content: Content | CatalogContent | None


@dataclass(frozen=True, slots=True)
class Group:
    """The attempts of one request, and the highest acknowledged sequence number before it.

    `is_atomic`: all attempts take effect, or none.
    """

    number: int
    method: str
    attempts: tuple[Attempt, ...]
    floor: int
    is_atomic: bool = True

    @property
    def is_batch(self) -> bool:
        """Whether the response has one sequence number for all attempts."""
        return self.method in BATCH_METHODS


class Violation(NamedTuple):
    """A broken promise: `lost`, `doubled` or `wrong`, of which key, and how."""

    kind: str
    key: Key
    problem: str


@dataclass
class Model:
    """The acknowledged states, and the groups whose outcome is not known."""

    versions: dict[Key, Version] = field(default_factory=dict)
    catalogs: dict[str, CatalogContent] = field(default_factory=dict)
    open_groups: dict[int, Group] = field(default_factory=dict)
    sequences: set[int] = field(default_factory=set)
    last_sequence: int = 0

    def begin(self, group: Group) -> None:
        """Note a request that is being sent."""
        self.open_groups[group.number] = group

    def refuse(self, number: int) -> None:
        """Note that a request failed in a way that stores nothing."""
        self.open_groups.pop(number)

    def store(self, number: int, sequences: Sequence[int]) -> list[Violation]:
        """Note that a request was acknowledged, with the sequence number of each attempt.

        0 stands for an attempt that changed nothing. A deletion that found nothing can be
        acknowledged after a write that came later.
        """
        group = self.open_groups.pop(number)
        violations: list[Violation] = []
        uncertain = tuple(filter(self._may_spare, group.attempts)) if group.is_batch else ()
        if uncertain:
            self.open_groups[number] = replace(group, attempts=uncertain, is_atomic=False)
        for attempt, sequence in zip(group.attempts, sequences, strict=True):
            violations += self._check_sequence(group, attempt.key, sequence)
            if isinstance(attempt.content, CatalogContent) or not attempt.key.kind:
                self._store_catalog(attempt)
            elif attempt in uncertain:
                continue
            elif attempt.key.kind == INTERACTION and attempt.content is not None:
                # A duplicate is present too, whoever recorded it.
                before = self.versions.get(attempt.key, ABSENT)
                self.versions[attempt.key] = Version(
                    attempt.content, max(sequence, before.sequence)
                )
            elif sequence > self.versions.get(attempt.key, ABSENT).sequence:
                self.versions[attempt.key] = Version(attempt.content, sequence)
        self.last_sequence = max(self.last_sequence, *sequences, 0)
        return violations

    def settle(self, observed: Observation, *, has_restarted: bool) -> None:
        """Take what was observed as certain.

        Args:
            observed: what the server has.
            has_restarted: the server that got the requests has ended, so that none of them can take
                effect any more. Otherwise those stay open that have not taken effect.
        """
        for key in {*self.versions, *observed.versions}:
            before = self.versions.get(key, ABSENT)
            # A clock that is set back makes expired items valid again.
            is_expired = before.content is not None and before.content.is_expired(
                observed.latest_us
            )
            absent = before if is_expired else replace(before, content=None)
            self.versions[key] = observed.versions.get(key, absent)
        self.catalogs = dict(observed.catalogs)
        self.last_sequence = max(self.last_sequence, observed.last_sequence)
        self.open_groups = {
            number: group
            for number, group in self.open_groups.items()
            if not has_restarted and not all(map(observed.shows, group.attempts))
        }

    def copy(self) -> Model:
        """Return a model that changes on its own."""
        return Model(
            dict(self.versions),
            dict(self.catalogs),
            dict(self.open_groups),
            set(self.sequences),
            self.last_sequence,
        )

    def collect_attempts(self) -> Mapping[Key, list[Attempt]]:
        """Return the attempts of open groups by key."""
        attempts: dict[Key, list[Attempt]] = {}
        for group in self.open_groups.values():
            for attempt in group.attempts:
                attempts.setdefault(attempt.key, []).append(attempt)
        return attempts

    def _may_spare(self, attempt: Attempt) -> bool:
        """Return whether a deletion may have found an item expired, and so not have deleted it."""
        content = self.versions.get(attempt.key, ABSENT).content
        return content is not None and content.expire_time_us is not None

    def _store_catalog(self, attempt: Attempt) -> None:
        name = attempt.key.catalog
        if isinstance(attempt.content, CatalogContent):
            self.catalogs[name] = attempt.content
            return
        self.catalogs.pop(name, None)
        for key in [key for key in self.versions if key.catalog == name]:
            del self.versions[key]

    def _check_sequence(self, group: Group, key: Key, sequence: int) -> Iterator[Violation]:
        if not sequence:
            return
        if sequence in self.sequences and not group.is_batch:
            yield Violation("doubled", key, f"the sequence number {sequence} was used before")
        elif sequence <= group.floor:
            problem = f"sequence {sequence} is not beyond {group.floor}, acknowledged before"
            yield Violation("doubled", key, problem)
        self.sequences.add(sequence)


@dataclass
class Observation:
    """What a server or a data folder has at one moment, between two times of its clock."""

    versions: dict[Key, Version] = field(default_factory=dict)
    catalogs: dict[str, CatalogContent] = field(default_factory=dict)
    pending: set[Key] = field(default_factory=set)
    last_sequence: int = 0
    earliest_us: int = 0
    latest_us: int = 0
    violations: list[Violation] = field(default_factory=list)

    def shows(self, attempt: Attempt) -> bool:
        """Return whether an attempt has certainly taken effect.

        Nobody can tell it of deletions, and of interactions, which may have been there before.
        """
        if isinstance(attempt.content, CatalogContent):
            catalog = self.catalogs.get(attempt.key.catalog)
            return catalog in {attempt.content, attempt.content.switch()}
        if attempt.key.kind == INTERACTION:
            return False
        version = self.versions.get(attempt.key)
        return version is not None and version.content == attempt.content

    def add(self, key: Key, version: Version) -> None:
        """Add an item, a user or an interaction that a list has."""
        if key in self.versions:
            self.violations.append(Violation("doubled", key, "it is twice in a list"))
        self.versions[key] = version


class Numbers:
    """Numbers of groups and of written versions, never given twice; for several threads."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def take(self) -> int:
        """Return the next number."""
        return next(self._numbers)
