"""`load` by name and by path: the embedded data, files, and the search for the full sets."""

import dataclasses
import gzip
import hashlib
import io
import os
import struct
import urllib.error
import urllib.request
from email.message import Message
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from minivae import recipe
from minivae.datasets import load, load_faithful, published
from minivae.errors import DatasetError

FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx_bytes(array):
    """Return bytes ``array`` as the content of an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def small_set(seed):
    """Return a small data set in the form of MNIST, as ``{role: content of the IDX file}``."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, size=(9, 5, 5), dtype=np.uint8)
    labels = rng.integers(0, 10, size=9, dtype=np.uint8)
    arrays = {
        "x_train": images[:6],
        "y_train": labels[:6],
        "x_test": images[6:],
        "y_test": labels[6:],
    }
    return {role: idx_bytes(array) for role, array in arrays.items()}


def write_set(folder, contents, *, compress=False, dotted=False):
    """Write IDX files into `folder` under one of their usual spellings."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, content in contents.items():
        name = FILES[role].replace("-idx", ".idx") if dotted else FILES[role]
        path = folder / (f"{name}.gz" if compress else name)
        path.write_bytes(gzip.compress(content) if compress else content)


MNIST, FASHION = small_set(1), small_set(2)


class Network:
    """Stands for `urlopen`: serves what `pages` holds, and notes what was asked for."""

    def __init__(self):
        self.pages = {}
        self.asked = []

    def __call__(self, url, *, timeout):
        assert timeout > 0
        self.asked.append(url)
        if url not in self.pages:
            raise urllib.error.URLError(OSError(-2, "Name or service not known"))
        page = self.pages[url]
        if isinstance(page, BaseException):
            raise page
        response = io.BytesIO(page)
        response.headers = Message()
        response.headers["Content-Length"] = str(len(page))
        return response

    def serve(self, host, contents):
        for role, content in contents.items():
            self.pages[f"{host}{FILES[role]}.gz"] = gzip.compress(content)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    network = Network()
    monkeypatch.setattr(urllib.request, "urlopen", network)
    return network


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """Set small stand-ins for the published data, and folders that nobody else uses."""
    for name, contents in (("mnist", MNIST), ("fashion-mnist", FASHION)):
        stand_in = dataclasses.replace(
            published.PUBLISHED[name],
            sha256={
                role: hashlib.sha256(content).hexdigest() for role, content in contents.items()
            },
            hosts=(f"https://one/{name}/", f"https://two/{name}/"),
            system_folder=str(tmp_path / "system") if name == "fashion-mnist" else None,
        )
        monkeypatch.setitem(published.PUBLISHED, name, stand_in)
    monkeypatch.delenv("MINIVAE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def assert_is(dataset, contents):
    """Check that `dataset` holds the images and labels of `contents`."""
    for role, content in contents.items():
        stored = getattr(dataset, role)
        assert stored.astype(np.uint8).tobytes() == content[-stored.size :]


# ---- The embedded data -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["optdigits", "digits", "Digits"])
def test_optdigits(name):
    digits = load(name)
    assert digits.name == "optdigits"
    assert digits.x_train.shape == (3823, 64)
    assert digits.x_test.shape == (1797, 64)
    assert digits.x_train.dtype == np.uint8
    assert digits.image_shape == (8, 8)
    assert digits.max_value == 16
    assert digits.x_train.max() == digits.x_test.max() == 16
    assert np.bincount(digits.y_train).tolist() == [
        376, 389, 380, 389, 387, 376, 377, 387, 380, 382,
    ]  # fmt: skip
    assert np.bincount(digits.y_test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.kind == "counts"
    assert recipe(digits)["likelihood"] == "binomial"
    assert recipe(digits)["n_trials"] == 16
    assert recipe(digits)["hidden"] == (200, 100)
    assert recipe(digits)["activation"] == "tanh"
    x_train, _ = digits.model_arrays()
    assert x_train.dtype == np.float32
    assert x_train.max() == 16


def test_a_recipe_is_the_callers_own():
    digits = load("digits")
    recipe(digits)["epochs"] = 1
    assert recipe(digits)["epochs"] == 150


def test_faithful():
    x = load_faithful()
    assert x.shape == (272, 2)
    assert x.dtype == np.float64
    np.testing.assert_allclose(x.mean(axis=0), [3.487783, 70.897059], atol=1e-6)
    np.testing.assert_array_equal(x[[0, -1]], [[3.6, 79], [4.467, 74]])


@pytest.mark.parametrize(("name", "source"), [("optdigits", "CC BY 4.0"), ("faithful", "Azzalini")])
def test_embedded_data_carry_their_notice(name, source):
    notice = resources.files("minivae.datasets").joinpath(name, "NOTICE")
    assert source in notice.read_text(encoding="utf-8")


# ---- Files of one's own ----------------------------------------------------------------------


def test_an_npz(tmp_path):
    path = tmp_path / "mine.npz"
    x = np.arange(48, dtype=np.uint8).reshape(6, 2, 4)
    np.savez(path, X=x, y=np.arange(6))
    dataset = load(path)
    assert dataset.name == "mine.npz"
    assert dataset.image_shape == (2, 4)
    assert (len(dataset.x_train), len(dataset.x_test)) == (5, 1)
    np.testing.assert_array_equal(dataset.x_train, x.reshape(6, 8)[dataset.y_train])


@pytest.mark.parametrize("compress", [False, True])
def test_an_idx_file(tmp_path, compress):
    write_set(tmp_path, {"x_train": MNIST["x_train"]}, compress=compress)
    (path,) = (entry for entry in tmp_path.iterdir() if entry.is_file())
    dataset = load(str(path))
    assert dataset.image_shape == (5, 5)
    assert dataset.y_train is None
    assert len(dataset.x_train) + len(dataset.x_test) == 6


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_a_folder_of_idx_files(tmp_path, compress, dotted):
    write_set(tmp_path / "mine", FASHION, compress=compress, dotted=dotted)
    dataset = load(tmp_path / "mine")
    assert dataset.name == "mine"
    assert_is(dataset, FASHION)


def test_a_folder_with_training_images_only(tmp_path):
    write_set(tmp_path / "mine", {"x_train": MNIST["x_train"]})
    dataset = load(tmp_path / "mine")
    assert dataset.y_test is None
    assert len(dataset.x_test) == 1


def test_labels_where_data_are_meant(tmp_path):
    write_set(tmp_path, {"y_train": MNIST["y_train"]})
    with pytest.raises(DatasetError, match="looks like labels"):
        load(tmp_path / FILES["y_train"])


def test_a_path_that_is_called_as_a_data_set(tmp_path, monkeypatch):
    write_set(tmp_path / "mnist", FASHION)
    monkeypatch.chdir(tmp_path)
    assert_is(load("./mnist"), FASHION)
    assert_is(load(Path("mnist")), FASHION)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"starts with the bytes \(none\): give an \.npz, \.npy or IDX"),
        (b"a,b\n1,2\n", "starts with the bytes 61 2c 62 0a"),
        (b"\x93NUMPY\x01\x00", r"is no \.npy file of numbers"),
        (b"PK\x03\x04", "truncated or damaged .npz"),
        (b"\x1f\x8b\x08", "truncated or damaged gzip"),
        (b"\x00\x00\x08\x03", "is truncated"),
    ],
)
def test_files_of_other_kinds(tmp_path, content, message):
    (tmp_path / "mine.bin").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        load(tmp_path / "mine.bin")
    assert "mine.bin" in str(caught.value)


def test_an_unknown_name():
    message = "no data set and no file 'mnits': the data sets are optdigits, mnist, fashion-mnist"
    with pytest.raises(DatasetError, match=message):
        load("mnits")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DatasetError, match="holds no train-images-idx3-ubyte"):
        load(tmp_path)


# ---- The full sets, on this machine ----------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("where", ["", "mnist"])
def test_in_minivae_data(places, monkeypatch, network, compress, dotted, where):
    write_set(places / "own" / where, MNIST, compress=compress, dotted=dotted)
    monkeypatch.setenv("MINIVAE_DATA", str(places / "own"))
    dataset = load("mnist")
    assert_is(dataset, MNIST)
    assert dataset.name == "mnist"
    assert dataset.image_shape == (5, 5)
    assert dataset.max_value == 255
    assert dataset.kind == "grey"
    assert recipe(dataset)["likelihood"] == "bernoulli"
    assert recipe(dataset)["grey"] == "sample"
    x_train, _ = dataset.model_arrays()
    assert x_train.dtype == np.float32
    assert x_train.max() <= 1
    assert network.asked == []


def test_both_sets_side_by_side(places, monkeypatch):
    write_set(places / "own" / "mnist", MNIST)
    write_set(places / "own" / "fashion-mnist", FASHION)
    monkeypatch.setenv("MINIVAE_DATA", str(places / "own"))
    assert_is(load("mnist"), MNIST)
    assert_is(load("fashion-mnist"), FASHION)


def test_a_folder_with_the_other_set_is_passed_over(places, monkeypatch):
    write_set(places / "own", MNIST)
    write_set(places / "system", FASHION, compress=True)
    monkeypatch.setenv("MINIVAE_DATA", str(places / "own"))
    dataset = load("fashion_mnist")
    assert_is(dataset, FASHION)
    assert recipe(dataset)["likelihood"] == "continuous-bernoulli"


def test_in_the_cache(places, network):
    write_set(places / "cache" / "minivae" / "mnist", MNIST, compress=True)
    assert_is(load("mnist"), MNIST)
    assert network.asked == []


def test_the_cache_folder_without_xdg(places, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("LOCALAPPDATA", str(places / "local"))
    monkeypatch.setenv("HOME", str(places / "home"))
    base = places / "local" if os.name == "nt" else places / "home" / ".cache"
    write_set(base / "minivae" / "mnist", MNIST)
    assert_is(load("mnist"), MNIST)


@pytest.mark.parametrize("compress", [False, True])
def test_a_wrong_file_is_refused(places, monkeypatch, compress):
    wrong = MNIST | {"x_test": MNIST["x_test"][:-1] + b"\x00"}
    write_set(places / "own", wrong, compress=compress)
    monkeypatch.setenv("MINIVAE_DATA", str(places / "own"))
    found = hashlib.sha256(wrong["x_test"]).hexdigest()[:12]
    expected = hashlib.sha256(MNIST["x_test"]).hexdigest()[:12]
    message = rf"t10k-images-idx3-ubyte\S* is not the .* of mnist: .* {found}, .* {expected}"
    with pytest.raises(DatasetError, match=message):
        load("mnist")


def test_a_corrupt_gzip_file_is_refused(places, monkeypatch):
    write_set(places / "own", MNIST, compress=True)
    path = places / "own" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5])
    monkeypatch.setenv("MINIVAE_DATA", str(places / "own"))
    with pytest.raises(DatasetError, match=r"t10k-images-idx3-ubyte\.gz is a truncated or damaged"):
        load("mnist")


# ---- The full sets, from the network ---------------------------------------------------------


def test_a_download_is_kept(places, network):
    network.serve("https://one/mnist/", MNIST)
    assert_is(load("mnist"), MNIST)
    assert len(network.asked) == 4
    assert_is(load("mnist"), MNIST)
    assert len(network.asked) == 4
    kept = {entry.name for entry in (places / "cache" / "minivae" / "mnist").iterdir()}
    assert kept == {f"{name}.gz" for name in FILES.values()}


def test_an_interrupted_download_goes_on(places, network):
    have = {role: MNIST[role] for role in ("y_train", "x_train")}
    write_set(places / "cache" / "minivae" / "mnist", have, compress=True)
    network.serve("https://one/mnist/", MNIST)
    assert_is(load("mnist"), MNIST)
    assert len(network.asked) == 2


def test_a_half_filled_cache_with_a_wrong_file(places):
    write_set(places / "cache" / "minivae" / "mnist", {"y_train": FASHION["y_train"]})
    with pytest.raises(DatasetError, match="train-labels-idx1-ubyte is not the"):
        load("mnist")


@pytest.mark.parametrize(
    "fault",
    [
        gzip.compress(FASHION["y_train"]),
        gzip.compress(MNIST["y_train"])[:-3],
        b"<html>Sign in to the network</html>",
        TimeoutError("timed out"),
        urllib.error.HTTPError("https://one/", 403, "Forbidden", Message(), io.BytesIO()),
        gzip.compress(b"<html>Sign in to the network</html>"),
        bytes(published._MOST_BYTES + 1),
    ],
    ids=["wrong", "truncated", "portal", "timeout", "403", "packed portal", "endless"],
)
def test_the_second_host_steps_in(network, fault):
    network.serve("https://one/mnist/", MNIST)
    network.pages["https://one/mnist/train-labels-idx1-ubyte.gz"] = fault
    network.serve("https://two/mnist/", MNIST)
    assert_is(load("mnist"), MNIST)
    assert network.asked[:2] == [
        "https://one/mnist/train-labels-idx1-ubyte.gz",
        "https://two/mnist/train-labels-idx1-ubyte.gz",
    ]


def test_without_a_network_the_message_says_all_that_was_tried(places, monkeypatch):
    write_set(places / "own" / "fashion-mnist", {"x_train": FASHION["x_train"]})
    write_set(places / "own", MNIST)
    (places / "cache" / "minivae" / "fashion-mnist").mkdir(parents=True)
    monkeypatch.setenv("MINIVAE_DATA", str(places / "own"))
    with pytest.raises(DatasetError) as caught:
        load("fashion-mnist")
    message = str(caught.value)
    label_file = "train-labels-idx1-ubyte"
    for said in (
        f"{places / 'own' / 'fashion-mnist'} (without {label_file}, t10k-labels-idx1-ubyte",
        f"{places / 'own'} (holds another data set)",
        f"{places / 'system'} (no such folder)",
        f"{places / 'cache' / 'minivae' / 'fashion-mnist'} (none of the files)",
        f"https://one/fashion-mnist/{label_file}.gz ([Errno -2] Name or service not known)",
        f"https://two/fashion-mnist/{label_file}.gz ([Errno -2] Name or service not known)",
        "Debian's package dataset-fashion-mnist",
        "set MINIVAE_DATA",
        "optdigits is always there",
    ):
        assert said in message
    assert "\n" not in message


def test_names_that_lead_nowhere(monkeypatch):
    for name in ("~nobody-of-this-name/x.csv", "x" * 100_000, "\x1b[2J", "a\0b"):
        with pytest.raises(DatasetError, match="no data set and no file") as caught:
            load(name)
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()
    monkeypatch.setenv("MINIVAE_DATA", "~nobody-of-this-name")
    with pytest.raises(DatasetError, match=r"~nobody-of-this-name \(no such folder\)"):
        load("mnist")


@pytest.mark.parametrize("length", ["", "many", "-1", "9" * 5000])
def test_a_length_that_is_none(network, monkeypatch, length):
    def lying(url, *, timeout):
        response = network(url, timeout=timeout)
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = length
        return response

    network.serve("https://one/mnist/", MNIST)
    monkeypatch.setattr(urllib.request, "urlopen", lying)
    assert_is(load("mnist"), MNIST)


def test_an_answer_without_end_is_cut_and_said(network):
    for name in FILES.values():
        network.pages[f"https://one/mnist/{name}.gz"] = OSError("\x1b[2J" + "x" * 100_000)
    with pytest.raises(DatasetError) as caught:
        load("mnist")
    assert len(str(caught.value)) < 2000
    assert str(caught.value).isprintable()


def test_without_minivae_data_the_message_says_so():
    with pytest.raises(DatasetError, match=r"Tried: \$MINIVAE_DATA \(not set\); "):
        load("mnist")


def test_a_cache_that_cannot_be_written(places, network):
    (places / "cache").write_bytes(b"a file where a folder is needed")
    network.serve("https://one/mnist/", MNIST)
    with pytest.raises(DatasetError, match=r"cannot keep the downloaded .*: set XDG_CACHE_HOME"):
        load("mnist")


def test_ctrl_c_leaves_nothing_half_written(places, network):
    network.serve("https://one/mnist/", MNIST)
    network.pages["https://one/mnist/train-images-idx3-ubyte.gz"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        load("mnist")
    kept = [entry.name for entry in (places / "cache" / "minivae" / "mnist").iterdir()]
    assert kept == ["train-labels-idx1-ubyte.gz"]
