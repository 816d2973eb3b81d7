"""A hook of mkdocs: links from the site to files outside of docs/ lead to the repository.

The pages link to files such as ../deploy/README.md, so that the links work where the repository is
browsed. The site has only docs/. AKIN_REPOSITORY is the address at which the repository is browsed,
such as https://git.example/akin/blob/main. Without it, these links become plain text.
"""

from __future__ import annotations

import os
import re

_LINK = re.compile(r"\[([^\]\n]+(?:\n[^\]\n]+)?)\]\(\.\./([^)\s]*)\)")


def on_page_markdown(markdown: str, **_arguments: object) -> str:
    """Return the text of a page with its links to other folders replaced."""
    repository = os.environ.get("AKIN_REPOSITORY", "").rstrip("/")
    return _LINK.sub(rf"[\1]({repository}/\2)" if repository else r"\1", markdown)
