"""Every alignment on two views of one speaker space, by two generated backbones."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseed.stages.aligners.shared import SharedRows
from reseed.stages.aligners.table import ALIGNERS, aligner_class, make_alignment
from reseed.stages.scoring.metrics import eer
from reseed.store import ConfigError, ModelError

SPEAKERS, EACH, LATENT = 40, 6, 12


def world(dims=(24, 18), seed=0, unknown=False):
    """Two backbones that see the same speakers through maps of their own, each with sessions and noise of its own."""
    draw = np.random.default_rng(seed)
    maps = [np.random.default_rng(99 + side).normal(size=(LATENT, dim)) for side, dim in enumerate(dims)]
    voices = np.repeat(draw.normal(size=(SPEAKERS, LATENT)), EACH, axis=0)
    rows = np.repeat(voices + 0.3 * draw.normal(size=voices.shape), 4, axis=0)  # crops and views of an utterance
    sides = [rows @ m + 1.0 * draw.normal(size=(len(rows), m.shape[1])) + 2.0 for m in maps]
    units = [F.normalize(torch.from_numpy(side).float(), dim=-1) for side in sides]
    speaker = torch.arange(SPEAKERS).repeat_interleave(4 * EACH)
    return SharedRows(
        *units, torch.arange(SPEAKERS * EACH).repeat_interleave(4), speaker * 0 - 1 if unknown else speaker
    )


def cross_eer(alignment, shared, speaker):
    """EER of enrolment rows against test rows of other utterances."""
    with torch.no_grad():
        first, second = alignment.map("enrolment", shared.enrolment_ND), alignment.map("test", shared.test_NE)
    score = (first @ second.T).numpy()
    same = (speaker[:, None] == speaker[None]).numpy()
    other = (shared.utterance_N[:, None] != shared.utterance_N[None]).numpy()
    return eer(score[same & other], score[~same])


def fitted(name, shared, **settings):
    kind = aligner_class(name)
    dims = shared.enrolment_ND.shape[1], shared.test_NE.shape[1]
    extra = {"speakers": SPEAKERS} if name == "logits" else {}
    torch.manual_seed(0)
    alignment = kind(kind.Config(**settings), dims, **extra)
    list(alignment.fit(shared, 0))
    return alignment.eval()


@pytest.mark.parametrize("name", sorted(set(ALIGNERS) - {"identity"}))
def test_speakers_that_training_never_saw_are_told_apart_across_backbones(name):
    train, test = world(seed=0), world(seed=1)
    settings = {"cca": {"components": 12}, "nessa": {"epochs": 5, "dimensions": 12, "hidden": 32}}.get(name, {})
    alignment = fitted(name, train, **settings)
    assert cross_eer(alignment, test, torch.arange(SPEAKERS).repeat_interleave(4 * EACH)) < 0.2
    mapped = alignment.map("test", test.test_NE)
    torch.testing.assert_close(mapped.norm(dim=1), torch.ones(len(mapped)))


@pytest.mark.parametrize("name", sorted(ALIGNERS))
def test_another_seed_learns_other_maps_where_an_alignment_says_so(name):
    train = world(dims=(18, 18))
    kind = aligner_class(name)
    settings = {"cca": {"components": 12, "rows": 200}, "nessa": {"epochs": 1, "dimensions": 12, "hidden": 32}}
    learnt = []
    for seed in (0, 1):
        alignment = make_alignment(name, kind.Config(**settings.get(name, {})), (18, 18), SPEAKERS, seed)
        list(alignment.fit(train, seed))
        learnt.append(alignment.eval().map("enrolment", train.enrolment_ND).detach())
    assert torch.equal(*learnt) is not kind.seeded


def test_nessa_is_ahead_of_its_rivals_where_sessions_are_loud_and_needs_no_labels():
    speaker = torch.arange(SPEAKERS).repeat_interleave(4 * EACH)
    train, test = world(seed=0, unknown=True), world(seed=1)
    rates = {name: cross_eer(fitted(name, train), test, speaker) for name in ("procrustes", "ridge")}
    ours = cross_eer(fitted("nessa", train, dimensions=12, hidden=32, epochs=5, batch=32), test, speaker)
    assert ours < min(rates.values())


def test_auto_damps_more_where_fewer_utterances_tell_how_the_sides_correlate():
    speaker = torch.arange(SPEAKERS).repeat_interleave(4 * EACH)
    train, test = world(dims=(40, 30), seed=0, unknown=True), world(dims=(40, 30), seed=1)
    train = dataclasses.replace(train, views=("clean", "noise"))
    few = SharedRows(*(rows[:160] for rows in (train.enrolment_ND, train.test_NE, train.utterance_N, train.speaker_N)))
    for shared in (train, few):
        kind = aligner_class("auto")
        alignment = kind(kind.Config(), (40, 30))
        *tried, chosen = alignment.fit(shared, 0)
        best = min(tried, key=lambda row: row["loss"])
        assert chosen == {"chosen_shrinkage": best["shrinkage"], "chosen_emphasis": best["emphasis"]}
        rates = {
            (row["shrinkage"], row["emphasis"]): cross_eer(
                fitted("auto", shared, shrinkages=[row["shrinkage"]], emphases=[row["emphasis"]]), test, speaker
            )
            for row in tried
        }
        assert cross_eer(alignment, test, speaker) == rates[best["shrinkage"], best["emphasis"]]
        assert cross_eer(alignment, test, speaker) < min(rates.values()) + 0.02
        assert cross_eer(alignment, test, speaker) < cross_eer(fitted("ridge", shared), test, speaker)


def test_auto_is_had_of_a_handful_of_utterances_and_of_one_row_each():
    train = world(unknown=True)
    sides = (train.enrolment_ND[::4], train.test_NE[::4])
    alone = fitted("auto", SharedRows(*sides, torch.arange(240), train.speaker_N[::4], ("clean",)))
    handful = fitted("auto", SharedRows(*(rows[:24] for rows in (*sides, torch.arange(240), train.speaker_N[::4]))))
    for alignment in (alone, handful):
        assert torch.isfinite(alignment.map("enrolment", train.enrolment_ND)).all()


def test_procrustes_finds_a_rotation():
    draw = torch.Generator().manual_seed(0)
    first = F.normalize(torch.randn(500, 8, generator=draw), dim=-1)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=draw))[0]
    shared = SharedRows(first, first @ turn, torch.arange(500), torch.full((500,), -1))
    alignment = fitted("procrustes", shared)
    torch.testing.assert_close(
        alignment.map("enrolment", first), alignment.map("test", first @ turn), atol=1e-5, rtol=0
    )


def test_one_side_alone_can_be_trained():
    train = world()
    before = fitted("nessa", train, epochs=0)
    after = fitted("nessa", train, epochs=2, sides="test")
    for side, moved in (("enrolment", False), ("test", True)):
        same = all(
            torch.equal(value, after.get_submodule(side).state_dict()[name])
            for name, value in before.get_submodule(side).state_dict().items()
        )
        assert same is not moved


def test_the_same_seed_gives_the_same_maps():
    one, two = (fitted("nessa", world(), epochs=2).state_dict() for _ in range(2))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(ModelError, match="identity needs sides of one dimension, these have 24 and 18"):
        fitted("identity", world())
    with pytest.raises(ModelError, match="logits need two or more speakers"):
        fitted("logits", world(unknown=True))
    with pytest.raises(ModelError, match="positives: speaker needs speakers known by name"):
        fitted("nessa", world(unknown=True), positives="speaker")
    with pytest.raises(ConfigError, match="no alignment 'pca'; choose one of identity, procrustes"):
        aligner_class("pca")


def test_cca_keeps_what_pairs_of_directions_can_be_found(monkeypatch):
    """scikit-learn gives up on many pairs where vectors lie near few directions, as enhanced ones do."""
    from sklearn.cross_decomposition import CCA

    fit = CCA.fit

    def fails(self, x, y):
        if self.n_components > 5:
            raise np.linalg.LinAlgError("SVD did not converge")
        return fit(self, x, y)

    monkeypatch.setattr(CCA, "fit", fails)
    shared = world()
    dims = shared.enrolment_ND.shape[1], shared.test_NE.shape[1]
    kind = aligner_class("cca")
    alignment = kind(kind.Config(components=12), dims)
    assert list(alignment.fit(shared, 0)) == [{"components": 3}]
    mapped = alignment.map("enrolment", shared.enrolment_ND)
    assert mapped.shape[1] == 12
    assert (mapped[:, 3:] == 0).all()
    monkeypatch.setattr(CCA, "fit", lambda *_: (_ for _ in ()).throw(np.linalg.LinAlgError("no")))
    with pytest.raises(ModelError, match="no pair of correlated directions"):
        list(alignment.fit(shared, 0))
