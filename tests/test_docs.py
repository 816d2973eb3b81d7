import re
import subprocess
import sys
from pathlib import Path

import pytest

from service import errors
from service.environment import CLIENT_VARIABLES
from service.settings import list_variables

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("clients/*/README.md")),
    *sorted(ROOT.glob("integrations/*/README.md")),
    *(ROOT / f"{folder}/README.md" for folder in ("deploy", "bench", "examples", "examples/shop")),
]
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


def reasons() -> set[str]:
    """The reasons of all errors that callers may get."""
    found, left = set(), [errors.AkinError]
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        found.add(getattr(kind, "reason", ""))
    return found


def leads(page: Path, path: str, heading: str) -> bool:
    """Whether a link of a page leads to a file, and to one of its headings if it names one."""
    target = page.parent / path if path else page
    if not target.exists() or not heading:
        return target.exists()
    titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
    return heading in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_reference_is_that_of_the_protos(tmp_path: Path) -> None:
    """The committed reference is what the protos' comments give."""
    made = tmp_path / "api.md"
    subprocess.run([sys.executable, ROOT / "tools/make_api.py", made], check=True, timeout=60)
    assert made.read_text() == (ROOT / "docs/api.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every file that a page links to exists, and has the heading that the link names."""
    assert [] == [link for link in LINK.findall(page.read_text()) if not leads(page, *link)]


@pytest.mark.parametrize("link", [("nowhere.md", ""), ("README.md", "no-heading"), ("", "none")])
def test_a_broken_link_is_found(link: tuple[str, str]) -> None:
    """A missing file and a missing heading are both broken links."""
    assert leads(ROOT / "README.md", "docs/settings.md", "server")
    assert not leads(ROOT / "README.md", *link)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_settings_that_pages_name_exist(page: Path) -> None:
    """Every AKIN_ variable that a page names is a setting, or one of commands or clients' tests."""
    tests_own = {f"AKIN_{name}" for name in ("TLS_ADDRESS", "TLS_CA", "TLS_CERT")}
    named = set(re.findall(r"\bAKIN_[A-Z_]+[A-Z]\b", page.read_text()))
    assert set() == named - set(list_variables().values()) - CLIENT_VARIABLES - tests_own


def test_the_reasons_that_callers_are_told_exist() -> None:
    """The table of errors names only reasons that the service has."""
    text = (ROOT / "docs/calling.md").read_text()
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| [A-Z_]+[ ,]", line)]
    named = {reason for row in rows for reason in re.findall(r"`([A-Z_]+)`", row[2])}
    assert "ITEM_NOT_FOUND" in named
    assert set() == named - reasons()


def test_files_that_the_architecture_names_exist() -> None:
    """Every path of a source, test or tool in the architecture page leads to a file or folder."""
    text = (ROOT / "docs/architecture.md").read_text()
    paths = re.findall(r"`((?:service|tests|tools)/[\w/.]*)`", text)
    assert "service/index/follower.py" in paths
    assert [] == [path for path in paths if not (ROOT / path).exists()]


def test_the_architecture_lists_the_folders() -> None:
    """The table of folders names every folder of the service, and no other."""
    text = (ROOT / "docs/architecture.md").read_text()
    folders = {path.parent.name for path in (ROOT / "service").glob("*/__init__.py")}
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
