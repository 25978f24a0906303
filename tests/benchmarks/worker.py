"""One side of a comparison: a process that loads one library and times what it is asked to.

Each library runs in a process of its own, so that the waiting threads of one do not take the
processor from another. Requests come as JSON lines on standard input, answers go out likewise.

- ``{"do": "answer", "case": NAME, "threads": 2}``: compute the case once, and return numbers that
  every library must agree on;
- ``{"do": "time", "case": NAME, "threads": 2, "seconds": 0.2}``: repeat it for a while, and return
  the seconds each repetition took;
- ``{"do": "about"}``: versions and peak memory.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from typing import Any

MAKERS = {
    "minivae": "ours",
    "numpy": "peer_numpy",
    "torch": "peer_torch",
    "compiled torch": "peer_torch_compiled",
    "jax": "peer_jax",
    "scikit-learn": "peer_sklearn",
}


def serve(library: str) -> None:
    """Answer requests until standard input ends."""
    answers, sys.stdout = (
        sys.stdout,
        sys.stderr,
    )  # what a library prints must not mix with the answers
    peer = importlib.import_module(MAKERS[library])
    prepared: dict[tuple[str, int], Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "about":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            reply: dict[str, Any] = {"version": peer.VERSION, "peak_megabytes": peak}
        else:
            key = request["case"], request["threads"]
            peer.set_threads(request["threads"])
            if key not in prepared:
                prepared[key] = peer.prepare(request["case"])
            run, answer = prepared[key]
            reply = (
                answer()
                if request["do"] == "answer"
                else {"seconds": repeat(run, request["seconds"])}
            )
        print(json.dumps(reply), file=answers, flush=True)


def repeat(run: Any, seconds: float) -> list[float]:
    """The times of as many runs as fit; runs too short for the clock are timed in tens."""
    run()
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    bundle = 1 if once > 2e-4 else max(1, round(2e-4 / max(once, 1e-7)))
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(bundle):
            run()
        times.append((time.perf_counter() - start) / bundle)
    return times


if __name__ == "__main__":
    serve(sys.argv[1])
