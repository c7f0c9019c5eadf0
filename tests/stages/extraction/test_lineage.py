from pathlib import Path

import pytest

from reseed.stages.extraction.lineage import lineage_graph
from reseed.store.format import Header, StoredFile
from reseed.store.inputs import Parent
from tests.store.stores import declare


def backbone_node(store: Path, **parent):
    declaration = declare(lineage=(Parent(role="backbone", digest="d", **parent),))
    header = Header(declaration, declaration.fingerprint, 0, 0, 0, [], StoredFile("rejects.parquet", 0, ""))
    return lineage_graph(store, header)[1][0][0]


@pytest.mark.parametrize("path", ["onnx", "nets/wespeaker.onnx"])  # older versions gave the kind as the path
def test_a_network_whose_file_is_gone_is_missing_and_named_by_its_file(tmp_path, path):
    model = tmp_path / "nets/wespeaker.onnx"
    model.parent.mkdir()
    model.write_bytes(b"a network")
    settings = {"model": "nets/wespeaker.onnx", "cmn": False}
    node = backbone_node(tmp_path / "store", path=path, name="onnx", settings=settings)
    assert (node.kind, node.path, node.state) == ("backbone", str(model), "found")
    model.unlink()
    node = backbone_node(tmp_path / "store", path=path, name="onnx", settings=settings)
    assert (node.path, node.state) == ("nets/wespeaker.onnx", "missing")


def test_weights_that_come_with_a_package_are_found_and_those_of_unknown_backbones_are_looked_for(tmp_path):
    node = backbone_node(tmp_path, path="ge2e", name="ge2e", settings={})
    assert (node.path, node.state) == ("ge2e", "found")
    node = backbone_node(tmp_path, path="weights.pt", name="of a later version", settings={"weights": "weights.pt"})
    assert (node.path, node.state) == ("weights.pt", "missing")
