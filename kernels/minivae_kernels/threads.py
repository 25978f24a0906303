"""How many threads large operations are shared among."""

import os
from contextlib import suppress
from pathlib import Path

# More threads than this wait for memory, not for each other's arithmetic.
_MOST_THREADS = 8

_num_threads: int | None = None  # until it is asked for


def get_num_threads() -> int:
    """Return the number of threads that large operations are shared among.

    Raises
    ------
    ValueError
        If nobody has set it, and MINIVAE_NUM_THREADS is not a positive integer.
    """
    global _num_threads
    if _num_threads is None:
        text = os.environ.get("MINIVAE_NUM_THREADS", "").strip()
        if text and not (text.isdecimal() and int(text)):
            raise ValueError(f"MINIVAE_NUM_THREADS must be a positive integer, not {text!r}")
        _num_threads = int(text) if text else min(available_cpus(), _MOST_THREADS)
    return _num_threads


def set_num_threads(n: int) -> None:
    """Share large operations among n threads from now on; results do not change by a bit.

    Raises
    ------
    ValueError
        If n is not a positive integer.
    """
    global _num_threads
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ValueError(f"set_num_threads: n must be a positive integer, not {n!r}")
    _num_threads = n


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of processors that this process may keep busy.

    Those that it may run on; fewer where its control group, a container's for one, may use less
    processor time than that, as Linux tells under `root`.
    """
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min([count, *map(int, _quotas(root))]))


def _quotas(root: Path) -> list[float]:
    """Return how many processors the process's control group may use, and each that holds it."""
    found = []
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers not in ("", "cpu", "cpu,cpuacct"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        folder = top / group.lstrip("/")
        # inside a container the group may be named as it is outside: then the top is the group's
        for place in {top, folder, *(p for p in folder.parents if p.is_relative_to(top))}:
            with suppress(OSError, ValueError):
                if controllers:
                    quota = (place / "cpu.cfs_quota_us").read_text()
                    period = (place / "cpu.cfs_period_us").read_text()
                else:
                    quota, period = (place / "cpu.max").read_text().split()
                if float(quota) > 0:  # "max", or -1, means no limit
                    found.append(float(quota) / float(period))
    return found
