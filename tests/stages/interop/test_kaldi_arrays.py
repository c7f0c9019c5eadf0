"""Arrays as Kaldi's programs write them, against its own code and against known numbers."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from reseed.stages.interop.kaldi import KaldiReader
from reseed.stages.interop.kaldi_arrays import open_archive, read_array
from reseed.store import StoreError
from tests.stages.interop.kaldi_files import METHODS, load_matrices, save_ark

DRAW = np.random.default_rng(0)
VECTORS = {f"utt{n}": DRAW.standard_normal(8).astype(np.float32) for n in range(3)}


def read(path: Path) -> dict[str, np.ndarray]:
    found = {}
    for batch in KaldiReader(path).batches():
        found |= zip(batch.rows["utterance_id"].to_pylist(), batch.vectors, strict=True)
    return found


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for key, vector in expected.items():
        np.testing.assert_array_equal(found[key], np.reshape(vector, -1), err_msg=key)


def written(path: Path, data: bytes, gz: bool = False) -> Path:
    path.write_bytes(gzip.compress(data) if gz else data)
    return path


@pytest.mark.parametrize("value", ["0", "1e-05", "-0", "12", "nan", "inf", "-inf", "-3", "1E5", "+2", ".5"])
@pytest.mark.parametrize(
    "form", ["a  [ {0} 0.5 0.25 ]\nb  [ 0.5 {0} 1 ]\n", "a  [\n  {0} 0.5 7 ]\nb [ 1 2 {0} ]\r\n\n"]
)
def test_text_may_begin_with_any_number(tmp_path, value, form):
    path = written(tmp_path / "x.ark", form.format(value).encode())
    expected = [[float(n) for n in part.split("]")[0].split()] for part in form.format(value).split("[")[1:]]
    same(read(path), {key: np.array(row, np.float32) for key, row in zip("ab", expected, strict=True)})


def test_whole_numbers_without_brackets_and_in_binary_are_vectors(tmp_path):
    same(read(written(tmp_path / "x.ark", b"a 1 2 3\nb 4 5 6\n")), {"a": np.arange(1, 4), "b": np.arange(4, 7)})
    save_ark(tmp_path / "y.ark", {"a": np.arange(5, dtype=np.int32)})
    same(read(tmp_path / "y.ark"), {"a": np.arange(5)})


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("method", [*METHODS, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrices_of_one_row_are_read_to_the_last_bit(tmp_path, gz, method, dtype):
    path = tmp_path / "x.ark"
    save_ark(path, {key: vector[None].astype(dtype) for key, vector in VECTORS.items()}, method=method)
    expected = load_matrices(f"ark:{path}")
    same(read(written(tmp_path / "y.ark", path.read_bytes(), gz)), expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(3, 5), (40, 30), (300, 192)])
def test_compressed_matrices_are_read_to_the_last_bit(tmp_path, method, shape):
    path = tmp_path / "x.ark"
    save_ark(path, {"a": DRAW.standard_normal(shape).astype(np.float32)}, method=method)
    with open_archive(path) as file:
        file.seek(len("a "))
        np.testing.assert_array_equal(read_array(file), load_matrices(f"ark:{path}")["a"])
        assert not file.read()


def test_a_compressed_matrix_of_known_bytes(tmp_path):
    """CM, min -1 and range 2: of each column the quartiles in 16 bits, then a byte a row (Kaldi's CharToFloat)."""
    columns = [(0, 16_384, 49_151, 65_535, 32), (0, 65_535, 65_535, 65_535, 64), (0, 0, 65_535, 65_535, 128)]
    data = b"a \0BCM " + struct.pack("<ffii", -1, 2, 1, 3)
    data += b"".join(struct.pack("<4H", *column[:4]) for column in columns) + bytes(column[4] for column in columns)
    found = read(written(tmp_path / "x.ark", data))["a"]
    np.testing.assert_allclose(found, [-0.75, 1.0, 0.0], atol=1e-4)
    with pytest.raises(StoreError, match=r"x.ark cannot be read at 'a' \(cut short\)"):
        read(written(tmp_path / "x.ark", data[:-1]))


RANGES = [("", slice(None)), ("[0:3]", slice(0, 4)), ("[2:2]", slice(2, 3)), ("[:]", slice(None)), ("[5]", slice(5, 6))]


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize(("ranges", "taken"), RANGES)
def test_ranges_of_vectors_include_their_ends(tmp_path, monkeypatch, ranges, taken, gz):
    monkeypatch.chdir(tmp_path)
    save_ark(Path("x.ark"), VECTORS)
    written(tmp_path / "x.ark", (tmp_path / "x.ark").read_bytes(), gz)
    index = Path("x.scp").read_text().replace("\n", f"{ranges}\n")
    Path("x.scp").write_text(index)
    same(read(tmp_path / "x.scp"), {key: vector[taken] for key, vector in VECTORS.items()})


@pytest.mark.parametrize(
    ("ranges", "taken"),
    [("[0:0,2:5]", (0, slice(2, 6))), ("[3:3]", (3,)), ("[,1:2]", None), ("[1,:]", (1,)), ("[2:2,0:7]", (2,))],
)
def test_a_row_of_a_matrix_is_taken_by_its_range(tmp_path, ranges, taken):
    matrix = DRAW.standard_normal((4, 8)).astype(np.float32)
    save_ark(tmp_path / "x.ark", {"m": matrix})
    (tmp_path / "x.scp").write_text(f"u x.ark:2{ranges}\n")
    if taken is None:
        with pytest.raises(StoreError, match=r"u holds float32 \[4, 2\], not one vector"):
            read(tmp_path / "x.scp")
    else:
        same(read(tmp_path / "x.scp"), {"u": matrix[taken]})


FAULTS = [
    (b"a [ 1 2", "", "cut short: there is no ]"),
    (b"a [ 1 2 ] 3\n", "", "not numbers alone"),
    (b"a [ 1_0 2 ]\n", "", "not numbers alone"),
    (b"a [\n 1 2\n 3 ]\n", "", "its rows have unlike lengths"),
    (b"a [ one two ]\n", "", "could not convert"),
    (b"a [ ]\n", "", "it is empty"),
    (b"a \0BFV \4" + struct.pack("<i", -3), "", "below zero"),
    (b"a \0BFV \4" + struct.pack("<i", 2**31 - 1), "", "cut short"),
    (b"a \0BCM " + struct.pack("<ffii", 0, 1, 2**30, 2**30), "", "cut short"),
    (b"a \0BXY \4", "", "which is no array of Kaldi"),
    (b"a [ 1 2 3 ]\n", "[1:3]", r"the range \[1:3\] is not within \[3\]"),
    (b"a [ 1 2 3 ]\n", "[2:1]", r"the range \[2:1\] is not within"),
    (b"a [ 1 2 3 ]\n", "[0:1,0:1]", "is of 2 axes, the array has 1"),
    (b"a [ 1 2 3 ]\n", "[0:1:1]", "is not FIRST:LAST"),
]


@pytest.mark.parametrize(("data", "ranges", "fault"), FAULTS)
def test_what_is_no_array_or_has_no_such_range_is_one_line(tmp_path, data, ranges, fault):
    path = written(tmp_path / "x.ark", data)
    if ranges:
        path = written(tmp_path / "x.scp", f"a x.ark:2{ranges}\n".encode())
    with pytest.raises(StoreError, match=f"x.ark cannot be read at 'a' .*{fault}"):
        read(path)


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_a_gzipped_archive_that_was_cut_is_named(tmp_path, cut):
    save_ark(tmp_path / "x.ark", VECTORS)
    path = written(tmp_path / "x.ark", gzip.compress((tmp_path / "x.ark").read_bytes())[:-cut])
    with pytest.raises(StoreError, match="x.ark (cannot be read at|is no Kaldi archive)"):
        read(path)
