"""Texts that the local model distinguishes, for many items."""

from __future__ import annotations

_PEOPLE = ("baker", "sailor", "violinist", "nurse", "farmer", "painter", "spy", "monk", "chemist")
_DEEDS = ("steals", "repairs", "photographs", "studies", "buries", "sells", "paints", "forgets")
_THINGS = ("lighthouse", "telescope", "vineyard", "tractor", "cathedral", "submarine", "orchid")
_PLACES = ("Norway", "Egypt", "Brazil", "Japan", "Scotland", "Kenya", "Texas", "Greece", "Siberia")

COUNT = len(_PEOPLE) * len(_DEEDS) * len(_THINGS) * len(_PLACES)


def distinct(number: int) -> str:
    """Return the text of a number from 0 to COUNT - 1, a sentence with its own choice of words."""
    number, place = divmod(number, len(_PLACES))
    number, thing = divmod(number, len(_THINGS))
    person, deed = divmod(number, len(_DEEDS))
    return f"A {_PEOPLE[person]} {_DEEDS[deed]} a {_THINGS[thing]} in {_PLACES[place]}"
