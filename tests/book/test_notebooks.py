"""Notebooks are made of the examples: their text, their code, and nothing lost between."""

import ast
import importlib.util
import json

import pytest

from minivae.equations import find_sources

SOURCES = find_sources()
SCRIPTS = sorted(SOURCES.examples.glob("*.py"))


@pytest.fixture(scope="module")
def notebooks():
    spec = importlib.util.spec_from_file_location("notebooks", SOURCES.book / "_ext/notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLE = '''"""What it shows: Eq. GMM.1.

And more of it.
"""

# %% First
# a sentence, and `code`.
from pathlib import Path

figure = 1


# %%
def main(folder=Path(__file__).parent):
    # %% inside
    return folder


# %% The end
if __name__ == "__main__":
    main(
        Path(__file__).with_suffix(".png")
    )
'''


def test_a_script_becomes_text_and_code(notebooks):
    assert notebooks.cells(EXAMPLE, "bars") == [
        ("markdown", "# What it shows: Eq. GMM.1\n\nAnd more of it."),
        ("markdown", "First\na sentence, and `code`."),
        ("code", "from pathlib import Path\n\nfigure = 1\nfigure"),
        ("code", "def main(folder=Path()):\n    # %% inside\n    return folder"),
        ("markdown", "The end"),
        ("code", 'main(\n    Path("bars.png")\n)'),
    ]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_each_example_becomes_a_notebook(notebooks, script):
    made = json.loads(json.dumps(notebooks.notebook(script)))
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)
    code = ["".join(c["source"]) for c in made["cells"] if c["cell_type"] == "code"]
    assert all(ast.parse(cell).body for cell in code)
    assert "__file__" not in "".join(code)
    assert code[-1].startswith("from IPython.display import Image")
    ids = [cell["id"] for cell in made["cells"]]
    assert len(set(ids)) == len(ids)
    # every name that the script binds at its top is bound in the notebook
    bound = {n.name for n in ast.parse(script.read_text(encoding="utf-8")).body
             if isinstance(n, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
    made_there = {n.name for cell in code for n in ast.parse(cell).body
                  if isinstance(n, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
    assert bound == made_there


def test_those_that_are_run_exist(notebooks):
    assert set(notebooks.QUICK) <= {script.stem for script in SCRIPTS}
    assert "from_a_table" in notebooks.QUICK
