"""Large `.npy` files: mapped, looked through once, and understood as the small ones are."""

import numpy as np
import pytest

from minivae import VAE, recipe
from minivae.datasets import StoredRows, load
from minivae.errors import DatasetError


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.datasets.loading.MAPPED", 1)
    monkeypatch.setattr("minivae.datasets.on_disk._AT_ONCE", 64)

    def save(X):
        np.save(tmp_path / "big.npy", X)
        return tmp_path / "big.npy"

    return save


RNG = np.random.default_rng(0)
KINDS = {
    "grey": RNG.integers(0, 256, (60, 5, 4), np.uint8),
    "counts": RNG.integers(0, 17, (60, 16), np.int64),
    "binary": RNG.integers(0, 2, (60, 16), np.uint8),
    "binary floats": RNG.integers(0, 2, (60, 16)).astype(np.float32),
    "grey floats": RNG.random((60, 1, 4, 4)).astype(np.float32),
    "one grey pixel": np.where(np.arange(960) == 500, 0.25, np.arange(960) % 2).reshape(60, 16),
    "real": RNG.normal(size=(60, 3)),
    "large integers": RNG.integers(-5, 1000, (60, 3)),
}


@pytest.mark.parametrize("X", KINDS.values(), ids=KINDS)
def test_they_are_understood_as_small_files_are(saved, monkeypatch, X):
    path = saved(X)
    disk = load(path)
    monkeypatch.setattr("minivae.datasets.loading.MAPPED", 10**9)
    memory = load(path)
    assert isinstance(disk.x_train, StoredRows)
    for name in ("kind", "max_value", "image_shape", "source", "name"):
        assert getattr(disk, name) == getattr(memory, name), name
    assert recipe(disk) == recipe(memory)
    flat = X.reshape(60, -1)
    assert len(disk.x_train) == 50
    assert disk.x_test.shape == (10, flat.shape[1])
    scale = disk.max_value if disk.kind == "grey" and disk.max_value else 1
    x_train, x_test = disk.model_arrays()
    for rows in (x_train[:], x_test):  # each row is one of the file
        assert (np.isclose(rows[:, None], flat / scale).all(axis=2).any(axis=1)).all()
    together = np.concatenate([x_train[:], x_test])
    np.testing.assert_allclose(np.sort(together, axis=0), np.sort(flat / scale, axis=0), rtol=1e-6)


def test_one_trains_a_model_and_stays_where_it_is(saved):
    data = load(saved(KINDS["counts"]), hold_out=False)
    assert len(data.x_train) == 60
    assert len(data.x_test) == 0
    X, _ = data.model_arrays()
    assert isinstance(X, StoredRows)
    settings = {**recipe(data), "epochs": 1, "hidden": (4,), "random_state": 0}
    one, other = (VAE(**settings).fit(x) for x in (X, KINDS["counts"].astype(np.float32)))
    np.testing.assert_array_equal(one.elbo(X), other.elbo(X))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0, 2], [3, np.nan], [np.inf, 1]] * 40), "NaN in row 1"),
        (np.array([[1.0, 2]] * 70 + [[3, -np.inf]]), "infinity in row 70"),
        (np.zeros((3, 2, 2, 3)), "turn colour images grey"),
        (np.zeros(9), "rows of numbers"),
        (np.zeros((9, 2), complex), "rows of numbers"),
        (np.zeros((1, 2)), "one row"),
        (np.array([["a", "b"]]), "rows of numbers"),
    ],
)
def test_what_is_not_data_is_refused(saved, X, message):
    with pytest.raises(DatasetError, match=message):
        load(saved(X))


def test_a_truncated_file_and_a_pickle_are_refused(saved):
    path = saved(np.zeros((100, 9)))
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(DatasetError, match=r"big\.npy"):
        load(path)
    np.save(path, np.array([{}, None]), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"big\.npy"):
        load(path)
