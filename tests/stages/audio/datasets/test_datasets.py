"""What holds for the whole table of data sets."""

from pathlib import Path

import pytest

from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.datasets.trial_lists import PUBLISHED, PUBLISHED_TOTALS, PUBLISHED_UNLABELLED
from reseed.store import ConfigError, ManifestError
from reseed.testing import DatasetContract
from tests.stages.audio.datasets.miniature import listed

GUIDE = (Path(__file__).resolve().parents[4] / "docs" / "datasets.md").read_text(encoding="utf-8")


class TestEveryDataset(DatasetContract):
    @pytest.fixture(params=DATASETS)
    def tested(self, request):
        return DATASETS[request.param]


def test_an_unknown_kind_or_split_lists_the_choices(tmp_path):
    with pytest.raises(ConfigError, match="MUSAN has no rir; it has noise, music, speech"):
        listed("musan", tmp_path, None, "rir")
    with pytest.raises(ConfigError, match="VoxCeleb2 has no split 'train' of speech; choose from dev, test"):
        listed("voxceleb2", tmp_path, "dev+train")
    with pytest.raises(ConfigError, match="VoxConverse has several splits of speech: give dev, test, or some joined"):
        listed("voxconverse", tmp_path, None)


def test_a_source_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "musan.tar.gz").touch()
    for source in (tmp_path / "musan.tar.gz", tmp_path / "nowhere"):
        with pytest.raises(ManifestError, match="is no folder; give the one that MUSAN was unpacked into"):
            listed("musan", source, None, "noise")


@pytest.mark.parametrize("name", DATASETS)
def test_the_guide_has_a_command_for_every_data_set_that_names_its_kind_and_splits(name):
    (row,) = (line for line in GUIDE.splitlines() if line.startswith(f"| `{name}` |"))
    command = row.split("`prepare ")[1].split("`")[0]
    called, _, kind, split, _ = command.split()
    assert called == name
    assert set(split.split("+")) <= set(DATASETS[name].splits[kind])
    if "the same" not in row:
        assert all(other in row for other in DATASETS[name].splits)


def test_the_guide_counts_the_trials_of_published_lists_as_the_code_does():
    rows = [line for line in GUIDE.splitlines() if any(line.startswith(f"| {title} |") for title in PUBLISHED.values())]
    assert len(rows) == 8
    for (targets, nontargets), title in PUBLISHED.items():
        for row in rows:
            if row.startswith(f"| {title} |"):
                assert f"{targets + nontargets:,}: {targets:,} + {nontargets:,} |" in row
    for total, title in (PUBLISHED_TOTALS | PUBLISHED_UNLABELLED).items():
        (row,) = (line for line in GUIDE.splitlines() if line.startswith(f"| {title} |"))
        assert row.endswith(f"| {total:,} |")
