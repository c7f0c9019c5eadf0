"""What every enhancer must do.

Shapes: B batch, D embedding dimension.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reseed.stages.enhancers.base import Enhancer, TrainedEnhancer
from reseed.stages.enhancers.folder import ModelInfo, load_model, save_model
from reseed.stages.enhancers.table import enhancer_class, enhancer_code, make_enhancer
from reseed.stages.training.cache.pairs import Pairs
from reseed.stages.training.cache.resident import ResidentPairs
from reseed.stages.training.loop import optimise
from reseed.stages.training.settings import TrainingSettings
from reseed.testing.generated import clustered_vectors

DIM = 16
VIEWS = ["clean", "noise"]


def eight_pairs() -> Tensor:
    """Return the vectors of eight crops, clean and in noise, [8, 2, 16]."""
    return torch.from_numpy(clustered_vectors(8, len(VIEWS), DIM))


def generator(seed: int = 0) -> torch.Generator:
    """Return a generator on the CPU."""
    return torch.Generator().manual_seed(seed)


class EnhancerContract:
    """What every enhancer must do; one that is trained: `TrainedEnhancerContract`.

    Attributes:
        enhancer: its name, or package.module:Class.
        settings: those to test it with, where the defaults do not do.
        unit_length: whether what comes out has unit length.
    """

    enhancer: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    unit_length: ClassVar[bool] = True

    @pytest.fixture
    def name(self) -> str:
        """The enhancer under test; reseed's own tests give all of their table."""
        return self.enhancer

    def fitted(self, name: str, **settings: Any) -> Enhancer:
        """Return it fitted to eight pairs."""
        config = enhancer_class(name).Config.model_validate({**self.settings, **settings})
        enhancer = make_enhancer(name, config, DIM)
        enhancer.fit([eight_pairs()], VIEWS)
        return enhancer

    def randomised(self, name: str, **settings: Any) -> Enhancer:
        """Return it fitted, every parameter drawn anew: those that start at zero would hide the others."""
        enhancer, source = self.fitted(name, **settings), generator(7)
        for parameter in enhancer.parameters():
            torch.nn.init.normal_(parameter, std=0.3, generator=source)
        return enhancer

    def test_its_settings_survive_json(self, name: str) -> None:
        config = enhancer_class(name).Config.model_validate(self.settings)
        again = type(config).model_validate(config.model_dump(mode="json"))
        assert again == config, (
            f"the settings of {name} are others once they were written and read: every field must be what JSON can "
            "hold (numbers, texts, lists, Path)"
        )

    def test_it_can_be_made_by_its_defaults(self, name: str) -> None:
        missing = [key for key, field in enhancer_class(name).Config.model_fields.items() if field.is_required()]
        assert not missing, f"`train: {{{name}: {{}}}}` must do: give a default to {', '.join(missing)}"

    def test_new_weights_come_from_the_seed_and_leave_the_global_generator_alone(self, name: str) -> None:
        config = enhancer_class(name).Config.model_validate(self.settings)
        before = torch.get_rng_state()
        first, second = (make_enhancer(name, config, DIM, 5).state_dict() for _ in range(2))
        assert torch.equal(torch.get_rng_state(), before), "making it moved torch's global generator; leave that alone"
        for key, value in first.items():
            assert torch.equal(value, second[key]), (
                f"{key} differs between two made with one seed: draw weights by torch's own generator alone, "
                "neither by the clock nor by another library's"
            )

    def test_enhance_keeps_shape_and_repeats_itself_for_the_same_seed(self, name: str) -> None:
        enhancer, embedding_BD = self.randomised(name), torch.randn(5, DIM, generator=generator())
        first, second = (enhancer.enhance(embedding_BD, generator(1)) for _ in range(2))
        assert first.shape == (5, enhancer.dim_out), (
            f"enhance returns {list(first.shape)} for {list(embedding_BD.shape)}; it must be [B, dim_out], here "
            f"[5, {enhancer.dim_out}]: one vector for each, or say another dim_out"
        )
        assert first.dtype == torch.float32, f"enhance returns {first.dtype}; convert it to float32"
        assert first.isfinite().all(), "enhance returns values that are not finite; look for a division by zero"
        assert (first.norm(dim=-1) > 1e-3).all(), "enhance returns vectors of no length, which have no direction"
        assert torch.equal(first, second), (
            "enhance gives other vectors for the same seed: draw from the `generator` that it is given, and from "
            "nothing else (no dropout, no torch.randn without it)"
        )

    def test_each_vector_is_enhanced_by_itself(self, name: str) -> None:
        enhancer, embedding_BD = self.randomised(name), torch.randn(5, DIM, generator=generator())
        if not torch.equal(*(enhancer.enhance(embedding_BD, generator(seed)) for seed in (1, 2))):
            return  # what samples draws other noise for a vector at another place
        alone_BD = torch.cat([enhancer.enhance(one_1D, generator()) for one_1D in embedding_BD.split(1)])
        torch.testing.assert_close(
            alone_BD,
            enhancer.enhance(embedding_BD, generator()),
            atol=1e-4,
            rtol=1e-4,
            msg="enhance gives other vectors in a batch than one by one: what it takes from the store goes into fit or "
            "adapt, never from the batch",
        )

    def test_enhanced_vectors_have_unit_length(self, name: str) -> None:
        if self.unit_length:
            length_B = self.fitted(name).enhance(3.0 * eight_pairs()[:, 1], generator()).norm(dim=-1)
            assert ((length_B - 1).abs() < 1e-4).all(), (
                f"enhanced vectors have lengths from {length_B.min():.3g} to {length_B.max():.3g}: end enhance with "
                "F.normalize(..., dim=-1), or set unit_length = False in the test class"
            )

    def test_one_that_is_trained_has_the_settings_of_training(self, name: str) -> None:
        kind = enhancer_class(name)
        if issubclass(kind, TrainedEnhancer):
            assert issubclass(kind.Config, TrainingSettings), (
                f"the Config of {kind.__name__}, which is trained, must derive from "
                "reseed.stages.training.settings.TrainingSettings (epochs, batch, lr, ...)"
            )
            assert isinstance(self, TrainedEnhancerContract), "derive the test class from TrainedEnhancerContract"

    def test_loaded_enhancer_equals_the_saved_one(self, name: str, tmp_path: Path) -> None:
        enhancer = self.randomised(name)
        config = enhancer.config.model_dump(mode="json")
        info = ModelInfo(
            plugins=enhancer_code(name, config),
            enhancer=name,
            config=config,
            dim=DIM,
            space="ge2e:aaaaaaaa",
            store_fingerprint="0" * 64,
            store_path="stores/train",
            views=VIEWS,
            utterances=8,
            seed=0,
        )
        saved = save_model(tmp_path / "model", enhancer, info, [])
        loaded, loaded_info = load_model(tmp_path / "model")
        assert (loaded_info, loaded.config) == (saved, enhancer.config)
        embedding_BD = eight_pairs()[:, 1]
        expected_BD = enhancer.enhance(embedding_BD, generator())
        assert torch.equal(loaded.enhance(embedding_BD, generator()), expected_BD), (
            "once saved and loaded it gives other vectors: everything that is learnt must be a parameter or a buffer "
            "(self.register_buffer in __init__, copy_ in fit)"
        )
        learns = any(value.is_floating_point() for value in enhancer.state_dict().values())
        untrained_BD = make_enhancer(name, enhancer.config, DIM).enhance(embedding_BD, generator())
        assert not (learns and torch.allclose(untrained_BD, expected_BD, atol=1e-2)), (
            "a new one gives the same vectors as one that has learnt: what fit or training has found is not used"
        )


class TrainedEnhancerContract(EnhancerContract):
    """What every enhancer must do whose map is trained by gradient descent.

    Attributes:
        overfitting: settings with which eight pairs can be learnt by heart in 300 epochs.
    """

    overfitting: ClassVar[Mapping[str, Any]] = {}

    def trained(self, name: str, **settings: Any) -> TrainedEnhancer:
        """Return it with settings of training, fitted."""
        assert issubclass(enhancer_class(name), TrainedEnhancer), (
            f"{name} does not derive from reseed.stages.enhancers.base.TrainedEnhancer; test it by EnhancerContract"
        )
        enhancer = self.fitted(name, **settings)
        assert isinstance(enhancer, TrainedEnhancer)
        return enhancer

    def test_loss_is_a_finite_scalar_with_gradients_for_every_parameter(self, name: str) -> None:
        self.trained(name)
        enhancer, vectors = self.randomised(name), eight_pairs()
        assert isinstance(enhancer, TrainedEnhancer)
        loss = enhancer.loss(Pairs(clean_BD=vectors[:, 0], noisy_BD=vectors[:, 1]), generator())
        assert loss.shape == (), f"loss returns {list(loss.shape)}; it must be one number: take its mean"
        assert loss.isfinite(), "loss is not finite for eight pairs of unit vectors"
        loss.backward()
        for label, parameter in enhancer.named_parameters():
            assert parameter.grad is not None, f"the loss does not depend on {label}, so that it is never trained"
            assert parameter.grad.isfinite().all(), f"the gradient of {label} is not finite"
            assert parameter.grad.any(), f"the gradient of {label} is zero everywhere, so that it is never trained"

    def test_eight_pairs_are_overfitted(self, name: str) -> None:
        settings = {"epochs": 300, "batch": 16, "lr": 3e-3, **self.overfitting}
        enhancer, vectors = self.trained(name, **settings), eight_pairs()
        optimise(enhancer, ResidentPairs(vectors, clean_view=0, batch=16, seed=0), seed=0)
        before_B = F.cosine_similarity(vectors[:, 1], vectors[:, 0])
        after_B = F.cosine_similarity(enhancer.enhance(vectors[:, 1], generator()), vectors[:, 0])
        assert before_B.mean() < 0.8
        assert after_B.mean() > 0.95, (
            f"300 epochs on eight pairs bring the cosine with the clean vectors from {before_B.mean():.2f} to "
            f"{after_B.mean():.2f}, not above 0.95: loss and enhance must agree on what is to be restored"
        )
