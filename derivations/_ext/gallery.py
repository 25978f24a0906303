"""Run every example and keep its picture in build/gallery; fail if one fails or leaves none.

An example writes beside itself, so each is run from a copy.
"""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = {".png", ".gif"}
ALONE = {"matmul_stages"}  # it measures time: nothing may run beside it


def draw(script: Path, gallery: Path) -> tuple[float, str]:
    """Run one example; its seconds, and what is wrong or nothing."""
    with_own_name = gallery / "scripts" / script.stem
    with_own_name.mkdir(parents=True)
    copy = shutil.copy(script, with_own_name)
    begun = time.perf_counter()
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
    }
    if script.stem not in ALONE:
        environment["MINIVAE_NUM_THREADS"] = "1"  # two examples run at a time
    result = subprocess.run(
        [sys.executable, copy],
        cwd=with_own_name,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    pictures = [path for path in with_own_name.iterdir() if path.suffix in PICTURES]
    for picture in pictures:
        shutil.move(picture, gallery / picture.name)
    if result.returncode:
        return seconds, result.stderr
    return seconds, "" if pictures else "it left no picture beside itself\n"


def main(examples: Path, gallery: Path) -> int:
    """Run the examples, most two at a time; the exit status is the number that went wrong."""
    shutil.rmtree(gallery, ignore_errors=True)
    scripts = sorted(examples.glob("*.py"))
    alone = [script for script in scripts if script.stem in ALONE]
    together = [script for script in scripts if script.stem not in ALONE]
    wrong = 0
    for some, at_a_time in ((together, 2), (alone, 1)):
        with ThreadPoolExecutor(at_a_time) as pool:
            results = pool.map(lambda script: draw(script, gallery), some)
            for script, (seconds, complaint) in zip(some, results, strict=True):
                wrong += bool(complaint)
                verdict = "FAILED" if complaint else ""
                print(f"{script.stem:24} {seconds:6.1f} s  {verdict}".rstrip(), flush=True)
                print(complaint, end="")
    shutil.rmtree(gallery / "scripts", ignore_errors=True)
    print(f"{len(scripts) - wrong} of {len(scripts)} pictures are in {gallery}")
    return wrong


if __name__ == "__main__":
    sys.exit(main(ROOT / "examples", ROOT / "build" / "gallery"))
