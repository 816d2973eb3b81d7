"""Help texts of commands, which a terminal of any width can wrap."""

from __future__ import annotations

import inspect
import re

# Begins an entry of a list, which keeps its line.
_BULLET = re.compile(r"\s*[-*] ")


def join_lines(text: str) -> str:
    """Return a docstring with each paragraph, and each entry of a list, in one line.

    The lines of a docstring end where the source code needs it. On a wider or narrower terminal,
    they would leave ragged lines.
    """
    lines: list[str] = []
    for line in inspect.cleandoc(text).splitlines():
        starts_paragraph = not lines or not lines[-1] or not line or _BULLET.match(line)
        if starts_paragraph:
            lines.append(line)
        else:
            lines[-1] += f" {line.strip()}"
    return "\n".join(lines)
