"""Three models as graphs with plates, Eq. LVM.4, and a VAE's networks with their shapes, Eq. VAE.3.

A circle is a random variable, grey if it is observed; a point is a parameter; everything inside a
plate is repeated N times. The guide q is dashed and not a part of the model. Below, the same VAE as
the arrays that pass through it.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

GREY, LINE = "#cfd9e4", "#222222"
RADIUS = 0.34


def node(axes, at, text, observed=False):
    colour = GREY if observed else "white"
    axes.add_patch(Circle(at, RADIUS, facecolor=colour, edgecolor=LINE, zorder=3))
    axes.text(*at, text, ha="center", va="center", zorder=4, fontsize=12)


def point(axes, at, text, side=-0.32):
    axes.add_patch(Circle(at, 0.06, facecolor=LINE, zorder=3))
    axes.text(at[0], at[1] + side, text, ha="center", va="center", fontsize=12)


def arrow(axes, start, end, style="-", aside=0.0):
    """An arrow from a point or a circle's rim to a circle's rim, ``aside`` of the centres."""
    start, end = np.array(start), np.array(end)
    along = (end - start) / np.linalg.norm(end - start)
    across = aside * np.array([-along[1], along[0]])
    reach = np.sqrt(RADIUS**2 - aside**2)
    from_circle = abs(along[0]) < 0.5  # the arrows from a parameter are level
    axes.annotate(
        "", end - reach * along + across, start + from_circle * reach * along + across,
        arrowprops={"arrowstyle": "-|>", "linestyle": style, "color": LINE, "shrinkA": 0,
                    "shrinkB": 0},
    )  # fmt: skip


def plate(axes, corner, width, height):
    box = FancyBboxPatch(corner, width, height, boxstyle="round,pad=0,rounding_size=0.1",
                         facecolor="none", edgecolor=LINE)  # fmt: skip
    axes.add_patch(box)
    axes.text(corner[0] + width - 0.12, corner[1] + 0.12, "N", ha="right", va="bottom", fontsize=11)


def frame(axes, title, width, height):
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()


# %%
def mixture(axes):
    node(axes, (1.6, 2.4), "$z_n$")
    node(axes, (1.6, 1.1), "$x_n$", observed=True)
    plate(axes, (0.95, 0.45), 1.3, 2.5)
    point(axes, (0.3, 2.4), r"$\pi$")
    point(axes, (0.3, 1.1), r"$\mu, \Sigma$")
    arrow(axes, (0.3, 2.4), (1.6, 2.4))
    arrow(axes, (0.3, 1.1), (1.6, 1.1))
    arrow(axes, (1.6, 2.4), (1.6, 1.1))
    frame(axes, "a mixture", 2.6, 3.3)


def linear(axes):
    node(axes, (1.6, 2.4), "$z_n$")
    node(axes, (1.6, 1.1), "$x_n$", observed=True)
    plate(axes, (0.95, 0.45), 1.3, 2.5)
    point(axes, (0.3, 1.1), r"$W, \sigma$")
    arrow(axes, (0.3, 1.1), (1.6, 1.1))
    arrow(axes, (1.6, 2.4), (1.6, 1.1))
    frame(axes, "probabilistic PCA", 2.6, 3.3)


def vae(axes):
    node(axes, (1.6, 2.4), "$z_n$")
    node(axes, (1.6, 1.1), "$x_n$", observed=True)
    plate(axes, (0.95, 0.45), 1.3, 2.5)
    point(axes, (0.3, 1.1), r"$\theta$")
    point(axes, (2.9, 2.4), r"$\phi$")
    arrow(axes, (0.3, 1.1), (1.6, 1.1))
    arrow(axes, (1.6, 2.4), (1.6, 1.1), aside=-0.14)
    arrow(axes, (1.6, 1.1), (1.6, 2.4), "--", aside=-0.14)
    arrow(axes, (2.9, 2.4), (1.6, 2.4), "--")
    frame(axes, "a VAE, and its guide", 3.3, 3.3)


BOXES = (
    ("x", "(N, D)", GREY), ("encoder", r"$h_\phi$", "white"), ("$\\mu$, $v$", "(N, K) each", GREY),
    ("z", "(S, N, K)", GREY), ("decoder", r"$g_\theta$", "white"),
    ("$\\eta$", "(S N, D) each", GREY), ("$\\log p(x | z)$", "(S, N)", GREY),
)  # fmt: skip


def networks(axes):
    """A row of arrays and what is between them."""
    for i, (name, shape, colour) in enumerate(BOXES):
        x = 1.75 * i
        axes.add_patch(FancyBboxPatch((x, 0.4), 1.35, 0.9, boxstyle="round,pad=0,rounding_size=0.1",
                                      facecolor=colour, edgecolor=LINE))  # fmt: skip
        axes.text(x + 0.675, 1.02, name, ha="center", va="center", fontsize=11)
        axes.text(x + 0.675, 0.65, shape, ha="center", va="center", fontsize=9, color="#444444")
        if i:
            axes.annotate("", (x, 0.85), (x - 0.4, 0.85), arrowprops={"arrowstyle": "-|>"})
    axes.annotate(r"noise $\varepsilon$ (S, N, K)", (5.92, 1.3), (5.92, 1.75), ha="center",
                  fontsize=9, arrowprops={"arrowstyle": "-|>"})  # fmt: skip
    axes.annotate("", (11.17, 0.4), (0.67, 0.4), arrowprops={
        "arrowstyle": "-|>", "connectionstyle": "arc,angleA=-90,angleB=-90,armA=18,armB=18"})
    axes.set(xlim=(-0.1, 12.0), ylim=(-0.1, 2.0), aspect="equal")
    axes.set_axis_off()


# %%
def main(path):
    figure = Figure(figsize=(9, 5.0), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(3.1, 1.7))
    for axes, draw in zip(above.subplots(1, 3), (mixture, linear, vae), strict=True):
        draw(axes)
    networks(below.subplots())
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
