"""How fast `akin import` reads a table of products, plain and gzipped through a pipe.

    python bench/import_table.py [--rows N] [--json]

Writes a CSV with a title, a description, a price, a stock flag and tags, and imports it twice into
a real server: the file, and the same file gzipped through a named pipe.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import akin
from servers import akin_server

ADJECTIVES = (
    "light",
    "sturdy",
    "red",
    "wool",
    "folding",
    "quiet",
    "warm",
    "small",
    "garden",
    "steel",
)
NOUNS = ("shoe", "pan", "lamp", "tent", "chair", "drill", "jacket", "bottle", "table", "bicycle")
COMMAND = ("--map", "id=sku", "--template", "{title}. {description}", "--split", "tags=|")


def write_table(path: Path, rows: int) -> None:
    """Write a CSV of products."""
    generator = random.Random(1)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("sku", "title", "description", "price", "in_stock", "tags"))
        for number in range(rows):
            words = generator.sample(ADJECTIVES, 3)
            noun = generator.choice(NOUNS)
            table.writerow(
                (
                    f"P-{number:06}",
                    f"{words[0].title()} {noun}",
                    f"A {words[1]}, {words[2]} {noun}, model {number}",
                    f"{generator.randrange(100, 100_000) / 100:.2f}",
                    generator.choice(("true", "false")),
                    "|".join(words),
                )
            )


def run_import(file: Path) -> dict[str, object]:
    """Import a file into a new server; return the summary, and one stored item."""
    with akin_server(None, AKIN_EMBEDDER="local") as (address, *_):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "service",
                "import",
                str(file),
                *COMMAND,
                "--json",
                "--address",
                address,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        with akin.Client(address) as client:
            item = client.get_item("P-000007")
    summary = json.loads(done.stdout)
    return {
        "items": summary["items"],
        "seconds": summary["seconds"],
        "items_per_second": round(summary["items"] / summary["seconds"]),
        "failures": len(summary["failures"]),
        "example": {"text": item.text, "attributes": dict(item.attributes)},
    }


def measure(folder: Path, rows: int) -> dict[str, object]:
    """Import the table as a file, and gzipped through a pipe."""
    plain, pipe = folder / "products.csv", folder / "pipe"
    write_table(plain, rows)
    os.mkfifo(pipe)
    compressed = gzip.compress(plain.read_bytes())
    writer = threading.Thread(target=pipe.write_bytes, args=(compressed,))
    writer.start()
    piped = run_import(pipe)
    writer.join()
    return {"file": run_import(plain), "gzip through a pipe": piped}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), options.rows)
    if options.json:
        print(json.dumps(result, indent=2, default=str))
        return
    for name, figures in result.items():
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
