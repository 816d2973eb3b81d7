import pytest

from service.cli.formats.rows import FileError, LineError
from service.cli.interaction_types import EventNames, RatingRule, infer_rating_rule, parse_type


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("LIKE", "LIKE"),
        ("like", "LIKE"),
        ("view", "VIEW"),
        ("Page-View", "VIEW"),
        ("addtocart", "CLICK"),
        ("add_to_cart", "CLICK"),
        ("Add to Cart", "CLICK"),
        ("transaction", "PURCHASE"),
        ("buy", "PURCHASE"),
        (" purchased ", "PURCHASE"),
        ("fav", "LIKE"),
        ("thumbs_down", "DISLIKE"),
        ("skipped", "SKIP"),
        ("SHARE", "SHARE"),
    ],
)
def test_usual_names_have_types(name: str, type_: str) -> None:
    """The usual names of events have types, in any case and with any separators."""
    assert type_ == EventNames({}).get_type(name)


def test_a_type_of_the_catalog_is_taken_as_it_is() -> None:
    """The exact name of a type of the catalog precedes usual names, and follows chosen ones."""
    calls: list[int] = []

    def list_types() -> list[str]:
        calls.append(1)
        return ["ADD_TO_CART", "WISHLIST", "BUY"]

    names = EventNames({"BUY": "LIKE"}, list_types)
    written = ("VIEW", "buy", "add_to_cart", "ADD_TO_CART", "WISHLIST", "ADD-TO-CART", "PURCHASED")
    assert ["VIEW", "LIKE", "CLICK", "ADD_TO_CART", "WISHLIST", "CLICK", "PURCHASE"] == [
        names.get_type(name) for name in written
    ]
    assert [1] == calls


@pytest.mark.parametrize("name", ["remove_from_cart", "impression", "rated", "5", "Líke"])
def test_other_names_are_refused(name: str) -> None:
    """An event whose type is a guess fails, and the error shows the option for it."""
    with pytest.raises(LineError, match=f"--type-map '{name}=TYPE'"):
        EventNames({}).get_type(name)


def test_a_long_name_is_cut() -> None:
    """An event whose name is a whole text is named by its beginning."""
    with pytest.raises(LineError) as caught:
        EventNames({}).get_type("x" * 1_000_000)
    assert 300 > len(str(caught.value))


def test_chosen_types_come_first() -> None:
    """A chosen type applies to every spelling of its name, also of a usual name."""
    names = EventNames({"Add-To-Cart": "LIKE", "wishlist": "WISHLIST"})
    assert ["LIKE", "LIKE", "WISHLIST", "PURCHASE"] == [
        names.get_type(name) for name in ("addtocart", "ADD_TO_CART", "WishList", "buy")
    ]


def test_types_of_options() -> None:
    """An option names a type in any case, or a type of the catalog in capital letters."""
    assert ["LIKE", "LIKE", "ADD_2"] == [parse_type(text) for text in ("like", "LIKE", "ADD_2")]
    for text in ("wishlist", "2ADD", "A B", "A" * 33, ""):
        with pytest.raises(ValueError, match="must be VIEW, CLICK"):
            parse_type(text)


@pytest.mark.parametrize("ratings", [[0.5, 4.0], [5.0], [1, 2, 3, 4, 5], [0.1, 4.7]])
def test_ratings_up_to_five_have_a_rule(ratings: list[float]) -> None:
    """Of ratings up to five, 3.5 and more are likes, those below 2.5 dislikes, the others views."""
    rule = infer_rating_rule(ratings, "rating", None)
    types = [rule.get_type(rating) for rating in (0.5, 2, 2.5, 3, 3.5, 5)]
    assert ["DISLIKE", "DISLIKE", "VIEW", "VIEW", "LIKE", "LIKE"] == types


@pytest.mark.parametrize(
    "ratings", [[0, 1], [0.2, 0.9], [1, 10], [-1, 5], [0, 5], [3, 100], [3, 3.5]]
)
def test_another_scale_is_not_guessed(ratings: list[float]) -> None:
    """Ratings of another or an unclear scale are an error that shows the option for it."""
    with pytest.raises(FileError, match=r"the scale of stars is unknown: .*--like-from"):
        infer_rating_rule(ratings, "stars", None)


def test_dislikes_can_begin_elsewhere() -> None:
    """--dislike-below alone changes the dislikes of ratings up to five."""
    rule = infer_rating_rule([5], "rating", 1)
    assert ["DISLIKE", "VIEW"] == [rule.get_type(rating) for rating in (0.5, 1)]
    assert "LIKE from 3.5, DISLIKE below 1, VIEW otherwise" == rule.describe()


def test_a_rating_beyond_the_scale_is_refused() -> None:
    """A later rating that shows another scale fails; with an option, every rating has a type."""
    rule = infer_rating_rule([4], "rating", None)
    for rating in (5.5, 0, -1):
        with pytest.raises(LineError, match="is not above 0 and up to 5"):
            rule.get_type(rating)
    chosen = RatingRule(70, None)
    assert ["VIEW", "VIEW", "LIKE", "LIKE"] == [
        chosen.get_type(rating) for rating in (-99, 69.9, 70, 1e9)
    ]
    assert "LIKE from 70, VIEW otherwise" == chosen.describe()
