"""What several tests of the kernels need: a process of its own, a number of threads for a while."""

import os
import subprocess
import sys

import pytest

import minivae_kernels as kernels


@pytest.fixture(scope="session")
def run_python():
    """Run code in a process of its own, with more environment if given."""

    def run(code, **environment):
        path = os.pathsep.join(p for p in sys.path if p)
        return subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def set_threads():
    """Set the number of threads; after the test it is what it was."""
    before = kernels.get_num_threads()
    yield kernels.set_num_threads
    kernels.set_num_threads(before)
