"""What every data set must do."""

from pathlib import Path
from typing import ClassVar

import pytest

from reseed.stages.audio.datasets.base import Dataset
from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.audio.listing import KINDS
from reseed.store import ManifestError


class DatasetContract:
    """What every data set must do, wherever its recordings are; test what it lists on a miniature of your own.

    Attributes:
        dataset: its name, or package.module:NAME of the `Dataset`.
    """

    dataset: ClassVar[str]

    @pytest.fixture
    def tested(self) -> Dataset:
        """The data set under test; reseed's own tests give all of their table."""
        return DATASETS.of(self.dataset)

    def test_it_holds_kinds_of_recordings_that_there_are(self, tested: Dataset) -> None:
        assert tested.splits, "splits is empty: say what it holds, {'speech': {'train': listing}}"
        for kind, splits in tested.splits.items():
            assert kind in KINDS, f"{tested.title} holds {kind!r}; kinds of recordings are {', '.join(KINDS)}"
            assert splits, f"{tested.title} has no split of {kind}; what is published in one piece has the split 'all'"

    def test_a_folder_that_is_not_the_data_set_is_refused_with_what_was_looked_for(
        self, tested: Dataset, tmp_path: Path
    ) -> None:
        (tmp_path / "other" / "folder").mkdir(parents=True)
        for kind, splits in tested.splits.items():
            for split in splits:
                with pytest.raises(ManifestError) as raised:
                    list(tested.recordings(tmp_path / "other", kind, split))
                said = str(raised.value)
                assert "there is no" in said, (
                    f"of another folder the split {split!r} of {kind} says {said!r}; find it by "
                    "reseed.stages.audio.datasets.base.folder_of, which says what was looked for"
                )
