"""Values that often break servers, and values that are valid, chosen by the name of the field."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

NAN, INF = float("nan"), float("inf")

# Stands in texts, ids and values of requests, and must reach neither the log nor an error.
MARKER = "sphinxquartz"

# The first four hold data; calls create and delete the last ones.
CATALOGS = (*("default", "", "local", "html") * 2, "spare-1", "spare-2")
ITEM_IDS = tuple(f"item-{number}" for number in range(40))
USER_IDS = tuple(f"user-{number}" for number in range(10))
TOPICS = ("sea", "space", "garden", "mail")
ATTRIBUTES = ("price", "tags", "size.width", "size", "topic", "active", "published")
TEXTS = (
    *(f"A book about the {topic}, volume {number}" for topic in TOPICS for number in range(8)),
    "<p>A <b>film</b> about the sea &amp; its ships</p>",
    "这是一本关于大海的书。",
    f"{MARKER} is a word that no other text has",
)

LONG_TEXTS = (
    *("word " * 20_000, "x" * 100_000, "漢字" * 20_000, "a\u0301" * 30_000, "\n" * 50_000),
    *("word " * 209_715, "word " * 209_716, "é" * 524_289),  # around the limit of 1 MiB
)
MARKUP = (
    "<" * 5_000,
    "<div>" * 3_000,
    "<a href='" * 500,
    "&#0;&#xD800;&#x110000;&nosuch;" * 20,
    "<![CDATA[" + MARKER,
    "<!DOCTYPE x [<!ENTITY a 'b'><!ENTITY c '&a;&a;'>]><p>&c;</p>",
    "<script>" + MARKER,
    "<p>\x00</p>",
    '<?xml version="1.0" encoding="utf-16"?><p>text</p>',
)
ODD_TEXTS = (
    *("", " ", "\t\r\n\u3000", "\x00", "text\x00text", "\x7f", "\x85", "\ufeff", "\ufffe\uffff"),
    *(
        "\u202eabc\u202c",
        "\u2066\u2067",
        "🙂🙂",
        "👩\u200d👩\u200d👧",
        "\U0010ffff",
        "İıſß",
        "é" * 129,
    ),
    *(
        "%s%n%d",
        "{text}",
        "{0.__class__}",
        "' OR 1=1 --",
        "../../etc/passwd",
        "$(reboot)",
        "\\u0000",
    ),
    *("NaN", "null", "[]", "-0", "1e999", "default\n", "a" * 64, "x" * 256, "x" * 257, "é" * 128),
)
ODD_NAMES = (
    *("nowhere", "No Such", "-a", "a" * 63, "a" * 64, "é", "default\n", ".", "..", "../x", "a/b"),
    *("_a", "con", "\x00", "default\x00", "DEFAULT", " default", "0", "a" * 10_000),
)
ODD_PATHS = ("", ".", "..", "a..b", ".a", "a.", "*", "**", "x" * 1_025, "item.text", "Text", "\x00")
MASK_PATHS = (
    *("text", "attributes", "attributes.price", "attributes.size", "expire_time", "*"),
    *("preferences", "liked_items"),
)
SETTINGS_PATHS = ("signals", "interaction_weights", "new_item_boost", "ranking", "prior")
ODD_MASK_PATHS = (
    *("attributes.", "attributes.a.b", "item_id", "state", "*.text", "interaction_weights.VIEW"),
    *("settings.signals", "name", *ODD_PATHS),
)
INTERACTION_TYPES = ("VIEW", "CLICK", "LIKE", "PURCHASE", "SHARE", "DISLIKE", "SKIP")
ODD_TYPES = ("like", "LIKE ", "ADD_TO_CART", "_A", "7UP", "A" * 32, "A" * 33, "É", "A\n", "\x00")
MODELS = ("scripted", "other", "third")
ODD_MODELS = ("", " ", "none", "local", "a" * 10_000, "../x", "model\n", "openai/", MARKER)
PROVIDERS = ("", "openai", "local")
ODD_PROVIDERS = ("openrouter", "OpenAI", "nobody", "\x00", "x" * 1_000)
TEMPLATES = ("", "{text}", "passage: {text}", "query: {text}")
ODD_TEMPLATES = (
    *("{", "}", "{}", "{text", "text}", "{text!r}", "{text.__class__}", "{0}", "{text}" * 600),
    *("\x00{text}", "x" * 5_000 + "{text}"),
)

INT32 = (0, 1, -1, 2, 3, 100, 101, 1_000, 1_001, 10_000, 100_001, 65_536, 2**31 - 1, -(2**31))
INT64 = (*INT32, 2**31, 2**32, 2**53, 2**53 + 1, 2**62, 2**63 - 1, -(2**63))
UINT32 = (0, 1, 2**31, 2**32 - 1)
UINT64 = (*UINT32, 2**32, 2**63, 2**64 - 1)
DOUBLES = (
    *(0.0, -0.0, 0.5, 1.0, -1.0, 1.0000001, 2.0, 1000.0, 1000.1, -1000.1, 1e-45, 5e-324, 1e38),
    *(3.5e38, 1.7e308, 2.0**53, NAN, INF, -INF),
)
ENUM_NUMBERS = (-1, 99, 2**31 - 1, -(2**31))
SECONDS = (0, 1, -1, 4_102_444_800, 253_402_300_799, 253_402_300_800, 2**62, 2**63 - 1, -(2**63))
NANOS = (0, 1, 999, 999_999_999, 1_000_000_000, -1, 2**31 - 1, -(2**31))


@dataclass(frozen=True)
class Choice:
    """The valid and the odd strings for fields of some names."""

    valid: Sequence[str]
    odd: Sequence[str]


class Vocabulary:
    """Draws strings for fields by their names; other fields get any string.

    Args:
        page_tokens: tokens of real pages, and damaged ones are derived from them.
    """

    def __init__(self, page_tokens: Sequence[str] = ()) -> None:
        ids = (*ODD_TEXTS, MARKER)
        texts = Choice(TEXTS, (*ODD_TEXTS, *MARKUP))
        self._any = Choice(("a", "b", MARKER), (*ODD_TEXTS, *ODD_NAMES))
        self._choices = {
            "catalog": Choice(CATALOGS, ODD_NAMES),
            "item_id": Choice(ITEM_IDS, ids),
            "item_ids": Choice(ITEM_IDS, ids),
            "exclude_item_ids": Choice(ITEM_IDS, ids),
            "user_id": Choice(USER_IDS, ids),
            "text": texts,
            "attribute": Choice(ATTRIBUTES, (*ODD_PATHS, *ODD_TEXTS)),
            "page_token": Choice(
                ("",) * 10 + tuple(page_tokens), (*ODD_TEXTS, "====", "AAAA", "A" * 10_000)
            ),
            "paths": Choice(MASK_PATHS, ODD_MASK_PATHS),
            "type": Choice(INTERACTION_TYPES, (*ODD_TYPES, *ids)),
            "types": Choice(INTERACTION_TYPES, (*ODD_TYPES, *ids)),
            # The keys of maps, which have types of interactions.
            "key": Choice((*INTERACTION_TYPES, "ADD_TO_CART"), (*ODD_TYPES, *ODD_NAMES, MARKER)),
            "interaction_id": Choice(("", "", "act-1", "act-2", "act-3"), ids),
            "recommendation_id": Choice(("",), ("A" * 32, "A" * 31 + "=", *ODD_TEXTS)),
            "model": Choice(MODELS, ODD_MODELS),
            "provider": Choice(PROVIDERS, ODD_PROVIDERS),
            "template": Choice(TEMPLATES, ODD_TEMPLATES),
            "query_template": Choice(TEMPLATES, ODD_TEMPLATES),
            "service": Choice(("", "akin.embedding"), ODD_TEXTS),
        }

    def draw(self, rng: random.Random, field: str, *, odd: bool) -> str:
        """Return a string for a field."""
        choice = self._choices.get(field, self._any)
        if not odd:
            return rng.choice(choice.valid)
        way = rng.random()
        if way < 0.01:
            return rng.choice(LONG_TEXTS)
        if way < 0.1:
            return damage(rng, rng.choice(choice.valid))
        if way < 0.15:
            return f"{MARKER} {rng.randrange(1_000)}"
        return rng.choice(choice.odd)


def damage(rng: random.Random, text: str) -> str:
    """Return a text with a character inserted, replaced or removed."""
    position = rng.randrange(len(text) + 1)
    inserted = rng.choice(("", "A", "=", " ", "\x00", "é", "\U0001f642"))
    return text[:position] + inserted + text[position + rng.randrange(2) :]
