"""What must hold for a store to be trusted."""

from collections.abc import Callable

from reseed.stages.auditing import judge_origin as origin
from reseed.stages.auditing import judge_speakers as speakers
from reseed.stages.auditing import judge_vectors as vectors
from reseed.stages.auditing.facts import Facts
from reseed.stages.auditing.finding import Finding

RULES = {
    "files": "every file is as it was written, every row where it belongs",
    "finite": "every vector is finite and has a direction",
    "norms": "no vector is far longer or shorter than the others",
    "dimensions": "the vectors spread over several dimensions",
    "shards": "every shard is of the same backbone as the others",
    "views": "every noisy view differs from the clean one",
    "noise": "every noise changes what it is added to",
    "coverage": "few utterances were rejected, and none is missing",
    "manifest": "ids and speakers are those of the manifest",
    "duplicates": "no recording is stored under two ids",
    "speakers": "the utterances of each speaker are alike",
    "labels": "no utterance is far nearer to another speaker than to its own",
    "people": "no two speaker ids sound like one person",
    "replay": "vectors made again from their recordings are the stored ones",
    "leakage": "the other store shares no utterance, speaker or recording",
    "versions": "the other store's vectors of the same rows are the same",
}

_JUDGES: dict[str, Callable[[Facts], Finding]] = {
    "files": vectors.files,
    "finite": vectors.finite,
    "norms": vectors.norms,
    "dimensions": vectors.dimensions,
    "shards": vectors.shards,
    "views": vectors.views,
    "noise": vectors.noise,
    "coverage": origin.coverage,
    "manifest": origin.manifest,
    "duplicates": speakers.duplicates,
    "speakers": speakers.speakers,
    "labels": speakers.labels,
    "people": speakers.people,
    "replay": origin.replay,
    "leakage": origin.leakage,
    "versions": origin.versions,
}


def judge(facts: Facts) -> list[Finding]:
    """Return one finding per rule, in the order of `RULES`."""
    return [_JUDGES[rule](facts) for rule in RULES]
