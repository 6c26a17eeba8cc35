r"""Regression through latent space: what is regressed from what, what fine-tuning does, and what never leaks."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

import vaekit
from vaekit.commands.regress import regress
from vaekit.data import Dataset, Split
from vaekit.data.holdout import hold_out
from vaekit.data.transforms import Identity
from vaekit.distributions import Marginal
from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.errors import RequestError
from vaekit.models import VAERegression
from vaekit.models.base import seeded
from vaekit.networks.inputs import Inputs
from vaekit.objectives import LatentRegression
from vaekit.plan import DataSpec
from vaekit.recipes.vaer import vaer
from vaekit.regression import Calibration, MarginalLikelihood, fit_to_outputs, observed, predict
from vaekit.schedules import Switch
from vaekit.stages import run_stages
from vaekit.training import fit


def circling(turns=6, frames=120, sequences=2, gap=4):
    """Bumps that travel around a ring: a circle in sixteen dimensions, at times that are not evenly spread."""
    random = np.random.RandomState(0)
    times = np.sort(random.uniform(0, turns, (sequences, frames)), axis=1)
    angle = 2 * np.pi * (times + np.arange(sequences)[:, None] / 3)
    centres = 2 * np.pi * np.arange(16) / 16
    y = 3 * np.exp(2 * (np.cos(angle[..., None] - centres) - 1))
    rows = Split(
        y.reshape(-1, 16).astype(np.float32),
        context=times.reshape(-1, 1).astype(np.float32),
        sequence=np.repeat(np.arange(sequences), frames),
    )
    return hold_out(Dataset("ring", rows, rows.take([]), rows.take([]), levels=None), gap=gap)


SMALL = {"latent_dim": 3, "hidden": (32,), "batch_size": 30, "learning_rate": 1e-2, "window": 15}


def planned(data, seed=0, **arguments):
    with seeded(seed):
        return vaer(DataSpec.of(data), **{**SMALL, "epochs": 4, **arguments})


def trained(data, seed=0, **arguments):
    plan = planned(data, seed, **arguments)
    outcome = fit(plan, data, seed=seed, progress=False, compile=False)
    run_stages(plan.stages, outcome.model, data, plan.transform, seed=seed)
    return outcome.model


@pytest.fixture(scope="module")
def data():
    return circling()


@pytest.fixture(scope="module")
def model(data):
    return trained(data)


def test_inputs_have_neighbours_at_a_distance_of_one_whatever_their_units():
    x = np.cumsum(np.ones(20))[:, None] * [[0.02, 7.0]]
    positions = []
    for scale in (1.0, 1000.0):
        inputs = Inputs(2, sequences=True)
        inputs.fit(scale * x, np.repeat([0, 1], 10))
        given = torch.from_numpy(np.column_stack([np.repeat([0, 1], 10), scale * x])).float()
        positions.append(inputs.positions(given))
        assert inputs(given).std(0, correction=0) == pytest.approx(1.0, abs=1e-4)
    torch.testing.assert_close(*positions)
    assert positions[0].diff(dim=0).norm(dim=1).median().item() == pytest.approx(1.0, abs=1e-4)
    assert torch.equal(inputs.groups(given), torch.repeat_interleave(torch.arange(2.0), 10))
    still = Inputs(1)
    still.fit(np.full((5, 1), 3.0))
    assert torch.equal(still.positions(torch.full((2, 1), 3.0)), torch.zeros(2, 1))


@pytest.mark.parametrize("width", [1.0, 0.4])
def test_a_marginal_is_a_density_with_the_moments_of_its_samples(width):
    means, scales = torch.tensor([[0.0], [5.0], [2.0], [5.0]]), torch.tensor([[1.0], [0.5], [0.3], [2.0]])
    p = Marginal(Independent(Normal(means, scales), 1), 2, width)  # draws 0 and 2 are of the first example
    x = torch.linspace(-20, 30, 20001)
    density = p.log_prob(x[:, None, None].expand(-1, 2, 1).reshape(-1, 1)[:2]).exp()
    assert density.shape == (2,)
    densities = torch.stack([p.log_prob(v.expand(2, 1)).exp() for v in x[::20]])
    step = float(x[20] - x[0])
    grid = x[::20, None]
    torch.testing.assert_close(densities.sum(0) * step, torch.ones(2), rtol=1e-3, atol=1e-3)
    mean = (densities * grid).sum(0) * step
    torch.testing.assert_close(p.mean[:, 0], mean, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(p.variance[:, 0], (densities * (grid - mean) ** 2).sum(0) * step, rtol=1e-2, atol=1e-2)
    with seeded(0):
        drawn = p.sample((20000,))
    torch.testing.assert_close(drawn.mean(0), p.mean, rtol=0.03, atol=0.03)
    torch.testing.assert_close(drawn.var(0), p.variance, rtol=0.05, atol=0.01)


def test_hidden_rows_are_regressed_from_the_others(data, model, monkeypatch):
    x, given = observed([data.train], Identity())
    seen = []
    whole = model.regress_latent
    monkeypatch.setattr(model, "regress_latent", lambda *a: (seen.append(a), whole(*a))[1])
    with seeded(0):
        loss, terms = LatentRegression(weight=2.0, keep=3)(model, x[:20], given[:20])
    mean, variance, known, new = seen[0]
    assert len(known) == len(mean) == len(variance)
    assert len(known) in (6, 7)
    assert torch.equal(new[: len(known)], known)  # where residuals are taken
    assert sorted(map(tuple, new.tolist())) == sorted(map(tuple, given[:20].tolist()))
    torch.testing.assert_close(loss, -terms["elbo"].mean() + 2 * terms["regression"].mean())


def test_the_gradient_goes_through_the_solve_into_encoder_and_decoder(data):
    model = planned(data, noise="decoder").model  # its own leaves that of the decoder alone
    x, given = observed([data.train], Identity())
    latents = model.latents(x[:20], given[:20], analytic=True)
    model.objective._regression(model, latents.posterior, x[:20], given[:20]).backward()
    for part in (model.encoder, model.decoder):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert not any(p.requires_grad for p in model.process.parameters())


def test_a_single_row_is_regressed_from_nothing(data, model):
    x, given = observed([data.train], Identity())
    assert LatentRegression()(model, x[:1], given[:1]).terms["regression"].isfinite().all()


def test_a_prediction_depends_on_its_input_and_its_sequence_alone(data, model):
    x, given = observed([data.train], Identity())
    new = torch.from_numpy(data.test.given)[::5]
    whole = predict(model, x, given, new)
    for row in (0, len(new) - 1):
        torch.testing.assert_close(predict(model, x, given, new[row : row + 1]).mean[0], whole.mean[row], **CLOSE)
    own = given[:, 0] == new[0, 0]
    other = torch.where(own[:, None], x, x + 100)
    torch.testing.assert_close(predict(model, other, given, new[:1]).mean[0], whole.mean[0], **CLOSE)
    with pytest.raises(RequestError, match="nothing is observed of sequence 7"):
        predict(model, x, given, torch.tensor([[7.0, 1.0]]))


CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def test_uncertainty_grows_away_from_what_is_observed(data, model):
    x, given = observed([data.train], Identity())
    far = torch.tensor([[0.0, 500.0]])
    z, left = model.latent_at(x, given, torch.cat([given[:30], far]))
    torch.testing.assert_close(z.stddev[-1], torch.ones(3))
    assert z.stddev[:30].max() < 0.999
    assert left.stddev[-1].min() == pytest.approx(1.0, abs=0.01)
    assert left.stddev[:30].max() < 0.5


def test_fine_tuning_lowers_the_error_of_regression_in_a_short_training():
    data = circling(turns=4, gap=5)
    errors = []
    for weight in (0.0, 1.0):
        model = trained(data, epochs=60, weight=weight, hyperparameters="fixed", residuals=False)
        x, given = observed([data.train], Identity())
        found = predict(model, x, given, torch.from_numpy(data.test.given))
        errors.append(float(np.sqrt(np.mean((found.mean - data.test.x) ** 2))))
    assert errors[1] < 0.95 * errors[0]


def test_what_is_held_out_never_enters(data):
    changed = replace(data, test=Split(data.test.x + 9, None, data.test.context, data.test.sequence))
    one, two = (trained(d).state_dict() for d in (data, changed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_stages_are_the_published_ones():
    plan = planned(circling(), epochs=10, fine_tune=0.3, weight=2.0)
    weight = plan.model.objective.schedules["regression"]
    assert [weight(epoch) for epoch in (0, 6.9, 7.0, 10)] == [0, 0, 2, 2]
    assert plan.select == "last"
    assert [stage.name for stage in plan.stages] == ["calibration"]
    plan = planned(circling(), hyperparameters="codes")
    assert [stage.name for stage in plan.stages] == ["kernel", "calibration"]


@pytest.mark.parametrize("validated", [False, True])
def test_calibrated_intervals_hold_what_they_say_of_what_was_hidden(data, model, validated):
    some = np.arange(len(data.train)) % 3 == 1
    if validated:
        data = replace(
            data, train=data.train.take(np.flatnonzero(~some)), validation=data.train.take(np.flatnonzero(some))
        )
    run_stages([Calibration()], model, data, Identity())
    x, given = observed([data.train], Identity())
    if validated:
        truth, new = observed([data.validation], Identity())
    else:
        hidden = torch.zeros(len(x), dtype=torch.bool)
        for span in data.train.spans.values():
            hidden[span.start + 1 : span.stop - 1 : 2] = True
        truth, new, x, given = x[hidden], given[hidden], x[~hidden], given[~hidden]
    found = predict(model, x, given, new)
    errors = (truth.numpy() - found.mean) / found.stddev
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(1.0, abs=0.01)
    for level in (0.5, 0.9, 0.95):
        low, high = found.interval(level)
        assert np.mean((low < truth.numpy()) & (truth.numpy() < high)) == pytest.approx(level, abs=0.01)
    with pytest.raises(RequestError, match="level"):
        found.interval(1.0)


def test_the_kernel_is_fitted_to_the_codes_and_stays_untrained(data):
    plan = planned(data, hyperparameters="fixed", length_scale=0.2)
    model = plan.model.eval()
    x, given = observed([data.train], Identity())
    mean, variance = (t.detach() for t in model.codes(x, given))

    def likelihood():
        spans = data.train.spans.values()
        position = model.inputs.positions(given)
        return sum(float(model.process.log_marginal(position[s], mean[s], variance[s])) for s in spans)

    before = likelihood()
    numbers = run_stages([MarginalLikelihood()], model, data, Identity())["kernel"]
    assert likelihood() > before
    assert numbers["log_marginal"] == pytest.approx(likelihood() / mean.numel(), rel=1e-4)
    assert not any(p.requires_grad for p in model.process.parameters())


def test_a_switch_and_what_it_refuses():
    assert Switch(3.0).settled == 3.0
    with pytest.raises(RequestError, match="epoch"):
        Switch(-1.0)


def test_data_without_inputs_are_refused(data):
    bare = replace(data, **{name: Split(split.x) for name, split in data.splits.items()})
    with pytest.raises(RequestError, match="no inputs"):
        vaer(DataSpec.of(bare))


class TestCommand:
    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("regress")
        times = np.linspace(0, 6, 60, dtype=np.float32)[:, None]
        np.savez(folder / "waves.npz", x=np.concatenate([np.sin(times * k) for k in (1, 2, 3)], 1), c=times)
        arguments = {**SMALL, "epochs": 3, "batch_size": 10, "nll_samples": 0}
        path = folder / "waves.npz"
        return vaekit.train("vaer", path, out=folder / "run", progress=False, **arguments)

    def test_arrays_are_those_of_the_model(self, run, tmp_path):
        path = regress(str(run.directory), at="0:6:0.5", out=str(tmp_path / "y.npz"), level=0.5)
        arrays = np.load(path)
        assert arrays["inputs"].ravel().tolist() == np.arange(0, 6.5, 0.5).tolist()
        loaded = vaekit.load(run.directory)
        assert isinstance(loaded, VAERegression)
        y, given = observed([run.data.train, run.data.validation], Identity())
        found = predict(loaded, y, given, torch.from_numpy(arrays["inputs"]).float())
        np.testing.assert_allclose(arrays["mean"], found.mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            arrays["upper"] - arrays["lower"], 2 * found.reach(0.5) * found.stddev, rtol=1e-4, atol=1e-6
        )

    def test_a_picture_by_default_and_not_twice(self, run):
        path = regress(str(run.directory))
        assert path.name == "regression.png"
        assert path.read_bytes()[:4] == b"\x89PNG"
        with pytest.raises(RequestError, match="--force"):
            regress(str(run.directory))

    @pytest.mark.parametrize("at", ["0:6", "6:0:1", "0:6:-1", "a:b:c", "none.npy"])
    def test_wrong_inputs_say_what_to_pass(self, run, at, tmp_path):
        with pytest.raises(RequestError, match="--at"):
            regress(str(run.directory), at=at, out=str(tmp_path / "y.npz"))

    def test_vectors_are_no_film(self, run, tmp_path):
        with pytest.raises(RequestError, match="no images and no poses"):
            regress(str(run.directory), out=str(tmp_path / "y.gif"))


def test_with_no_trust_in_the_autoencoder_it_is_the_process_on_outputs(data, model):
    x, given = observed([data.train], Identity())
    new = torch.from_numpy(data.test.given)
    model = copy.deepcopy(model)
    model.trust.fill_(0.0)
    found = predict(model, x, given, new).mean
    positions = model.inputs.positions
    p = model.residuals(
        positions(given), x - model.center, model.noise.expand(len(x), 1), positions(new),
        group=given[:, 0], new_group=new[:, 0],
    )  # fmt: skip
    np.testing.assert_allclose(found, (p.mean + model.center).numpy(), atol=1e-5)
    np.testing.assert_allclose(model.center.numpy(), data.train.x.mean(0), atol=1e-5)


def test_residuals_make_a_prediction_meet_what_is_observed(data, model):
    x, given = observed([data.train], Identity())
    model = copy.deepcopy(model)
    model.noise.fill_(1e-6)
    with_them = predict(model, x, given, given).mean
    model.residuals = None
    without = predict(model, x, given, given).mean
    assert np.abs(with_them - x.numpy()).max() < 0.05 * np.abs(without - x.numpy()).max()


def test_trust_is_what_makes_the_error_of_validation_least(data):
    some = np.arange(len(data.train)) % 3 == 1
    split = replace(
        data, train=data.train.take(np.flatnonzero(~some)), validation=data.train.take(np.flatnonzero(some))
    )
    model = trained(split, epochs=20)
    x, given = observed([split.train], Identity())
    truth, new = observed([split.validation], Identity())
    best = float(model.trust)
    errors = []
    for trust in (best, min(best + 0.1, 1.0), max(best - 0.1, 0.0)):
        model.trust.fill_(trust)
        errors.append(float(np.mean((predict(model, x, given, new).mean - truth.numpy()) ** 2)))
    assert 0 <= best <= 1
    assert errors[0] == min(errors)
    assert errors[0] < max(errors)


def test_outputs_are_fitted_with_their_variance_and_noise():
    x = torch.linspace(0, 30, 120, dtype=torch.float64)[:, None]
    process = GaussianProcess(length_scale=0.7)
    with seeded(0):
        y = torch.sin(x + torch.arange(6.0)) * 3
        noisy = y + 0.3 * torch.randn(y.shape, dtype=y.dtype)
    kernel = {name: value.clone() for name, value in process.kernel.state_dict().items()}
    noise = fit_to_outputs(process, [(x, noisy)])
    # The variance of outputs is 4.5 and that of the noise 0.09.
    assert 0.005 < noise < 0.06
    assert any(not torch.equal(value, kernel[name]) for name, value in process.kernel.state_dict().items())
    again = GaussianProcess(length_scale=0.7)
    assert fit_to_outputs(again, [(x, 1000 * noisy)]) == pytest.approx(noise, rel=0.05)
    assert fit_to_outputs(GaussianProcess(), [(x, 0 * y)]) == 0.01


def test_dimensions_that_share_their_noise_are_solved_as_if_they_did_not():
    with seeded(0):
        x, z, new = torch.randn(7, 1), torch.randn(7, 3), torch.randn(4, 1)
    for variances in ("noise", "scale"):
        process = GaussianProcess(variances=variances)
        shared = torch.linspace(0.1, 0.4, 7)[:, None]
        one, other = process(x, z, shared, new), process(x, z, shared.expand(7, 3), new)
        torch.testing.assert_close(one.mean, other.mean)
        torch.testing.assert_close(one.stddev, other.stddev)
        for a, b in ((shared, shared.expand(7, 3)),):
            torch.testing.assert_close(process.log_marginal(x, z, a), process.log_marginal(x, z, b))


def test_the_regression_has_a_noise_of_its_own_or_the_decoders(data, model):
    x, given = observed([data.train], Identity())
    found = {}
    for noise in ("own", "decoder"):
        with seeded(0):
            found[noise] = LatentRegression(noise=noise)(model, x[:20], given[:20]).terms["regression"][0]
    assert found["own"] < found["decoder"]  # its variance is the likeliest
    with pytest.raises(RequestError, match="noise"):
        LatentRegression(noise="none")
    with pytest.raises(RequestError, match="keep"):
        LatentRegression(keep=1)


@pytest.mark.parametrize("variances", ["scale", "none"])
def test_the_other_ways_of_variances_train(data, variances):
    model = trained(data, variances=variances)
    x, given = observed([data.train], Identity())
    found = predict(model, x, given, torch.from_numpy(data.test.given))
    assert np.isfinite(found.mean).all()
    assert (found.stddev > 0).all()
