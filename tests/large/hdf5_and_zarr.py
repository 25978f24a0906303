"""Arrays in HDF5 and Zarr files, of the libraries themselves.

`make test-dask` installs what this needs and runs it.
"""

import h5py
import numpy as np
import pytest
import zarr

import minivae.stored
from minivae import VAE, BernoulliMixture, GaussianMixture, resume
from minivae.datasets import StoredRows
from minivae.stored import is_stored
from minivae.training import Run

SMALL = {"epochs": 1, "hidden": (8,), "random_state": 0, "validation": 0.2}


def hdf5(path, X, chunks):
    with h5py.File(path / "X.h5", "w") as file:
        file.create_dataset("X", data=X, chunks=chunks, compression="gzip")
    return h5py.File(path / "X.h5")["X"]


def zarr_array(path, X, chunks):
    array = zarr.create_array(
        store=str(path / "X.zarr"), shape=X.shape, chunks=chunks, dtype=X.dtype
    )
    array[:] = X
    return zarr.open_array(str(path / "X.zarr"), mode="r")


@pytest.mark.parametrize("stored", [hdf5, zarr_array])
def test_they_train_and_are_looked_at_as_memory_is(tmp_path, stored):
    rng = np.random.default_rng(0)
    z = np.array([rng.random((3, 4)) < p for p in rng.choice([0.2, 0.7], 500)])
    X = z.astype(np.uint8)
    images = stored(tmp_path, X, (70, 3, 4))
    assert is_stored(images)
    rows, flat = StoredRows(images), X.reshape(500, 12)
    assert rows.block_rows % 70 == 0 or rows.block_rows == 500
    vae, memory = VAE(**SMALL).fit(rows), VAE(**SMALL).fit(flat)
    for name, value in vae.state_dict().items():
        np.testing.assert_array_equal(value, memory.state_dict()[name])
    np.testing.assert_array_equal(vae.elbo(rows), memory.elbo(flat))
    mixtures = [BernoulliMixture(2, random_state=0).fit(data) for data in (rows, flat)]
    np.testing.assert_allclose(mixtures[0].means_, mixtures[1].means_)


@pytest.mark.parametrize("stored", [hdf5, zarr_array])
def test_two_axes_need_no_wrapper(tmp_path, stored):
    X = np.random.default_rng(0).normal(size=(400, 3))
    array = stored(tmp_path, X, (50, 3))
    a, b = (GaussianMixture(2, random_state=0).fit(data) for data in (array, X))
    np.testing.assert_array_equal(a.means_, b.means_)
    np.testing.assert_array_equal(a.predict(array), b.predict(X))
    vae = VAE(**SMALL, likelihood="gaussian").fit(array)
    np.testing.assert_array_equal(vae.transform(array), vae.transform(X))


@pytest.mark.parametrize("stored", [hdf5, zarr_array])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, monkeypatch, stored):
    monkeypatch.setattr(minivae.stored, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(minivae.stored, "POOL", 2)
    X = np.random.default_rng(0).integers(0, 256, (600, 12), np.uint8)
    rows = StoredRows(stored(tmp_path, X, (50, 12)), scale=255)
    settings = {**SMALL, "likelihood": "continuous-bernoulli", "epochs": 2}
    whole = VAE(**settings).fit(rows)
    steps, step = [], Run.step

    def stopping(run, *arguments):
        steps.append(0)
        if len(steps) == 7:
            raise KeyboardInterrupt
        return step(run, *arguments)

    monkeypatch.setattr(Run, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        VAE(**settings).fit(rows, checkpoint=tmp_path / "run.npz")
    resumed = resume(tmp_path / "run.npz", rows)
    assert len(steps) > 7
    for name, value in whole.state_dict().items():
        np.testing.assert_array_equal(value, resumed.state_dict()[name], err_msg=name)
    assert whole.history_ == resumed.history_
