"""Flip each sign of the evaluated equations, and see which flips their tests notice.

    python tests/book/flips.py [--seed 0]

A flip turns a plus into a minus or a minus into a plus, or puts a minus in front of a side. It is
noticed if a test that evaluates the equation fails.
"""

import argparse
import importlib
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).parents[2]
    sys.path[:0] = [str(root), str(root / "kernels"), str(root / "tests")]

from book.formulas import equations, said, statements

OTHER = {"+": "-", "-": "+"}
WORDS = re.compile(r"\\(?:text|begin|end)\{[^}]*\}")


def tests() -> dict[str, list[Callable[[], None]]]:
    """The tests that evaluate each equation."""
    found: dict[str, list[Callable[[], None]]] = {}
    for path in sorted(Path(__file__).parent.glob("test_formulas_*.py")):
        for function in vars(importlib.import_module(f"book.{path.stem}")).values():
            for mark in getattr(function, "pytestmark", []):
                if mark.name == "equation" and mark.kwargs.get("evaluated"):
                    found.setdefault(mark.args[0], []).append(function)
    return found


def flips(tex: str) -> Iterator[str]:
    """The TeX with one sign wrong, in every way."""
    readable = WORDS.sub(lambda match: " " * len(match[0]), tex)
    for match in re.finditer(r"[+-]", readable):
        yield f"{tex[: match.start()]}{OTHER[match[0]]}{tex[match.end() :]}"
    for match in re.finditer(r"=|\\le(?!\w)|\\ge(?!\w)|\\approx|\\leftarrow", readable):
        if readable.count("{", 0, match.start()) == readable.count("}", 0, match.start()):
            after = re.sub(r"^\s*&?\s*", r"", tex[match.end() :])
            if after[0] not in "+-0":
                yield f"{tex[: match.end()]} -{after}"


def evaluated(tex: str) -> list[list[str]]:
    """The statements of an equation that are not only said."""
    return [part for part in statements(tex) if not said(part)]


def noticed(label: str, tex: str, by: list[Callable[[], None]]) -> bool:
    """Does a test fail with this TeX?"""
    own = equations()[label]
    equations()[label] = tex
    try:
        for test in by:
            test()
    except Exception:
        return True
    finally:
        equations()[label] = own
    return False


def trials() -> list[tuple[str, str]]:
    """Each flip of each evaluated equation, where it changes what is evaluated."""
    return [
        (label, wrong)
        for label in tests()
        for wrong in flips(equations()[label])
        if evaluated(wrong) != evaluated(equations()[label])
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the twenty that are drawn")
    seed = parser.parse_args(arguments).seed
    warnings.simplefilter("ignore")
    by, all_of_them = tests(), trials()
    seen = {trial: noticed(*trial, by[trial[0]]) for trial in all_of_them}
    for (label, wrong), found in seen.items():
        if not found:
            print(f"{label}: nothing notices\n    {' '.join(wrong.split())}")
    drawn = random.Random(seed).sample(all_of_them, 20)
    print(f"{sum(seen.values())} of {len(seen)} flips in {len(by)} equations are noticed; ", end="")
    print(f"of twenty drawn at random (seed {seed}), {sum(seen[trial] for trial in drawn)}")
    return int(sum(seen.values()) < 0.95 * len(seen))


if __name__ == "__main__":
    sys.exit(main())
