"""Write the version of Akin, and the address of its repository, into every file that names them.

    python tools/set_version.py 0.3.0
    python tools/set_version.py --repository https://github.com/someone/akin

`pyproject.toml` is the source of both. Without arguments, the script writes what this file says
into the others.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

# A release, or a pre-release in the only form that PyPI, npm, Maven, Go and Helm all accept.
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(-rc\.?[0-9]+)?")

_VERSION = r"([0-9]+\.[0-9]+\.[0-9][\w.-]*)"
_REPOSITORY = r"(https://[\w.-]+/[\w.-]+/[\w-]+)"


class Place(NamedTuple):
    """Where a file states a value.

    Attributes:
        path: of the file, relative to the repository.
        pattern: matches each statement of the value; its only group is the value.
        times: the number of statements.
    """

    path: str
    pattern: str
    times: int = 1


VERSION_PLACES = (
    Place("pyproject.toml", rf'^version = "{_VERSION}"$'),
    Place("pyproject.toml", rf'^    "akin-client=={_VERSION}",$'),
    Place("clients/python/pyproject.toml", rf'^version = "{_VERSION}"$'),
    Place("clients/typescript/package.json", rf'^  "version": "{_VERSION}",$'),
    Place(
        "clients/typescript/package-lock.json",
        rf'"name": "@akin/client",\n *"version": "{_VERSION}",$',
        2,
    ),
    Place(
        "clients/java/pom.xml",
        rf"<artifactId>akin-client</artifactId>\n *<version>{_VERSION}</version>",
    ),
    Place("clients/java/README.md", rf"<version>{_VERSION}</version>"),
    Place("clients/go/client.go", rf"follows version {_VERSION} of the API"),
    Place("clients/go/README.md", rf"akin\.dev/go@v{_VERSION}\b", 2),
    Place("clients/typescript/README.md", rf"akin-client-{_VERSION}\.tgz"),
    Place("deploy/helm/akin/Chart.yaml", rf"^(?:version|appVersion): {_VERSION}$", 2),
    Place("deploy/kubernetes/akin.yaml", rf"image: akin:{_VERSION} "),
    Place("Dockerfile", rf"^ARG VERSION={_VERSION}$"),
    Place("integrations/langchain/pyproject.toml", rf'^version = "{_VERSION}"$'),
    Place("integrations/llamaindex/pyproject.toml", rf'^version = "{_VERSION}"$'),
    Place("integrations/haystack/pyproject.toml", rf'^version = "{_VERSION}"$'),
)

REPOSITORY_PLACES = (
    Place("pyproject.toml", rf'^Repository = "{_REPOSITORY}"$'),
    Place("pyproject.toml", rf'^(?:Changelog|Documentation|Issues) = "{_REPOSITORY}/.+"$', 3),
    Place("clients/python/pyproject.toml", rf'^Repository = "{_REPOSITORY}"$'),
    Place(
        "clients/python/pyproject.toml",
        rf'^(?:Changelog|Documentation|Issues) = "{_REPOSITORY}/.+"$',
        3,
    ),
    Place("clients/typescript/package.json", rf'"url": "git\+{_REPOSITORY}\.git"'),
    Place("clients/typescript/package.json", rf'"(?:homepage|bugs)": "{_REPOSITORY}/.+"', 2),
    Place("clients/java/pom.xml", rf"<url>{_REPOSITORY}(?:/.*)?</url>", 4),
    Place("clients/java/pom.xml", rf">scm:git:{_REPOSITORY}\.git<", 2),
    Place("README.md", rf"{_REPOSITORY}(?:/actions\b| && cd)", 3),
    Place("deploy/helm/akin/Chart.yaml", rf"^home: {_REPOSITORY}$"),
    Place("deploy/helm/akin/Chart.yaml", rf"^  - {_REPOSITORY}$"),
    Place("Dockerfile", rf'image\.(?:source|url)="{_REPOSITORY}"', 2),
)


def read_values(place: Place, root: Path = ROOT) -> list[str]:
    """Return every value that a file states at a place.

    Raises:
        ValueError: the file has more or fewer statements than it should.
    """
    values = re.findall(place.pattern, (root / place.path).read_text(), re.MULTILINE)
    if len(values) != place.times:
        raise ValueError(f"{place.path} has {len(values)} matches of {place.pattern}")
    return values


def write_value(places: tuple[Place, ...], value: str, root: Path = ROOT) -> None:
    """Write a value to all of its places."""
    for place in places:
        read_values(place, root)
        path = root / place.path
        path.write_text(
            re.sub(
                place.pattern,
                lambda match: _replace_group(match, value),
                path.read_text(),
                flags=re.MULTILINE,
            )
        )


def read_version(root: Path = ROOT) -> str:
    """Return the version in pyproject.toml."""
    return read_values(VERSION_PLACES[0], root)[0]


def read_repository(root: Path = ROOT) -> str:
    """Return the address of the repository in pyproject.toml."""
    return read_values(REPOSITORY_PLACES[0], root)[0]


def _replace_group(match: re.Match[str], value: str) -> str:
    start, end = match.span(1)
    text, offset = match.group(0), match.start(0)
    return text[: start - offset] + value + text[end - offset :]


def main() -> None:
    """Write the version and the repository of the command line."""
    parser = argparse.ArgumentParser(description="Write the version into every file that names it.")
    parser.add_argument("version", nargs="?", default=read_version(), help="such as 0.3.0")
    parser.add_argument("--repository", default=read_repository(), help="its https address")
    arguments = parser.parse_args()
    if not VERSION.fullmatch(arguments.version):
        parser.error(f"{arguments.version} is not a version such as 0.3.0")
    if not re.fullmatch(_REPOSITORY, arguments.repository):
        parser.error(f"{arguments.repository} is not an https address of a repository")
    write_value(VERSION_PLACES, arguments.version)
    write_value(REPOSITORY_PLACES, arguments.repository)


if __name__ == "__main__":
    main()
