"""Tables of text and single arrays, and data of which none are held out."""

import zipfile

import numpy as np
import pytest

from minivae.datasets import load, load_faithful
from minivae.datasets.dataset import dataset_from_arrays
from minivae.datasets.files import parse_table
from minivae.errors import DatasetError

X = np.array([[1.5, -2.0], [3e3, 4.0]])


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2\n3000,4\n",
        "a,b\n1.5,-2\n3e3,4",
        '"a","b"\r\n"1.5","-2"\r\n"3000","4"\r\n',
        "1.5;-2\n\n3000;4\n",
        "1.5\t-2\n3000\t4\n",
        "  1.5   -2\n 3000    4\n",
        "\ufeffa, b\n1.5, -2\n3000, 4\n",
        "# a b\n1.5 -2\n3000 4\n",
        "# 1, 2\n1.5, -2\n3000, 4\n",
        '"length, cm","b"\n1.5,-2\n3000,4\n',
        '"length, cm";"b"\n1.5;-2\n3000;4\n',
        "# a comment of some words\n1.5 -2\n3000 4\n",
        "id,2019\n1.5,-2\n3000,4\n",
    ],
)
def test_tables_as_programs_write_them(text):
    np.testing.assert_array_equal(parse_table(text.encode(), "x.csv"), X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.csv has no lines"),
        (b"a,b\n1,2\n3\n", "x.csv, line 3: 1 columns, and 2 in the first"),
        (b"a,b\n1,2\n\n3,NA\n", "x.csv, line 4, column 'b': 'NA' is no number"),
        (b"1,2\n3,4,\n", "x.csv, line 2: 3 columns"),
        (b"1,2\n3,x\n", "line 2, column 2: 'x' is no number"),
        (b"1.5,NA\n3,4\n", "line 1, column 2: 'NA' is no number: .*gaps"),
        (b",2\n3,4\n", "line 1, column 1: '' is no number"),
        (b"1;2\n1,5;2,5\n", "line 2, column 1: '1,5' is no number: write decimals with a point"),
        (b"1,2\n1_0,3\n", "line 2, column 1: '1_0' is no number"),
        (b"1_0,2\n1,3\n", "line 1, column 1: '1_0' is no number"),
        (b"1,2\n3\n", "line 1, column 1: '1,2' is no number"),
        (b"1 2\n3,4\n", "line 1"),
        (b"1;2\n3\n4\n", "line 1"),
        (b"1,5;2\n3;4\n", "line 1, column 1: '1,5' is no number: write decimals with a point"),
        (b"a,b,c\n1,2\n3,4\n", "line 2: 2 columns, and 3 in the first"),
        (b'"a" "b"\n"1" 1.5 2\n"2" 3 4\n', "line 2: 3 columns, and 2 in the first"),
        (b'x,y\n"' + b"1," * 70_000 + b'",2\n', "no table of numbers .*field"),
        (b"\xff", "not a table of text in UTF-8"),
    ],
)
def test_tables_that_are_refused(content, message):
    with pytest.raises(DatasetError, match=message):
        parse_table(content, "x.csv")


def test_a_title_above_a_single_column():
    text = b"waiting time, in minutes\n1\n2\n".replace(b",", b"")
    np.testing.assert_array_equal(parse_table(text, "x.csv"), [[1], [2]])


def test_an_array_in_a_file_of_its_own(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12).reshape(6, 2))
    np.testing.assert_array_equal(
        load(tmp_path / "x.npy", hold_out=False).x_train, np.arange(12).reshape(6, 2)
    )
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-3])
    with pytest.raises(DatasetError, match=r"x\.npy is no \.npy file of numbers"):
        load(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "header",
    [
        "(" * 60,
        "{[]: 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 4), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999, 4), }",
    ],
)
def test_headers_that_say_nonsense(header, tmp_path):
    line = header.encode() + b" " * (117 - len(header)) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + bytes(64)
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DatasetError, match=rf"{name} is .*get it again"):
            load(tmp_path / name)
    (tmp_path / "images.idx").write_bytes(b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"\x07")
    with pytest.raises(DatasetError, match="announces 255 axes"):
        load(tmp_path / "images.idx")


def test_faithful_by_its_name():
    whole, parted = load("faithful", hold_out=False), load("faithful")
    np.testing.assert_array_equal(whole.x_train, load_faithful())
    assert whole.x_test.shape == (0, 2)
    assert (len(parted.x_train), len(parted.x_test)) == (227, 45)
    assert whole.source == "faithful"
    assert whole.image_shape is None


def test_test_data_stay_test_data():
    arrays = {"x_train": np.eye(4), "x_test": np.ones((3, 4))}
    assert len(dataset_from_arrays("x", arrays, hold_out=False).x_test) == 3


def test_a_single_row_is_enough_if_none_is_held_out():
    data = dataset_from_arrays("x", {"x_train": np.ones((1, 3), np.uint8)}, hold_out=False)
    assert (len(data.x_train), data.max_value) == (1, 1)
    with pytest.raises(DatasetError, match="one row of data is not enough"):
        dataset_from_arrays("x", {"x_train": np.ones((1, 3))})
