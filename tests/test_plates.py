"""Diagrams: every variable, every arrow and every layer of the model object is in the picture."""

import numpy as np
import pytest
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Wedge

from minivae import (
    VAE,
    BayesNet,
    ConditionalVAE,
    LatentModel,
    Node,
    SemiSupervisedVAE,
    datasets,
)
from minivae.distributions import Gaussian, StandardNormal
from minivae.figures import network_diagram, plate_diagram, save_figure

_digits = datasets.load("optdigits")
X, Y = _digits.model_arrays()[0][:60], _digits.y_train[:60]
SMALL = {"likelihood": "binomial", "n_trials": 16, "hidden": (9, 7), "epochs": 1, "random_state": 0}


def parts(figure):
    """Names in the picture, which of them are grey, and the arrows from where to where."""
    (axes,) = figure.axes
    spots = {t.get_text(): t.get_position() for t in axes.texts if t.get_text()}
    discs = {c.center: c for c in axes.patches if isinstance(c, Circle)}
    white = (1.0, 1.0, 1.0, 1.0)
    grey = {n for n, at in spots.items() if at in discs and discs[at].get_facecolor() != white}
    name = {at: n for n, at in spots.items()}
    arrows = {
        (name[t.xyann], name[t.xy], t.arrowprops["linestyle"] != "-")
        for t in axes.texts if getattr(t, "arrowprops", None)
    }  # fmt: skip
    return spots, grey, arrows


def test_a_graph_is_drawn_with_its_parents_and_what_is_observed(tmp_path):
    net = BayesNet([
        Node("c", ("a", "b"), np.full((2, 2, 2), 0.5), plate="N"),
        Node("b", ("a",), np.full((2, 2), 0.5)),
        Node("a", (), [0.5, 0.5]),
    ])  # fmt: skip
    figure = plate_diagram(net, observed=["c"])
    spots, grey, arrows = parts(figure)
    assert grey == {"c"}
    assert arrows == {("a", "b", False), ("a", "c", False), ("b", "c", False)}
    assert spots["a"][1] > spots["b"][1] > spots["c"][1]
    save_figure(figure, tmp_path / "net.png")
    with pytest.raises(ValueError, match=r"\['d'\] are not among the nodes"):
        plate_diagram(net, observed=["d"])


def test_a_latent_variable_model_and_its_relatives():
    bare = LatentModel(StandardNormal(1), lambda z: (z,), Gaussian(0.5))
    spots, grey, arrows = parts(plate_diagram(bare))
    assert set(spots) == {"z", "x", "N"}  # nothing is learnt
    assert (grey, arrows) == ({"x"}, {("z", "x", False)})
    vae = VAE(**SMALL).fit(X)
    of_p, of_q = {("z", "x", False), ("θ", "x", False)}, {("x", "z", True), ("φ", "z", True)}
    spots, grey, arrows = parts(plate_diagram(vae))
    assert (grey, arrows) == ({"x"}, of_p | of_q)
    given = {("y", "x", False), ("y", "z", True)}
    spots, grey, arrows = parts(plate_diagram(ConditionalVAE(**SMALL).fit(X, Y)))
    assert (grey, arrows) == ({"x", "y"}, of_p | of_q | given)
    few = SemiSupervisedVAE(**SMALL).fit(X, np.where(np.arange(60) < 30, Y, -1))
    figure = plate_diagram(few)
    spots, grey, arrows = parts(figure)
    assert (grey, arrows) == ({"x"}, of_p | of_q | given | {("x", "y", True), ("φ", "y", True)})
    (half,) = (p for p in figure.axes[0].patches if isinstance(p, Wedge))
    assert half.center == spots["y"]
    (plate,) = (p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch))
    left, right = plate.get_x(), plate.get_x() + plate.get_width()
    inside = {n for n, (x, _) in spots.items() if left < x < right}
    assert inside == {"x", "y", "z", "N"}  # and no parameter
    mixture = VAE(**{**SMALL, "epochs": 2}, prior="mixture", prior_components=2, prior_warmup=1)
    assert ("ψ", "z", False) in parts(plate_diagram(mixture.fit(X)))[2]


def test_what_is_not_a_model_is_refused():
    for draw in (plate_diagram, network_diagram):
        with pytest.raises(TypeError, match="got a int"):
            draw(3)
    with pytest.raises(AttributeError, match="before fit"):
        network_diagram(VAE())


@pytest.mark.parametrize("kind", [VAE, ConditionalVAE])
def test_every_layer_is_drawn_with_its_shape(kind):
    model = kind(**SMALL).fit(X, Y)
    figure = network_diagram(model)
    texts = [t.get_text() for t in figure.axes[0].texts]
    weights = [p.shape for n, p in model.named_parameters() if n.endswith("weight")]
    shown = [t.split("\n")[1] for t in texts if " → " in t]
    assert sorted(shown) == sorted(f"{a} → {b}" for a, b in weights)
    assert sum(isinstance(p, Polygon) for p in figure.axes[0].patches) == len(weights)
    assert {"x\n(N, 64)", "z ~ q\n(S, N, 2)", "p(x | z)\nbinomial\n(S·N, 64)"} <= set(texts)
    at = {t.get_text(): t.get_position() for t in figure.axes[0].texts}
    assert at["mu\n7 → 2"][0] == at["log_var\n7 → 2"][0]  # side by side
