"""Every alignment on two views of one speaker space, by two generated backbones."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reseed.stages.aligners.shared import SharedRows
from reseed.stages.aligners.table import ALIGNERS, aligner_class, make_alignment
from reseed.store import ConfigError, ModelError
from reseed.testing import AlignerContract
from reseed.testing.aligners import EACH, SPEAKERS, cross_eer, fitted, world

NEED_SETTINGS = {"cca": {"components": 12}, "nessa": {"epochs": 5, "dimensions": 12, "hidden": 32}}


class TestEveryAligner(AlignerContract):
    @pytest.fixture(params=sorted(set(ALIGNERS) - {"identity"}))
    def name(self, request):
        return request.param

    def given(self, name):
        return NEED_SETTINGS.get(name, {})


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
