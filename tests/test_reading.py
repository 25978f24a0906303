"""Whatever a reader raises becomes one sentence; text from files is shown safely."""

import csv
import io
import lzma
import struct
import tokenize
import zipfile
import zlib

import numpy as np
import pytest

from minivae.errors import CheckpointError, DatasetError
from minivae.reading import opened, read_array, read_text, refused, shown

RAISED = [
    zlib.error("invalid stored block lengths"),
    lzma.LZMAError("Corrupt input data"),
    zipfile.BadZipFile("Bad CRC-32"),
    tokenize.TokenError("EOF in multi-line statement", (1, 0)),
    struct.error("unpack requires a buffer of 4 bytes"),
    csv.Error("field larger than field limit"),
    RecursionError("maximum recursion depth exceeded"),
    OverflowError("Python int too large to convert to C long"),
    EOFError(),
    IndexError("list index out of range"),
    AttributeError("'int' object has no attribute 'get'"),
    NotImplementedError("zip file version 9.9"),
    AssertionError(),
    CheckpointError("of another kind"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    OSError("not a gzip file"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_whatever_a_reader_raises_becomes_a_sentence(error):
    why = str(error) or type(error).__name__
    with pytest.raises(DatasetError) as caught, refused(DatasetError, "x.npz", "damaged"):
        raise error
    assert str(caught.value) == f"x.npz is damaged ({why}): get it again"
    assert caught.value.__cause__ is error


def test_what_is_missing_is_named():
    with (
        pytest.raises(DatasetError, match=r"x is a record \(it has no 'a'\): mend"),
        refused(DatasetError, "x", "a record", "mend"),
    ):
        {}["a"]


def test_the_system_speaks_for_itself():
    with pytest.raises(DatasetError) as caught, refused(DatasetError, "x.npz"), opened("nowhere"):
        pass
    assert str(caught.value) == "cannot read x.npz: No such file or directory"


@pytest.mark.parametrize("error", [DatasetError("said"), MemoryError(), UserWarning("said")])
def test_what_is_said_already_is_not_said_again(error):
    with pytest.raises(type(error)) as caught, refused(DatasetError, "x.npz"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n  b\tc", "a b c"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\udcff\u202e", r"\udcff\u202e"),
        ("größe", "größe"),
        ("", ""),
        ("x" * 200, "x" * 200),
        ("a" * 150 + "b" * 150, "a" * 97 + " ... " + "b" * 97),
        (5, "5"),
    ],
)
def test_text_is_shown_on_one_printable_line(text, line):
    assert shown(text) == line


def test_text_beyond_all_measure_is_not_read(tmp_path):
    with open(tmp_path / "big", "wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(ValueError, match="it has 16777217 bytes, and at most 16777216 are read"):
        read_text(tmp_path / "big")
    (tmp_path / "small").write_bytes("größe".encode())
    assert read_text(tmp_path / "small") == "größe"


def test_a_file_that_is_cut_while_it_is_read_is_no_array(monkeypatch):
    monkeypatch.setattr("minivae.reading._CHUNK", 16)
    file = io.BytesIO()
    np.save(file, np.arange(5.0))
    content = file.getvalue()
    for cut in (0, 1, 16, 24):
        rest = io.BytesIO(content[: len(content) - cut])
        if not cut:
            np.testing.assert_array_equal(
                read_array(rest, len(content), DatasetError, "it"), np.arange(5.0)
            )
            continue
        with pytest.raises(ValueError, match=f"ends after {len(content) - cut} of {len(content)}"):
            read_array(rest, len(content), DatasetError, "it")
