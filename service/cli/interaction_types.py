"""Types of imported interactions: names of events, and ratings without a type."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.cli.field_names import normalize_name
from service.cli.formats.rows import FileError, LineError
from service.domain.interactions import InteractionType

# The scale whose likes need no option, as of five stars.
SCALE_END = 5.0
LIKE_FROM = 3.5
DISLIKE_BELOW = 2.5

# A scale ends at SCALE_END if the highest of the first ratings is between this and SCALE_END.
_MIN_HIGHEST_RATING = 4.0

# As the contract has it for types that a catalog defines.
_CUSTOM_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,31}", re.ASCII)

# Characters of an unknown event in an error message.
_SHOWN_CHARACTERS = 64

# Names of events, without case, `_`, `-` and spaces.
_EVENT_NAMES = {
    InteractionType.VIEW: "view views viewed viewitem itemview productview pageview pv detailview",
    InteractionType.CLICK: "click clicks clicked tap addtocart cart carts addtobasket addtobag",
    InteractionType.LIKE: "like likes liked favorite favourite fav thumbsup upvote",
    InteractionType.PURCHASE: "purchase purchases purchased buy bought transaction order orders "
    "ordered",
    InteractionType.SHARE: "share shares shared",
    InteractionType.DISLIKE: "dislike dislikes disliked thumbsdown downvote",
    InteractionType.SKIP: "skip skips skipped",
}
_TYPES = {name: type_.value for type_, names in _EVENT_NAMES.items() for name in names.split()}


# Returns the types of interactions that a catalog has.
TypeLister = Callable[[], Iterable[str]]


def list_no_types() -> Iterable[str]:
    """Return no types, for files that are not imported into a catalog."""
    return ()


def parse_type(text: str) -> str:
    """Return the type that an option names.

    Raises:
        ValueError: it cannot be the name of a type.
    """
    if text.upper() in list(InteractionType):
        return text.upper()
    if not _CUSTOM_TYPE.fullmatch(text):
        raise ValueError(
            f"must be {', '.join(InteractionType)} or a type of the catalog in capital letters, "
            f"not {text}"
        )
    return text


class EventNames:
    """Finds the types of events by their names; case, `_`, `-` and spaces do not matter.

    A type of the catalog in its exact spelling is that type, whatever else the name is usual for.

    Args:
        chosen: types of further names, which take precedence.
        list_types: returns the types of the catalog; called once, and only for a name that can be
            one.
    """

    def __init__(self, chosen: Mapping[str, str], list_types: TypeLister = list_no_types) -> None:
        self._chosen = {normalize_name(name): type_ for name, type_ in chosen.items()}
        self._list_types = list_types
        self._catalog_types: frozenset[str] | None = None
        # Names as they are written, so that most lines cost one look-up.
        self._written: dict[str, str] = {}

    def get_type(self, name: str) -> str:
        """Return the type of an event.

        Raises:
            LineError: the name is not known.
        """
        type_ = self._written.get(name)
        if type_ is None:
            type_ = self._find_type(name.strip())
            if type_ is None:
                shown = name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}..."
                raise LineError(
                    f"type: unknown event {shown}; choose its type with --type-map '{shown}=TYPE', "
                    f"where TYPE is {', '.join(InteractionType)} or a type of the catalog"
                )
            self._written[name] = type_
        return type_

    def _find_type(self, name: str) -> str | None:
        normalized = normalize_name(name)
        if normalized in self._chosen:
            return self._chosen[normalized]
        if name not in list(InteractionType) and _CUSTOM_TYPE.fullmatch(name):
            if self._catalog_types is None:
                self._catalog_types = frozenset(self._list_types())
            if name in self._catalog_types:
                return name
        return _TYPES.get(normalized)


@dataclass(frozen=True, slots=True)
class RatingRule:
    """Which ratings are likes, and which are dislikes; the others are views.

    Attributes:
        like_from: the lowest rating of a like.
        dislike_below: ratings below it are dislikes; None if there are none.
        scale_end: the highest possible rating; None if it is unknown.
    """

    like_from: float
    dislike_below: float | None
    scale_end: float | None = None

    def get_type(self, rating: float) -> str:
        """Return the type of an interaction with this rating.

        Raises:
            LineError: the rating is outside of the scale.
        """
        if self.scale_end is not None and not 0 < rating <= self.scale_end:
            raise LineError(
                f"value: the rating {rating:g} is not above 0 and up to {self.scale_end:g}, as the "
                "first ones are; choose which ratings are likes with --like-from NUMBER"
            )
        if rating >= self.like_from:
            return InteractionType.LIKE.value
        if self.dislike_below is not None and rating < self.dislike_below:
            return InteractionType.DISLIKE.value
        return InteractionType.VIEW.value

    def describe(self) -> str:
        """Return the rule in words."""
        dislikes = "" if self.dislike_below is None else f"DISLIKE below {self.dislike_below:g}, "
        return f"LIKE from {self.like_from:g}, {dislikes}VIEW otherwise"


def infer_rating_rule(
    ratings: Sequence[float], column: str, dislike_below: float | None
) -> RatingRule:
    """Return the rule for ratings up to five.

    Args:
        ratings: the first ratings of the file; at least one.
        column: the column of the ratings, for the error.
        dislike_below: ratings below it are dislikes; None for DISLIKE_BELOW.

    Raises:
        FileError: the ratings do not look like ratings up to five.
    """
    low, high = min(ratings), max(ratings)
    # In some files, 0 stands for no rating.
    if low <= 0 or not _MIN_HIGHEST_RATING <= high <= SCALE_END:
        raise make_scale_error(column, f": its first values are from {low:g} to {high:g}")
    below = DISLIKE_BELOW if dislike_below is None else dislike_below
    return RatingRule(LIKE_FROM, below, SCALE_END)


def make_scale_error(column: str, reason: str = "") -> FileError:
    """Return the error of a column whose values may be ratings of any scale, or amounts."""
    return FileError(
        f"the scale of {column} is unknown{reason}; choose which values are likes with "
        "--like-from NUMBER, or one type for all rows with --type"
    )
