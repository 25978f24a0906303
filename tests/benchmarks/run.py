"""Time minivae against the frameworks, side by side: ``make bench``, ``make bench-quick``.

Every library lives in a process of its own and is asked in turn, a fifth of a second at a time, so
that a machine whose speed drifts slows them all. The figure of a case is the ratio of medians,
ours over the fastest peer's; that of a row the geometric mean over its cases; its spread the
middle half of the ratios of single rounds. A peer that computes other numbers is refused.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import cases
import numpy as np

HERE = Path(__file__).resolve().parent


class Pace(NamedTuple):
    """How often every library is asked, for how long, and how long the machine rests before."""

    rounds: int
    seconds: float
    rest: float


QUICK, FULL = Pace(5, 0.1, 0.05), Pace(11, 0.2, 0.25)


class Worker:
    """A library in a process of its own."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, "worker.py", library],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """Send one request and wait for its answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self.library} failed on {request}; `python worker.py {self.library}` shows why"
            )
        return json.loads(line)

    def close(self) -> None:
        """Let the process end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def agree(case: str, threads: int, workers: dict[str, Worker]) -> None:
    """Refuse to compare libraries that compute different numbers."""
    answers = {
        n: np.array(w.ask(do="answer", case=case, threads=threads)["answer"])
        for n, w in workers.items()
    }
    ours = answers["minivae"]
    for name, theirs in answers.items():
        scale = np.abs(ours) + np.abs(ours).max() * 1e-3
        worst = float(np.max(np.abs(theirs - ours) / scale))
        if not worst < cases.tolerance(case):
            raise SystemExit(
                f"{case}: {name} and minivae differ by {worst:.1e} relative; nothing is compared"
            )


def measure(case: str, threads: int, workers: dict[str, Worker], pace: Pace) -> dict[str, Any]:
    """Times of one case, asked round by round in a changing order.

    A short rest before each: the threads of some libraries go on spinning for a while after their
    last work, on the processors that the next library needs.
    """
    agree(case, threads, workers)
    medians: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    for r in range(pace.rounds):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            time.sleep(pace.rest)
            answer = workers[name].ask(do="time", case=case, threads=threads, seconds=pace.seconds)
            medians[name].append(statistics.median(answer["seconds"]))
    times = {name: statistics.median(values) for name, values in medians.items()}
    fastest = min((n for n in times if n != "minivae"), key=times.__getitem__)
    ratios = sorted(a / b for a, b in zip(medians["minivae"], medians[fastest], strict=True))
    return {
        "case": case,
        "threads": threads,
        "seconds": times,
        "fastest_peer": fastest,
        "ratio": times["minivae"] / times[fastest],
        "spread": [ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
    }


def geometric_mean(values: list[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def bench_row(row: cases.Row, workers: dict[str, Worker], pace: Pace) -> list[dict[str, Any]]:
    """The results of one row, one for each thread count."""
    results = []
    for threads in row.threads:
        chosen = {name: workers[name] for name in ("minivae", *row.peers)}
        measured = [measure(case, threads, chosen, pace) for case in row.cases]
        label = f"{row.name}, 1 thread" if threads == 1 else row.name
        results.append(
            {
                "name": label,
                "against": " or ".join(row.peers),
                "threads": threads,
                "reach": row.reach,
                "aim": row.aim,
                "ratio": geometric_mean([m["ratio"] for m in measured]),
                "spread": [geometric_mean([m["spread"][i] for m in measured]) for i in (0, 1)],
                "ours_ms": 1e3 * geometric_mean([m["seconds"]["minivae"] for m in measured]),
                "theirs_ms": 1e3
                * geometric_mean([m["seconds"][m["fastest_peer"]] for m in measured]),
                "cases": measured,
            }
        )
    return results


def whole_rows(quick: bool) -> list[dict[str, Any]]:
    """The rows that need whole epochs or whole processes, in the same form."""
    import whole

    def row(
        name: str, against: str, reach: float, aim: float, ratio: float, ours: float, theirs: float
    ) -> dict[str, Any]:
        return {
            "name": name,
            "against": against,
            "reach": reach,
            "aim": aim,
            "ratio": ratio,
            "spread": None,
            "ours_ms": 1e3 * ours,
            "theirs_ms": 1e3 * theirs,
        }

    f = whole.first_step(1 if quick else 5)
    rows = [
        row(
            "import to first step, no cache",
            "8 s",
            1.0,
            0.6,
            f["cold_seconds"] / 8.0,
            f["cold_seconds"],
            8.0,
        ),
        row(
            "import to first step, cache",
            "torch",
            0.45,
            0.35,
            f["warm_seconds"] / f["torch_seconds"],
            f["warm_seconds"],
            f["torch_seconds"],
        ),
        row(
            "peak memory (MB, not ms)",
            "torch",
            0.60,
            0.50,
            f["ours_mb"] / f["torch_mb"],
            f["ours_mb"] / 1e3,
            f["torch_mb"] / 1e3,
        ),
    ]
    e = whole.epoch_against_step(rounds=2 if quick else 5)
    rows.append(
        row(
            "a step of fit",
            "the bare step",
            1.05,
            1.02,
            e["ratio"],
            e["whole_ms"] / 1e3,
            e["bare_ms"] / 1e3,
        )
    )
    if not quick:
        busy, beside = whole.beside_busy(), whole.beside_other_pools()
        rows.append(
            row(
                "the step, two busy processes beside it",
                "one thread",
                1.00,
                0.85,
                busy["ratio"],
                busy["two_seconds"],
                busy["one_seconds"],
            )
        )
        rows.append(
            row(
                "slower after other pools (times)",
                "NumPy's after PyTorch's",
                1.0,
                1.0,
                beside["ratio"],
                beside["ours_slower"] / 1e3,
                beside["numpy_slower"] / 1e3,
            )
        )
        p = whole.posterior_fit()
        name = "fit_posterior, 1,000 digits"
        rows.append(row(name, "10 s", 1.0, 0.5, p["seconds"] / 10, p["seconds"], 10.0))
        name = "what it lacks (nats, not s)"
        rows.append(row(name, "0.01 nats", 1.0, 0.5, p["short"] / 0.01, p["short"], 0.01))
        worst = max(whole.growth(), key=lambda g: float(g["excess"]))
        name = f"growth, worst: {worst['what']} x{worst['factor']}"
        rows.append(row(name, "the arithmetic", 1.15, 1.15, float(worst["excess"]), 0.0, 0.0))
    return rows


def describe_machine(workers: dict[str, Worker]) -> dict[str, Any]:
    """Machine, versions and thread counts."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu
        )
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": 2,
        "versions": [w.ask(do="about")["version"] for w in workers.values()],
    }


def print_table(machine: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """The table, 80 columns wide."""
    print(f"\n{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}")
    print(", ".join(machine["versions"]) + "; float32, 2 threads unless said otherwise\n")
    print(f"{'':38}{'ours':>8}{'theirs':>9}{'ratio':>7}{'spread':>11}{'goal':>6}")
    for r in results:
        spread = f"{r['spread'][0]:.2f}-{r['spread'][1]:.2f}" if r["spread"] else ""
        verdict = "aim" if r["ratio"] <= r["aim"] else "met" if r["ratio"] <= r["reach"] else "MISS"
        print(
            f"{r['name'][:38]:38}{r['ours_ms']:8.3f}{r['theirs_ms']:9.3f}{r['ratio']:7.2f}{spread:>11}{verdict:>6}"
        )
        print(f"  against {r['against']}; reach {r['reach']:.2f}, aim {r['aim']:.2f}")
    print("\nTimes in ms (mixtures in float64); ratio = ours / theirs, below 1 is faster.")


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Every ratio as a bar, with the goals as marks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.34 * len(results) + 1), layout="constrained")
    axes = figure.add_subplot()
    rows = results[::-1]
    y = np.arange(len(rows))
    axes.barh(
        y,
        [r["ratio"] for r in rows],
        color=["#3a7d6e" if r["ratio"] <= r["reach"] else "#b5532f" for r in rows],
    )
    axes.scatter([r["reach"] for r in rows], y, marker="|", color="black", s=120, label="reach")
    axes.scatter([r["aim"] for r in rows], y, marker="|", color="grey", s=120, label="aim")
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(y, [f"{r['name']} / {r['against']}" for r in rows], fontsize=7)
    axes.set_xlabel("time of minivae / time of the fastest peer named")
    axes.legend(loc="lower right", fontsize=7)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the comparison and leave a table, a JSON file and a plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds: three minutes")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"))
    options = parser.parse_args()
    pace = QUICK if options.quick else FULL
    chosen = [r for r in cases.rows() if options.only in r.name and (r.quick or not options.quick)]
    workers = {
        name: Worker(name) for name in ["minivae", *sorted({p for r in chosen for p in r.peers})]
    }
    machine = describe_machine(workers)
    results = []
    for row in chosen:
        print(f"... {row.name}", file=sys.stderr)
        results += bench_row(row, workers, pace)
    for worker in workers.values():
        worker.close()
    if not options.only:
        results += whole_rows(options.quick)
    print_table(machine, results)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(
        json.dumps({"machine": machine, "rows": results}, indent=1)
    )
    draw(results, options.out / "bench.png")
    print(f"\nWritten: {options.out / 'bench.json'}, {options.out / 'bench.png'}")


if __name__ == "__main__":
    main()
