"""Draws the beginning of `akin demo` as docs/images/demo.svg, for the README.

python tools/make_screenshot.py [FILE]
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs/images/demo.svg"
WIDTH = 120

# The three questions of the demo; its topics follow.
LAST_LINE = "Filter by attributes"

# Rich names fonts on another host, which a picture must not load.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def run_demo() -> str:
    """Return what the demo prints on a terminal with colors."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    demo = [sys.executable, "-m", "service", "demo"]
    process = subprocess.run(
        demo, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return process.stdout


def draw(output: str) -> str:
    """Return the lines before LAST_LINE as SVG."""
    lines = output.splitlines()
    end = next(number for number, line in enumerate(lines) if LAST_LINE in line)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines[:end]).rstrip()))
    return FONTS.sub("", console.export_svg(title="make demo"))


def main(target: Path) -> None:
    """Write the picture."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(draw(run_demo()))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
