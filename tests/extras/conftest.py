"""What other libraries check: `make test-extras` installs them, and nothing else needs them."""

from importlib.util import find_spec

NEEDED = ("sklearn", "pandas", "polars", "pyarrow")

# Without them nothing is collected; `make test-extras` then ends with an error.
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]
