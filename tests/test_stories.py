"""The stories of examples/ go as they are told."""

import shutil

import pytest

from tests.stories import STORIES, in_words, make_corpus, told_anew


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    pytest.importorskip("espeakng_loader")
    return make_corpus(tmp_path_factory.mktemp("stories"))


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_a_story_goes_as_it_is_told(path, corpus, tmp_path):
    shutil.copytree(corpus, tmp_path / "corpus")
    story = path.read_text(encoding="utf-8")
    assert in_words(told_anew(story, tmp_path)) == in_words(story), "`python -m tests.stories` tells them anew"
