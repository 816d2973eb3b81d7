"""Text that is safe to show: a terminal obeys some characters instead of showing them."""

from __future__ import annotations

# U+2400 to U+2421 picture the ASCII control characters, such as ␛ for ESC.
_FIRST_PICTURE = 0x2400
_PICTURE_OF_DELETE = 0x2421
_REPLACEMENT = 0xFFFD

# Bidirectional overrides and isolates, with which a text can change the order of what is around it.
_BIDI_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x2070))

_SURROGATES = range(0xD800, 0xE000)
_PLACEHOLDERS = {
    **{code: _FIRST_PICTURE + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: _PICTURE_OF_DELETE,
    **dict.fromkeys((*range(0x80, 0xA0), *_BIDI_CONTROLS, *_SURROGATES), _REPLACEMENT),
}
_LINE_BREAKS = dict.fromkeys(map(ord, "\n\t\u2028\u2029"), " ")


def replace_controls(text: str) -> str:
    r"""Return a text with visible placeholders for what a terminal would obey; keep \n and \t.

    ASCII control characters become their pictures, such as ␛. C1 control characters, bidirectional
    overrides and isolates, and surrogates become U+FFFD. Joiners and direction marks stay, because
    words and emoji need them.
    """
    if text.isprintable():
        return text
    return text.replace("\r\n", "\n").translate(_PLACEHOLDERS)


def to_line(text: str) -> str:
    """Return a text with placeholders in one line: spaces stand for line breaks and tabs."""
    return replace_controls(text).translate(_LINE_BREAKS)
