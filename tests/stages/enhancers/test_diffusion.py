import pytest
import torch

from stages.enhancers.diffusion import TIMESTEPS, add_noise, alphas_cumprod, sample_one_step


@pytest.fixture(scope="module")
def reference():
    scheduling_ddim = pytest.importorskip("diffusers.schedulers.scheduling_ddim")
    return scheduling_ddim.DDIMScheduler(
        num_train_timesteps=TIMESTEPS, beta_schedule="scaled_linear", prediction_type="sample", clip_sample_range=2.0
    )


def normal(seed: int) -> torch.Tensor:
    return torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))


def test_schedule_equals_diffusers(reference):
    torch.testing.assert_close(alphas_cumprod(), reference.alphas_cumprod, rtol=0, atol=0)


def test_schedule_at_the_sampling_timestep_is_the_published_one():
    alpha_bar = alphas_cumprod()[50].item()
    assert alpha_bar == pytest.approx(0.99084, abs=1e-5)
    assert (1 - alpha_bar) ** 0.5 == pytest.approx(0.0957, abs=1e-4)


def test_noised_embeddings_equal_diffusers(reference):
    timestep = torch.tensor([0, 50, 500, 999])
    expected = reference.add_noise(normal(0), normal(1), timestep)
    torch.testing.assert_close(add_noise(normal(0), normal(1), alphas_cumprod()[timestep]), expected)


def test_one_step_sample_equals_diffusers(reference):
    def predict_x0(x_t, timestep):
        return 3.0 * x_t + timestep[:, None] / 100.0

    reference.set_timesteps(50)
    x_t = reference.add_noise(normal(0), normal(1), torch.tensor([50]))
    expected = reference.step(predict_x0(x_t, torch.tensor([50])), 50, x_t).pred_original_sample
    assert (expected.abs() == 2.0).any()
    sample = sample_one_step(predict_x0, normal(0), normal(1), alphas_cumprod(), timestep=50, clip=2.0)
    torch.testing.assert_close(sample, expected)
