import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reseed import Enhancer, ModelError, VectorEnhancer
from reseed.stages.enhancers.base import TrainedEnhancer
from reseed.stages.enhancers.chain import STEPS
from reseed.stages.enhancers.operations import OPERATIONS
from reseed.stages.enhancers.table import ENHANCERS
from reseed.store.sealed import read_record, write_record
from tests.stages.enhancers.test_library import make_model

DIM = 16
CHAINS = [
    ["centre", {"lda": 4}, "length_norm"],
    ["whiten", {"lda": 5}],
    [{"centre": {"mean": "store"}}, "auto", "neighbours"],
    ["wccn", "centre", "whiten", "whiten", "nap", {"nda": 3}],
]


def vectors(rows: int = 5000, seed: int = 0) -> NDArray[np.float32]:
    """Rows [M, D] of all lengths, more of them than are mapped at once."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, DIM)) * rng.uniform(0.1, 30, (rows, 1)) + 0.3).astype(np.float32)


def check_alike(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))


def closed_forms() -> list[str]:
    return [name for name, kind in ENHANCERS.items() if not issubclass(kind, TrainedEnhancer)]


def test_every_enhancer_in_closed_form_and_every_step_of_a_chain_has_a_formula():
    assert OPERATIONS.keys() == STEPS.keys()
    assert {*closed_forms()} <= {*OPERATIONS, "chain"}


@pytest.mark.parametrize(
    ("enhancer", "settings"),
    [*((name, {}) for name in closed_forms()), *(("chain", {"chain": chain}) for chain in CHAINS)],
    ids=str,
)
def test_vectors_are_enhanced_as_the_library_does_in_any_shape(tmp_path, enhancer, settings):
    model = make_model(tmp_path, enhancer, **settings)
    ours, library, x = VectorEnhancer.load(model), Enhancer.load(model), vectors()
    x[7] = 0
    expected = library.enhance(x)
    assert (ours.enhancer, ours.dim, ours.dim_out, ours.space) == (enhancer, DIM, library.dim_out, library.space)
    check_alike(ours.enhance(x), expected)
    check_alike(ours.enhance(x.astype(np.float64).reshape(10, 500, DIM)), expected.reshape(10, 500, -1))
    for row in (0, 7, 4999):
        assert ours.enhance(x[row]).shape == (library.dim_out,)
        check_alike(ours.enhance(x[row].tolist()), expected[row])
    assert ours.enhance(x[:0]).shape == (0, library.dim_out)
    assert ours.enhance(x).dtype == ours.enhance(x[0]).dtype == np.float32


def test_what_is_given_stays_as_it_is(tmp_path):
    enhancer, x = VectorEnhancer.load(make_model(tmp_path, "chain", chain=["length_norm"])), vectors(9)
    x.flags.writeable = False
    assert not np.shares_memory(enhancer.enhance(x), x)
    assert not np.shares_memory(enhancer.enhance(x[0]), x)


@pytest.mark.parametrize(
    ("enhancer", "settings"),
    [
        ("centre", {"mean": "store", "prior": 3}),
        ("centre", {"mean": "views", "prior": 0}),
        ("chain", {"chain": ["wccn", {"centre": {"mean": "store"}}, "vire", {"lda": 3}]}),
    ],
    ids=str,
)
def test_vectors_observed_one_by_one_or_in_parts_are_what_the_library_adapts_to_at_once(tmp_path, enhancer, settings):
    model, x = make_model(tmp_path, enhancer, **settings), vectors(60) + 1
    ours, library = VectorEnhancer.load(model), Enhancer.load(model)
    assert ours.adapts
    check_alike(ours.enhance(x), library.enhance(x))
    for number, vector in enumerate(x[:20]):
        ours.observe(vector, speakers=int(number < 6))
    check_alike(ours.enhance(x), library.adapt(x[:20], speakers=6).enhance(x))
    ours.observe(x[20:].reshape(4, 10, DIM), speakers=2)
    check_alike(ours.enhance(x), library.adapt(x, speakers=8).enhance(x))
    check_alike(ours.enhance(x[3]), ours.enhance(x)[3])


def test_observed_vectors_count_as_so_many_speakers_unless_told_otherwise(tmp_path):
    model, x = make_model(tmp_path, "centre", mean="store"), vectors(30) + 1
    ours = VectorEnhancer.load(model)
    ours.observe(x)
    check_alike(ours.enhance(x), Enhancer.load(model).adapt(x).enhance(x))


def test_an_enhancer_that_was_pickled_goes_on_with_what_it_has_observed(tmp_path):
    ours, x = VectorEnhancer.load(make_model(tmp_path, "centre", mean="store")), vectors(30) + 1
    ours.observe(x[:10])
    copy = pickle.loads(pickle.dumps(ours))
    for each in (ours, copy):
        each.observe(x[10:])
    np.testing.assert_array_equal(copy.enhance(x), ours.enhance(x))


def test_threads_that_observe_at_once_lose_nothing(tmp_path):
    model, x = make_model(tmp_path, "centre", mean="store"), vectors(800) + 1
    ours = VectorEnhancer.load(model)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ours.observe, x))
    check_alike(ours.enhance(x), Enhancer.load(model).adapt(x).enhance(x))


def test_of_packages_only_numpy_and_safetensors_are_loaded(tmp_path):
    model = make_model(tmp_path, "chain", chain=CHAINS[0])
    script = (
        "import sys; before = {*sys.modules}; import reseed; from reseed import VectorEnhancer\n"
        f"VectorEnhancer.load({str(model)!r}).enhance([1.0] * {DIM})\n"
        "print(*{name.split('.')[0] for name in {*sys.modules} - before} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {*done.stdout.split()} == {"reseed", "numpy", "safetensors"}


@pytest.mark.parametrize("enhancer", ["seed", "mse"])
def test_a_network_is_refused_in_a_line_that_says_what_to_use_instead(tmp_path, enhancer):
    message = rf"no formula for {enhancer}; load it by reseed.Enhancer, or write it by `reseed export-model`"
    with pytest.raises(ModelError, match=message):
        VectorEnhancer.load(make_model(tmp_path, enhancer))


def test_a_mean_that_cannot_be_observed_is_refused(tmp_path):
    with pytest.raises(ModelError, match="the model wccn takes nothing from what it enhances; leave observe out"):
        VectorEnhancer.load(make_model(tmp_path, "wccn")).observe(np.ones(DIM))
    two = make_model(tmp_path / "two", "chain", chain=[{"centre": {"mean": "store"}}] * 2)
    with pytest.raises(ModelError, match="takes several means, each of what the one before it makes of all vectors"):
        VectorEnhancer.load(two).observe(np.ones(DIM))
    one = make_model(tmp_path / "one", "centre", mean="store")
    with pytest.raises(ModelError, match="-1 speakers cannot be new"):
        VectorEnhancer.load(one).observe(np.ones(DIM), speakers=-1)


@pytest.mark.parametrize("call", ["enhance", "observe"])
def test_embeddings_that_do_not_fit_are_one_clear_line(tmp_path, call):
    give = getattr(VectorEnhancer.load(make_model(tmp_path, "centre", mean="store")), call)
    for shape in [(3, 8), (8,), ()]:
        with pytest.raises(ModelError, match=r"takes embeddings \[\.\.\., 16\], not an array of shape"):
            give(np.ones(shape))
    x = vectors()
    x[4998, 5] = np.nan
    with pytest.raises(ModelError, match="1 embeddings are not finite, the first is row 4998"):
        give(x)
    with pytest.raises(ModelError, match="1 embeddings are not finite, the first is row 0"):
        give(x[4998])


def test_models_that_cannot_be_used_are_refused_as_the_library_does(tmp_path):
    with pytest.raises(ModelError, match=r"is not a model: it has no model.json; make one with `reseed train`"):
        VectorEnhancer.load(tmp_path)
    model = make_model(tmp_path, "centre")
    with pytest.raises(ModelError, match="was trained on embeddings of ge2e:aaaaaaaa, not of wavlm:bbbbbbbb"):
        VectorEnhancer.load(model, space="wavlm:bbbbbbbb")
    info = read_record(model / "model.json")
    for change, message in [
        ({"dim": 8}, r"does not fit its weights \(a tensor of shape \[16\] for 8 dimensions\)"),
        ({"enhancer": "vire"}, r"does not fit its weights \('mean_D'\)"),
        ({"format": "reseed-store"}, "describes no model that this version of reseed can read"),
        ({"enhancer": "chain", "config": {"chain": [[]]}}, "its steps cannot be read"),
        ({"weights_sha256": "0" * 64}, r"model.safetensors is damaged or was exchanged"),
    ]:
        write_record(model / "model.json", info | change)
        with pytest.raises(ModelError, match=message):
            VectorEnhancer.load(model)
    write_record(model / "model.json", info)
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model.safetensors is missing; make a model again with `reseed train`"):
        VectorEnhancer.load(Path(model))
    (model / "model.json").write_text(json.dumps(info)[:-9])
    with pytest.raises(ModelError, match=r"model.json is damaged \("):
        VectorEnhancer.load(model)
