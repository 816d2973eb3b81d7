"""RecommendSimilar by random item over a large catalog, next to a bare gRPC handler.

    python bench/throughput.py [--items N] [--seconds S] [--concurrency 1,4,16,64] [--rounds R]
                               [--data FOLDER] [--json FILE] [--plot FILE]

One Akin process with the embedded model, and the bare handler of bare.py, are asked the same
requests by the same load generator (load/, in Go, so that it takes little of the machine). They
take turns, several rounds each, so that both see the same noise; medians are shown. Then both at
half of their best, at a fixed rate. Ids are as long as those of bare.py, and so are the replies.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import akin
import charts
import texts
from akin.v1 import recommender_service_pb2 as pb
from servers import akin_server
from smoke import bare_server

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "akin-bench"
METHOD = "/akin.v1.RecommenderService/RecommendSimilar"
LIMIT = 10
RECALL_QUERIES = 500
SCORE_TOLERANCE = 1e-6
# The server builds more once nothing was written for 3 s.
CALM_POLLS = 12
POLL_SECONDS = 0.5

Result = dict[str, Any]


def numbered(count: int) -> list[Result]:
    """Items whose ids are their row numbers, nine characters long."""
    return [{**each, "id": f"item{row:05x}"} for row, each in enumerate(texts.items(count))]


def settle(address: str) -> None:
    """Waits until no worker builds an index; each look is at the worker of a new connection."""
    calm = 0
    while calm < CALM_POLLS:
        with akin.Client(address) as client:
            calm = 0 if client.get_catalog().index.building else calm + 1
        time.sleep(POLL_SECONDS)


@contextmanager
def filled_server(items: Sequence[Result], data: Path | None) -> Iterator[tuple[str, Result]]:
    """Runs Akin over the items, importing them unless the folder has them already.

    Yields its address, and what the import took, empty if there was none.

    Raises:
        SystemExit: the folder holds something else.
    """
    with ExitStack() as stack:
        if data is not None:
            data.mkdir(parents=True, exist_ok=True)
        server = stack.enter_context(akin_server(data, AKIN_EMBEDDER="local"))
        with akin.Client(server.address) as client:
            held, stats = client.get_catalog().item_count, {}
        if not held:
            stats = import_items(server.address, items)
        elif held != len(items):
            raise SystemExit(f"{data} holds {held} items, not {len(items)}")
        settle(server.address)
        yield server.address, stats


def import_items(address: str, items: Sequence[Result]) -> Result:
    """Import items and wait until the index is built; return what that took."""
    messages = (akin.item(each["id"], each["text"], each["attributes"]) for each in items)
    started = time.perf_counter()
    with akin.Client(address) as client:
        failed = sum(result.code != 0 for result in client.import_items(messages))
    seconds = time.perf_counter() - started
    assert not failed
    settle(address)
    whole = time.perf_counter() - started - CALM_POLLS * POLL_SECONDS
    return {
        "items_per_second": round(len(items) / seconds),
        "seconds": round(seconds, 1),
        "seconds_until_settled": round(max(whole, seconds), 1),
    }


@dataclass(frozen=True)
class Generator:
    """The load generator, built, with the messages it sends and where to."""

    program: Path
    requests: Path
    to: str

    @classmethod
    def built(cls, requests: Path, messages: Iterable[bytes], to: str) -> Generator:
        """Builds it, and writes the messages into a file.

        Raises:
            SystemExit: there is no Go here.
        """
        if shutil.which("go") is None:
            raise SystemExit("the load generator needs Go 1.25 or later on the PATH")
        program = CACHE / "load"
        subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "load", check=True)
        requests.write_bytes(b"".join(len(each).to_bytes(4) + each for each in messages))
        return cls(program, requests, to)

    @classmethod
    def of_akin(cls, requests: Path, ids: Iterable[str]) -> Generator:
        """Asks for what is similar to items."""
        asked = (pb.RecommendSimilarRequest(item_id=each, limit=LIMIT) for each in ids)
        return cls.built(
            requests, (each.SerializeToString() for each in asked), f"-method={METHOD}"
        )

    def run(
        self, address: str, seconds: float, *, concurrency: int = 0, rate: float = 0.0
    ) -> Result:
        """Calls from a number of callers, or at a rate in calls per second; none may fail."""
        load = f"-rate={rate}" if rate else f"-concurrency={concurrency}"
        stats = self.measure(address, seconds, load)
        assert not stats["errors"], stats
        return stats

    def measure(self, address: str, seconds: float, *options: str) -> Result:
        """Calls with options of the load generator; calls may fail."""
        command = [
            str(self.program),
            f"-address={address}",
            self.to,
            f"-requests={self.requests}",
            f"-duration={seconds}s",
            *options,
        ]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        stats: Result = json.loads(done.stdout)
        assert stats["calls"], stats
        return stats


def middle(rounds: Sequence[Mapping[str, float]]) -> Result:
    """The median of each figure."""
    return {name: round(median(each[name] for each in rounds), 3) for name in rounds[0]}


@dataclass(frozen=True)
class Contest:
    """Servers that take turns under the same load."""

    generator: Generator
    addresses: Mapping[str, str]
    seconds: float
    rounds: int

    def at(self, concurrency: int) -> Result:
        """Both in a closed loop of a number of callers."""
        found = self._in_turns({name: {"concurrency": concurrency} for name in self.addresses})
        pairs = zip(found["akin"], found["bare"], strict=True)
        ratio = median(ours["calls_per_second"] / bare["calls_per_second"] for ours, bare in pairs)
        return {
            "concurrency": concurrency,
            **{name: middle(rounds) for name, rounds in found.items()},
            "ratio_calls": round(ratio, 3),
        }

    def at_rates(self, rates: Mapping[str, float]) -> Result:
        """Each at a fixed rate of its own."""
        found = self._in_turns({name: {"rate": rate} for name, rate in rates.items()})
        result: Result = {}
        for name, rounds in found.items():
            ratio = median(each["p99_ms"] / each["p50_ms"] for each in rounds)
            result[name] = {
                "rate": round(rates[name], 1),
                **middle(rounds),
                "p99_over_p50": round(ratio, 2),
            }
        return result

    def _in_turns(self, loads: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Result]]:
        found: dict[str, list[Result]] = {name: [] for name in loads}
        for _ in range(self.rounds):
            for name, load in loads.items():
                found[name].append(self.generator.run(self.addresses[name], self.seconds, **load))
        return found


def recall(address: str, ids: Sequence[str]) -> float:
    """The share of the best ten, by score, that served answers have."""
    shares = []
    with akin.Client(address) as client:
        for each in ids:
            exact = client.recommend_similar(item_id=each, limit=LIMIT, exact=True).recommendations
            served = client.recommend_similar(item_id=each, limit=LIMIT).recommendations
            least = exact[-1].score - SCORE_TOLERANCE
            shares.append(sum(hit.score >= least for hit in served) / len(exact))
    return round(sum(shares) / len(shares), 4)


def measure(options: argparse.Namespace) -> Result:
    """Runs both servers and their rounds."""
    items = numbered(options.items)
    ids = [each["id"] for each in items]
    levels = [int(each) for each in options.concurrency.split(",")]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generator = Generator.of_akin(folder / "requests", ids)
        ours, imported = stack.enter_context(filled_server(items, options.data))
        bare, _ = stack.enter_context(bare_server())
        addresses = {"akin": ours, "bare": bare}
        contest = Contest(generator, addresses, options.seconds, options.rounds)
        rows = [contest.at(level) for level in levels]
        best = {
            name: max(row[name]["calls_per_second"] for row in rows) for name in contest.addresses
        }
        return {
            "items": len(items),
            "rounds": options.rounds,
            "seconds_per_round": options.seconds,
            "import": imported,
            "closed_loop": rows,
            "best_calls_per_second": best,
            "ratio_best_calls": round(best["akin"] / best["bare"], 3),
            "half_load": contest.at_rates({name: rate / 2 for name, rate in best.items()}),
            "recall_at_10": recall(ours, random.Random(1).sample(ids, RECALL_QUERIES)),
        }


def show(result: Result) -> None:
    """Prints the result for people."""
    print(f"RecommendSimilar by random item, {result['items']:,} items, limit {LIMIT}, ids only")
    print(f"{result['rounds']} rounds of {result['seconds_per_round']:g} s in turns, medians\n")
    print(f"{'':8}{'akin':^34}{'bare handler':^34}{'akin/bare':>10}")
    heading = f"{'calls/s':>12}{'p50 ms':>11}{'p99 ms':>11}"
    print(f"{'callers':8}{heading}{heading}{'calls/s':>10}")
    for row in result["closed_loop"]:
        print(f"{row['concurrency']:<8}{_cells(row['akin'])}{_cells(row['bare'])}"
              f"{row['ratio_calls']:>10}")  # fmt: skip
    half = result["half_load"]
    print(f"{'half':8}{_cells(half['akin'])}{_cells(half['bare'])}")
    sizes = [half[name]["mean_reply_bytes"] for name in ("akin", "bare")]
    print(f"\nakin / bare, best calls per second: {result['ratio_best_calls']}")
    print(f"p99 / p50 at half load: akin {half['akin']['p99_over_p50']}, "
          f"bare {half['bare']['p99_over_p50']}")  # fmt: skip
    print(f"recall@10 by score: {result['recall_at_10']}")
    print(f"bytes of a reply: akin {sizes[0]:g}, bare {sizes[1]:g}")
    if result["import"]:
        print(f"import: {result['import']}")


def _cells(stats: Result) -> str:
    numbers = stats["calls_per_second"], stats["p50_ms"], stats["p99_ms"]
    return "{:>12,.0f}{:>11.2f}{:>11.2f}".format(*numbers)


def arguments(doc: str | None, items: int, concurrency: str, seconds: float) -> argparse.Namespace:
    """The options that benchmarks under load have in common."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=items)
    parser.add_argument("--seconds", type=float, default=seconds, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", default=concurrency)
    parser.add_argument("--data", type=Path, help="keep Akin's data here, and use it again")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measures and prints."""
    options = arguments(__doc__, 100_000, "1,4,16,64", 5.0)
    result = measure(options)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.plot:
        charts.throughput(options.plot, result)


if __name__ == "__main__":
    main()
