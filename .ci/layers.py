"""Check who imports whom, then check that the check bites.

The contracts are in pyproject.toml; import-linter holds them. It looks for circles among modules
and rooms that stand beside each other, so one that leads through a room's own name is looked for
here. A contract that has gone blind passes for ever, so each import below is written into a copy of
the packages, where it has to be refused.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")

FORBIDDEN = {
    "upwards": ("minivae/errors.py", "import minivae.tensor"),
    "upwards, inside a function": ("minivae/tensor.py", "def late():\n    from minivae import ops"),
    "sideways": ("minivae/nn.py", "import minivae.optim"),
    "of training from a model": ("minivae/latent_model.py", "from minivae.training import Run"),
    "of an estimator from inference": ("minivae/inference/laplace.py", "import minivae.models.vae"),
    "library from kernels": ("kernels/minivae_kernels/__init__.py", "import minivae.errors"),
    "a module in no layer": ("minivae/stray.py", ""),
    "in a circle, inside a room": (
        "minivae/distributions/base.py",
        "from minivae.distributions.gaussian import StandardNormal",
    ),
    "in a circle, inside a function": (
        "minivae/models/vae/networks.py",
        "def late():\n    from minivae.models.vae import model",
    ),
    "in a circle, for types only": (
        "minivae/distributions/base.py",
        "import typing\nif typing.TYPE_CHECKING:\n    from minivae.distributions import flow",
    ),
    "in a circle, through the room's own name": (
        "minivae/models/vae/objective.py",
        "from minivae.models.vae import VAE",
    ),
}


def run(root: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a check on the packages under ``root``."""
    path = os.pathsep.join([str(root), str(root / "kernels")])
    return subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def lint(root: Path) -> tuple[bool, str]:
    """Whether the packages under ``root`` keep the contracts and have no circle; what was said."""
    linter = run(root, LINTER, "--no-cache", "--no-logo")
    circle = run(root, sys.executable, __file__, "circle")
    said = linter.stdout + linter.stderr + circle.stdout + circle.stderr
    return not (linter.returncode or circle.returncode), said


def find_circle() -> int:
    """Say which modules of the packages on the path import each other in a circle, if any do."""
    import grimp

    graph = grimp.build_graph("minivae", "minivae_kernels", cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        print("BROKEN: a circle of imports,", " <- ".join(error.args[1]))
        return 1
    return 0


def refuses(file: str, statement: str) -> bool:
    """Whether ``statement``, at the end of ``file`` in a copy, breaks a contract."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for package in ("minivae", "kernels"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, copy / package, ignore=ignore)
        with (copy / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{statement}\n")
        kept, said = lint(copy)
        return not kept and "BROKEN" in said


def main() -> int:
    """Say what was found, and what would not have been found."""
    kept, said = lint(ROOT)
    print(said, end="")
    missed = [what for what, (file, line) in FORBIDDEN.items() if not refuses(file, line)]
    for what in missed:
        print(f"The contracts are blind: they let pass an import {what}")
    if not missed:
        print(f"{len(FORBIDDEN)} forbidden imports were tried on a copy; all were refused.")
    return int(bool(missed) or not kept)


if __name__ == "__main__":
    sys.exit(find_circle() if sys.argv[1:] == ["circle"] else main())
