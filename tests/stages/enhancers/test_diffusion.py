import pytest
import torch

from reseed.stages.enhancers.diffusion import (
    TIMESTEPS,
    add_noise,
    alphas_cumprod,
    ddim_step,
    descent,
    mean_of_draws,
    original,
    sample,
    velocity,
)

PREDICTIONS = ["sample", "epsilon", "v_prediction"]
CLIP = 2.0


def scheduler(prediction: str = "sample"):
    scheduling_ddim = pytest.importorskip("diffusers.schedulers.scheduling_ddim")
    return scheduling_ddim.DDIMScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        clip_sample_range=CLIP,
    )


def normal(seed: int) -> torch.Tensor:
    return torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))


def network(x_t: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x_t.roll(1, dims=-1)) + x_t * timestep[:, None] / 1000.0


def test_schedule_equals_diffusers():
    torch.testing.assert_close(alphas_cumprod(), scheduler().alphas_cumprod, rtol=0, atol=0)


def test_schedule_at_the_sampling_timestep_is_the_published_one():
    alpha_bar = alphas_cumprod()[50].item()
    assert alpha_bar == pytest.approx(0.99084, abs=1e-5)
    assert (1 - alpha_bar) ** 0.5 == pytest.approx(0.0957, abs=1e-4)


def test_noised_embeddings_equal_diffusers():
    timestep = torch.tensor([0, 50, 500, 999])
    expected = scheduler().add_noise(normal(0), normal(1), timestep)
    torch.testing.assert_close(add_noise(normal(0), normal(1), alphas_cumprod()[timestep]), expected)


def test_velocities_equal_diffusers():
    timestep = torch.tensor([0, 50, 500, 999])
    expected = scheduler().get_velocity(normal(0), normal(1), timestep)
    torch.testing.assert_close(velocity(normal(0), normal(1), alphas_cumprod()[timestep]), expected)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_one_step_sample_equals_diffusers(prediction):
    reference = scheduler(prediction)
    reference.set_timesteps(50)
    x_t = reference.add_noise(normal(0), normal(1), torch.tensor([50]))
    expected = reference.step(network(x_t, torch.tensor([50])), 50, x_t).pred_original_sample
    if prediction == "epsilon":
        assert (expected.abs() == CLIP).any()
    sampled = sample(network, normal(0), normal(1), alphas_cumprod(), [50], prediction, CLIP)
    torch.testing.assert_close(sampled, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize(("start", "steps"), [(980, 50), (400, 21), (20, 2), (900, 10)])
def test_ddim_equals_diffusers_from_any_start(prediction, start, steps):
    reference = scheduler(prediction)
    reference.set_timesteps(TIMESTEPS * (steps - 1) // start)
    timesteps = [t for t in reference.timesteps if t <= start]
    assert [int(t) for t in timesteps] == descent(start, steps)
    expected = reference.add_noise(normal(0), normal(1), timesteps[0][None])
    for t in timesteps:
        expected = reference.step(network(expected, t[None]), t, expected).prev_sample
    sampled = sample(network, normal(0), normal(1), alphas_cumprod(), descent(start, steps), prediction, CLIP)
    torch.testing.assert_close(sampled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_single_ddim_step_equals_diffusers_to_1e_6(prediction):
    reference = scheduler(prediction)
    reference.set_timesteps(50)
    x_t, output = normal(0), normal(1)
    expected = reference.step(output, 500, x_t).prev_sample
    alpha_bar = alphas_cumprod()
    step = ddim_step(output, x_t, alpha_bar[500][None], alpha_bar[480][None], prediction, CLIP)
    torch.testing.assert_close(step, expected, rtol=1e-6, atol=1e-6)


def test_a_ddim_step_equals_one_worked_by_hand():
    # alpha_bar 0.64 -> signal 0.8, noise 0.6; next 0.36 -> signal 0.6, noise 0.8; x_t = 2
    x_t, here, there = torch.tensor([[2.0]]), torch.tensor([0.64]), torch.tensor([0.36])

    def step(output: float, prediction: str, clip: float = 10.0) -> float:
        return ddim_step(torch.tensor([[output]]), x_t, here, there, prediction, clip).item()

    # x0 = 1.75 leaves epsilon = (2 - 1.4) / 0.6 = 1, and v = 0.8 * 1 - 0.6 * 1.75 = -0.25: all three are one step
    expected = 0.6 * 1.75 + 0.8 * 1.0
    assert step(1.75, "sample") == pytest.approx(expected, abs=1e-6)
    assert step(1.0, "epsilon") == pytest.approx(expected, abs=1e-6)
    assert step(-0.25, "v_prediction") == pytest.approx(expected, abs=1e-6)
    assert step(1.75, "sample", clip=1.5) == pytest.approx(0.6 * 1.5 + 0.8 * 1.0, abs=1e-6)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_original_is_recovered_from_what_a_perfect_network_puts_out(prediction):
    alpha_bar = alphas_cumprod()[torch.tensor([3, 50, 500, 999])]
    x_t = add_noise(normal(0), normal(1), alpha_bar)
    perfect = {
        "sample": normal(0),
        "epsilon": normal(1),
        "v_prediction": velocity(normal(0), normal(1), alpha_bar),
    }[prediction]
    torch.testing.assert_close(original(perfect, x_t, alpha_bar, prediction), normal(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("start", "steps"), [(999, 7), (50, 51), (3, 2), (50, 1), (0, 1)])
def test_a_descent_starts_where_it_should_and_falls_to_zero(start, steps):
    timesteps = descent(start, steps)
    assert len(timesteps) == steps
    assert timesteps[0] == start
    assert timesteps == sorted(set(timesteps), reverse=True)
    assert timesteps[-1] == 0 or steps == 1


def test_draws_are_averaged_and_no_draw_is_no_noise():
    generator = torch.Generator().manual_seed(0)
    expected = sum(torch.randn(4, 8, generator=generator) ** 2 for _ in range(3)) / 3
    mean = mean_of_draws(torch.square, normal(0), 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean, expected)
    assert not mean_of_draws(torch.square, normal(0), 0, generator).any()
