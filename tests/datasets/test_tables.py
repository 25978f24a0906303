"""Tables of text and single arrays, and data of which none are held out."""

import re
import warnings
import zipfile

import numpy as np
import pytest

from minivae.datasets import load, load_faithful
from minivae.datasets.dataset import dataset_from_arrays
from minivae.datasets.tables import parse_table
from minivae.errors import DatasetError, DatasetWarning

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
        '1.5, "-2"\n3000, "4"\n',
        "# two lines\n# a b\n1.5 -2\n3000 4\n",
        '"length, cm","b"\n1.5,-2\n3000,4\n',
        '"length, cm";"b"\n1.5;-2\n3000;4\n',
        "# a comment of some words\n1.5 -2\n3000 4\n",
        "id,2019\n1.5,-2\n3000,4\n",
        "x1,y.1\n1.5,-2\n3000,4\n",
    ],
)
def test_tables_as_programs_write_them(text):
    np.testing.assert_array_equal(parse_table(text.encode(), "x.csv")["x_train"], X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.csv has no lines"),
        (b"a,b\n1,2\n3\n", "x.csv, line 3: 1 columns, and 2 in the first"),
        (b"a,b\n1,2\n\n3,NA\n", "x.csv, line 4, column 'b': 'NA' is not a number"),
        (b"1,2\n3,4,\n", "x.csv, line 2: 3 columns"),
        (b"1,2\n3,x\n", "line 2, column 2: 'x' is not a number"),
        (b"1.5,NA\n3,4\n", "line 1, column 2: 'NA' is not a number: .*gaps"),
        (b",2\n3,4\n", "line 1, column 1: '' is not a number"),
        (b"1;2\n1,5;2,5\n", "line 2, column 1: '1,5' is not a number: write decimals with a point"),
        (b"1,2\n1_0,3\n", "line 2, column 1: '1_0' is not a number"),
        (b"1_0,2\n1,3\n", "line 1, column 1: '1_0' is not a number"),
        (b"1,2\n3\n", "line 1, column 1: '1,2' is not a number"),
        (b"1 2\n3,4\n", "line 1"),
        (b"1;2\n3\n4\n", "line 1"),
        (b"1,5;2\n3;4\n", "line 1, column 1: '1,5' is not a number: write decimals with a point"),
        (b"a,b,c\n1,2\n3,4\n", "line 2: 2 columns, and 3 in the first"),
        (b'"a" "b"\n"1" 1.5 2\n"2" 3 4\n', "line 2: 3 columns, and 2 in the first"),
        (b'x,y\n"' + b"1," * 70_000 + b'",2\n', "no table of numbers .*field"),
        (b"\xff", "not a table of text in UTF-8"),
        ("größe\n1\n".encode("latin-1"), "not a table of text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "not a table of text in UTF-8"),
        (b"0,1\n1.5,2\n3,4\n", "line 1: '0,1' counts the columns, or is a datum: name"),
        (b"0,1\n1,0\n", "line 1: '0,1' counts the columns, or is a datum: name"),
        (b"2019,2020,2021\n1.5,2.5,3.5\n", "'2019,2020,2021' counts the columns, or is a datum"),
        (b"0\n0.1\n0.2\n", "line 1: '0' counts the columns, or is a datum"),
        (b"O.5,2\n3,4\n", "line 1: 'O.5' is not a number: correct it, or put # before the line"),
        (b"O.5\n3\n", "line 1: 'O.5' is not a number: correct it"),
        (b"1.5x,2.o\n3,4\n", "line 1: '1.5x' is not a number"),
        (b"2O,3\n4,5\n", "line 1: there are words, and numbers such as 3: correct the datum"),
        (b"height,2\n4,5\n", "line 1: there are words, and numbers such as 2"),
        (b"1;2\n1,000;3\n", "line 2, column 1: '1,000' is not a number: write thousands without"),
        (b"1;2\n1.000.000;3\n", "line 2, column 1: '1.000.000' is not a number: write thousands"),
        (b"1;2\n1.000,5;3\n", "'1.000,5' is not a number: write thousands without a separator"),
        (b"1;2\n1 000;3\n", "'1 000' is not a number: write thousands without a separator"),
        (b",a,b\n1.5,1,2\n2.5,3,4\n", "the first column has no name and does not number the rows"),
        (b",a,b\n1,1,2\n1,3,4\n", "the first column has no name and does not number the rows"),
    ],
)
def test_tables_that_are_refused(content, message):
    with pytest.raises(DatasetError, match=message):
        parse_table(content, "x.csv")


LEFT_OUT = "the first column, '{}', was left out: it is an index"
LABELS = "the column '{}' was taken for the labels"


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        ("0,1\n1.5,-2.0\n3000.0,4.0\n", None, "line 1: '0,1' was passed over: it counts the col"),
        ("#7,8\n1.5,-2\n3000,4\n", None, "line 1: '#7,8' was passed over: # begins a comment"),
        ("# 7 8\n#x y\n1.5 -2\n3000 4\n", None, "line 1: '# 7 8' was passed over"),
        (",a,b\n0,1.5,-2\n1,3000,4\n", None, LEFT_OUT.format("")),
        (",0,1\n0,1.5,-2\n1,3000,4\n", None, LEFT_OUT.format("")),
        (",a,b\n7,1.5,-2\n3,3000,4\n", None, LEFT_OUT.format("")),
        ("Unnamed: 0,a,b\n0,1.5,-2\n1,3000,4\n", None, LEFT_OUT.format("Unnamed: 0")),
        ("Unnamed: 0,0,1\n0,1.5,-2\n1,3000,4\n", None, LEFT_OUT.format("Unnamed: 0")),
        ('"","a","b"\n"1",1.5,-2\n"2",3000,4\n', None, LEFT_OUT.format("")),
        ('"","a","b"\n"x, y",1.5,-2\n"z",3000,4\n', None, LEFT_OUT.format("")),
        ("Id,a,b\n1,1.5,-2\n2,3000,4\n", None, LEFT_OUT.format("Id")),
        ("index;a;b\n1;1.5;-2\n2;3000;4\n", None, LEFT_OUT.format("index")),
        ("label,pixel0,pixel1\n3,1.5,-2\n1,3000,4\n", [3, 1], LABELS.format("label")),
        ("label,0,1\n3,1.5,-2\n1,3000,4\n", [3, 1], LABELS.format("label")),
        ("label,1x1,1x2\n3,1.5,-2\n3,3000,4\n", [3, 3], LABELS.format("label")),
        ("a,b,Class\n1.5,-2,1.0\n3000,4,0.0\n", [1, 0], LABELS.format("Class")),
        ("a,target,b\n1.5,1,-2\n3000,0,4\n", [1, 0], LABELS.format("target")),
    ],
)
def test_what_is_no_feature_is_left_out_and_said(text, labels, said):
    with pytest.warns(DatasetWarning, match=rf"^x\.csv[:,] {re.escape(said)}"):
        arrays = parse_table(text.encode(), "x.csv")
    np.testing.assert_array_equal(arrays["x_train"], X)
    assert arrays.keys() - {"columns"} == {"x_train"} | ({"y_train"} if labels else set())
    if labels:
        np.testing.assert_array_equal(arrays["y_train"], labels)


def test_an_index_and_labels_at_once():
    text = b"Id,a,b,class\n1,1.5,-2,7\n2,3000,4,8\n"
    with pytest.warns(DatasetWarning) as said:
        arrays = parse_table(text, "x.csv")
    assert len(said) == 2
    np.testing.assert_array_equal(arrays["x_train"], X)
    np.testing.assert_array_equal(arrays["y_train"], [7, 8])


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n0,1\n1,5\n2,7\n",  # y is a coordinate
        "id,a\n3,1\n3,5\n2,7\n",  # twice the same number is not an index
        "id,a\n0.5,1\n3,5\n2,7\n",
        "a,target\n3,1.5\n3,5\n2,7\n",  # what is not a whole number is not a label
        "label,class\n3,1\n3,5\n2,7\n",  # who knows which
        "1,2\n3,5\n2,7\n",  # whole numbers in a row, and a datum all the same
        "2,3,4\n3,5,2\n2,7,2\n",
    ],
)
def test_columns_and_lines_that_are_data(text):
    rows = [line.split(",") for line in text.split() if line[0].isdigit()]
    np.testing.assert_array_equal(
        parse_table(text.encode(), "x.csv")["x_train"], np.array(rows, float)
    )


def test_a_first_column_that_may_be_an_index():
    with pytest.warns(DatasetWarning, match="the first column numbers the rows, .* for data"):
        arrays = parse_table(b"5,0.5\n6,0.25\n7,0\n", "x.csv")
    np.testing.assert_array_equal(arrays["x_train"], [[5, 0.5], [6, 0.25], [7, 0]])


@pytest.mark.parametrize("n", [65, 785])
def test_pictures_with_a_label_somewhere(n):
    line = ",".join(["1"] * n)
    with pytest.raises(DatasetError, match=rf"{n} columns are pictures of .* and one column more"):
        parse_table(f"{line}\n{line}\n".encode(), "x.csv")
    assert parse_table(f"{line},1\n{line},2\n".encode(), "x.csv")["x_train"].shape == (2, n + 1)
    measured = line.replace("1,", "0.5,", 1)
    assert parse_table(f"{line}\n{measured}\n".encode(), "x.csv")["x_train"].shape == (2, n)


def test_long_cells_and_control_characters_are_cut_and_escaped():
    cell = "\x1b[2J" + "9" * 100_000
    with pytest.raises(DatasetError) as caught:
        parse_table(f"{cell},2\n3,4\n".encode(), "x.csv")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_a_title_above_a_single_column():
    text = b"waiting time, in minutes\n1\n2\n".replace(b",", b"")
    np.testing.assert_array_equal(parse_table(text, "x.csv")["x_train"], [[1], [2]])


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


def test_the_columns_of_the_data_keep_their_names(tmp_path):
    path = tmp_path / "x.csv"
    for text, names in (
        (b"id,label,b,a\n1,0,0.5,2\n2,1,1.5,3\n", ("b", "a")),
        (b"0.5,2\n1.5,3\n", None),
    ):
        path.write_bytes(text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says what it took for an index and for labels
            assert load(path, hold_out=False).columns == names
    path.write_bytes(b"a,b,c\n1,2,3\n4,5,6\n")
    assert load(path, hold_out=False, conditions=("b",)).columns == ("a", "c")


@pytest.mark.parametrize("text", [b"a,b\n1,inf\n2,3\n", b"a,b\n-1e999,2\n", b"1," + b"9" * 400])
def test_infinity_in_a_table_is_refused_without_a_warning_of_numpys(text, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(text)
    with pytest.raises(DatasetError, match="holds infinity in row 0"):
        load(path)
