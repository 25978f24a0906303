"""IDX and ``.npz`` files are read whole, or refused by name and fault."""

import gzip
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivae.datasets.files import IDX_FILES, find_idx_file, parse_idx, read_npz
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


def test_a_zip_of_other_things(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(DatasetError, match=r"data\.npz holds no array"):
        read_npz(tmp_path / "data.npz")


def test_a_missing_npz(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read .*no\.npz"):
        read_npz(tmp_path / "no.npz")
