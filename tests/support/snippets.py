"""The code blocks of Markdown pages, which tests run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:50051"
"""The server of all snippets, in place of which tests use their own."""

HTTP_ADDRESS = "127.0.0.1:8080"
"""The address for HTTP of all snippets, in place of which tests use that of their server."""

LANGUAGES = ("python", "sh", "go", "ts", "java", "rust")

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run: ([^\n]+) -->\n+ *$")
_FAILS = re.compile(r"<!-- fails: ([^\n]+) -->\n+ *$")


class Snippet(NamedTuple):
    """A code block of a page.

    Attributes:
        page: the file that has it.
        line: the line of its first code line, from 1.
        language: the word after its fence.
        code: its lines.
        reason: why no test runs it; empty if one does.
        fails: whether it shows an error.
    """

    page: Path
    line: int
    language: str
    code: str
    reason: str
    fails: bool

    @property
    def name(self) -> str:
        """Its place, for people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def list_pages() -> list[Path]:
    """All pages that a user of Akin reads."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")]
    pages += [ROOT / f"{folder}/README.md" for folder in ("deploy", "examples")]
    return sorted(pages)


def read_snippets(page: Path) -> list[Snippet]:
    """The code blocks of a page, in order."""
    text = page.read_text()
    return [_read_snippet(page, text, match) for match in _FENCE.finditer(text)]


def _read_snippet(page: Path, text: str, match: re.Match[str]) -> Snippet:
    indent, language, code = match.groups()
    line = text.count("\n", 0, match.start(3)) + 1
    lines = (each.removeprefix(indent) for each in code.splitlines(keepends=True))
    not_run = _NOT_RUN.search(text, 0, match.start())
    reason = not_run[1] if not_run else ""
    fails = _FAILS.search(text, 0, match.start()) is not None
    return Snippet(page, line, language, "".join(lines), reason, fails)


def list_runnable(language: str, pages: list[Path]) -> dict[Path, list[Snippet]]:
    """The snippets of a language that tests run, by page, without pages that have none."""
    snippets = {
        page: [
            snippet
            for snippet in read_snippets(page)
            if snippet.language == language and not snippet.reason
        ]
        for page in pages
    }
    return {page: found for page, found in snippets.items() if found}
