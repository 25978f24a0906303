"""A way to run the program, in this process or in one of its own, and a small run to look at."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minivae.checkpoint import load_checkpoint
from minivae.cli import main
from minivae.datasets import load


def environment():
    """The environment in which a process finds the code under test."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "80"}


def start(*arguments, cwd):
    """The program in a process of its own, with pipes for what it says."""
    return subprocess.Popen(
        [sys.executable, "-m", "minivae", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_process(*arguments, cwd):
    """Exit status, standard output and standard error of a process of its own."""
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def assert_same_run(folder, other):
    """All that training decides is the same, bit for bit."""
    arrays, metadata = load_checkpoint(folder / "checkpoint.npz")
    others, other_metadata = load_checkpoint(other / "checkpoint.npz")
    assert arrays.keys() == others.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], others[name])
    assert metadata == other_metadata
    for name in ("history.csv", "latent.gif", "latent.png", "prior.png", "learning_curve.png"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    frames = sorted(path.name for path in (folder / "latent").iterdir())
    assert frames == sorted(path.name for path in (other / "latent").iterdir())


@pytest.fixture
def minivae(capsys, monkeypatch):
    """Run the program in this process: exit status, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:  # --help and --version
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory) -> Path:
    """A file with a few hundred of the digits."""
    digits, path = load("optdigits"), tmp_path_factory.mktemp("data") / "few-digits.npz"
    few = {"x_train": digits.x_train[:600], "x_test": digits.x_test[:60]}
    np.savez(path, **few, y_train=digits.y_train[:600], y_test=digits.y_test[:60])
    return path


@pytest.fixture(scope="session")
def small(few_digits) -> tuple[str, ...]:
    """Flags for data and a network so small that it is the command that is tested."""
    return ("--data", str(few_digits), "--hidden", "16", "--batch-size", "64", "--quiet")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, small) -> Path:
    """The folder of a finished run of two epochs; not to be changed."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "--epochs", "2", "--out", str(folder), *small]) == 0
    return folder
