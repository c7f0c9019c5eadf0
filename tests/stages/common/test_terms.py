import pytest

from reseed.stages.common.terms import SPEECH, plural, wording

PICTURES = wording({"item": "picture", "class": "person"}, is_speech=False)
VECTORS = wording({}, is_speech=False)


@pytest.mark.parametrize(
    ("of_speech", "of_pictures"),
    [
        ("A few speakers in the space", "A few persons in the space"),
        ("Speakers are paired; a speaker's own utterances", "Persons are paired; a person's own pictures"),
        ("One vector per utterance.", "One vector per picture."),
        ("On clean speech, raw; in noise, seed.", "On clean pictures, raw; under perturbations, seed."),
        ("mean of 3 noisy; 2 of 9 recordings of noise", "mean of 3 perturbed; 2 of 9 pictures of perturbation"),
        ("training speakers who are held out", "training persons that are held out"),
        ("No two speaker ids sound like one person", "No two person ids are like one person"),
        (
            "shares no utterance, speaker, recording, noise, music or room.",
            "shares no picture, person or perturbation.",
        ),
        ("The backbone's embeddings; 2 backbones", "The embeddings; 2 spaces"),
        ("rejecting everyone would cost less", "rejecting every picture would cost less"),
    ],
)
def test_a_sentence_on_speech_is_one_on_pictures(of_speech, of_pictures):
    assert PICTURES.say(of_speech) == of_pictures
    assert SPEECH.say(of_speech) == of_speech


def test_articles_follow_the_noun():
    assert (
        VECTORS.say("A speaker of an utterance. An utterance of a speaker") == "A class of an item. An item of a class"
    )
    assert wording({"class": "animal"}, is_speech=False).say("a speaker") == "an animal"
    assert PICTURES.say("an utterance") == "a picture"


@pytest.mark.parametrize(
    "name",
    ["--utterances", "corpus/speaker/utterances.parquet", "utterance_id", "noise_5db", "score.speaker=x", "a/noise"],
)
def test_names_paths_and_options_stay(name):
    assert VECTORS.say(f"{name} is missing") == f"{name} is missing"


def test_terms_alone_change_no_more_than_their_words():
    singers = wording({"class": "singer"}, is_speech=True)
    assert (
        singers.say("speakers of utterances in noise, of one gender") == "singers of utterances in noise, of one gender"
    )
    assert singers.is_speech


@pytest.mark.parametrize(("word", "words"), [("class", "classes"), ("identity", "identities"), ("day", "days")])
def test_plurals(word, words):
    assert plural(word) == words
