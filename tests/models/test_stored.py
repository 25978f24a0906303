"""Rows on disk: the order in which they come, what is read, and that nothing else changes."""

import os
import threading

import numpy as np
import pytest

import minivae.stored as stored
from minivae import VAE, BernoulliMixture, ConditionalVAE, GaussianMixture, resume
from minivae.checkpoint import data_checksum
from minivae.datasets import StoredRows
from minivae.errors import CheckpointError, DtypeError, ShapeError
from minivae.stored import ShuffledBlocks, is_stored, shuffled
from minivae.training import Run

SMALL = {"epochs": 2, "hidden": (8,), "random_state": 0, "batch_size": 32}
BLOCK = 40  # rows, in the tests with many blocks


class OnDisk:
    """What HDF5 and Zarr arrays have: shape, dtype, chunks, slices of rows, and no more."""

    def __init__(self, array, chunks=None):
        self._array, self.chunks, self.read = array, chunks, []
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, slice), "such arrays are slow at anything but slices"
        self.read.append((rows.start, rows.stop))
        return self._array[rows].copy()

    def __array__(self, dtype=None, copy=None):
        raise MemoryError("it does not fit")


def pixels(n=600, D=12, seed=0):
    return (np.random.default_rng(seed).random((n, D)) < 0.3).astype(np.float32)


@pytest.fixture
def mapped(tmp_path):
    def to_file(X):
        np.save(tmp_path / "X.npy", X)
        return np.load(tmp_path / "X.npy", mmap_mode="r")

    return to_file


@pytest.fixture
def many_blocks(monkeypatch):
    monkeypatch.setattr(stored, "BLOCK_BYTES", BLOCK * 12 * 4)
    monkeypatch.setattr(stored, "POOL", 3)


def assert_same_model(a, b):
    for (name, p), q in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        np.testing.assert_array_equal(p, q, err_msg=name)
    assert a.history_ == b.history_


def whole_epoch(order, n, batch):
    return np.concatenate([order[i : i + batch] for i in range(0, n, batch)])


# ---- the order ----


@pytest.mark.equation("LARGE.2")
def test_blocks_are_shuffled_and_then_the_rows_of_a_pool(many_blocks):
    X = OnDisk(pixels(n=590))
    B, W, n_blocks = BLOCK, 3, 15  # the last block is short
    numbers = whole_epoch(ShuffledBlocks(StoredRows(X), np.random.default_rng(5), 32), 590, 32)

    rng = np.random.default_rng(5)
    blocks, expected = rng.permutation(n_blocks), []
    for p in range(0, n_blocks, W):
        pool = sorted(blocks[p : p + W])
        rows = np.concatenate([np.arange(b * B, min((b + 1) * B, 590)) for b in pool])
        expected.append(rows[rng.permutation(len(rows))])
    np.testing.assert_array_equal(numbers, np.concatenate(expected))
    np.testing.assert_array_equal(np.sort(numbers), np.arange(590))


def test_every_row_comes_as_it_is_stored(many_blocks):
    X = pixels(n=590)
    rows = StoredRows(OnDisk(X))
    for batch in (7, 32, 118, 590):
        order = shuffled([rows], np.random.default_rng(1), batch)
        for i in range(0, 590, batch):
            index = order[i : i + batch]
            np.testing.assert_array_equal(rows[index], X[index])


def test_a_pool_that_holds_all_gives_the_order_of_memory():
    rows = StoredRows(OnDisk(pixels(n=100)))
    mine, theirs = np.random.default_rng(3), np.random.default_rng(3)
    np.testing.assert_array_equal(shuffled([rows], mine, 10)[0:100], theirs.permutation(100))
    assert mine.bit_generator.state == theirs.bit_generator.state


def test_no_more_than_two_pools_are_read_before_they_are_needed(many_blocks):
    X = OnDisk(pixels(n=600))
    rows = StoredRows(X)
    order = shuffled([rows], np.random.default_rng(0), 32)
    order[0:32]
    order.memory.close()  # which waits for what was asked for
    assert len(X.read) == 6
    assert order.memory.buffer.shape == (2 * 3 * BLOCK, 12)
    whole_epoch(order, 600, 32)
    assert len(X.read) == 15
    assert not [t for t in threading.enumerate() if t.name.startswith("minivae-reader")]


def test_blocks_are_whole_chunks_of_the_file():
    def rows_of(**how):
        return StoredRows(OnDisk(np.zeros((5000, 1024), np.uint8), **how)).block_rows

    assert rows_of() == 1024
    assert rows_of(chunks=(300, 1024)) == 900
    assert rows_of(chunks=(3000, 512)) == 3000
    assert rows_of(chunks=((2500, 2500), (1024,))) == 1024  # not what a file says


def test_a_pool_of_large_chunks_is_a_few_of_them():
    def pool_of(rows, batch_size=32):
        X = OnDisk(np.zeros((5000, 1024), np.uint8), chunks=(rows, 1024))
        return StoredRows(X).pool_blocks(batch_size)

    assert pool_of(1024) == 64
    assert pool_of(3000) == 2**26 // (3000 * 1024) == 21
    assert pool_of(3000, 100_000) == 34


# ---- training ----


def test_a_file_trains_the_model_that_memory_trains(mapped):
    X = pixels()
    a, b = VAE(**SMALL).fit(X), VAE(**SMALL).fit(mapped(X))
    assert_same_model(a, b)
    assert_same_model(a, VAE(**SMALL).fit(OnDisk(X)))
    np.testing.assert_array_equal(a.elbo(X), b.elbo(mapped(X)))


def test_many_blocks_train_as_memory_would_in_their_order(many_blocks, monkeypatch):
    X = pixels()
    from_disk = VAE(**SMALL, validation=0.1).fit(OnDisk(X))

    class InMemory(StoredRows):
        """The order of the file, the rows from an array."""

        def __getitem__(self, rows):
            part = super().__getitem__(rows)
            if not isinstance(rows, slice):
                index = rows if self._selected is None else self._selected[rows]
                np.testing.assert_array_equal(part, X[index])
            return part

    assert_same_model(from_disk, VAE(**SMALL, validation=0.1).fit(InMemory(OnDisk(X))))


@pytest.mark.parametrize("validation", [None, 0.2])
@pytest.mark.parametrize("stop", [1, 9, 17, 23])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    many_blocks, mapped, tmp_path, monkeypatch, validation, stop
):
    X, settings = mapped(pixels()), {**SMALL, "validation": validation}
    whole = VAE(**settings).fit(X)
    steps, step = [], Run.step

    def stopping(run, *arguments):
        steps.append(0)
        if len(steps) == stop:
            os.kill(os.getpid(), 2)
        return step(run, *arguments)

    monkeypatch.setattr(Run, "step", stopping)
    with pytest.raises(KeyboardInterrupt):
        VAE(**settings).fit(X, checkpoint=tmp_path / "run.npz")
    resumed = resume(tmp_path / "run.npz", X)
    assert_same_model(whole, resumed)


def test_a_run_does_not_go_on_in_another_order(many_blocks, mapped, tmp_path):
    X = pixels()
    VAE(**SMALL).fit(mapped(X), checkpoint=tmp_path / "run.npz")
    with pytest.raises(CheckpointError, match="in blocks of 40, 3 at a time, and these come in"):
        resume(tmp_path / "run.npz", X)


def test_classes_come_along(many_blocks, mapped):
    X = pixels()
    y = X[:, 0].astype(int)
    settings = {**SMALL, "epochs": 15, "latent_dim": 1, "learning_rate": 0.02}
    model = ConditionalVAE(**settings).fit(OnDisk(X), y)
    for k in (0, 1):  # the first pixel is the class: with another's labels it would be learnt as .3
        assert abs(model.decode(np.zeros((1, 1)), [k])[0, 0] - k) < 0.1
    np.testing.assert_array_equal(model.elbo(OnDisk(X), y), model.elbo(X, y))


def test_pixels_of_8_bits_are_cast_a_batch_at_a_time():
    bytes_ = np.random.default_rng(0).integers(0, 256, (300, 4, 3), dtype=np.uint8)
    rows = StoredRows(OnDisk(bytes_), scale=255)
    assert rows.shape == (300, 12)
    assert rows.dtype == np.float32
    X = bytes_.reshape(300, 12).astype(np.float32) / np.float32(255)
    settings = {**SMALL, "likelihood": "continuous-bernoulli"}
    assert_same_model(VAE(**settings).fit(X), VAE(**settings).fit(rows))
    for grey in ("sample", "threshold"):
        a, b = (VAE(**SMALL, grey=grey, validation=0.2).fit(data) for data in (X, rows))
        assert_same_model(a, b)
        np.testing.assert_array_equal(a.elbo(X), b.elbo(rows))


# ---- looking at data ----


def test_a_fitted_model_looks_at_a_file_by_portions(mapped, monkeypatch):
    X = pixels()
    vae = VAE(**SMALL).fit(X)
    monkeypatch.setattr("minivae.models.vae.evaluation.NUMBERS_AT_ONCE", 1200)
    disk = OnDisk(X)
    for method in ("elbo", "transform", "reconstruct"):
        np.testing.assert_array_equal(getattr(vae, method)(disk), getattr(vae, method)(X))
    assert max(stop - start for start, stop in disk.read) <= 100
    assert vae.score(disk) == vae.score(X)
    few = X[:40]
    np.testing.assert_array_equal(
        vae.log_likelihood(OnDisk(few), 50), vae.log_likelihood(few, 50)
    )


def test_mixtures_look_at_a_file_by_portions(monkeypatch):
    X = np.random.default_rng(0).normal(size=(500, 3))
    monkeypatch.setattr("minivae.models.mixture.data._NUMBERS", 300)
    monkeypatch.setattr("minivae.models.on_dask._PORTION", 300)
    memory, disk = GaussianMixture(2, random_state=0).fit(X), OnDisk(X)
    model = GaussianMixture(2, random_state=0).fit(disk)
    np.testing.assert_array_equal(model.means_, memory.means_)
    for method in ("predict", "predict_proba", "score_samples", "reconstruct"):
        np.testing.assert_allclose(
            getattr(model, method)(disk), getattr(model, method)(X), rtol=1e-12
        )
    assert max(stop - start for start, stop in disk.read) <= 100
    with monkeypatch.context() as patch:
        patch.setattr("minivae.models.on_dask._by_portions", None)  # an array with all numbers
        assert model.score(disk) == pytest.approx(model.score(X), rel=1e-12)
    ones = (X > 0).astype(np.uint8)
    a, b = (BernoulliMixture(2, random_state=0).fit(data) for data in (ones, OnDisk(ones)))
    np.testing.assert_array_equal(a.means_, b.means_)


# ---- at the door ----


def test_what_is_on_disk():
    X = pixels()
    assert is_stored(OnDisk(X))
    assert is_stored(StoredRows(OnDisk(X)))
    assert not any(map(is_stored, (X, X.tolist(), "file", None, X.astype(object))))
    assert not is_stored(np.memmap)


@pytest.mark.parametrize("method", ["fit", "elbo"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.nan, r"X\[431, 7\] = nan"),
        (0.5, r"X\[431, 7\] = 0.5 is outside its support"),
    ],
)
def test_the_first_offending_row_is_named(many_blocks, monkeypatch, method, bad, message):
    monkeypatch.setattr(stored, "_AT_ONCE", 12 * 100)
    X = pixels()
    vae = VAE(**SMALL).fit(X)
    monkeypatch.setattr("minivae.models.vae.evaluation.NUMBERS_AT_ONCE", 1200)
    before = vae.state_dict()
    X[431, 7] = X[598, 2] = bad
    with pytest.raises(ValueError, match=message):
        getattr(vae, method)(OnDisk(X))
    for name, value in vae.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_what_cannot_be_rows_is_refused():
    vae = VAE(**SMALL)
    with pytest.raises(ShapeError, match="StoredRows"):
        vae.fit(OnDisk(np.zeros((5, 2, 2))))
    with pytest.raises(ShapeError, match="at least one datum"):
        vae.fit(OnDisk(np.zeros((0, 2))))
    with pytest.raises(DtypeError, match="complex128 data"):
        vae.fit(OnDisk(np.zeros((5, 2), complex)))
    with pytest.raises(ShapeError, match="images"):
        StoredRows(OnDisk(np.zeros(5)))
    with pytest.raises(DtypeError, match="real numbers"):
        StoredRows(OnDisk(np.zeros((5, 2), "U3")))
    with pytest.raises(ValueError, match=r"1e\+200 is too large for float32"):
        vae.set_params(likelihood="gaussian").fit(OnDisk(np.full((5, 2), 1e200)))
    with pytest.raises(ShapeError, match="is expecting 12 features"):
        VAE(**SMALL).fit(pixels()).elbo(OnDisk(pixels(D=5)))


def test_a_file_that_ends_too_soon_is_said_to():
    class Shrunk(OnDisk):
        def __getitem__(self, rows):
            return super().__getitem__(rows)[:100]

    with pytest.raises(ShapeError, match="gave 100 rows where 600 were asked for"):
        VAE(**SMALL).fit(Shrunk(pixels()))


def test_an_error_of_the_reader_ends_the_fit(many_blocks):
    class Broken(OnDisk):
        def __getitem__(self, rows):
            if len(self.read) > 20:  # after the check and the first pools
                raise OSError("the disk is gone")
            return super().__getitem__(rows)

    with pytest.raises(OSError, match="the disk is gone"):
        VAE(**SMALL).fit(Broken(pixels()))


def test_checksums_of_files_are_those_of_memory(monkeypatch):
    X, C = pixels(), pixels(D=3, seed=1)
    whole = data_checksum(np.hstack([X, C]))
    monkeypatch.setattr("minivae.checkpoint._HASHED_AT_ONCE", 100)
    assert data_checksum(StoredRows(OnDisk(X))) == data_checksum(X)
    assert data_checksum(StoredRows(OnDisk(X)), C) == data_checksum(X, C) == whole


def test_an_array_on_disk_without_columns_is_refused_in_the_words_for_memory(tmp_path):
    empty = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", shape=(5, 0))
    X = np.eye(6, 2)
    model = BernoulliMixture(1).fit(X)
    for ask in (GaussianMixture(1).fit, BernoulliMixture(1).fit, model.predict, VAE(2).fit):
        with pytest.raises(ShapeError, match=r"X has shape \(5, 0\); there must be at least one"):
            ask(empty)
