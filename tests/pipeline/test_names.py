"""Every name that the grammar of a run allows is read back as what it was written from."""

from itertools import product

from reseed.pipeline.names import SIDES, AlignedEmbeddings, AlignedPair, Embeddings, Pair, enhanced_by, parse_embeddings

BACKBONES = ("ge2e", "small", "near-2_x", "raw_")
ENHANCERS = ("", "vire", "seed-1", "a+b")  # an entry of train may have a "+" in its name
ALIGNMENTS = ("nessa", "nessa-4")
EMBEDDINGS = [Embeddings(backbone, enhancer) for backbone, enhancer in product(BACKBONES, ENHANCERS)]
PAIRS = [Pair(*sides) for sides in product(EMBEDDINGS, EMBEDDINGS)]
ALIGNED = [AlignedPair(*parts) for parts in product(PAIRS, ALIGNMENTS, ENHANCERS)]
SIDED = [AlignedEmbeddings(aligned, side) for aligned, side in product(ALIGNED, SIDES)]


def test_every_name_is_read_back_as_it_was_written() -> None:
    assert [Embeddings.parse(str(each)) for each in EMBEDDINGS] == EMBEDDINGS
    assert [Pair.parse(str(each)) for each in PAIRS] == PAIRS
    assert [AlignedPair.parse(str(each)) for each in ALIGNED] == ALIGNED
    assert [parse_embeddings(str(each)) for each in (*EMBEDDINGS, *SIDED)] == [*EMBEDDINGS, *SIDED]


def test_no_two_things_have_one_name() -> None:
    everything = (*EMBEDDINGS, *PAIRS, *ALIGNED, *SIDED)
    assert len({str(each) for each in everything}) == len(everything)
    assert len({each.system("ge2e") for each in EMBEDDINGS}) == len(EMBEDDINGS)
    assert len({each.system for each in ALIGNED}) == len(ALIGNED)


def test_scores_and_models_say_what_they_are_of_whichever_backbone_is_the_configured_one() -> None:
    for configured, each in product(BACKBONES, EMBEDDINGS):
        assert Embeddings.of_scores(each.scores(configured), configured) == each
    for configured, each in product(BACKBONES, [each for each in (*EMBEDDINGS, *SIDED) if each.enhancer]):
        learnt = each if isinstance(each, Embeddings) else AlignedEmbeddings(each.aligned, "test")
        assert enhanced_by(each.model(configured), configured) == learnt


def test_names_are_those_of_the_files_of_a_run() -> None:
    aligned = AlignedPair(Pair(Embeddings("ge2e", "seed"), Embeddings("small")), "nessa-1", "vire")
    assert str(aligned) == "ge2e+seed~small/nessa-1+vire"
    assert aligned.system == "ge2e+seed~small:nessa-1+vire"
    side = AlignedEmbeddings(aligned, "test")
    assert (str(side), str(side.before)) == ("ge2e+seed~small/nessa-1+vire/test", "ge2e+seed~small/nessa-1/test")
    assert side.model("ge2e") == "ge2e+seed~small/nessa-1+vire"
    own, other = Embeddings("ge2e", "vire"), Embeddings("small", "vire")
    assert (str(own), own.model("ge2e"), own.scores("ge2e")) == ("ge2e+vire", "vire", "vire")
    assert (str(other), other.model("ge2e"), other.scores("ge2e")) == (
        "small+vire",
        "small/vire",
        "backbones/small+vire",
    )
    assert (Embeddings("ge2e").system("ge2e"), Embeddings("ge2e").scores("small")) == ("raw", "backbones/ge2e")
