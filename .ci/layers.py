"""Check who imports whom, then check that the check bites.

The contract is in pyproject.toml. A contract that has gone blind passes for ever, so each import
below is written into a copy of the packages, where it has to be refused.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINTER = Path(sys.executable).with_name("lint-imports")

FORBIDDEN = {
    "upwards": ("minivae/errors.py", "import minivae.tensor"),
    "upwards, inside a function": ("minivae/tensor.py", "def late():\n    from minivae import ops"),
    "sideways": ("minivae/nn.py", "import minivae.optim"),
    "library from kernels": ("kernels/minivae_kernels/__init__.py", "import minivae.errors"),
    "a module in no layer": ("minivae/stray.py", ""),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages under ``root``."""
    path = os.pathsep.join([str(root), str(root / "kernels")])
    return subprocess.run(
        [LINTER, "--no-cache", "--no-logo"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def refuses(file: str, statement: str) -> bool:
    """Whether ``statement``, at the end of ``file`` in a copy, breaks a contract."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for package in ("minivae", "kernels"):
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, copy / package, ignore=ignore)
        for module in ("nn.py", "optim.py"):
            (copy / "minivae" / module).touch()
        with (copy / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{statement}\n")
        result = lint(copy)
        return result.returncode == 1 and "BROKEN" in result.stdout


def main() -> int:
    """Say what import-linter found, and what it would not have found."""
    result = lint(ROOT)
    print(result.stdout, result.stderr, sep="", end="")
    missed = [what for what, (file, line) in FORBIDDEN.items() if not refuses(file, line)]
    for what in missed:
        print(f"The contract is blind: it let pass an import {what}")
    if not missed:
        print(f"{len(FORBIDDEN)} forbidden imports were tried on a copy; all were refused.")
    return bool(result.returncode or missed)


if __name__ == "__main__":
    sys.exit(main())
