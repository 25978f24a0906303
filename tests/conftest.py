"""What every test stands on: runs that can be repeated, no windows, and an empty home."""

import os
import signal
import subprocess
import sys
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"
# Kept from one run to the next, because listing the fonts takes Matplotlib seconds.
os.environ["MPLCONFIGDIR"] = str(Path(__file__).parents[1] / ".pytest_cache" / "matplotlib")

import pytest
from hypothesis import settings

# Who is started in the background by a shell ignores Ctrl-C, and so do those he starts; some tests
# press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Other examples each time at home, where a failure prints the line that repeats it; twice as many
# under CI, the same ones each time. For a long look: make test ARGS="--hypothesis-profile=long"
settings.register_profile("home", deadline=None, max_examples=25, print_blob=True)
settings.register_profile(
    "ci", settings.get_profile("home"), max_examples=50, derandomize=True, database=None
)
settings.register_profile("long", settings.get_profile("home"), max_examples=2000)
settings.load_profile("ci" if os.environ.get("CI") else "home")


def pytest_collection_modifyitems(items):
    """What takes longest comes first: no process is then left alone with it in the end.

    The chapters' models and the kernels' tests compile most, and the processes begin with one each.
    """
    items.sort(key=lambda item: item.path.parent.name != "kernels")
    items.sort(key=lambda item: item.path.stem != "test_code_blocks")


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


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """An empty home folder, so that no test reads or writes the user's files.

    Compiled kernels are not lost by it: Numba keeps them beside their source.
    """
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "USERPROFILE"):
            patch.setenv(name, str(folder))
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(folder / name.lower()))
        patch.delenv("MINIVAE_DATA", raising=False)
        yield folder
