"""The computation graph behind a tensor, drawn from the tape itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from minivae.figures.page import FAINT, GAP, INK, Page
from minivae.gradcheck.problem import names_of
from minivae.tensor import Tensor, reachable

__all__ = ["draw_graph"]

MOST = 200  # operations on one page
ROW, LETTER, MARGIN = 0.72, 0.085, 0.3  # inches
FILLS = {"operation": "white", "leaf": "#cfe6dd", "constant": GAP, "noise": "#ffd9bd"}


class _Box(NamedTuple):
    """One thing in the picture; a ``bend`` is where a long arrow passes a row."""

    label: str
    kind: str

    @property
    def width(self) -> float:
        longest = max(len(line) for line in self.label.split("\n"))
        return LETTER * longest + MARGIN if self.label else MARGIN


def draw_graph(root: Tensor, names: Mapping[str, Tensor] | None = None) -> Page:
    """Draw the operations that made ``root``, from its leaves at the top to itself at the bottom.

    Operations are white, tensors that ask for gradients green and constants grey. A constant that
    an operation calls ``eps`` is noise, and orange: after reparameterisation it is a leaf, and all
    randomness has moved there. Numbers that are not arrays are left out.

    Parameters
    ----------
    root
        What to draw: a tensor that operations made from one with ``requires_grad``.
    names
        What to call tensors without a history, as ``dict(module.named_parameters())``; the others
        are called what the operation that takes them calls them.

    Returns
    -------
    Page
        For `save_figure`; in a notebook it shows itself.

    Raises
    ------
    ValueError
        If ``root`` has no history, or one of more than 200 operations.
    """
    tape = [t for t in reachable(root, ()) if t._node is not None]
    if not 0 < len(tape) <= MOST:
        rule = f"it can draw 1 to {MOST}. Take a tensor computed from one with requires_grad=True"
        raise ValueError(f"draw_graph: {len(tape)} operations on the tape; {rule}, or a part of it")
    boxes, arrows = _boxes(tape[::-1], {id(t): name for name, t in (names or {}).items()})
    ranks = _ranks(boxes, arrows)
    _bend(boxes, arrows, ranks)
    return _draw(boxes, arrows, ranks, _places(boxes, arrows, ranks))


def _boxes(
    tape: Sequence[Tensor], names: Mapping[int, str]
) -> tuple[list[_Box], list[tuple[int, int]]]:
    """The boxes, each operation after its inputs, and the arrows between them."""
    boxes: list[_Box] = []
    arrows: list[tuple[int, int]] = []
    number: dict[int, int] = {}  # of a tensor's box, by the tensor's id
    for t in tape:
        node = t._node
        if node is None:
            continue
        called = names_of(node.operation, len(node.inputs))
        sources = []
        for x, array, name in zip(node.inputs, node.arrays, called, strict=True):
            if isinstance(array, np.ndarray):
                if id(x) not in number:
                    wants = isinstance(x, Tensor) and x.requires_grad
                    kind = "leaf" if wants else "noise" if name == "eps" else "constant"
                    number[id(x)] = len(boxes)
                    boxes.append(_Box(f"{names.get(id(x), name)}\n{array.shape}", kind))
                sources.append(number[id(x)])
        number[id(t)] = len(boxes)
        arrows += [(source, len(boxes)) for source in dict.fromkeys(sources)]
        words = [node.operation.__name__, *(v for v in node.params.values() if isinstance(v, str))]
        boxes.append(_Box(f"{', '.join(words)}\n{t.shape}", "operation"))
    return boxes, arrows


def _ranks(boxes: list[_Box], arrows: list[tuple[int, int]]) -> list[int]:
    """The row of each box: an operation below its inputs, a leaf just above what first uses it."""
    ranks = [0] * len(boxes)
    for source, target in arrows:  # they come in the order in which the operations ran
        ranks[target] = max(ranks[target], ranks[source] + 1)
    for i, box in enumerate(boxes):
        if box.kind != "operation":
            ranks[i] = min(ranks[target] for source, target in arrows if source == i) - 1
    return ranks


def _bend(boxes: list[_Box], arrows: list[tuple[int, int]], ranks: list[int]) -> None:
    """Lead arrows over several rows through a bend in each, so that boxes make way for them."""
    for source, target in arrows[:]:
        if ranks[target] - ranks[source] > 1:
            arrows.remove((source, target))
            for rank in range(ranks[source] + 1, ranks[target]):
                arrows.append((source, len(boxes)))
                source = len(boxes)
                boxes.append(_Box("", "bend"))
                ranks.append(rank)
            arrows.append((source, target))


def _places(boxes: list[_Box], arrows: list[tuple[int, int]], ranks: list[int]) -> list[float]:
    """Where along its row each box lies, in inches: near the mean of what it is joined to."""
    rows = [[i for i, r in enumerate(ranks) if r == rank] for rank in range(max(ranks) + 1)]
    at = [0.0] * len(boxes)
    for row in rows:
        for k, i in enumerate(row):
            at[i] = 1.5 * (k - (len(row) - 1) / 2)
    for sweep in range(24):
        down = sweep % 2 == 0
        for row in rows if down else rows[::-1]:
            wanted = []
            for i in row:
                above = [at[a] for a, b in arrows if b == i]
                below = [at[b] for a, b in arrows if a == i]
                joined = above + below if boxes[i].kind == "bend" else above if down else below
                wanted.append(float(np.mean(joined)) if joined else at[i])
            order = np.argsort(wanted, kind="stable")
            edge, shifts = -np.inf, []
            for k in order:
                half = boxes[row[k]].width / 2 + 0.1
                at[row[k]] = max(wanted[k], edge + half)
                edge = at[row[k]] + half
                shifts.append(wanted[k] - at[row[k]])
            for i in row:  # making room has pushed them to the right: back by the mean
                at[i] += float(np.mean(shifts))
    return at


def _draw(
    boxes: list[_Box], arrows: list[tuple[int, int]], ranks: list[int], at: list[float]
) -> Page:
    left = min(x - box.width / 2 for x, box in zip(at, boxes, strict=True)) - 0.1
    right = max(x + box.width / 2 for x, box in zip(at, boxes, strict=True)) + 0.1
    height = ROW * (max(ranks) + 1)
    figure = Page(figsize=(right - left, height), dpi=100, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(-height, 0), frame_on=False)
    axes.set_axis_off()
    y = [-ROW * (rank + 0.5) for rank in ranks]
    half = 0.21  # of a box's height
    for a, b in arrows:
        start = (at[a], y[a] - (half if boxes[a].label else 0))
        end = (at[b], y[b] + (half if boxes[b].label else 0))
        style = "-|>" if boxes[b].label else "-"
        props = {"arrowstyle": style, "color": FAINT, "shrinkA": 0, "shrinkB": 0, "lw": 1.1}
        axes.annotate("", end, start, arrowprops=props)
    for box, x, middle in zip(boxes, at, y, strict=True):
        if box.label:
            style = (
                "round,pad=0.35" if box.kind == "operation" else "round,pad=0.35,rounding_size=0.9"
            )
            frame = {"boxstyle": style, "fc": FILLS[box.kind], "ec": INK, "lw": 0.8}
            axes.text(
                x, middle, box.label, ha="center", va="center", fontsize=8, color=INK, bbox=frame
            )
    return figure
