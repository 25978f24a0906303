"""Pictures: the pixels and artists show the arrays they were given, and nothing else changes."""

import itertools
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image
from scipy.stats import multivariate_normal, norm

from minivae import figures
from minivae.errors import ShapeError
from minivae.figures import latent
from minivae.figures.images import _ticks

RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(size=(6, 64))


def decode(z):
    """A decoder with random weights, to counts of 16."""
    return 16 / (1 + np.exp(-(z @ WEIGHTS[: z.shape[1]])))


def pixels(figure: Figure) -> np.ndarray:
    canvas = figure.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def png(figure: Figure, path: Path) -> bytes:
    figures.save_figure(figure, path)
    return path.read_bytes()


def drawn_images(figure: Figure) -> np.ndarray:
    """The array that an image page shows, NaN in the gaps."""
    (image,) = figure.axes[0].images
    return image.get_array().filled(np.nan)


def tile(figure: Figure, i: int, j: int, side: int) -> np.ndarray:
    """The image in row i and column j, `side` pixels wide, its enlargement undone."""
    grid = drawn_images(figure)
    zoom = int(np.ceil(28 / side))
    step = zoom * side + 1
    block = grid[i * step : i * step + step - 1, j * step : j * step + step - 1]
    assert not np.isnan(block).any()
    return block[::zoom, ::zoom]


# ---- image_grid -------------------------------------------------------------------------------


def test_image_grid_puts_each_image_in_its_place():
    images = np.arange(1.0, 31.0).reshape(5, 6)
    grid = figures.image_grid(images, (2, 3), columns=2)
    nan = np.nan
    expected = [
        [1, 2, 3, nan, 7, 8, 9],
        [4, 5, 6, nan, 10, 11, 12],
        [nan] * 7,
        [13, 14, 15, nan, 19, 20, 21],
        [16, 17, 18, nan, 22, 23, 24],
        [nan] * 7,
        [25, 26, 27, nan, nan, nan, nan],
        [28, 29, 30, nan, nan, nan, nan],
    ]
    np.testing.assert_array_equal(grid, expected)


def test_image_grid_of_one_image_is_that_image():
    np.testing.assert_array_equal(figures.image_grid([[1, 2]], (1, 2), 1), [[1, 2]])


@pytest.mark.parametrize(
    ("images", "shape", "columns", "message"),
    [
        (np.ones((3, 4)), (2, 3), 1, r"image_shape \(2, 3\) for images of shape \(3, 4\)"),
        (np.ones((3, 4)), (2, 2, 1), 1, r"\(height, width\)"),
        (np.ones((3, 4)), (-2, -2), 1, r"\(height, width\)"),
        (np.ones((3, 4)), (2, 2), 0, "columns=0"),
        (np.ones(4), (2, 2), 1, r"images of shape \(4,\)"),
        (np.ones((0, 4)), (2, 2), 1, r"images of shape \(0, 4\)"),
        ([[1.0, 2.0], [np.nan, 0.0], [np.inf, 0.0]], (1, 2), 1, "in row 1"),
    ],
)
def test_image_grid_refuses_what_does_not_fit(images, shape, columns, message):
    with pytest.raises(ShapeError, match=message):
        figures.image_grid(images, shape, columns)


# ---- Saving -----------------------------------------------------------------------------------


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    mu, labels = RNG.normal(size=(50, 3)), np.arange(50) % 10
    history = {"elbo": [-3.0, -2.0], "kl": [1.0, 2.0]}
    makers = [
        lambda: figures.latent_scatter(mu, labels),
        lambda: figures.latent_scatter(mu[:, :1], labels),
        lambda: figures.prior_predictive_grid(decode, 4, (8, 8), n=3),
        lambda: figures.learning_curve(history),
    ]
    for make in makers:
        first = png(make(), tmp_path / "first.png")
        assert png(make(), tmp_path / "second.png") == first
        assert b"Software" not in first


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    figure = figures.latent_scatter(np.zeros((3, 2)))

    class Broken(Circle):
        def draw(self, renderer):
            raise RuntimeError("half-way")

    figure.axes[0].add_patch(Broken((0, 0), 1))
    with pytest.raises(RuntimeError, match="half-way"):
        figures.save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_save_figure_refuses_other_formats(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        figures.save_figure(figures.latent_scatter(np.zeros((1, 2))), tmp_path / "picture.pdf")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_no_pyplot_and_no_change_of_settings(tmp_path):
    before = dict(rcParams)
    png(figures.latent_scatter(np.zeros((2, 2)), [0, 1]), tmp_path / "a.png")
    assert dict(rcParams) == before
    code = (
        "import sys, numpy as np; from minivae import figures as f; "
        "f.save_figure(f.latent_scatter(np.eye(2), [0, 1]), sys.argv[1]); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[1], timeout=60)


def test_threads_draw_what_one_alone_draws(tmp_path):
    mu = [RNG.normal(size=(40, 2)) for _ in range(4)]
    alone = [pixels(figures.latent_scatter(m, np.arange(40) % 5)) for m in mu]
    together: list[np.ndarray | None] = [None] * 4

    def draw(i):
        together[i] = pixels(figures.latent_scatter(mu[i], np.arange(40) % 5))

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a, b)


# ---- The palette ------------------------------------------------------------------------------

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
VISION = {
    "common": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def oklab(linear):
    """Ottosson's (2020) space in which equal distances look about equally large."""
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.cbrt(np.clip(linear, 0, 1) @ np.transpose(to_cones)) @ np.transpose(to_lab)


@pytest.mark.parametrize("vision", VISION)
def test_colours_are_told_apart_by_every_eye(vision):
    rgb = np.array([to_rgb(c) for c in (*figures.PALETTE, "white")])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = oklab(linear @ np.transpose(VISION[vision]))
    distance = np.linalg.norm(seen[:, None] - seen, axis=-1)
    # The closest two of matplotlib's own ten colours come to 0.007.
    assert distance[:10, :10][np.triu_indices(10, 1)].min() > 0.115
    assert distance[10, :10].min() > 0.095


# ---- Reconstructions and interpolation --------------------------------------------------------


def test_reconstructions_lie_below_their_data():
    X, X_hat = RNG.uniform(0, 16, (12, 64)), RNG.uniform(0, 16, (12, 64))
    figure = figures.reconstructions(X, X_hat, (8, 8), n=10, vmax=16)
    for j in range(10):
        np.testing.assert_array_equal(tile(figure, 0, j, 8), X[j].reshape(8, 8))
        np.testing.assert_array_equal(tile(figure, 1, j, 8), X_hat[j].reshape(8, 8))
    assert figure.axes[0].images[0].get_clim() == (0, 16)
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["$x$", r"$E[x\,|\,z]$"]


def test_tiles_are_centred_on_whole_numbers_on_the_page():
    X = np.zeros((3, 4))
    X[1] = 1  # the middle one is black
    figure = figures.reconstructions(X, 0 * X, (2, 2))
    image, axes = pixels(figure), figure.axes[0]
    for i in range(2):
        for j in range(3):
            x, y = axes.transData.transform((j, i))
            shade = image[image.shape[0] - 1 - int(y), int(x)]
            assert (shade == (0 if (i, j) == (0, 1) else 255)).all()


def test_grey_starts_at_zero_or_where_data_go_below():
    X = np.array([[0.5, 0.7]])
    figure = figures.reconstructions(X, X, (1, 2))
    assert figure.axes[0].images[0].get_clim() == (0, 0.7)
    figure = figures.reconstructions(-X, X, (1, 2))
    assert figure.axes[0].images[0].get_clim() == (-0.7, 0.7)
    pixels(figures.reconstructions(0 * X, 0 * X, (1, 2)))  # nothing but white


def test_reconstructions_of_vectors_are_curves():
    X = RNG.normal(size=(7, 5))
    figure = figures.reconstructions(X, X + 1, None)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 7
    for i, axes in enumerate(panels):
        x, x_hat = axes.lines
        np.testing.assert_array_equal(x.get_ydata(), X[i])
        np.testing.assert_array_equal(x_hat.get_ydata(), X[i] + 1)
    pixels(figure)
    pixels(figures.reconstructions(X[:1, :1], X[:1, :1], None))


def test_rows_of_one_number_are_seen():
    X = RNG.normal(size=(7, 1))
    dots = figures.samples(X, None).axes[0].collections[0]
    np.testing.assert_allclose(dots.get_offsets()[:, 1], X[:, 0])
    panel = figures.reconstructions(X, X, None).axes[0]
    assert {line.get_marker() for line in panel.lines} == {"o"}


@pytest.mark.parametrize("image_shape", [(12, 5), (3, 40), (20, 2), (8, 8)])
def test_titles_and_ticks_of_images_of_any_shape_have_room(image_shape):
    size = image_shape[0] * image_shape[1]
    figure = figures.prior_predictive_grid(lambda z: np.zeros((len(z), size)), 2, image_shape)
    canvas = figure.canvas
    canvas.draw()
    (axes,) = figure.axes
    width, _ = canvas.get_width_height()
    title = axes.title.get_window_extent()
    assert title.x0 >= 0
    assert title.x1 <= width
    for labels, end, start in (
        (axes.get_xticklabels(), "x1", "x0"),
        (axes.get_yticklabels()[::-1], "y1", "y0"),
    ):
        boxes = sorted((t.get_window_extent() for t in labels), key=lambda box: getattr(box, start))
        for left, right in itertools.pairwise(boxes):
            assert getattr(left, end) <= getattr(right, start)


@pytest.mark.parametrize(
    ("X", "X_hat", "shape", "n"),
    [
        (np.ones((3, 4)), np.ones((2, 4)), (2, 2), 10),
        (np.ones((3, 4)), np.ones((3, 4)), (2, 3), 10),
        (np.ones((3, 4)), np.ones((3, 4)), (2, 2), 0),
        (np.ones((0, 4)), np.ones((0, 4)), (2, 2), 10),
    ],
)
def test_reconstructions_refuse(X, X_hat, shape, n):
    with pytest.raises(ShapeError):
        figures.reconstructions(X, X_hat, shape, n)


def test_interpolation_runs_from_left_to_right():
    ways = RNG.uniform(size=(2, 5, 12))
    figure = figures.interpolation(ways[0], (4, 3))
    expected = figures.image_grid(
        ways[0].reshape(5, 4, 3).repeat(10, 1).repeat(10, 2).reshape(5, -1), (40, 30), 5
    )
    np.testing.assert_array_equal(drawn_images(figure), expected)
    grid = drawn_images(figures.interpolation(ways, (4, 3)))
    assert grid.shape == (81, 154)
    np.testing.assert_array_equal(grid[41:81:10, 31:61:10], ways[1, 1].reshape(4, 3))
    curves = figures.interpolation(ways[0], None).axes[0].collections[0].get_segments()
    np.testing.assert_array_equal([c[:, 1] for c in curves], ways[0])


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 0, 4), (1, 2, 3, 4)])
def test_interpolation_refuses(shape):
    with pytest.raises(ShapeError):
        figures.interpolation(np.ones(shape), (2, 2))


# ---- The prior-predictive grid ----------------------------------------------------------------


def test_quantile_spacing_stands_for_equal_shares_of_the_prior():
    figure_z = []
    figures.prior_predictive_grid(lambda z: figure_z.append(z) or decode(z), 1, (8, 8), n=20)
    np.testing.assert_allclose(norm.cdf(figure_z[0][:, 0]), (np.arange(20) + 0.5) / 20)


@pytest.mark.parametrize(("spacing", "steps"), [
    ("quantile", norm.ppf([1 / 6, 3 / 6, 5 / 6])), ("equal", [-3.0, 0.0, 3.0])
])  # fmt: skip
def test_z1_grows_to_the_right_and_z2_upwards(spacing, steps):
    show_z = lambda z: np.concatenate([z, z], axis=1)  # noqa: E731  images of 2 x 2: z above z
    figure = figures.prior_predictive_grid(show_z, 2, (2, 2), n=3, spacing=spacing)
    for i in range(3):
        for j in range(3):
            z = [steps[j], steps[2 - i]]
            np.testing.assert_allclose(tile(figure, i, j, 2), [z, z], atol=1e-12)
    pixels(figure)
    axes = figure.axes[0]
    at = dict(zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()), strict=True))
    assert at[0] == f"{steps[2]:.2f}"
    assert at[2] == f"{steps[0]:.2f}".replace("-", "\N{MINUS SIGN}")
    assert spacing[:5] in axes.get_title()


def test_extent_and_a_single_step():
    seen = []
    note = lambda z: seen.append(z) or decode(z)  # noqa: E731
    figures.prior_predictive_grid(note, 1, (8, 8), n=5, spacing="equal", extent=1.0)
    np.testing.assert_array_equal(seen[0][:, 0], [-1, -0.5, 0, 0.5, 1])
    for spacing in ("equal", "quantile"):
        pixels(figures.prior_predictive_grid(note, 2, (8, 8), n=1, spacing=spacing))
        np.testing.assert_array_equal(seen.pop(), [[0, 0]])


def test_more_dimensions_are_drawn_from_the_prior():
    seen = []
    for _ in range(2):
        figure = figures.prior_predictive_grid(
            lambda z: seen.append(z) or decode(z), 6, (8, 8), n=20
        )
    np.testing.assert_array_equal(seen[0], seen[1])
    assert seen[0].shape == (400, 6)
    assert abs(seen[0].std() - 1) < 0.05
    assert "400 draws" in figure.axes[0].get_title()
    assert len(figure.axes[0].get_xticks()) == 0


def test_means_that_are_no_images_become_curves():
    for latent_dim in (1, 2, 3):
        figure = figures.prior_predictive_grid(decode, latent_dim, None, n=4)
        assert len(figure.axes[0].collections[0].get_segments()) == 4 ** min(latent_dim, 2)
        pixels(figure)


@pytest.mark.parametrize(
    "wrong",
    [
        {"latent_dim": 0},
        {"n": 0},
        {"spacing": "log"},
        {"extent": 0.0},
        {"extent": np.nan},
        {"image_shape": (7, 8)},
        {"decode": lambda z: decode(z)[:-1]},
        {"decode": lambda z: decode(z) * np.nan},
    ],
)
def test_prior_predictive_grid_refuses(wrong):
    right = {"decode": decode, "latent_dim": 2, "image_shape": (8, 8), "n": 3}
    with pytest.raises(ShapeError, match=r"prior_predictive_grid|image_shape"):
        figures.prior_predictive_grid(**(right | wrong))


# ---- The latent scatter -----------------------------------------------------------------------


def test_scatter_shows_mu_in_its_class_colours():
    mu = RNG.normal(size=(30, 2))
    labels = np.array(["ankle boot", "bag", "coat"])[np.arange(30) % 3]
    figure = figures.latent_scatter(mu, labels)
    axes = figure.axes[0]
    (scatter,) = axes.collections
    np.testing.assert_array_equal(scatter.get_offsets(), mu)
    expected = [to_rgb(figures.PALETTE[i % 3]) for i in range(30)]
    np.testing.assert_allclose(scatter.get_facecolors()[:, :3], expected)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["ankle boot", "bag", "coat"]
    assert axes.get_aspect() == 1
    assert axes.get_xlim() == axes.get_ylim()
    assert [(c.width, c.height) for c in axes.patches] == [(2, 2), (4, 4)]
    assert (np.abs(mu) < axes.get_xlim()[1]).all()


def test_a_mixture_prior_is_drawn_as_its_gaussians(tmp_path):
    mu = RNG.normal(size=(30, 2))
    means, covariances = [[1.0, 2.0], [0.0, -1.0]], [np.diag([4.0, 1.0]), np.diag([1.0, 9.0])]
    drawn = figures.latent_scatter(mu, None, (means, covariances)).axes[0].patches
    boxes = [p.get_patch_transform().transform(p.get_path().vertices) for p in drawn]
    sides = [tuple(np.ptp(box, axis=0).round(6)) for box in boxes]
    assert sides == [(4, 2), (8, 4), (2, 6), (4, 12)]
    np.testing.assert_allclose([p.center for p in drawn], np.repeat(means, 2, axis=0))
    line = figures.latent_scatter(mu[:, :1], None, ([[3.0]], [[[4.0]]])).axes[0]
    assert [c.get_xdata()[0] for c in line.lines] == [-1, 1, 5, 7]
    pixels(figures.latent_scatter(mu @ np.eye(2, 5), None, (np.zeros((1, 5)), np.eye(5)[None])))
    frames = [(mu, 0, -1.0)]
    figures.latent_animation(frames, None, tmp_path / "a.gif", prior=(means, covariances))
    figures.latent_animation(frames, None, tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() != (tmp_path / "b.gif").read_bytes()
    with pytest.raises(ShapeError, match=r"a prior's means of shape \(2, 2\)"):
        figures.latent_scatter(mu, None, (means, covariances[:1]))


def test_names_stand_at_medians_and_give_way_to_each_other():
    mu = np.repeat([[-2.0, 0.0], [2.0, 0.0], [2.0, 0.01]], 5, axis=0)
    texts = figures.latent_scatter(mu, np.repeat([4, 7, 9], 5)).axes[0].texts
    assert [(t.get_text(), t.get_position(), t.get_visible()) for t in texts] == [
        ("4", (-2.0, 0.0), True),
        ("7", (2.0, 0.0), False),
        ("9", (2.0, 0.01), False),
    ]


def test_without_labels_there_is_no_legend():
    figure = figures.latent_scatter(np.zeros((1, 2)))
    assert not figure.legends
    assert not figure.axes[0].texts


def test_one_dimension_gives_each_class_a_strip():
    mu, labels = RNG.normal(size=(60, 1)), np.arange(60) % 4
    axes = figures.latent_scatter(mu, labels).axes[0]
    points = axes.collections[0].get_offsets()
    np.testing.assert_array_equal(points[:, 0], mu[:, 0])
    np.testing.assert_array_equal(np.round(points[:, 1]), labels)
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "1", "2", "3"]
    pixels(figures.latent_scatter(mu))


def test_more_dimensions_are_seen_along_their_principal_axes():
    scales = np.array([0.1, 3.0, 0.2, 1.0])
    mu = RNG.normal(size=(4000, 4)) * scales + [0, 5, 0, 0]
    axes = figures.latent_scatter(mu).axes[0]
    points = np.asarray(axes.collections[0].get_offsets())
    assert np.corrcoef(points[:, 0], mu[:, 1])[0, 1] > 0.999
    assert np.corrcoef(points[:, 1], mu[:, 3])[0, 1] > 0.99
    assert abs(points[:, 0].mean() - 5) < 0.2  # not centred: the prior's circles are around 0
    assert "1st principal axis" in axes.get_xlabel()
    assert "90 %" in axes.get_xlabel()
    assert "2nd principal axis" in axes.get_ylabel()


@pytest.mark.parametrize("N", [1, 2])
def test_very_few_or_collapsed_points(N):
    pixels(figures.latent_scatter(np.zeros((N, 5)), np.zeros(N)))


def test_many_classes_get_colours_of_their_own():
    figure = figures.latent_scatter(RNG.normal(size=(52, 2)), np.arange(52) % 26)
    assert len({tuple(c) for c in figure.axes[0].collections[0].get_facecolors()}) == 26
    assert len(figure.legends[0].get_texts()) == 26


@pytest.mark.parametrize(
    ("mu", "labels", "message"),
    [
        (np.zeros(4), None, r"mu of shape \(4,\)"),
        (np.zeros((0, 2)), None, r"mu of shape \(0, 2\)"),
        (np.zeros((4, 0)), None, r"mu of shape \(4, 0\)"),
        ([[0.0, 1.0], [np.inf, 0.0]], None, "row 1"),
        (np.zeros((4, 2)), [1, 2, 3], r"labels of shape \(3,\) for 4 rows"),
        (np.zeros((4, 2)), np.zeros((4, 1)), r"labels of shape \(4, 1\)"),
        (np.zeros((99, 2)), RNG.normal(size=99), "99 different labels"),
    ],
)
def test_latent_scatter_refuses(mu, labels, message):
    with pytest.raises(ShapeError, match=message):
        figures.latent_scatter(mu, labels)


# ---- The animation ----------------------------------------------------------------------------


def course(n_frames=6, N=300, latent_dim=2):
    mu = np.random.default_rng(1).normal(size=(N, latent_dim))
    return [(mu * t / n_frames, t, -150.0 + t) for t in range(n_frames)], np.arange(N) % 10


def read_frames(path):
    with Image.open(path) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append((np.asarray(gif.convert("RGB")).astype(int), gif.info["duration"]))
        return frames, gif.info["loop"]


def test_animation_read_back(tmp_path):
    frames, labels = course()
    path = tmp_path / "latent.gif"
    figures.latent_animation(frames, labels, path, frame_ms=80, pause_ms=1500)
    read, loop = read_frames(path)
    assert [duration for _, duration in read] == [80] * 5 + [1500]
    assert loop == 0
    assert {image.shape for image, _ in read} == {(620, 660, 3)}
    for image, _ in read:
        assert (image[0, 0] == 255).all()
    # The classes' colours come through the common table of colours nearly as they are.
    for colour in figures.PALETTE:
        distance = np.abs(read[-1][0] - 255 * np.array(to_rgb(colour))).max(axis=-1)
        assert distance.min() <= 8
    # The points leave the centre: more and more of the plot is coloured.
    coloured = [(np.ptp(image[60:550, 80:570], axis=-1) > 40).sum() for image, _ in read]
    assert coloured == sorted(coloured)
    assert 0 < coloured[0] < coloured[-1] / 20


def test_animation_is_the_same_each_time_and_needs_no_labels(tmp_path):
    frames, labels = course(3)
    for latent_dim in (1, 2, 5):
        frames, labels = course(3, latent_dim=latent_dim)
        for some in (labels, None):
            figures.latent_animation(frames, some, tmp_path / "a.gif")
            figures.latent_animation(frames, some, tmp_path / "b.gif")
            assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    assert len(read_frames(tmp_path / "a.gif")[0]) == 3


def test_animation_of_one_frame_without_an_elbo(tmp_path):
    figures.latent_animation([(np.zeros((2, 2)), 0, np.nan)], None, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 1


def test_animation_axes_hold_start_and_end_in_spite_of_an_outlier(monkeypatch, tmp_path):
    limits = []
    draw = latent._draw_latent

    def note(*args):
        limits.append(args[-1])
        return draw(*args)

    monkeypatch.setattr(latent, "_draw_latent", note)
    frames, labels = course(4, N=2000)
    frames[1][0][:] = 500.0  # one epoch went astray
    frames[3][0][0] = 1000.0  # and one datum
    figures.latent_animation(frames, labels, tmp_path / "a.gif")
    assert 2.2 < limits[0] < 5


def test_a_failed_animation_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "latent.gif"
    path.write_bytes(b"old")
    frames, labels = course(4)
    moves = iter(range(100))
    move = latent._move

    def fail_half_way(*args):
        if next(moves) == 3:
            raise RuntimeError("half-way")
        move(*args)

    monkeypatch.setattr(latent, "_move", fail_half_way)
    with pytest.raises(RuntimeError, match="half-way"):
        figures.latent_animation(frames, labels, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("frames", "labels"),
    [
        ([], None),
        ([(np.zeros((3, 2)), 0, 0.0), (np.zeros((2, 2)), 1, 0.0)], None),
        ([(np.zeros((3, 2)), 0, 0.0)], [1, 2]),
        ([(np.zeros(3), 0, 0.0)], None),
        ([(np.full((3, 2), np.nan), 0, 0.0)], None),
    ],
)
def test_animation_refuses(frames, labels, tmp_path):
    with pytest.raises(ShapeError):
        figures.latent_animation(frames, labels, tmp_path / "latent.gif")
    assert not list(tmp_path.iterdir())


def test_fifty_frames_of_two_thousand_points_are_quick(tmp_path):
    frames, labels = course(50, N=2000)
    start = time.process_time()
    figures.latent_animation(frames, labels, tmp_path / "latent.gif")
    assert time.process_time() - start < 6  # 1.5 s where it was written


# ---- The learning curve -----------------------------------------------------------------------


def test_learning_curve_shows_every_measured_value():
    history = {
        "epoch": [1, 2, 3, 4],
        "loss": [9, 9, 9, 9],
        "elbo": [-9.0, -7.0, -6.0, -5.5],
        "validation_elbo": [None, -7.5, float("nan"), -8.5],
        "reconstruction": np.array([-8.0, -5.0, -3.0, -2.0]),
        "kl": [1.0, 2.0, 3.0, 3.5],
    }
    figure = figures.learning_curve(history)
    main, reconstruction, kl = figure.axes
    lines = [line for line in main.lines if len(line.get_xdata()) > 0]
    np.testing.assert_array_equal(
        lines[0].get_xydata(), np.transpose([history["epoch"], history["elbo"]])
    )
    np.testing.assert_array_equal(lines[2].get_xydata(), [[2, -7.5], [4, -8.5]])
    np.testing.assert_array_equal(lines[3].get_xydata().squeeze(), [2, -7.5])  # the best
    np.testing.assert_array_equal(reconstruction.lines[0].get_ydata(), history["reconstruction"])
    np.testing.assert_array_equal(kl.lines[0].get_ydata(), history["kl"])
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert words == ["training, last −5.50", "validation, best −7.50 at epoch 2"]
    for axes in figure.axes:
        assert axes.get_title().endswith("nats per datum")
    pixels(figure)


def test_learning_curve_of_one_epoch_has_one_whole_tick():
    figure = figures.learning_curve({"elbo": [-3.0], "kl": [1.0], "reconstruction": [-2.0]})
    pixels(figure)
    low, high = figure.axes[0].get_xlim()
    assert [t for t in figure.axes[0].get_xticks() if low <= t <= high] == [1]


def test_learning_curve_with_only_some_columns():
    assert len(figures.learning_curve({"validation_elbo": [-2.0, -1.0]}).axes) == 1
    figure = figures.learning_curve({"elbo": [-2.0, -1.0], "kl": [np.nan, np.nan]})
    assert len(figure.axes) == 1
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [1, 2])


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"loss": [1.0]},
        {"kl": [1.0]},
        {"elbo": []},
        {"elbo": [np.nan]},
        {"elbo": [1.0, 2.0], "kl": [1.0]},
        {"epoch": [1], "elbo": [1.0, 2.0]},
        {"elbo": 3.0},
        {"elbo": [[1.0], [2.0]]},
    ],
)
def test_learning_curve_refuses(history):
    with pytest.raises(ShapeError, match="learning_curve"):
        figures.learning_curve(history)


# ---- Mixtures ---------------------------------------------------------------------------------

MEANS = np.array([[-2.0, 0.0], [2.0, 1.0]])
COVARIANCES = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.5, 0.0], [0.0, 2.0]]])
PI = np.array([0.3, 0.7])


def drawn_from(weights, means, covariances, N=300):
    rng = np.random.default_rng(3)
    z = rng.choice(len(weights), N, p=weights)
    return np.stack([rng.multivariate_normal(means[k], covariances[k]) for k in z])


def outlines(axes):
    """The ellipses' outlines in data coordinates, (K, 2 sigma levels, M, 2)."""
    paths = [p.get_patch_transform().transform(p.get_path().vertices) for p in axes.patches]
    return np.array(paths).reshape(-1, 2, *paths[0].shape)


def test_ellipses_lie_where_the_mahalanobis_distance_is_one_and_two():
    X = drawn_from(PI, MEANS, COVARIANCES)
    axes = figures.mixture_map(X, PI, MEANS, COVARIANCES).axes[0]
    for k, pair in enumerate(outlines(axes)):
        for n_sigma, outline in zip((1, 2), pair, strict=True):
            on = outline[:-1:3] - MEANS[k]  # the corners of the Bezier curves lie on it
            d2 = np.einsum("ni,ij,nj->n", on, np.linalg.inv(COVARIANCES[k]), on)
            np.testing.assert_allclose(np.sqrt(d2), n_sigma, rtol=2e-3)  # blurred by half a pixel
    assert [t.get_text() for t in axes.texts] == ["0", "1"]
    np.testing.assert_allclose([t.get_position() for t in axes.texts], MEANS)


def test_each_covariance_type_is_drawn_as_its_matrices():
    X = drawn_from(PI, MEANS, COVARIANCES)
    types = {"tied": COVARIANCES[0], "diag": np.array([[1.0, 2.0], [3.0, 0.5]]),
             "spherical": np.array([0.5, 2.0])}  # fmt: skip
    matrices = {"tied": [COVARIANCES[0]] * 2, "diag": [np.diag([1, 2]), np.diag([3, 0.5])],
                "spherical": [0.5 * np.eye(2), 2 * np.eye(2)]}  # fmt: skip
    for kind, covariances in types.items():
        axes = figures.mixture_map(X, PI, MEANS, covariances, kind).axes[0]
        full = figures.mixture_map(X, PI, MEANS, matrices[kind]).axes[0]
        np.testing.assert_allclose(outlines(axes), outlines(full))


def test_the_map_holds_the_density_and_the_responsibilities():
    X = drawn_from(PI, MEANS, COVARIANCES)
    figure = figures.mixture_map(X, PI, MEANS, COVARIANCES)
    density, shares = figure.axes[:2]
    (image,) = shares.images
    shades, (left, right, low, high) = image.get_array(), image.get_extent()
    x = np.linspace(left, right, shades.shape[1])
    y = np.linspace(low, high, shades.shape[0])
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    joint = np.stack([
        w * multivariate_normal(m, c).pdf(grid)
        for w, m, c in zip(PI, MEANS, COVARIANCES, strict=True)
    ], axis=-1)  # fmt: skip
    r = joint / joint.sum(axis=-1, keepdims=True)
    sure = 2 * r.max(axis=-1) - 1
    colours = np.array([to_rgb(figures.PALETTE[k]) for k in (0, 1)])[r.argmax(axis=-1)]
    np.testing.assert_allclose(shades, 1 - 0.55 * sure[..., None] * (1 - colours), atol=0.03)
    # The wrong colours would be far away.
    assert np.abs(shades - (1 - 0.55 * sure[..., None] * (1 - colours[::-1]))).max() > 0.3
    contours = density.collections[0]
    log_p = np.log(joint.sum(axis=-1))
    level = contours.levels[5]
    inside = contours.get_paths()[6].vertices  # what lies above this level
    at = multivariate_normal_mixture(inside)
    assert np.nanmin(np.log(at)) > level - 0.1
    assert log_p.max() > level
    for axes in (density, shares):
        points = axes.collections[-1].get_offsets()
        np.testing.assert_array_equal(points, X)


def multivariate_normal_mixture(points):
    return sum(
        w * multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(PI, MEANS, COVARIANCES, strict=True)
    )


def test_more_dimensions_are_projected_with_their_mixture():
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(5, 2)))[0].T
    X = drawn_from(PI, MEANS, COVARIANCES, 2000)
    axes = figures.mixture_map(
        X @ basis, PI, MEANS @ basis, basis.T @ COVARIANCES @ basis + 1e-4 * np.eye(5)
    ).axes[0]
    assert "1st principal axis of $x$" in axes.get_xlabel()
    points, at = axes.collections[-1].get_offsets(), [t.get_position() for t in axes.texts]
    # A rotation of the plane, so that distances remain.
    np.testing.assert_allclose(
        np.linalg.norm(points - at[0], axis=1), np.linalg.norm(X - MEANS[0], axis=1), atol=1e-9
    )
    areas = [np.ptp(o[:, 0]) * np.ptp(o[:, 1]) for o in outlines(axes)[:, 0]]
    assert min(areas) > 0


def test_one_component_one_dimension_and_many_components():
    X = drawn_from(PI, MEANS, COVARIANCES)
    one = figures.mixture_map(X, [1.0], MEANS[:1], COVARIANCES[:1])
    shades = one.axes[1].images[0].get_array()
    assert len(np.unique(shades.reshape(-1, 3), axis=0)) == 1  # no doubt anywhere
    pixels(one)
    K = 15
    means = np.random.default_rng(0).normal(size=(K, 2))
    pixels(figures.mixture_map(X, np.full(K, 1 / K), means, np.full(K, 0.1), "spherical"))
    line = figures.mixture_map(X[:, :1], PI, MEANS[:, :1], COVARIANCES[:, :1, :1])
    pixels(line)
    total, first, second = (np.asarray(c.get_ydata()) for c in line.axes[0].lines)
    np.testing.assert_allclose(total, first + second)
    at = np.asarray(line.axes[0].lines[0].get_xdata())
    np.testing.assert_allclose(first, 0.3 * norm.pdf(at, -2, 1), rtol=1e-3, atol=1e-9)
    shares = [np.asarray(c.get_ydata()) for c in line.axes[1].lines]
    np.testing.assert_allclose(sum(shares), 1)


@pytest.mark.parametrize(
    ("covariance", "X"),
    [
        (np.zeros((2, 2)), np.zeros((3, 2))),
        (np.zeros((2, 2)), [[1e8, 1.0], [1e8 + 1, 2.0]]),
        (np.ones((2, 2)), [[0.0, 0.0], [1.0, 1.0]]),
        (np.diag([1e-12, 1.0]), [[3.0, 0.0], [3.0, 1.0]]),
        (np.diag([1e12, 1.0]), [[3.0, 0.0], [3.0, 1.0]]),
    ],
)
def test_degenerate_covariances_and_data_are_drawn(covariance, X, tmp_path):
    X = np.asarray(X)
    means, covariances = np.stack([X[0], X[-1] + 1e-3]), np.stack([covariance, np.eye(2)])
    figure = figures.mixture_map(X, [0.5, 0.5], means, covariances)
    assert pixels(figure).std() > 10
    for pair in outlines(figure.axes[0]):
        assert np.isfinite(pair).all()
        assert (np.ptp(pair, axis=1) > 0).all()
    frames = [([1.0, 0.0], means, covariances, np.nan)]
    figures.mixture_animation(X, frames, tmp_path / "a.gif")


def em_course(n=5):
    X = drawn_from(PI, MEANS, COVARIANCES)
    return X, [(PI, MEANS * t / n, COVARIANCES, -9.0 + t) for t in range(n)]


def test_the_path_of_em_read_back(tmp_path):
    X, frames = em_course()
    figures.mixture_animation(X, frames, tmp_path / "a.gif", frame_ms=80, pause_ms=1500)
    read, loop = read_frames(tmp_path / "a.gif")
    assert [duration for _, duration in read] == [80] * 4 + [1500]
    assert loop == 0
    for (image, _), (later, _) in pairwise(read):
        assert (np.abs(image - later).max(axis=-1) > 60).mean() > 0.005
    for colour in figures.PALETTE[:2]:
        distance = np.abs(read[-1][0] - 255 * np.array(to_rgb(colour))).max(axis=-1)
        assert (distance <= 8).sum() > 100
    figures.mixture_animation(X, frames, tmp_path / "b.gif", frame_ms=80, pause_ms=1500)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_means_as_images_in_the_order_of_their_weights():
    means = np.random.default_rng(0).uniform(0, 16, (7, 64))
    weights = np.array([0.1, 0.3, 0.05, 0.2, 0.15, 0.12, 0.08])
    figure = figures.component_images(means, weights, (8, 8), vmax=16)
    for i, k in enumerate(np.argsort(-weights)):
        np.testing.assert_array_equal(tile(figure, i // 5, i % 5, 8), means[k].reshape(8, 8))
        assert figure.axes[0].texts[i].get_text() == f"{k}: {weights[k]:.3f}"
    pixels(figure)
    pixels(figures.component_images(means[:1], [1.0], (8, 8)))
    pixels(figures.component_images(means, weights, None))


def test_criteria_mark_their_least():
    figure = figures.information_criteria([1, 2, 3], {"BIC": [9.0, -4.0, 5.0], "AIC": [9, 3, 1]})
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [9, -4, 5])
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[2, -4]])
    np.testing.assert_array_equal(axes.lines[3].get_xydata(), [[3, 1]])
    words = [t.get_text() for t in axes.get_legend().get_texts()]
    assert words == ["BIC, least −4.0 at K=2", "AIC, least 1.0 at K=3"]
    pixels(figure)
    pixels(figures.information_criteria([4], {"BIC": [1.0]}))


@pytest.mark.parametrize(
    "call",
    [
        lambda: figures.mixture_map(np.zeros(3), PI, MEANS, COVARIANCES),
        lambda: figures.mixture_map([[np.nan, 0.0]], PI, MEANS, COVARIANCES),
        lambda: figures.mixture_map(np.zeros((3, 3)), PI, MEANS, COVARIANCES),
        lambda: figures.mixture_map(np.eye(2), PI[:1], MEANS, COVARIANCES),
        lambda: figures.mixture_map(np.eye(2), PI, MEANS, COVARIANCES, "diag"),
        lambda: figures.mixture_map(np.eye(2), PI, MEANS, COVARIANCES, "round"),
        lambda: figures.mixture_map(np.eye(2), -PI, MEANS, COVARIANCES),
        lambda: figures.mixture_map(np.eye(2), PI, MEANS, COVARIANCES * np.nan),
        lambda: figures.mixture_animation(np.eye(2), [], "a.gif"),
        lambda: figures.mixture_animation(np.ones((3, 1)), [([1], [[1]], [[[1]]], 0.0)], "a.gif"),
        lambda: figures.component_images(np.ones((2, 4)), [1.0], (2, 2)),
        lambda: figures.component_images(np.ones((2, 4)), PI, (2, 3)),
        lambda: figures.information_criteria([], {"BIC": []}),
        lambda: figures.information_criteria([1, 2], {}),
        lambda: figures.information_criteria([1, 2], {"BIC": [1.0]}),
        lambda: figures.information_criteria([1, 2], {"BIC": [1.0, np.inf]}),
    ],
)
def test_mixtures_that_do_not_fit_are_refused(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShapeError):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("vmax", [np.nan, np.inf, 0.0, -1.0])
def test_black_must_be_above_white(vmax):
    with pytest.raises(ShapeError, match="black must be above white"):
        figures.samples(np.ones((4, 9)), (3, 3), vmax=vmax)


def test_a_prior_that_is_not_finite_is_refused():
    mu = RNG.normal(size=(20, 2))
    with pytest.raises(ShapeError, match="and finite"):
        figures.latent_scatter(mu, None, ([[np.nan, 8.0]], np.eye(2)[None]))


@pytest.mark.parametrize("terms", [True, False])
def test_the_legend_of_a_learning_curve_lies_on_the_page_and_on_no_curve(terms):
    curve = -100.0 - np.arange(9)
    history = {"elbo": curve, "validation_elbo": curve - 1, "test_elbo": curve - 2}
    figure = figures.learning_curve({**history, "kl": curve} if terms else history)
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.x1 <= figure.bbox.x1
    assert not any(legend.overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_the_best_epoch_is_not_looked_for_in_a_warm_up():
    history = {"elbo": [-1.0] * 4, "validation_elbo": [-5.0, -9.0, -7.0, -8.0]}
    expected = {0: "−5.00 at epoch 1", 1: "−7.00 at epoch 3", 4: "−5.00 at epoch 1"}
    for warmup, words in expected.items():
        (*_, validation) = figures.learning_curve(history, warmup=warmup).legends[0].get_texts()
        assert validation.get_text() == f"validation, best {words}"


@pytest.mark.parametrize("n", [7, 10, 15])
@pytest.mark.parametrize("inches", [1.0, 2.5, 4.0, 8.0])
def test_ticks_are_few_and_an_odd_number_of_steps_has_its_middle(n, inches):
    ticks, names = _ticks(np.linspace(-2, 2, n), inches)
    assert 2 <= len(ticks) == len(names) <= max(2, inches / 0.6)
    assert inches < 1.9 or n % 2 == 0 or "0.00" in names


def test_rows_have_their_names():
    figure = figures.rows_of_samples(np.ones((6, 16)), ["a", "b"], (4, 4))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert len(figures.rows_of_samples(np.ones((6, 3)), ["a", "b"], None).axes) == 2
    with pytest.raises(ShapeError, match="as many data for each name"):
        figures.rows_of_samples(np.ones((5, 3)), ["a", "b"], None)


def test_a_sweep_has_a_line_through_the_means_and_a_dot_a_seed():
    curve = np.array([[1.0, 3.0], [2.0, 4.0]])
    figure = figures.sweep([1, 2], {"one": {"a": curve}, "two": {"b": curve}}, "K")
    line, dots = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [2, 3])
    np.testing.assert_array_equal(dots.get_ydata(), [1, 3, 2, 4])
    with pytest.raises(ShapeError, match="a row for each value"):
        figures.sweep([1, 2, 3], {"one": {"a": curve}}, "K")
