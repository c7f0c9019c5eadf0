"""What things are called: of speech, utterances, speakers and noises; of vectors of any kind, what a run's terms say.

Sentences are written in the terms of speech. `Wording.say` puts others in their place, noun for noun.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

# What a term is of speech, and of vectors unless a run names it otherwise.
TERMS: dict[str, tuple[str, str]] = {
    "item": ("utterance", "item"),
    "class": ("speaker", "class"),
    "perturbation": ("noise", "perturbation"),
    "view": ("view", "view"),
}

# What else speech has words for, longest first: these give way where the data is none. {terms} in the plural.
_OF_SPEECH = {
    "utterance, speaker, recording, noise, music or room": "{item}, {class} or {perturbation}",
    "sound like one person": "are like one {class}",
    "the backbone's embeddings": "the embeddings",
    "backbones": "spaces",
    "backbone": "space",
    "speaker embedding": "embedding",
    "less affected by noise": "less affected by {perturbation}s",
    "noise, rooms, channels and languages": "{perturbation}s",
    "the model or the audio that made them": "what made them",
    "speakers who are": "{class}s that are",
    "test recordings?": "{item}",
    "recordings?": "{item}",
    "clean speech": "clean {item}s",
    "training speech": "training {item}s",
    "speech": "{item}s",
    "in noise": "under {perturbation}s",
    "noisy": "perturbed",
    "voices?": "{item}",
    "everyone": "every {item}",
}
_EDGE = r"(?<![\w./:=-])", r"(?![\w/=]|[.-]\w)"  # no part of a name, a path, an option or an address


@dataclass(frozen=True)
class Wording:
    """The words of one report, or of one command.

    Attributes:
        is_speech: whether what speech alone has, such as gender, is spoken of.
        words: of speech, as patterns -> what stands in their place, with {terms}.
        terms: each term's word, in the singular.
    """

    is_speech: bool = True
    words: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)

    def say(self, text: str) -> str:
        """Return a sentence in these words; names, paths and options stay as they are."""
        for word, said in self.words.items():
            article = rf"{_EDGE[0]}(?:(?P<article>[Aa]n?) )?(?P<word>{word}){_EDGE[1]}"
            text = re.sub(article, partial(self._replaced, said), text, flags=re.IGNORECASE)
        return text

    def _replaced(self, said: str, found: re.Match[str]) -> str:
        word = found["word"]
        is_many = said.endswith("}") and word.endswith("s")
        new = _filled(said + ("s" if is_many else ""), self.terms)
        new = new[0].upper() + new[1:] if word[0].isupper() else new
        article = found["article"]
        if article is None:
            return new
        return f"{article[0]}{'n' if new[0].lower() in 'aeiou' else ''} {new}"


SPEECH = Wording()


def wording(given: Mapping[str, str], *, is_speech: bool) -> Wording:
    """Return the words for speech, or for other data, with the terms that a run gives: {"item": "picture"}.

    Vectors whose items are called utterances and whose classes are called speakers are of speech.
    """
    is_speech = is_speech or (given.get("item"), given.get("class")) == ("utterance", "speaker")
    usual = {name: of_speech if is_speech else other for name, (of_speech, other) in TERMS.items()}
    terms = {**usual, **given}
    changed = {f"{TERMS[name][0]}s?": f"{{{name}}}" for name in TERMS if terms[name] != TERMS[name][0]}
    return Wording(is_speech, {**({} if is_speech else _OF_SPEECH), **changed}, terms)


def unknown_terms(given: Mapping[str, str]) -> Iterator[str]:
    """Yield the names that are no term."""
    yield from (name for name in given if name not in TERMS)


def plural(word: str) -> str:
    """Return the plural of an English noun that has a regular one."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"


def _filled(text: str, terms: Mapping[str, str]) -> str:
    """Return a text with its {terms}, in the plural where an s follows."""
    return re.sub(r"\{(\w+)\}(s?)", lambda found: plural(terms[found[1]]) if found[2] else terms[found[1]], text)
