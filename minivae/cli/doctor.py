"""``minivae doctor``: what this machine has, what is missing, and what is slow and why."""

import argparse
import os
import pickletools
import platform
import shutil
from collections import deque
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import minivae
import minivae_kernels
from minivae import replay
from minivae.cli.terminal import add_quiet, table
from minivae.datasets.published import PUBLISHED, find_published
from minivae_kernels import _loops, registers, threads
from minivae_kernels._native import INTERPRETED

__all__ = ["kernel_cache", "kernels_are_compiled", "register", "slow_because", "versions"]

FULL = 20e6  # bytes that are left of a disk that counts as full


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "doctor",
        help="what this machine has, what is missing, and what is slow and why",
        description="Say what this machine has, what is missing, and what is slow and why.",
    )
    add_quiet(parser)
    parser.set_defaults(run=doctor)


def doctor(arguments: argparse.Namespace) -> None:
    """Print what there is."""
    rows = [(name, version) for name, version in versions().items()]
    rows += [("platform", platform.platform()), ("processors", _processors())]
    threads = minivae_kernels.get_num_threads()
    rows += [("threads", f"{threads} (MINIVAE_NUM_THREADS changes this)")]
    rows += [("vectors", f"{registers.COUNT} registers of {8 * registers.BYTES} bits")]
    rows += [("kernel cache", _describe_cache()), ("optdigits", "in the package")]
    rows += [("faithful", "in the package")]
    rows += [(name, _describe_published(name)) for name in PUBLISHED]
    print(table(rows, indent=0))
    slow = list(slow_because())
    print(f"\nWhat is slow here, and why:\n\n{table(slow)}" if slow else "\nNothing is slow here.")


def slow_because() -> Iterator[tuple[str, str]]:
    """Yield what makes minivae slower than it could be, each with the reason and the remedy."""
    cpus, used = threads.available_cpus(), minivae_kernels.get_num_threads()
    if INTERPRETED:
        yield "kernels", "NUMBA_DISABLE_JIT is set: every loop runs in Python; unset it"
    if not replay.is_on():
        yield "training steps", "MINIVAE_REPLAY=0 leaves each to the slower tape; unset it"
    if cpus == 1:
        here = os.cpu_count() or 1
        why = "this machine has one" if here == 1 else f"of {here}, by its affinity or its quota"
        yield "processors", f"one for this process ({why}): nothing can run in parallel"
    elif used == 1:
        yield "threads", f"one on {cpus} processors: MINIVAE_NUM_THREADS sets how many"
    if registers.BYTES < 32 and platform.machine().lower() in ("x86_64", "amd64"):
        yield (
            "vectors",
            "the processor reports no AVX2: a vector holds 4 numbers, not 8 or 16. In a "
            "virtual machine, let it see the host's processor",
        )
    folder = kernel_cache()
    if INTERPRETED:
        return
    if folder is None:
        yield "kernel cache", "no folder is writable: every process compiles its kernels afresh"
    elif not any(folder.glob("*.nbc")):
        yield "first run", "no kernels are compiled yet: the first run compiles what it calls"
    elif shutil.disk_usage(folder).free < FULL:
        yield "kernel cache", "the disk is full: each process compiles the kernels that are missing"


def versions() -> dict[str, str]:
    """Return the versions of everything that decides a run's numbers or pictures."""
    packages = ("numpy", "numba", "scipy", "matplotlib")
    return {
        "minivae": minivae.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }


def kernel_cache() -> Path | None:
    """Return the folder where compiled kernels are kept, or None if they are not."""
    dispatcher = _loops.exp.dispatcher
    folder = dispatcher.stats.cache_path if dispatcher else None  # it is None in a debugger
    return Path(folder) if folder else None


def kernels_are_compiled() -> bool:
    """Tell whether compiled kernels are on the disk, or are not wanted."""
    folder = kernel_cache()
    return INTERPRETED or (folder is not None and any(folder.glob("*.nbc")))


def _describe_published(name: str) -> str:
    folder, tried = find_published(name)
    if folder is not None:
        return str(folder)
    return (
        f"not here; it is downloaded on first use. Looked in: {'; '.join(tried)}. Without a "
        f"network: {PUBLISHED[name].hint}put MNIST's four IDX files into a folder and set "
        "MINIVAE_DATA to it"
    )


def _describe_cache() -> str:
    if INTERPRETED:
        return "none: nothing is compiled"
    folder = kernel_cache()
    if folder is None:
        return (
            "none: no folder is writable, so each process compiles afresh; set NUMBA_CACHE_DIR "
            "to a folder that is"
        )
    files = list(folder.glob("*.nbc")) if folder.is_dir() else []
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    found = f"{folder} ({len(files)} kernels, {megabytes:.1f} MB)"
    if damaged := [f.name for f in sorted(folder.glob("*.nb[ci]")) if not _is_whole(f)]:
        found += f"; damaged, compiled anew on the next call: {', '.join(damaged)}"
    if folder.is_dir() and shutil.disk_usage(folder).free < FULL:
        found += "; the disk is full, so each process compiles afresh"
    return found


def _is_whole(path: Path) -> bool:
    """Tell whether a file of Numba's cache ends where it should; nothing in it is executed."""
    try:
        with path.open("rb") as file:
            for _ in range(2 if path.suffix == ".nbi" else 1):  # an index is a version and a table
                deque(pickletools.genops(file), maxlen=0)
            return not file.read(1)
    except (ValueError, OSError, OverflowError, MemoryError):
        return False


def _processors() -> str:
    return f"{os.cpu_count()}, {threads.available_cpus()} for this process"
