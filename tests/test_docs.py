import re
import subprocess
import sys
from pathlib import Path

import pytest

from service import errors
from service.settings import names

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(
        ROOT / f"{folder}/README.md"
        for folder in ("deploy", "bench", "clients/conformance", "examples")
    ),
]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def reasons() -> set[str]:
    """The reasons of all errors that callers may get."""
    found, left = set(), [errors.AkinError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found.add(getattr(kind, "reason", ""))
    return found


def test_the_reference_is_that_of_the_protos(tmp_path: Path) -> None:
    """The committed reference is what the protos' comments give."""
    made = tmp_path / "api.md"
    subprocess.run([sys.executable, ROOT / "tools/make_api.py", made], check=True, timeout=60)
    assert made.read_text() == (ROOT / "docs/api.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every file that a page links to is there."""
    linked = LINK.findall(page.read_text())
    assert [] == [path for path in linked if not (page.parent / path).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_settings_that_pages_name_exist(page: Path) -> None:
    """Every AKIN_ variable that a page names is a setting, or one of the clients' tests."""
    tests_own = {
        f"AKIN_{name}" for name in ("ADDRESS", "TLS_ADDRESS", "TLS_CA", "TLS_CERT", "API_KEY")
    }
    named = set(re.findall(r"\bAKIN_[A-Z_]+[A-Z]\b", page.read_text()))
    assert set() == named - set(names().values()) - tests_own


def test_the_reasons_that_callers_are_told_exist() -> None:
    """The table of errors names only reasons that the service has."""
    text = (ROOT / "docs/calling.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| [A-Z_]+[ ,]", line)]
    named = {reason for row in rows for reason in re.findall(r"`([A-Z_]+)`", row[2])}
    assert "ITEM_NOT_FOUND" in named
    assert set() == named - reasons()
