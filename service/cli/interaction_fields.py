"""Names of the fields of interactions in files, whose columns have many names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from service.cli.field_names import normalize_name
from service.cli.formats.rows import FileError

INTERACTION_FIELDS = (
    "user_id",
    "item_id",
    "type",
    "value",
    "time",
    "interaction_id",
    "recommendation_id",
)

_ITEM_IDS = (
    "productid sku asin isbn movieid filmid bookid articleid artistid albumid trackid songid "
    "videoid showid gameid animeid recipeid businessid courseid newsid postid listingid "
    "offerid hotelid"
)
_RATINGS = "rating ratings stars score overall bookrating userrating"

# Names of the columns of each field, without case, `_`, `-` and spaces. Of a field, a name in an
# earlier group is preferred.
_NAMES = {
    "user_id": (
        "userid",
        "uid customerid visitorid memberid personid accountid reviewerid profileid",
        "user customer visitor member reviewer",
    ),
    "item_id": (
        "itemid",
        _ITEM_IDS,
        "item product movie film book article artist track song video",
    ),
    "type": ("type", "eventtype interactiontype actiontype behaviortype", "event action"),
    "value": ("value", _RATINGS, "weight plays playcount count"),
    "time": (
        "time",
        "timestamp timestampms ts eventtime datetime createdat unixtime unixreviewtime",
        "date",
    ),
    "interaction_id": ("interactionid", "eventid"),
    "recommendation_id": ("recommendationid",),
}
_GROUPS = {field: tuple(frozenset(group.split()) for group in _NAMES[field]) for field in _NAMES}
_USER_NAMES = frozenset().union(*_GROUPS["user_id"])
_ITEM_NAMES = frozenset().union(*_GROUPS["item_id"])
_RATING_NAMES = frozenset(_RATINGS.split())
_ACTION_NAMES = _RATING_NAMES.union(*_GROUPS["type"])

# Fields of items and users that interactions lack.
_OTHER_NAMES = {"id", "liked", "likeditems", "preferences"}


class InteractionColumns(NamedTuple):
    """The column of each field of an interaction; None if there is none."""

    user_id: str | None = None
    item_id: str | None = None
    type: str | None = None
    value: str | None = None
    time: str | None = None
    interaction_id: str | None = None
    recommendation_id: str | None = None

    def describe(self) -> str:
        """Return the fields and their columns in one line."""
        return ", ".join(
            f"{field} from {column}"
            for field, column in zip(INTERACTION_FIELDS, self, strict=True)
            if column is not None
        )


def has_user_and_item(names: Collection[str]) -> bool:
    """Do these fields contain the ids of a user and of an item?"""
    short = {normalize_name(name) for name in names}
    return bool(short & _USER_NAMES and short & _ITEM_NAMES)


def lacks_only_item(names: Collection[str]) -> bool:
    """Are these the fields of an interaction, with a user and a type or rating, but no item?"""
    short = {normalize_name(name) for name in names}
    return bool(short & _USER_NAMES and short & _ACTION_NAMES and not short & _ITEM_NAMES)


def is_interaction(names: Collection[str]) -> bool:
    """Are these the fields of a JSON object that is an interaction?"""
    return has_user_and_item(names) and not {normalize_name(name) for name in names} & _OTHER_NAMES


def is_rating(column: str) -> bool:
    """Is this the name of a column of ratings?"""
    return normalize_name(column) in _RATING_NAMES


def assign_columns(columns: Collection[str], chosen: Mapping[str, str]) -> InteractionColumns:
    """Return the column of each field.

    Args:
        columns: the names of the columns.
        chosen: the columns that the user chose, by field.

    Raises:
        FileError: two columns can be the same field.
    """
    fields = dict(chosen)
    rest = [column for column in columns if column not in chosen.values()]
    for field, groups in _GROUPS.items():
        for group in groups:
            matches = [column for column in rest if normalize_name(column) in group]
            if len(matches) > 1 and field not in fields:
                raise FileError(
                    f"{' and '.join(matches)} can both be the {field}; "
                    f"choose one with --map {field}=COLUMN"
                )
            if matches:
                fields.setdefault(field, matches[0])
    return InteractionColumns(**fields)
