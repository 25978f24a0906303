"""Make a notebook of every example, in build/notebooks; with names or --all, run those, too.

A cell begins where a line of the script begins with ``# %%``; what is said on that line, and in the
comment below it, becomes text. An example writes its picture beside itself: its notebook shows it.
"""

import argparse
import ast
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICK = [
    "from_a_table", "faithful", "elbo_gap", "computation_graph", "blind_cotangents", "em_steps",
    "step_size", "minibatch_variance",
]  # fmt: skip
SHOWN = ("data", "figure", "mixture", "report", "vae")
LONGEST = 120  # seconds that a cell may take


def cells(text: str, name: str) -> list[tuple[str, str]]:
    """The kind and content of each cell of a script, ``"markdown"`` or ``"code"``."""
    for written, instead in (
        ("Path(__file__).parent", "Path()"),
        ('Path(__file__).with_suffix(".png")', f'Path("{name}.png")'),
        ('__file__.replace(".py", ".png")', f'"{name}.png"'),
        ("__file__", f'"{name}.py"'),
    ):
        text = text.replace(written, instead)
    found: list[tuple[str, str]] = []
    docstring, *parts = re.split(r"^# %%", text, flags=re.MULTILINE)
    title, _, about = docstring.strip().strip('"').partition("\n")
    found.append(("markdown", f"# {title.removesuffix('.')}\n\n{about.strip()}".strip()))
    for part in parts:
        said, _, code = part.partition("\n")
        lines = code.split("\n")
        while said.strip() and lines and lines[0].startswith("#"):
            said += "\n" + lines.pop(0)[1:].removeprefix(" ")
        if said.strip():
            found.append(("markdown", said.strip()))
        code = "\n".join(lines).strip("\n")
        guarded = re.fullmatch(r'if __name__ == "__main__":\n((?: {4}.*\n?|\n)*)', code)
        if guarded:
            code = re.sub(r"^ {4}", "", guarded[1], flags=re.MULTILINE).strip("\n")
        if code:
            found.append(("code", code + _shown_by(code)))
    return found


def _shown_by(code: str) -> str:
    """The line that shows what a cell has made at last, if a notebook has a picture of it."""
    last = ast.parse(code).body[-1:]
    names = [t.id for s in last if isinstance(s, ast.Assign) for t in s.targets
             if isinstance(t, ast.Name)]  # fmt: skip
    return f"\n{names[0]}" if names and names[0] in SHOWN else ""


def notebook(script: Path) -> dict[str, object]:
    """The notebook of a script, in version 4.5 of the format."""
    name = script.stem
    parts = cells(script.read_text(encoding="utf-8"), name)
    kind = "gif" if f"{name}.gif" in parts[0][1] else "png"
    shown = f'from IPython.display import Image\n\nImage("{name}.{kind}")'
    made = []
    for i, (cell, content) in enumerate([*parts, ("code", shown)]):
        entry: dict[str, object] = {
            "cell_type": cell, "id": f"cell-{i}", "metadata": {},
            "source": content.splitlines(keepends=True),
        }  # fmt: skip
        if cell == "code":
            entry |= {"execution_count": None, "outputs": []}
        made.append(entry)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def execute(path: Path) -> tuple[float, str]:
    """Run a notebook where it lies and keep its output; the seconds, and what is wrong if it is."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    book = nbformat.read(path, as_version=4)
    begun, complaint = time.perf_counter(), ""
    try:
        resources = {"metadata": {"path": str(path.parent)}}
        quiet = ["--IPKernelApp.log_level=40"]
        NotebookClient(
            book, timeout=LONGEST, resources=resources, extra_arguments=quiet
        ).execute()
    except (CellExecutionError, CellTimeoutError) as error:
        complaint = str(error)
    nbformat.write(book, path)
    return time.perf_counter() - begun, complaint


def main(examples: Path, folder: Path, names: list[str]) -> int:
    """Write all notebooks and run those named, two at a time; how many went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    scripts = {script.stem: script for script in sorted(examples.glob("*.py"))}
    for name, script in scripts.items():
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook(script), indent=1) + "\n")
    print(f"{len(scripts)} notebooks are in {folder}")
    wrong = 0
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda name: execute(folder / f"{name}.ipynb"), names)
        for name, (seconds, complaint) in zip(names, results, strict=True):
            wrong += bool(complaint)
            said = f"{name:24} {seconds:6.1f} s  {'FAILED' if complaint else ''}".rstrip()
            print(f"{said}\n{complaint}" if complaint else said, flush=True)
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="examples to run; by default the quick ones")
    parser.add_argument("--all", action="store_true", help="run all of them")
    parser.add_argument("--none", action="store_true", help="run none, and only write them")
    given = parser.parse_args()
    known = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))
    if unknown := sorted(set(given.names) - set(known)):
        parser.error(f"there is no example {unknown[0]!r}; there are {', '.join(known)}")
    wanted = known if given.all else [] if given.none else given.names or QUICK
    sys.exit(main(ROOT / "examples", ROOT / "build" / "notebooks", wanted))
