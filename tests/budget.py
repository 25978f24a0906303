"""Lines of code, a row a module, against the limits that keep minivae small enough to read.

A line counts when it holds code: comments, docstrings and blank lines are free. The tokens on a
line are limited as well, so that joining lines does not make anything smaller.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("minivae", "kernels/minivae_kernels")

ENGINE = ("minivae/tensor.py", "minivae/transforms.py")
ENGINE_LINES = 349
MODULE_LINES = 500
TOKENS_PER_LINE = 20

_LAYOUT = {
    tokenize.ENCODING,
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


class Size(NamedTuple):
    """How much code there is."""

    lines: int
    tokens: int


def measure(source: str) -> Size:
    """Count the lines that hold code, and the tokens on them."""
    prose = {  # a docstring is one token
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    code = [
        token
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in _LAYOUT and token.start not in prose
    ]
    lines = {line for token in code for line in range(token.start[0], token.end[0] + 1)}
    return Size(len(lines), len(code))


def sizes(root: Path = ROOT) -> dict[str, Size]:
    """Measure every module of both packages, by its path from the root."""
    return {
        path.relative_to(root).as_posix(): measure(path.read_text(encoding="utf-8"))
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }


def excesses(measured: dict[str, Size]) -> list[str]:
    """Say what is over its limit, a line for each."""
    engine = sum(measured[path].lines for path in ENGINE if path in measured)
    over = []
    if engine > ENGINE_LINES:
        over.append(f"{' and '.join(ENGINE)} have {engine} lines of code; {ENGINE_LINES} at most")
    for path, size in measured.items():
        if size.lines > MODULE_LINES:
            over.append(f"{path} has {size.lines} lines of code; {MODULE_LINES} at most")
        if size.tokens > TOKENS_PER_LINE * size.lines:
            density = f"{size.tokens / size.lines:.1f} tokens a line"
            over.append(f"{path} has {density}; {TOKENS_PER_LINE} at most")
    return over


def main() -> int:
    measured = sizes()
    print(f"{'module':44}{'lines':>7}{'tokens a line':>16}")
    for path, size in measured.items():
        print(f"{path:44}{size.lines:7}{size.tokens / max(size.lines, 1):16.1f}")
    engine = sum(measured[path].lines for path in ENGINE if path in measured)
    print(f"\n{engine} of {ENGINE_LINES} lines in the engine: {' and '.join(ENGINE)}")
    over = excesses(measured)
    print("\n".join(over) or f"No module is over {MODULE_LINES} lines.")
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
