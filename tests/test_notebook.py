"""What a notebook shows: cards for estimators, reports and data, pictures, and one bar."""

import inspect
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest

import minivae
from minivae import VAE, GaussianMixture, Tensor, datasets, gradcheck, ops, primitive
from minivae import notebook as showing
from minivae.exercises import check
from minivae.figures import draw_graph, latent_scatter
from minivae.gradcheck.unbiased import UnbiasedReport, UnbiasedRow
from minivae.inference.compare import Answer, Comparison


class Words(HTMLParser):
    """The text of HTML; an element that is not closed in order is refused."""

    def __init__(self, html):
        super().__init__()
        self.open, self.cells, self.text = [], 0, []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.cells += tag == "td"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def words(thing):
    return " ".join(Words(thing._repr_html_()).text)


def test_an_estimator_shows_what_was_changed_and_how_far_it_has_come():
    vae = VAE(hidden=(3,), epochs=2, random_state=0)
    assert words(vae) == "not fitted VAE hidden (3,) epochs 2 random_state 0"
    vae.fit((np.arange(40).reshape(10, 4) % 3 == 0).astype(float))
    assert words(vae).startswith("fitted VAE hidden (3,)")
    assert f"ELBO of epoch 2 {vae.history_['elbo'][-1]:.2f} nats per datum" in words(vae)
    mixture = GaussianMixture(2, means_init=np.ones((2, 1)), random_state=0)
    assert "n_components 2 random_state 0 means_init array([[1.]" in words(mixture)
    mixture = GaussianMixture(2, random_state=0).fit(np.arange(20.0)[:, None] ** 2)
    assert f"lower bound {mixture.lower_bound_:.4f} nats per datum" in words(mixture)


def test_what_a_user_wrote_is_not_html():
    assert "<script>" not in GaussianMixture(means_init="<script>")._repr_html_()
    assert "means_init '<script>'" in words(GaussianMixture(means_init="<script>"))


def test_reports_show_their_verdict_and_their_table():
    x = np.array([1.0, 2.0])
    assert words(gradcheck(ops.exp, x)).startswith("PASS exp")
    wrong = gradcheck(primitive(np.exp, lambda g, out, x: -g * out), x)
    assert "FAIL" in words(wrong)
    assert "wrong sign" in words(wrong)
    assert Words(wrong._repr_html_()).cells >= 5 * 3
    row = UnbiasedRow("mu", (0,), 1.0, 2.0, 0.1, float("nan"))
    report = UnbiasedReport("FAIL", "too small", [row], "exactly")
    assert "mu[0] 1 2 1.0e-01 -" in words(report)
    verdict = check("13", lambda mu, log_var: mu)
    assert words(verdict).startswith("WRONG 13  The KL divergence in closed form")


def test_data_and_comparisons_show_what_they_are():
    digits = datasets.load("optdigits")
    assert "3823 rows of 64 numbers" in words(digits)
    assert "counts, pictures of 8 x 8 labels 10 classes" in words(digits)
    nan = float("nan")
    answer = Answer("laplace", 0.5, -3.25, nan, 0.01, 0.02, 0.0, 10.0, None, None)
    found = Comparison(-3.0, [np.zeros(2)], np.zeros(2), [answer])
    assert "log p(x) = -3.0000 nats" in words(found)
    assert "laplace 0.50 -3.25 - 0.01 0.02 0 20" in words(found)


def test_white_letters_read_on_every_badge():
    for colour in (showing.GREEN, showing.ORANGE, showing.RED, showing.GREY):
        rgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5, colour


@pytest.mark.parametrize(
    "figure",
    [latent_scatter(np.zeros((3, 2))), draw_graph(ops.exp(Tensor(1.0, requires_grad=True)))],
)
def test_a_picture_shows_as_the_last_line_of_a_cell(figure):
    assert figure._repr_png_().startswith(b"\x89PNG")


ESTIMATORS = [name for name in minivae.__all__ if hasattr(getattr(minivae, name), "fit")]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_signatures_name_the_hyper_parameters(name):
    estimator = getattr(minivae, name)
    given = inspect.signature(estimator).parameters
    assert [*given] == [*estimator().get_params()]
    assert all(p.default is not p.empty for p in given.values())


COLUMNS = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@pytest.mark.parametrize(("kernel", "widgets", "bar"), [
    (False, True, "tqdm.std"), (True, False, "tqdm.std"), (True, True, "tqdm.notebook"),
])  # fmt: skip
def test_the_bar_is_of_widgets_only_where_there_are_some(monkeypatch, kernel, widgets, bar):
    shell = types.SimpleNamespace(kernel=None) if kernel else types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(showing, "find_spec", lambda name: widgets and name == "ipywidgets")
    notebook = types.ModuleType("tqdm.notebook")
    made_of = {"__module__": "tqdm.notebook", "__init__": lambda self, **options: None}
    notebook.tqdm = type("tqdm", (), made_of)
    monkeypatch.setitem(sys.modules, "tqdm.notebook", notebook)
    made = showing.progress_bar(total=3, disable=True, bar_format=COLUMNS)
    assert type(made).__module__ == bar
