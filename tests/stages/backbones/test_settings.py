import subprocess
import sys
from pathlib import Path

import pytest

from reseed.stages.backbones.settings import CONFIGS
from reseed.stages.backbones.table import BACKBONES


def test_every_backbone_has_its_settings_under_its_name():
    assert {name: kind.Config for name, kind in BACKBONES.items()} == CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_the_files_of_a_backbone_are_its_settings_of_type_path(name):
    (key,) = CONFIGS[name].file_settings()
    assert key == ("model" if name == "onnx" else "weights")
    assert CONFIGS[name].files({key: "~/net"}) == [Path("~/net").expanduser()]
    assert CONFIGS[name].files({}) == []


def test_settings_are_read_without_torch():
    code = (
        "import sys, reseed.stages.backbones.settings, reseed.stages.extraction.lineage; print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
