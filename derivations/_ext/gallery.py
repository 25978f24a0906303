"""Run every example and keep its picture in build/gallery; fail if one fails or leaves none.

An example writes beside itself, so each is run from a copy. With ``--keep`` the pictures become
those that the book ships, in derivations/pictures/: with fewer colours, and each once more for a
dark page. Names of examples restrict all this to them.
"""

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageSequence

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "derivations" / "pictures"
PICTURES = {".png", ".gif"}
ALONE = {"matmul_stages"}  # it measures time: nothing may run beside it
DRAWN_BY = "drawn_by.txt"  # beside the shipped pictures: the digest of each one's script
# In the dark a colour keeps its hue: as CSS has it, invert(0.92) and then hue-rotate(180deg).
HUE = ((-0.574, 1.430, 0.144), (0.426, 0.430, 0.144), (0.426, 1.430, -0.856))


class Drawn(NamedTuple):
    """What came of running one example; no complaint if all went well."""

    seconds: float
    complaint: str
    pictures: list[Path]


def draw(script: Path, gallery: Path) -> Drawn:
    """Run one example and move its pictures to the gallery."""
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
    left = [path for path in with_own_name.iterdir() if path.suffix in PICTURES]
    pictures = [Path(shutil.move(path, gallery / path.name)) for path in left]
    complaint = "" if pictures else "it left no picture beside itself\n"
    return Drawn(seconds, result.stderr if result.returncode else complaint, pictures)


def digest(script: Path) -> str:
    """A digest of the lines of a script that can change its picture: no comments, no docstrings."""
    text = script.read_text(encoding="utf-8")
    said = set()
    for node in ast.walk(ast.parse(text)):
        has_one = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        if has_one and ast.get_docstring(node):
            docstring = node.body[0]
            said |= {*range(docstring.lineno, (docstring.end_lineno or 0) + 1)}
    lines = [line for i, line in enumerate(text.splitlines(), 1) if i not in said]
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def for_the_dark(picture: Image.Image) -> Image.Image:
    """The picture inverted, its hues kept."""
    inverted = picture.convert("RGB").point(lambda v: round(0.92 * 255 - 0.84 * v))
    return inverted.convert("RGB", tuple(v for row in HUE for v in (*row, 0.0)))


def keep(picture: Path, script: Path, shipped: Path) -> None:
    """Ship a picture and its dark twin, with few colours, and note the script's digest."""
    shipped.mkdir(exist_ok=True)
    with Image.open(picture) as image:
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
        pace = {"duration": image.info.get("duration", 100), "loop": 0}
    for suffix, change in (("", Image.Image.copy), ("-dark", for_the_dark)):
        some = [change(f).quantize(64, dither=Image.Dither.NONE) for f in frames]
        target = shipped / f"{picture.stem}{suffix}{picture.suffix}"
        more = {"save_all": True, "append_images": some[1:], **pace} if some[1:] else {}
        some[0].save(target, optimize=True, **more)
    digests = {**read_digests(shipped), picture.name: digest(script)}
    lines = [f"{name} {value}\n" for name, value in sorted(digests.items())]
    (shipped / DRAWN_BY).write_text("".join(lines), encoding="utf-8")


def read_digests(shipped: Path) -> dict[str, str]:
    """The digests of the scripts as they were when each shipped picture was drawn."""
    path = shipped / DRAWN_BY
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(line.split() for line in lines)


def main(
    examples: Path, gallery: Path, names: Sequence[str] = (), shipped: Path | None = None
) -> int:
    """Run the examples, most two at a time; the exit status is the number that went wrong."""
    scripts = sorted(examples.glob("*.py"))
    if unknown := sorted(set(names) - {script.stem for script in scripts}):
        print(f"there is no example {', '.join(unknown)}")
        return len(unknown)
    if names:
        scripts = [script for script in scripts if script.stem in names]
    else:
        shutil.rmtree(gallery, ignore_errors=True)
    shutil.rmtree(gallery / "scripts", ignore_errors=True)
    alone = [script for script in scripts if script.stem in ALONE]
    together = [script for script in scripts if script.stem not in ALONE]
    wrong = 0
    for some, at_a_time in ((together, 2), (alone, 1)):
        with ThreadPoolExecutor(at_a_time) as pool:
            results = pool.map(lambda script: draw(script, gallery), some)
            for script, drawn in zip(some, results, strict=True):
                wrong += bool(drawn.complaint)
                verdict = "FAILED" if drawn.complaint else ""
                print(f"{script.stem:24} {drawn.seconds:6.1f} s  {verdict}".rstrip(), flush=True)
                print(drawn.complaint, end="")
                if shipped is not None and not drawn.complaint:
                    for picture in drawn.pictures:
                        keep(picture, script, shipped)
    shutil.rmtree(gallery / "scripts", ignore_errors=True)
    print(f"{len(scripts) - wrong} of {len(scripts)} pictures are in {gallery}")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw the picture of every example.")
    parser.add_argument("names", nargs="*", help="only these examples, without .py")
    parser.add_argument("--keep", action="store_true", help="ship them, in derivations/pictures/")
    arguments = parser.parse_args()
    place = SHIPPED if arguments.keep else None
    sys.exit(main(ROOT / "examples", ROOT / "build" / "gallery", arguments.names, place))
