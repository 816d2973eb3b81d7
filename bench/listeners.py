"""RecommendSimilar over gRPC on a server with idle listeners for HTTP, next to one without.

    python bench/listeners.py [--concurrency N] [--rounds R] [--seconds S]

Both servers hold the same items and take turns under the same load, in changing order, so that they
see the same noise. The ratio is the median of the ratios of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import ExitStack
from statistics import median

import load
from servers import Server, akin_server
from smoke import FILMS, SAMPLE, fill

WARM_UP_SECONDS = 2.0
LISTENERS = {"AKIN_HTTP_LISTEN": "127.0.0.1:0", "AKIN_CONSOLE_LISTEN": "127.0.0.1:0"}
OFF, ON = "off", "on"


def measure(
    server: Server, requests: list[bytes], concurrency: int, seconds: float
) -> load.Figures:
    """Call one server for some time."""
    return asyncio.run(load.run(server.address, server.process_id, requests, concurrency, seconds))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round")
    options = parser.parse_args()
    with ExitStack() as stack:
        servers = {
            OFF: stack.enter_context(akin_server(AKIN_EMBEDDER="local")),
            ON: stack.enter_context(akin_server(None, AKIN_EMBEDDER="local", **LISTENERS)),
        }
        for server in servers.values():
            requests = fill(server.address, FILMS if FILMS.exists() else SAMPLE)
            measure(server, requests, options.concurrency, WARM_UP_SECONDS)
        figures: dict[str, list[load.Figures]] = {name: [] for name in servers}
        for round_number in range(options.rounds):
            for name in (OFF, ON) if round_number % 2 == 0 else (ON, OFF):
                figures[name].append(
                    measure(servers[name], requests, options.concurrency, options.seconds)
                )
    for name, rounds in figures.items():
        calls = median(each.calls_per_second for each in rounds)
        p99 = median(each.p99_ms for each in rounds)
        processor = median(each.server_cpu_us_per_call for each in rounds)
        print(f"{name:4}{calls:>8,.0f} calls/s, p99 {p99:.1f} ms, {processor:.0f} us CPU a call")
    pairs = list(zip(figures[ON], figures[OFF], strict=True))
    ratio = median(on.calls_per_second / off.calls_per_second for on, off in pairs)
    cost = median(on.server_cpu_us_per_call / off.server_cpu_us_per_call for on, off in pairs)
    print(f"on / off: calls {ratio:.3f}, CPU time of a call {cost:.3f}")


if __name__ == "__main__":
    main()
