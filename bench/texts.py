"""Real texts for benchmarks: the package descriptions that a Debian machine knows.

A catalog larger than that is filled with pairs of descriptions from one section, joined: other
texts, but of real words and in the same clusters.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

SEED = 1


def items(count: int) -> list[dict[str, Any]]:
    """Items as `akin import` takes them: id, text, attributes (section, size_kb, tags).

    Raises:
        SystemExit: this is not a Debian machine with package lists.
    """
    found = list(_packages())
    if not found:
        raise SystemExit("apt-cache knows no packages here: run apt-get update on a Debian machine")
    made = found[:count]
    made += list(_joined(found, count - len(made)))
    return made


def _packages() -> Iterator[dict[str, Any]]:
    if shutil.which("apt-cache") is None:
        return
    listed = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True)
    seen: set[str] = set()
    for stanza in listed.stdout.split("\n\n"):
        fields = _fields(stanza)
        name, description = fields.get("Package", ""), fields.get("Description", "")
        if not description or name in seen:
            continue
        seen.add(name)
        tags = [tag.strip() for tag in fields.get("Tag", "").split(",") if tag.strip()]
        words = ", ".join(tag.replace("::", " ").replace("-", " ") for tag in tags)
        section = fields.get("Section", "misc").rpartition("/")[2]
        yield {
            "id": f"deb:{name}",
            "text": f"{name.replace('-', ' ')}: {description}. {section}. {words}",
            "attributes": {
                "section": section,
                "size_kb": float(fields.get("Installed-Size", "0")),
                "tags": tags,
            },
        }


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith(" "):
            fields[name] = fields.get(name, "") + line
        else:
            name, _, value = line.partition(": ")
            fields[name] = value
    return fields


def _joined(found: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    drawn = random.Random(SEED)
    sections: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        sections.setdefault(each["attributes"]["section"], []).append(each)
    for number in range(count):
        one = drawn.choice(found)
        other = drawn.choice(sections[one["attributes"]["section"]])
        yield {
            "id": f"pair:{number}",
            "text": f"{one['text']} {other['text']} {number}",
            "attributes": {**one["attributes"], "size_kb": other["attributes"]["size_kb"]},
        }
