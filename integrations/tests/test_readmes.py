"""Every Python snippet of the READMEs runs and prints something."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.server import RunningServer

ROOT = Path(__file__).parents[1]
READMES = sorted(ROOT.glob("[a-z]*/README.md"))
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_snippets_print_something(
    readme: Path, server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippets of a README run one after the other, as a reader would enter them."""
    names: Mapping[str, Any] = {"__name__": readme.parent.name}
    snippets = SNIPPET.findall(readme.read_text())
    assert snippets
    for snippet in snippets:
        source = snippet.replace("127.0.0.1:50051", server.address)
        exec(compile(source, str(readme), "exec"), names)  # noqa: S102  (our own README)
        assert capsys.readouterr().out.strip(), snippet
    with server.client() as client:
        for item in client.list_items(1_000).items:
            client.delete_item(item.item_id)
