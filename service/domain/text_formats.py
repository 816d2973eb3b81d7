"""Formats that item texts are written in, and the plain text that is embedded and compared."""

from __future__ import annotations

import re
from enum import Enum

from lxml import etree

# Characters of HTML that a character of text is looked for in, if only the beginning is needed.
MARKUP_FACTOR = 10

# Elements whose contents readers do not see.
_HIDDEN = frozenset({"script", "style", "template", "iframe", "noembed", "noframes"})

# Elements around which there is an empty line.
_PARAGRAPHS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "details", "dialog", "dl"),
        *("fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hr", "main", "nav", "ol", "p", "pre", "section", "table", "title", "ul"),
    }
)

# Elements that start and end a line.
_LINES = frozenset(
    {
        *("caption", "center", "dd", "dir", "div", "dt", "figcaption", "hgroup", "legend"),
        *("li", "menu", "option", "search", "summary", "tbody", "tfoot", "thead", "tr"),
    }
)

# Elements that are set apart from their neighbors in a line.
_CELLS = frozenset({"td", "th", "button", "input", "select", "textarea"})

# Open elements after which the rest of a text is parsed as if it were the beginning of one. For
# each end tag the parser searches them all, so that a text could keep it busy for minutes.
_MAX_OPEN_ELEMENTS = 500

# Characters that are parsed between two looks at the number of open elements.
_PARSED_CHARACTERS = 10_000

# White space that text itself never has, because its own is collapsed into spaces.
_PARAGRAPH_BORDER, _LINE_BORDER, _LINE_BREAK, _CELL_BORDER = "\f", "\v", "\n", "\t"

_SPACE = re.compile(r"\s+")


class TextFormat(Enum):
    """The format of the item texts of a catalog."""

    PLAIN = "plain"
    HTML = "html"


def to_plain_text(text: str, text_format: TextFormat) -> str:
    """Return what readers see of a text; it is empty if that is nothing."""
    if text_format is TextFormat.PLAIN:
        return text
    # Soft hyphens tell where a word may be broken, and are no part of it.
    return _SPACE.sub(_collapse, "".join(_read_html(text)).replace("\u00ad", "")).strip()


def read_beginning(text: str, text_format: TextFormat, characters: int) -> str:
    """Return the first characters of a text as readers see it.

    Args:
        text: the text, or at least `count_needed_characters` of its beginning.
        text_format: the format of the text.
        characters: the number of characters.
    """
    return to_plain_text(text, text_format)[:characters]


def count_needed_characters(text_format: TextFormat, characters: int) -> int:
    """Return how many characters of a stored text `read_beginning` needs."""
    return characters if text_format is TextFormat.PLAIN else MARKUP_FACTOR * characters


class _Target:
    """Collects what a parser reads: visible text, and white space where elements separate it."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.open_elements = 0
        self._hidden = 0

    def start(self, tag: str, _attributes: object) -> None:
        """Note the start of an element."""
        self.open_elements += 1
        self._hidden += tag in _HIDDEN
        self.pieces.append(_LINE_BREAK if tag == "br" else _border(tag))

    def end(self, tag: str) -> None:
        """Note the end of an element."""
        self.open_elements -= 1
        self._hidden -= tag in _HIDDEN
        self.pieces.append(_border(tag))

    def data(self, text: str) -> None:
        """Add the text of an element."""
        if not self._hidden:
            self.pieces.append(_SPACE.sub(" ", text))

    def close(self) -> None:
        """End the document."""


def _border(tag: str) -> str:
    """Return the white space at the start and the end of an element."""
    if tag in _PARAGRAPHS:
        return _PARAGRAPH_BORDER
    if tag in _LINES:
        return _LINE_BORDER
    return _CELL_BORDER if tag in _CELLS else ""


def _read_html(text: str) -> list[str]:
    """Return the pieces of visible text and the white space between them."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        target = _Target()
        parser = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
        while start < len(text) and target.open_elements <= _MAX_OPEN_ELEMENTS:
            end = _find_end(text, start)
            parser.feed(text[start:end].encode())
            start = end
        parser.close()
        pieces += target.pieces
    return pieces


def _find_end(text: str, start: int) -> int:
    """Return the end of the next part to parse; it is before a tag if possible."""
    end = start + _PARSED_CHARACTERS
    if end >= len(text):
        return len(text)
    tag = text.rfind("<", start + 1, end)
    return tag if tag > 0 else end


def _collapse(space: re.Match[str]) -> str:
    """Return the white space that remains of one or more pieces of it."""
    characters = space.group()
    if _PARAGRAPH_BORDER in characters or characters.count(_LINE_BREAK) > 1:
        return "\n\n"
    for border, remains in ((_LINE_BREAK, "\n"), (_LINE_BORDER, "\n"), (_CELL_BORDER, "\t")):
        if border in characters:
            return remains
    return " "
