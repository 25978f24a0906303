"""Checkpoints come back bit for bit, or say why not; writes are whole or never happened."""

import copy
import errno
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minivae import checkpoint
from minivae.checkpoint import (
    atomic_write,
    data_checksum,
    generator_state,
    load_checkpoint,
    remove_partial_files,
    restore_generator,
    save_checkpoint,
)
from minivae.errors import CheckpointError, DtypeError

ARRAYS = {
    "encoder.0.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "adam/step": np.array(7),
    "empty": np.zeros((0, 5)),
    "flags": np.array([True, False]),
}
METADATA = {"epoch": 3, "best": -np.inf, "hidden": [200, 100], "name": "größe", "none": None}


def assert_identical(actual, expected):
    assert list(actual) == list(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        assert actual[name].shape == array.shape
        assert actual[name].tobytes() == array.tobytes()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, ARRAYS, METADATA)
    return path


def write_archive(path, header, **members):
    """Write an archive with `header` as its metadata, member names without ``.npy``."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", header if isinstance(header, str) else json.dumps(header))
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=True)


# ---- Round trips -----------------------------------------------------------------------------


def test_round_trip(saved):
    arrays, metadata = load_checkpoint(saved)
    assert_identical(arrays, ARRAYS)
    assert metadata == METADATA
    assert all(array.flags.writeable for array in arrays.values())


def test_numpy_reads_it_without_pickle(saved):
    with np.load(saved, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["encoder.0.weight"], ARRAYS["encoder.0.weight"])
        assert json.loads(archive["metadata.json"])["metadata"]["epoch"] == 3


def test_memory_order_and_byte_order_are_kept(tmp_path):
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "strided": np.arange(20.0)[::3],
        "big": np.arange(4, dtype=">i4"),
    }
    save_checkpoint(tmp_path / "c.npz", arrays, {})
    loaded, _ = load_checkpoint(tmp_path / "c.npz")
    assert_identical(loaded, arrays)
    assert loaded["fortran"].flags.f_contiguous


numbers = st.sampled_from(["f2", "f4", "f8", "i1", "u1", "i8", "u8", "?", "c8", "c16"])
array_names = st.text(
    st.characters(categories=("L", "N", "P", "S"), exclude_characters="\\"), min_size=1
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


@settings(deadline=None)
@given(
    arrays=st.dictionaries(
        array_names,
        hnp.arrays(numbers, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)),
        max_size=4,
    ),
    metadata=st.dictionaries(st.text(), json_values),
)
def test_whatever_is_saved_comes_back(arrays, metadata):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.npz")
        save_checkpoint(path, arrays, metadata)
        loaded, loaded_metadata = load_checkpoint(path)
    assert_identical(loaded, arrays)
    assert loaded_metadata == metadata
    assert list(loaded_metadata) == list(metadata)


def test_numpy_scalars_and_tuples_in_metadata(tmp_path):
    metadata = {
        "f4": np.float32(0.1),
        "i8": np.int64(2**62),
        "b": np.bool_(True),
        "t": (1, (np.float64(2.5),)),
        "inf": np.inf,
        "nan": np.nan,
    }
    save_checkpoint(tmp_path / "c.npz", {}, metadata)
    _, loaded = load_checkpoint(tmp_path / "c.npz")
    assert np.isnan(loaded.pop("nan"))
    assert loaded == {
        "f4": float(np.float32(0.1)),
        "i8": 2**62,
        "b": True,
        "t": [1, [2.5]],
        "inf": np.inf,
    }
    assert loaded["b"] is True


def test_an_array_may_be_called_as_the_metadata_are(tmp_path):
    arrays = {"metadata.json": np.arange(3), "a.npy": np.arange(2)}
    save_checkpoint(tmp_path / "c.npz", arrays, {"x": 1})
    loaded, metadata = load_checkpoint(tmp_path / "c.npz")
    assert_identical(loaded, arrays)
    assert metadata == {"x": 1}


def test_same_content_same_bytes(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    other = tmp_path / "other.npz"
    save_checkpoint(str(other), ARRAYS, METADATA)
    assert other.read_bytes() == saved.read_bytes()


# ---- What cannot be saved --------------------------------------------------------------------


def test_object_arrays_are_refused_before_anything_is_written(saved):
    before = saved.read_bytes()
    with pytest.raises(DtypeError, match=r"'bad' of shape \(1,\) has dtype object"):
        save_checkpoint(saved, {"bad": np.array([{}])}, {})
    assert saved.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a\\b", "a\0b", "a\nb", "\ud800", "x" * 501])
def test_names_that_no_member_can_have(tmp_path, name):
    with pytest.raises(ValueError, match="cannot name an array"):
        save_checkpoint(tmp_path / "c.npz", {name: np.zeros(1)}, {})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"a": {"b": [0, {1, 2}]}}, r"metadata\['a'\]\['b'\]\[1\] is a set"),
        ({"a": {1: 2}}, r"metadata\['a'\] has the key 1, .* string keys"),
        ({"w": np.zeros(2)}, r"metadata\['w'\] is a ndarray, .* among the arrays"),
        ({"c": 1j}, r"metadata\['c'\] is a complex"),
        ({"c": b"x"}, r"metadata\['c'\] is a bytes"),
    ],
)
def test_metadata_that_json_cannot_say(tmp_path, metadata, message):
    with pytest.raises(DtypeError, match=message):
        save_checkpoint(tmp_path / "c.npz", {}, metadata)
    assert list(tmp_path.iterdir()) == []


# ---- What is refused when reading ------------------------------------------------------------


def test_truncation_at_every_length(saved):
    content = saved.read_bytes()
    for length in range(len(content)):
        saved.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz is (truncated|empty)"):
            load_checkpoint(saved)


def test_every_flipped_byte_is_refused_or_harmless(saved):
    content = saved.read_bytes()
    refused = 0
    for position in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(content)
            changed[position] ^= flip
            saved.write_bytes(changed)
            try:
                arrays, metadata = load_checkpoint(saved)
            except CheckpointError:
                refused += 1
            else:  # The byte was one that says nothing, such as a time stamp's.
                assert_identical(arrays, ARRAYS)
                assert metadata == METADATA
    assert refused > 2 * len(content)


@pytest.mark.parametrize("member", ["metadata.json", "encoder.0.weight.npy"])
def test_a_flip_in_a_member_is_damage(saved, member):
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        data = archive.read(member)
    content[content.index(data) + len(data) // 2] ^= 1
    saved.write_bytes(content)
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_checkpoint(saved)


@settings(deadline=None)
@given(st.binary())
def test_random_bytes_are_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        for start in (b"", b"PK\x03\x04"):
            path.write_bytes(start + content)
            with pytest.raises(CheckpointError):
                load_checkpoint(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot read the checkpoint .*nothing\.npz: "):
        load_checkpoint(tmp_path / "nothing.npz")


def test_a_folder(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        load_checkpoint(tmp_path)


def test_an_npz_of_something_else(tmp_path):
    path = tmp_path / "c.npz"
    np.savez(path, x_train=np.zeros(3), y_train=np.zeros(3))
    message = r"not a minivae checkpoint: .* holds x_train\.npy, y_train\.npy"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("header", [{"format": "other"}, [1], "null"])
def test_metadata_of_something_else(tmp_path, header):
    write_archive(tmp_path / "c.npz", header)
    with pytest.raises(CheckpointError, match="not a minivae checkpoint"):
        load_checkpoint(tmp_path / "c.npz")


def test_other_kinds_of_file(tmp_path):
    path = tmp_path / "c.npz"
    path.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(CheckpointError, match="starts with the bytes 89 50 4e 47"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="is a Python pickle"):
        load_checkpoint(path)


def header_of(*arrays, version=checkpoint.VERSION):
    return {
        "format": checkpoint.FORMAT,
        "version": version,
        "arrays": list(arrays),
        "metadata": {},
    }


def test_pickled_members(tmp_path):
    write_archive(tmp_path / "c.npz", header_of("a"), a=np.array([{}], dtype=object))
    with pytest.raises(CheckpointError, match=r"c\.npz: a holds Python objects"):
        load_checkpoint(tmp_path / "c.npz")


def test_an_older_version_is_told_what_to_do(tmp_path):
    write_archive(tmp_path / "c.npz", header_of(version=1))
    with pytest.raises(CheckpointError, match=r"version 1, of an earlier.*fit the model again"):
        load_checkpoint(tmp_path / "c.npz")


def test_a_newer_version(tmp_path):
    write_archive(tmp_path / "c.npz", header_of(version=checkpoint.VERSION + 1))
    message = "format version 3, and this minivae reads up to version 2: upgrade"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "c.npz")


@pytest.mark.parametrize(
    "header",
    [
        header_of(version=0),
        header_of(version=None),
        header_of(version="1"),
        header_of("missing"),
        header_of("a", "a"),
        header_of(),
        {"format": checkpoint.FORMAT, "version": checkpoint.VERSION},
        '{"format": "minivae-ch',
    ],
)
def test_metadata_that_do_not_fit_the_archive(tmp_path, header):
    write_archive(tmp_path / "c.npz", header, a=np.zeros(1), b=np.zeros(1))
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_checkpoint(tmp_path / "c.npz")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path, method, monkeypatch):
    with zipfile.ZipFile(tmp_path / "c.npz", "w", method) as archive:
        archive.writestr("metadata.json", json.dumps(header_of("a")))
        with archive.open("a.npy", "w") as file:
            np.lib.format.write_array(file, np.zeros(1000))
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(CheckpointError, match="its arrays are compressed"):
        load_checkpoint(tmp_path / "c.npz")


def test_members_that_share_their_bytes_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(header_of(*map(str, range(50)))))
        with archive.open("0.npy", "w") as file:
            np.lib.format.write_array(file, np.zeros(1000))
        for name in range(1, 50):
            twin = copy.copy(archive.getinfo("0.npy"))
            twin.filename = f"{name}.npy"
            archive.filelist.append(twin)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(CheckpointError, match=r"it announces more than the \d+ bytes that it has"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "header",
    [
        '{"a":' * 50_000,
        '{"a": ' + "9" * 5000 + "}",
        json.dumps({**header_of("a"), "metadata": []}),
        json.dumps({**header_of("a"), "metadata": None}),
        json.dumps({**header_of("a"), "arrays": "a"}),
        json.dumps({**header_of("a"), "arrays": {"a": 1}}),
        json.dumps({**header_of("a"), "arrays": [["a"]]}),
        json.dumps({**header_of("a"), "version": "9" * 100_000}),
        json.dumps({**header_of("\x1b[2J" * 10_000)}),
    ],
    ids=range(9),
)
def test_nonsense_becomes_one_sentence_of_bounded_length(tmp_path, header):
    write_archive(tmp_path / "c.npz", header, a=np.zeros(1))
    with pytest.raises(CheckpointError, match="truncated or damaged") as caught:
        load_checkpoint(tmp_path / "c.npz")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def npy(header, content=b""):
    """An .npy whose header is any text."""
    line = header.encode() + b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + content


def of_shape(shape):
    return f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ("(" * 60, b""),
        ("{[]: 1}", b""),
        (of_shape("(True,)"), bytes(16)),
        (of_shape("(3,)"), bytes(23)),
        (of_shape("(3,)"), bytes(25)),
        (of_shape("(10**9,)"), bytes(8)),
        (of_shape(f"({2**40}, {2**20})"), bytes(8)),
        (of_shape(f"({2**32}, {2**32})"), b""),  # whose product is 0 in 64 bits
        (of_shape("(-1, -8)"), bytes(64)),
        (of_shape("(0, -8)"), b""),
    ],
)
def test_arrays_whose_headers_lie(tmp_path, header, content):
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("metadata.json", json.dumps(header_of("a")))
        archive.writestr("a.npy", npy(header, content))
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        load_checkpoint(tmp_path / "c.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_may_never_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(CheckpointError, match="a device or a pipe, which may never end"):
            load_checkpoint(path)


# ---- Atomic writes ---------------------------------------------------------------------------


class FullDisk(io.FileIO):
    """A file on a disk that has room for so many bytes and no more."""

    room = 0

    def write(self, data):
        FullDisk.room -= memoryview(data).nbytes
        if FullDisk.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("room", [0, 30, 600, 100_000])
def test_a_full_disk_leaves_the_old_checkpoint(saved, monkeypatch, room):
    before = saved.read_bytes()
    monkeypatch.setattr(FullDisk, "room", room)
    monkeypatch.setattr(checkpoint, "open", FullDisk, raising=False)
    big = {"first": np.zeros(10_000), "second": np.ones(10_000)}
    with pytest.raises(
        CheckpointError, match=r"checkpoint\.npz: No space left on device"
    ) as caught:
        save_checkpoint(saved, big, {})
    assert isinstance(caught.value.__cause__, OSError)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_full_disk_at_the_last_moment(saved, monkeypatch):
    before = saved.read_bytes()

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError, match="No space left"):
        save_checkpoint(saved, {}, {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_real_limit_on_the_file_size(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "c.npz"
    save_checkpoint(path, {"x": np.arange(3)}, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match="File too large"):
            save_checkpoint(path, {"x": np.zeros(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(load_checkpoint(path)[0]["x"], np.arange(3))
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_folder(saved, monkeypatch):
    before = saved.read_bytes()

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(checkpoint, "open", refuse, raising=False)
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz: Permission denied"):
        save_checkpoint(saved, {}, {})
    assert saved.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        atomic_write(tmp_path / "no" / "figure.png", lambda file: file.write(b"x"))
    assert caught.value.filename == os.path.realpath(tmp_path / "no" / "figure.png")
    assert ".tmp" not in str(caught.value)


@pytest.mark.parametrize("exception", [KeyboardInterrupt, ValueError, MemoryError])
def test_any_exception_leaves_the_old_file(tmp_path, exception):
    path = tmp_path / "history.csv"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"new and incomplete")
        raise exception

    with pytest.raises(exception):
        atomic_write(path, write)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_writers_own_os_error_keeps_its_file_name(tmp_path):
    def write(file):
        raise FileNotFoundError(errno.ENOENT, "no such font", "font.ttf")

    with pytest.raises(FileNotFoundError, match=r"font\.ttf"):
        atomic_write(tmp_path / "figure.png", write)


def test_other_people_may_read_what_is_written(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"x")
    atomic_write(tmp_path / "atomic", lambda file: file.write(b"x"))
    assert (tmp_path / "atomic").stat().st_mode == plain.stat().st_mode


def test_a_symbolic_link_stays_one(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("this system does not let us make symbolic links")
    atomic_write(link, lambda file: file.write(b"new"))
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_remove_partial_files(tmp_path):
    keep = {"c.npz", "d.npz", ".d.npz.00ff00ff.tmp", "c.npz.tmp", ".c.npz.mine.tmp", ".c.npz.tmp"}
    for name in keep | {".c.npz.00ff00ff.tmp", ".c.npz.12345678.tmp"}:
        (tmp_path / name).touch()
    remove_partial_files(tmp_path / "c.npz")
    assert {entry.name for entry in tmp_path.iterdir()} == keep


KILLED = """
import os, sys
import numpy as np
from minivae.checkpoint import save_checkpoint
for n in range(10_000):
    save_checkpoint(sys.argv[1], {"n": np.full(50_000, n)}, {"n": n})
    print(n, flush=True)
"""


def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "c.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        for _ in range(5):
            assert process.stdout.readline()
        process.kill()
    arrays, metadata = load_checkpoint(path)
    assert metadata["n"] >= 4
    assert (arrays["n"] == metadata["n"]).all()
    remove_partial_files(path)
    assert list(tmp_path.iterdir()) == [path]


# ---- Generators ------------------------------------------------------------------------------

BIT_GENERATORS = [
    np.random.MT19937,
    np.random.PCG64,
    np.random.PCG64DXSM,
    np.random.Philox,
    np.random.SFC64,
]


@pytest.mark.parametrize("bit_generator", BIT_GENERATORS)
@given(
    seed=st.integers(0, 2**130) | st.lists(st.integers(0, 2**32 - 1), min_size=1),
    advance=st.integers(0, 700),
)
def test_a_generator_goes_on_where_it_was(bit_generator, seed, advance):
    rng = np.random.Generator(bit_generator(seed))
    rng.spawn(2)
    rng.standard_normal(advance, dtype=np.float32)
    rng.integers(7, dtype=np.uint32)  # Leaves half of a 64-bit draw behind.
    restored = restore_generator(json.loads(json.dumps(generator_state(rng))))
    for one, other in ((rng, restored), (rng.spawn(1)[0], restored.spawn(1)[0])):
        np.testing.assert_array_equal(
            one.integers(7, size=5, dtype=np.uint32), other.integers(7, size=5, dtype=np.uint32)
        )
        np.testing.assert_array_equal(one.standard_normal(700), other.standard_normal(700))


def test_a_generator_seeded_by_an_array_or_by_nothing():
    for seed in (None, np.arange(3), np.random.SeedSequence(4).spawn(3)[2]):
        rng = np.random.default_rng(seed)
        restored = restore_generator(json.loads(json.dumps(generator_state(rng))))
        assert rng.spawn(1)[0].random() == restored.spawn(1)[0].random()
        assert rng.random() == restored.random()


def test_a_generator_over_a_random_state():
    rng = np.random.Generator(np.random.RandomState(3)._bit_generator)
    assert restore_generator(generator_state(rng)).random() == rng.random()


def test_the_state_is_a_copy():
    rng = np.random.Generator(np.random.MT19937(0))
    state = json.dumps(generator_state(rng))
    copy = generator_state(rng)
    rng.random(1000)
    assert json.dumps(copy) == state


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"state": None, "seed_sequence": None},
        {"state": {"bit_generator": "Xoshiro"}, "seed_sequence": None},
        {"state": {"bit_generator": "PCG64"}, "seed_sequence": None},
        {
            "state": {
                "bit_generator": "PCG64",
                "state": {"state": -1, "inc": 1},
                "has_uint32": 0,
                "uinteger": 0,
            },
            "seed_sequence": None,
        },
        {"state": {"bit_generator": "PCG64"}, "seed_sequence": {"seed": 1}},
    ],
)
def test_what_is_no_generator_state(change):
    with pytest.raises(CheckpointError, match="not the state of a random generator"):
        restore_generator(change)


# ---- The checksum of data --------------------------------------------------------------------


def test_checksum_sees_values_shape_and_dtype():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    changed = x.copy()
    changed[2, 3] = np.nextafter(changed[2, 3], np.float32(100))
    different = [x, changed, x.reshape(4, 3), x.view(np.int32), x.astype(np.float64), x[:2]]
    assert len({data_checksum(array) for array in different}) == len(different)


def test_checksum_does_not_see_the_memory_layout():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    wide = np.zeros((3, 8), np.float32)
    wide[:, ::2] = x
    for same in (np.asfortranarray(x), wide[:, ::2], x[::-1][::-1]):
        assert data_checksum(same) == data_checksum(x)


def test_checksum_is_that_of_any_day():
    assert data_checksum(np.arange(3, dtype="<i4")).startswith("722dd0d71989c0a7")


def test_checksum_of_empty_and_scalar_arrays():
    assert data_checksum(np.zeros((0, 3))) != data_checksum(np.zeros((3, 0)))
    assert data_checksum(np.array(1.0)) != data_checksum(np.array([1.0]))


def test_checksum_of_objects_is_refused():
    with pytest.raises(DtypeError, match="Python objects"):
        data_checksum(np.array([{}]))
