"""Diagrams drawn from a model object: what depends on what, and through which layers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Wedge

from minivae.figures.page import FAINT, GAP, INK, PALETTE, page
from minivae.latent_model import LatentModel
from minivae.models.bayes_net import BayesNet
from minivae.models.conditional import ConditionalVAE
from minivae.models.semi_supervised import SemiSupervisedVAE
from minivae.models.vae.fitted import FittedVAE

__all__ = ["network_diagram", "plate_diagram"]

RADIUS, COLUMN, ROW = 0.36, 1.5, 1.35  # inches


class _Spot(NamedTuple):
    """A variable or a parameter: its place, how much of it is seen, and whether in the plate."""

    label: str
    x: float
    y: float
    shade: float = 0.0  # of its disc: 1 is observed, 0 latent, 1/2 known of some data
    plate: str | None = "N"
    parameter: bool = False


class _Arrow(NamedTuple):
    start: str
    end: str
    inference: bool = False  # dashed: of q, not of p
    bend: float = 0.0


def plate_diagram(model: Any, observed: Collection[str] = ()) -> Figure:
    """Draw a model as circles and arrows: observed variables grey, a plate around what repeats.

    A solid arrow leads from a parent to its child in p, a dashed one shows what q looks at.
    Parameters are letters without a circle. A variable that is known for some data is half grey.

    Parameters
    ----------
    model
        A ``BayesNet``, a ``LatentModel``, or a fitted VAE or relative of it.
    observed
        The names of the nodes of a ``BayesNet`` that are observed.

    Raises
    ------
    TypeError
        If it is something else.
    ValueError
        If an observed name is not a node.
    """
    if isinstance(model, BayesNet):
        spots, arrows = _of_net(model, observed)
    elif isinstance(model, FittedVAE):
        spots, arrows = _of_vae(model)
    elif isinstance(model, LatentModel):
        spots, arrows = _of_latent_model(model)
    else:
        raise TypeError(
            f"plate_diagram: got a {type(model).__name__}; it draws a BayesNet, a LatentModel or a "
            "fitted VAE"
        )
    return _draw(spots, arrows)


def _of_net(net: BayesNet, observed: Collection[str]) -> tuple[list[_Spot], list[_Arrow]]:
    unknown = sorted(set(observed) - net.nodes.keys())
    if unknown:
        raise ValueError(f"plate_diagram: {unknown} are not among the nodes {list(net.nodes)}")
    depth: dict[str, int] = {}
    for name, node in net.nodes.items():
        depth[name] = max((depth[p] + 1 for p in node.parents), default=0)
    # A row is sorted by where the parents lie, so that few arrows cross.
    x: dict[str, float] = {}
    for row in range(max(depth.values()) + 1):
        names = [name for name in net.nodes if depth[name] == row]
        wanted = {
            name: float(np.mean([x[p] for p in net.nodes[name].parents] or [0.0])) for name in names
        }
        names.sort(key=wanted.__getitem__)
        middle = float(np.mean(list(wanted.values())))
        for i, name in enumerate(names):
            x[name] = middle + COLUMN * (i - (len(names) - 1) / 2)
    spots = [
        _Spot(name, x[name], -ROW * depth[name], float(name in observed), node.plate)
        for name, node in net.nodes.items()
    ]
    at = {spot.label: spot for spot in spots}
    arrows = []
    for name, node in net.nodes.items():
        for parent in node.parents:
            a, b = at[parent], at[name]
            # An arrow past another circle bends around it.
            blocked = any(_passes(a, b, other) for other in spots if other not in (a, b))
            arrows.append(_Arrow(parent, name, bend=0.4 if blocked else 0.0))
    return spots, arrows


def _passes(a: _Spot, b: _Spot, other: _Spot) -> bool:
    """Whether the way from a to b leads through another circle."""
    way, out = np.array([b.x - a.x, b.y - a.y]), np.array([other.x - a.x, other.y - a.y])
    share = float(np.clip(way @ out / (way @ way), 0.0, 1.0))
    return bool(np.hypot(*(out - share * way)) < 1.2 * RADIUS)


def _of_latent_model(model: LatentModel) -> tuple[list[_Spot], list[_Arrow]]:
    spots, arrows = [_Spot("z", 0, 0), _Spot("x", 0, -ROW, 1.0)], [_Arrow("z", "x")]
    ours = {id(p) for p in getattr(model.prior, "parameters", list)()}
    if any(id(p) not in ours for p in model.parameters()):
        spots.append(_Spot("θ", COLUMN, -ROW, plate=None, parameter=True))
        arrows.append(_Arrow("θ", "x"))
    if ours:
        spots.append(_Spot("ψ", COLUMN, 0, plate=None, parameter=True))
        arrows.append(_Arrow("ψ", "z"))
    return spots, arrows


def _of_vae(vae: FittedVAE) -> tuple[list[_Spot], list[_Arrow]]:
    spots, arrows = _of_latent_model(vae._fitted_model("model_"))
    left = -COLUMN
    arrows.append(_Arrow("x", "z", inference=True, bend=-0.5))
    if isinstance(vae, ConditionalVAE):
        half = isinstance(vae, SemiSupervisedVAE)
        spots.append(_Spot("y", left, -0.5 * ROW, 0.5 if half else 1.0))
        arrows += [_Arrow("y", "x"), _Arrow("y", "z", inference=True)]
        if half:
            arrows.append(_Arrow("x", "y", inference=True, bend=-0.45))
        left -= COLUMN
        if half:
            arrows.append(_Arrow("φ", "y", inference=True))
    spots.append(_Spot("φ", left, 0, plate=None, parameter=True))
    arrows.append(_Arrow("φ", "z", inference=True, bend=-0.15 if left < -COLUMN else 0.0))
    return spots, arrows


def _draw(spots: list[_Spot], arrows: list[_Arrow]) -> Figure:
    xs, ys = [s.x for s in spots], [s.y for s in spots]
    left, right = min(xs) - 0.95, max(xs) + 0.95
    low, high = min(ys) - 1.05, max(ys) + 0.85
    figure = page(right - left, high - low)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(low, high), frame_on=False)
    axes.set_axis_off()
    for plate in dict.fromkeys(s.plate for s in spots if s.plate):
        _plate(axes, plate, [s for s in spots if s.plate == plate])
    at = {spot.label: spot for spot in spots}
    for arrow in arrows:
        a, b = at[arrow.start], at[arrow.end]
        props = {
            "arrowstyle": "-|>", "color": PALETTE[0] if arrow.inference else INK, "lw": 1.3,
            "linestyle": (0, (4, 3)) if arrow.inference else "-", "mutation_scale": 13,
            "shrinkA": 72 * (0.2 if a.parameter else RADIUS), "shrinkB": 72 * RADIUS,
            "connectionstyle": f"arc3,rad={arrow.bend}",
        }  # fmt: skip
        axes.annotate("", (b.x, b.y), (a.x, a.y), arrowprops=props)
    for s in spots:
        if not s.parameter:
            fill = GAP if s.shade == 1 else "white"
            axes.add_patch(Circle((s.x, s.y), RADIUS, facecolor=fill, edgecolor=INK, lw=1.3))
            if 0 < s.shade < 1:
                half = 180 * s.shade
                axes.add_patch(
                    Wedge((s.x, s.y), RADIUS, -90 - half, -90 + half, facecolor=GAP, edgecolor=INK)
                )
        size = 15 if len(s.label) <= 2 else min(11, 66 / len(s.label))
        axes.text(s.x, s.y, s.label, ha="center", va="center", fontsize=size, color=INK)
    return figure


def _plate(axes: Axes, name: str, inside: list[_Spot]) -> None:
    x, y = [s.x for s in inside], [s.y for s in inside]
    pad = RADIUS + 0.22
    corner = (min(x) - pad, min(y) - pad - 0.2)
    width, height = max(x) - min(x) + 2 * pad, max(y) - min(y) + 2 * pad + 0.2
    style = "round,pad=0,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=style, fill=False, edgecolor=FAINT, lw=1.3)
    )
    place = (corner[0] + width - 0.12, corner[1] + 0.1)
    axes.text(*place, name, ha="right", va="bottom", fontsize=12, color=INK)


# ---- encoder and decoder ----


class _Layer(NamedTuple):
    name: str
    fan_in: int
    fan_out: int


def network_diagram(vae: FittedVAE) -> Figure:
    """Draw a fitted VAE's layers with their shapes, from x to q(z | x) and from z to p(x | z).

    A layer is as high on each side as the logarithm of its width there; layers above each other
    read the same input, or add up.

    Raises
    ------
    TypeError
        If it is not a VAE.
    """
    if not isinstance(vae, FittedVAE):
        raise TypeError(f"network_diagram: got a {type(vae).__name__}; it draws a fitted VAE")
    vae._fitted_model("network_diagram")
    D, K = vae.n_features_in_, vae._settings_.latent_dim
    columns: list[list[_Layer] | str] = [f"x\n(N, {D})"]
    columns += _columns(vae, "encoder")
    columns += [f"z ~ q\n(S, N, {K})"]
    columns += _columns(vae, "decoder") + _columns(vae, "likelihood")
    columns += [f"p(x | z)\n{vae.likelihood_.name}\n(S·N, {D})"]
    step, tall = 1.45, max(len(c) if isinstance(c, list) else 1 for c in columns)
    height = max(2.0, 1.5 * tall) + 0.5
    figure = page(step * len(columns) + 0.3, height)
    figure.set_layout_engine("none")
    limits: dict[str, Any] = {"xlim": (-step / 2 - 0.15, step * (len(columns) - 0.5) + 0.15)}
    axes = figure.add_axes((0, 0, 1, 1), ylim=(-height / 2, height / 2), frame_on=False, **limits)
    axes.set_axis_off()
    widths = [w for c in columns if isinstance(c, list) for layer in c for w in layer[1:]]
    scale = 0.55 / np.log1p(max(widths, default=1))
    for i, column in enumerate(columns):
        if i:
            props = {"arrowstyle": "-|>", "color": FAINT, "lw": 1.2}
            axes.annotate("", (i * step - 0.56, 0), (i * step - 0.89, 0), arrowprops=props)
        if isinstance(column, str):
            axes.text(i * step, 0, column, ha="center", va="center", fontsize=10, color=INK)
            continue
        for j, layer in enumerate(column):
            y = 1.5 * ((len(column) - 1) / 2 - j)
            before, after = (max(0.08, scale * np.log1p(w)) for w in layer[1:])
            x0, x1 = i * step - 0.52, i * step + 0.52
            corners = [(x0, y - before), (x0, y + before), (x1, y + after), (x1, y - after)]
            axes.add_patch(Polygon(corners, facecolor=GAP, edgecolor=INK, lw=1.0))
            text = f"{layer.name}\n{layer.fan_in} → {layer.fan_out}"
            axes.text(i * step, y, text, ha="center", va="center", fontsize=9, color=INK)
    return figure


HEADS = ("mu", "log_var")  # of the encoder: side by side


def _columns(vae: FittedVAE, part: str) -> list[list[_Layer] | str]:
    """The weights of a part of the model, those that stand side by side in one column."""
    columns: list[list[_Layer]] = []
    before = ""
    for name, p in vae.named_parameters():
        words = name.split(".")
        if words[0] != part or words[-1] != "weight" or len(p.shape) != 2:
            continue
        number = 2 if "rest" in words else 1  # with conditions, the first layer stands apart
        own = words[-2] if not words[-2].isdigit() else f"layer {int(words[-2]) + number}"
        if part == "likelihood" and words[-2].isdigit():
            own = vae.likelihood_.head_names[int(words[-2])]
        layer = _Layer(own, *p.shape)
        if own == "condition":  # it is added to the first layer's output
            columns[0].append(layer)
        elif columns and (part == "likelihood" or (own in HEADS and before in HEADS)):
            columns[-1].append(layer)
        else:
            columns.append([layer])
        before = own
    return [*columns]
