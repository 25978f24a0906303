"""A book of one chapter that breaks no rule, for the tests to break."""

import pytest

from book.rules import open_book
from minivae.equations import Sources

CHAPTER = r"""# Sums

The sum of $N$ numbers $x_n$ is defined by

```math
% definition
s = \sum_{n=1}^{N} x_n
\tag{SUM.1}
```

and their mean, Eq. SUM.2, is

```math
\bar{x} = \frac{s}{N} \quad \text{for} \quad N > 0 .
\tag{SUM.2}
```

Listing: [`minivae.sums.mean`](../minivae/sums.py)

```python
print(f"{(1 + 2 + 4) / 3:.4f}")
```

```text
2.3333
```

Of 1, 2 and 4 it is 2.333, found in 1.25 s. See [above](#sums). It has the least squares
(Gauss 1809; Legendre and others knew it too).

Literature:

- C. F. Gauss, *Theoria motus corporum coelestium*, Hamburg 1809.

Figure: [`examples/bars.py`](../examples/bars.py) The numbers and their mean.

## What the code does

[`sums.py`](../minivae/sums.py) adds.

## How it is checked

By hand.

## Questions

What is the mean of nothing?
"""

GLOSSARY = r"""# Glossary

## Symbols

| Symbol | Meaning | In the code |
| --- | --- | --- |
| $x_n$ | a number, the n-th of N | `x` |
| $N$ | how many | `len(x)` |
| $\bar{x}$ | the mean | `mean` |
| $s$ | the sum | `sum(x)` |
"""

FILES = {
    "derivations/01_sums.md": CHAPTER,
    "derivations/22_glossary.md": GLOSSARY,
    "derivations/api/all.md": ".. automodule:: minivae.sums\n",
    "minivae/sums.py": '"""Sums."""\n\n\ndef mean(x):\n'
    '    """The mean, Eq. SUM.2.\n\n    Of numbers.\n    """\n    return sum(x) / len(x)\n',
    # what an installed package carries: no part of its code
    "minivae/_book/tests/test_sums.py": 'def test_mean():\n    """Eq. SUM.2."""\n',
    "examples/bars.py": '"""Bars, Eq. SUM.2."""\n',
    "tests/test_sums.py": 'import pytest\n\n\n@pytest.mark.equation("SUM.2", evaluated=True)\n'
    "def test_the_mean_of_three():\n    pass\n",
}


@pytest.fixture
def small_book(tmp_path):
    """Write the small book, with some of its text replaced, and open it."""

    def write(file=None, old="", new=""):
        for name, text in FILES.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == file:
                assert old in text
                text = text.replace(old, new)
            path.write_text(text, encoding="utf-8")
        return open_book(
            Sources(
                tmp_path / "derivations",
                {"minivae": tmp_path / "minivae"},
                tmp_path / "examples",
                tmp_path / "tests",
            )
        )

    return write
