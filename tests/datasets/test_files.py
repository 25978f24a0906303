"""IDX and ``.npz`` files are read whole, or refused by name and fault."""

import gzip
import io
import os
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivae.datasets import files, load
from minivae.datasets.files import (
    IDX_FILES,
    find_idx_file,
    parse_idx,
    read_bytes,
    read_npy,
    read_npz,
)
from minivae.errors import DatasetError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    """Return `array` as the content of an IDX file."""
    kind = f"{array.dtype.kind}{array.dtype.itemsize}"
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[kind], array.ndim, *array.shape)
    return header + array.astype(f">{kind}").tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


# ---- IDX -------------------------------------------------------------------------------------


@given(
    hnp.arrays(
        st.sampled_from(sorted(CODES)), hnp.array_shapes(max_dims=4, min_side=0, max_side=4)
    ),
    st.booleans(),
)
def test_idx_round_trip(array, compressed):
    content = idx_bytes(array)
    read = parse_idx(gzip.compress(content) if compressed else content, "x")
    assert read.dtype == array.dtype
    assert read.dtype.isnative
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()
    assert read.flags.writeable


def test_idx_truncated_at_every_length():
    content = idx_bytes(IMAGES)
    for length in range(len(content)):
        with pytest.raises(DatasetError, match=r"^the file (is truncated|is not an IDX file)"):
            parse_idx(content[:length], "the file")


def test_gzip_truncated_at_every_length():
    content = gzip.compress(idx_bytes(IMAGES))
    for length in range(len(content)):
        with pytest.raises(DatasetError, match=r"^the file "):
            parse_idx(content[:length], "the file")


def test_gzip_with_a_flipped_byte():
    content = bytearray(gzip.compress(idx_bytes(IMAGES)))
    content[-10] ^= 1
    with pytest.raises(DatasetError, match=r"images\.gz is a truncated or damaged gzip file"):
        parse_idx(bytes(content), "images.gz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not an IDX file: it starts with the bytes \(none\)"),
        (b"\x01\x00\x08\x03", "starts with the bytes 01 00 08 03"),
        (b"\x00\x00\x07\x01" + bytes(4), "there is no IDX dtype 0x07; the known ones are 0x08"),
        (b"\x00\x00\x08\x00", "an array without axes"),
        (b"\x00\x00\x08\x03" + bytes(8), "a header of rank 3 takes 16 bytes, and the file has 12"),
        (
            idx_bytes(IMAGES)[:-1],
            r"truncated: shape \(2, 3, 4\) of uint8 takes 40 bytes, .* has 39",
        ),
        (idx_bytes(IMAGES) + b"\n", "bytes after its end: .* takes 40 bytes, .* has 41"),
        (b"\x00\x00\x0e\x04" + b"\xff" * 16, "is truncated"),
    ],
)
def test_idx_faults(content, message):
    with pytest.raises(DatasetError, match=message):
        parse_idx(content, "f")


@pytest.mark.parametrize("spelling", ["{}", "{}.gz", "dotted", "dotted.gz"])
def test_the_usual_names_of_mnist_files(tmp_path, spelling):
    name = IDX_FILES["x_train"]
    if spelling.startswith("dotted"):
        spelling = spelling.replace("dotted", "train-images.idx3-ubyte")
    path = tmp_path / spelling.format(name)
    path.touch()
    assert find_idx_file(tmp_path, "x_train") == path
    assert find_idx_file(tmp_path, "x_test") is None


def gzipped_zeros(header, n):
    """An IDX header and n zeros behind it, a thousandth of their size."""
    packer = zlib.compressobj(9, wbits=31)
    parts = [packer.compress(header)]
    parts += [packer.compress(bytes(2**20)) for _ in range(n // 2**20)]
    return b"".join([*parts, packer.compress(bytes(n % 2**20)), packer.flush()])


def test_no_more_is_unpacked_than_the_header_announces():
    header = struct.pack(">BBBBII", 0, 0, 8, 2, 20, 20)
    content = gzipped_zeros(header, 2**26)
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"bytes after its end: .* takes 412 bytes, .* has 413"):
        parse_idx(content, "x.gz")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_what_grows_out_of_all_proportion_is_not_unpacked(monkeypatch):
    n = files._EXPANDED_ON_TRUST + 1
    trap = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, n))
    with pytest.raises(DatasetError, match=rf"x\.gz announces {n + 8} bytes, compressed to \d+"):
        parse_idx(trap, "x.gz")
    monkeypatch.setattr(files, "_EXPANDED_ON_TRUST", 1000)
    assert parse_idx(gzip.compress(idx_bytes(np.zeros(992, np.uint8))), "x.gz").shape == (992,)
    with pytest.raises(DatasetError, match="if it is not a trap, store it uncompressed"):
        parse_idx(gzip.compress(idx_bytes(np.zeros(5000, np.uint8))), "x.gz")
    assert parse_idx(gzip.compress(idx_bytes(np.arange(5000.0))), "x.gz").shape == (5000,)


def test_gzip_of_something_else():
    with pytest.raises(DatasetError, match=r"x\.gz is not an IDX file: it starts .* 68 65 6c 6c"):
        parse_idx(gzip.compress(b"hello"), "x.gz")


# ---- .npz ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "roles"),
    [
        (("x_train", "y_train", "x_test", "y_test"), ("x_train", "y_train", "x_test", "y_test")),
        (("train_images", "test_labels"), ("x_train", "y_test")),
        (("X", "y"), ("x_train", "y_train")),
        (("images", "labels"), ("x_train", "y_train")),
        (("data", "target", "feature_names"), ("x_train", "y_train")),
        (("arr_0",), ("x_train",)),
        (("whatever",), ("x_train",)),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_names(tmp_path, save, keys, roles):
    path = tmp_path / "data.npz"
    save(path, **{key: np.array([index]) for index, key in enumerate(keys)})
    assert {role: int(array[0]) for role, array in read_npz(path).items()} == {
        role: index for index, role in enumerate(roles)
    }


def test_npz_without_a_known_name(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(DatasetError, match=r"holds a, b, and none is called x_train, .*: name"):
        read_npz(path)
    np.savez(path)
    with pytest.raises(DatasetError, match="holds no array"):
        read_npz(path)


def test_npz_with_two_candidates(tmp_path):
    np.savez(tmp_path / "data.npz", X=np.zeros(2), images=np.zeros(2))
    with pytest.raises(DatasetError, match="X and images could all be x_train"):
        read_npz(tmp_path / "data.npz")


def test_npz_with_objects(tmp_path):
    np.savez(tmp_path / "data.npz", x_train=np.array([[1], [2, 3]], dtype=object))
    with pytest.raises(DatasetError, match=r"data\.npz: x_train holds Python objects"):
        read_npz(tmp_path / "data.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_truncated_or_flipped(tmp_path, save):
    path = tmp_path / "data.npz"
    save(path, x_train=np.arange(30.0).reshape(6, 5))
    content = path.read_bytes()
    for length in range(2, len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DatasetError, match=r"data\.npz is a truncated or damaged"):
            read_npz(path)
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x10
        path.write_bytes(changed)
        try:
            (x,) = read_npz(path).values()
        except DatasetError as error:
            assert "data.npz" in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(x, np.arange(30.0).reshape(6, 5))


def test_npz_that_grows_out_of_all_proportion(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x_train=np.zeros((100, 1000)), other=np.zeros(3))
    assert read_npz(path)["x_train"].shape == (100, 1000)
    monkeypatch.setattr(files, "_EXPANDED_ON_TRUST", 1000)
    with pytest.raises(DatasetError, match=r"x_train announces 800128 bytes, compressed to \d+"):
        read_npz(path)
    np.savez(path, x_train=np.zeros((100, 1000)))
    assert read_npz(path)["x_train"].shape == (100, 1000)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_npz_compressed_otherwise(tmp_path, method):
    content = io.BytesIO()
    np.save(content, np.arange(600.0).reshape(300, 2))
    with zipfile.ZipFile(tmp_path / "data.npz", "w", method) as archive:
        archive.writestr("x.npy", content.getvalue())
    with pytest.raises(DatasetError, match="x is compressed as NumPy never does: store it by"):
        read_npz(tmp_path / "data.npz")


def test_an_npz_that_needs_a_password(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.zeros(3))
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"data\.npz is a truncated or damaged .*: get it again"):
        read_npz(tmp_path / "data.npz")


def test_an_npz_with_long_names_and_control_characters(tmp_path):
    np.savez(tmp_path / "data.npz", **{"\x1b[2J" + "a" * 50_000: np.zeros(2), "b": np.zeros(2)})
    with pytest.raises(DatasetError, match=r"data\.npz holds ") as caught:
        read_npz(tmp_path / "data.npz")
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_two_arrays_in_one_npy(tmp_path):
    with open(tmp_path / "x.npy", "wb") as file:
        np.save(file, np.zeros(3))
        np.save(file, np.ones(3))
    with pytest.raises(DatasetError, match="it has bytes after its end"):
        read_npy(tmp_path / "x.npy")


@given(
    hnp.arrays(
        st.sampled_from(["<f8", ">f4", "u1", "?", "<U3", "<M8[s]"]),
        hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_npy_round_trip(array, fortran):
    array = np.asfortranarray(array) if fortran else array
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "x.npy"), array)
        read = read_npy(Path(folder, "x.npy"))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()
    assert read.flags.writeable


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("read", [read_npz, read_npy, read_bytes, load])
def test_what_may_never_end_is_not_opened(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(DatasetError, match="a device or a pipe, which may never end"):
            read(path)


def test_a_zip_of_other_things(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DatasetError, match=r"data\.npz holds no array"):
        read_npz(tmp_path / "data.npz")


def test_a_missing_npz(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read .*no\.npz"):
        read_npz(tmp_path / "no.npz")
