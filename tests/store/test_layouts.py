"""What a vectors file may be, and what is refused: every other kind of data set would be read as something else."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from reseed.store import StoreError
from reseed.store.layouts import locate_hdf5, map_hdf5, write_hdf5

VECTORS = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(0, 8), (1, 1), (3, 5), (40, 16), (5000, 192)])
def test_what_is_written_is_mapped_and_is_what_hdf5_reads(tmp_path, shape, dtype):
    vectors = np.random.default_rng(1).normal(size=shape).astype(dtype)
    write_hdf5(tmp_path / "v.h5", vectors)
    np.testing.assert_array_equal(map_hdf5(tmp_path / "v.h5", locate_hdf5(tmp_path / "v.h5")), vectors)
    with h5py.File(tmp_path / "v.h5") as file:
        np.testing.assert_array_equal(file["embedding"][:], vectors)
        assert file["embedding"].chunks is None


def test_a_data_set_has_the_bytes_that_hdf5_itself_would_write(tmp_path):
    vectors = np.random.default_rng(1).normal(size=(300, 64)).astype(np.float32)
    write_hdf5(tmp_path / "ours.h5", vectors)
    with h5py.File(tmp_path / "theirs.h5", "w", libver=("earliest", "v110")) as file:
        file.create_dataset("embedding", data=vectors, track_times=False)
    assert (tmp_path / "ours.h5").read_bytes() == (tmp_path / "theirs.h5").read_bytes()


def chunked(file):
    file.create_dataset("embedding", data=VECTORS, chunks=(10, 16))


def compressed(file):
    file.create_dataset("embedding", data=VECTORS, compression="gzip")


def never_written(file):
    file.create_dataset("embedding", VECTORS.shape, "f4")


def compact(file):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(VECTORS.shape)
    h5py.h5d.create(file.id, b"embedding", h5py.h5t.IEEE_F32LE, space, plan).write(h5py.h5s.ALL, h5py.h5s.ALL, VECTORS)


def external(file):
    VECTORS.tofile(Path(file.filename).parent / "raw")
    file.create_dataset("embedding", VECTORS.shape, "f4", external="raw")


def virtual(file):
    layout = h5py.VirtualLayout(VECTORS.shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "embedding", VECTORS.shape)
    file.create_virtual_dataset("embedding", layout)


def elsewhere(file):
    with h5py.File(Path(file.filename).parent / "other.h5", "w") as other:
        other.create_dataset("embedding", data=VECTORS)
    file["embedding"] = h5py.ExternalLink("other.h5", "embedding")


def renamed(file):
    file.create_dataset("secret", data=VECTORS)
    file["embedding"] = h5py.SoftLink("secret")


def big_endian(file):
    file.create_dataset("embedding", data=VECTORS.astype(">f4"))


def integers(file):
    file.create_dataset("embedding", data=VECTORS.astype("i4"))


def flat(file):
    file.create_dataset("embedding", data=VECTORS.ravel())


def a_group(file):
    file.create_group("embedding")


@pytest.mark.parametrize(
    "write",
    [
        chunked, compressed, never_written, compact, external, virtual, elsewhere, renamed, big_endian, integers, flat,
        a_group,
    ],
)  # fmt: skip
def test_any_other_kind_of_data_set_is_refused_by_name(tmp_path, write):
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        write(file)
    with pytest.raises(StoreError, match=str(path)):
        locate_hdf5(path)


def test_vectors_that_end_beyond_the_file_are_refused(tmp_path):
    write_hdf5(tmp_path / "v.h5", VECTORS)
    os.truncate(tmp_path / "v.h5", (tmp_path / "v.h5").stat().st_size - 1)
    with pytest.raises(StoreError, match=r"v\.h5"):
        locate_hdf5(tmp_path / "v.h5")
