r"""Stages: what they see, when they run, and that a run that was killed in one is the run that was not."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import vaekit
from vaekit.cli.printing import print_metrics
from vaekit.data import load_dataset
from vaekit.data.transforms import pairs
from vaekit.distributions import DiagonalGaussian, PixelCNNPrior, StandardNormal
from vaekit.errors import Interrupted, RequestError
from vaekit.models import VAE, seeded
from vaekit.networks import OneHot
from vaekit.plan import DataSpec
from vaekit.recipes import get
from vaekit.record import plan_of
from vaekit.runs import Run, RunState
from vaekit.stages import ExPostDensity, run_stages

ARGUMENTS = {"hidden": (8,), "latent_dim": 3, "epochs": 2, "progress": False, "nll_samples": 0, "compile": False}

pytestmark = pytest.mark.usefixtures("no_report")


def weights(directory):
    from safetensors.torch import load_file

    return load_file(directory / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaekit.report.run.report_run", lambda *arguments: None)
        return vaekit.train("rae", "digits", out=tmp_path_factory.mktemp("whole") / "run", **ARGUMENTS)


def test_what_a_stage_fitted_is_saved_with_the_model_and_loaded_strictly(whole):
    model = vaekit.load(Run(whole.directory))
    assert model.prior.means.any()
    assert same(model.state_dict(), whole.model.state_dict())
    assert torch.equal(model.sample(5, seed=1), whole.model.sample(5, seed=1))
    # A plan made of what config.json keeps has buffers of the same shapes, not yet fitted.
    rebuilt = plan_of(whole.config).model
    assert not rebuilt.prior.means.any()
    rebuilt.load_state_dict(weights(whole.directory), strict=True)
    assert torch.equal(rebuilt.eval().sample(5, seed=1), model.sample(5, seed=1))


def test_the_density_is_that_of_the_selected_weights_codes(whole):
    data = load_dataset("digits")
    x = torch.from_numpy(np.asarray(data.train.x)).float() / 16
    model = whole.model
    # The codes of bits, whose draws are the view's; of grey levels they would be others, of the same place.
    with torch.no_grad():
        codes = model.encode(x).mean
    spread = codes.std(0)
    assert ((model.latent().mean - codes.mean(0)).abs() < 0.5 * spread).all()
    assert model.latent().log_prob(codes).mean() > model.latent().log_prob(codes + 6 * spread).mean() + 5


@dataclass(frozen=True)
class Breaking:
    """Fits the density and is stopped there, or before."""

    fitted: bool
    name: str = "density"

    def fit(self, *arguments):
        if self.fitted:
            ExPostDensity().fit(*arguments)
        raise KeyboardInterrupt


@pytest.mark.parametrize("fitted", [False, True])
def test_a_run_killed_in_a_stage_does_it_again(whole, tmp_path, monkeypatch, fitted):
    with monkeypatch.context() as patch:
        patch.setattr("vaekit.stages.ExPostDensity", lambda: Breaking(fitted))
        with pytest.raises(Interrupted, match="in a stage that comes after it"):
            vaekit.train("rae", "digits", out=tmp_path / "run", **ARGUMENTS)
    assert Run(tmp_path / "run").state is RunState.UNFINISHED
    torch.manual_seed(5)
    run = vaekit.train("rae", out=tmp_path / "run", resume=True, progress=False)
    assert run.state is RunState.COMPLETE
    assert same(weights(run.directory), weights(whole.directory))
    assert run.metrics["stages"] == whole.metrics["stages"]


def test_a_run_killed_in_the_middle_of_a_long_fit_is_the_same(tmp_path, monkeypatch):
    arguments = {"codes": 8, "code_dim": 4, "channels": (4, 4), "blocks": 1, "epochs": 1, "prior_epochs": 1}
    arguments |= {"conditional": True, "nll_samples": 0, "progress": False, "compile": False}
    through = vaekit.train("vq-vae", "digits", out=tmp_path / "through", **arguments)
    assert through.metrics["stages"]["prior"]["held_out_nll"] < 4 * np.log(8)

    def half(share):
        if share > 0.5:
            raise KeyboardInterrupt

    fit = PixelCNNPrior.fit
    with monkeypatch.context() as patch:
        patch.setattr(PixelCNNPrior, "fit", lambda *given, **told: fit(*given, **{**told, "advance": half}))
        with pytest.raises(Interrupted, match="in a stage that comes after it"):
            vaekit.train("vq-vae", "digits", out=tmp_path / "run", **arguments)
    run = vaekit.train("vq-vae", out=tmp_path / "run", resume=True, progress=False)
    assert same(weights(run.directory), weights(through.directory))
    assert run.metrics["stages"] == through.metrics["stages"]
    labels = torch.tensor([3, 1, 4])
    assert torch.equal(
        vaekit.load(Run(run.directory)).sample(3, labels, seed=0), through.model.sample(3, labels, seed=0)
    )


def test_a_run_killed_in_training_or_in_the_evaluation_is_the_same(whole, tmp_path, monkeypatch, signal_at):
    with signal_at(15), pytest.raises(Interrupted):
        vaekit.train("rae", "digits", out=tmp_path / "run", **ARGUMENTS)

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("vaekit.evaluation.evaluate_model", killed)
        with pytest.raises(Interrupted):
            vaekit.train("rae", out=tmp_path / "run", resume=True, progress=False)
    assert Run(tmp_path / "run").state is RunState.TRAINED
    assert same(weights(tmp_path / "run"), weights(whole.directory))
    vaekit.train("rae", out=tmp_path / "run", resume=True, progress=False)
    assert same(weights(tmp_path / "run"), weights(whole.directory))


@dataclass(frozen=True)
class Noted:
    notes: list
    name: str

    def fit(self, model, data, transform, seed, device, advance):
        self.notes.append((self.name, model.training, seed, float(torch.rand(()))))
        advance(0.5)
        return {"seed": float(seed)}


def test_stages_run_in_order_on_an_evaluated_model_with_random_numbers_of_their_own(digits, make_plan):
    plan = make_plan()
    plan.model.train()
    notes, again = [], []
    for kept, noise in ((notes, 1), (again, 2)):
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        stages = (Noted(kept, "one"), Noted(kept, "two"))
        found = run_stages(stages, plan.model, digits, plan.transform, seed=3)
        assert found == {"one": {"seed": 3.0}, "two": {"seed": 3.0}}
        assert torch.equal(torch.get_rng_state(), state)
    assert [note[:3] for note in notes] == [("one", False, 3), ("two", False, 3)]
    assert notes == again


def test_a_plan_made_in_python_has_stages_too(digits, make_plan, tmp_path):
    notes = []
    plan = make_plan(epochs=1, stages=(Noted(notes, "one"),))
    vaekit.train(plan, digits, out=tmp_path / "run", nll_samples=0, progress=False, seed=4)
    assert [note[:3] for note in notes] == [("one", False, 4)]
    assert "stages" not in Run(tmp_path / "run").config["arguments"]


def test_a_draw_of_each_posterior_is_what_is_fitted(digits, make_plan):
    from vaekit.distributions import FullMixturePrior

    plan = make_plan()
    plan.model.prior = FullMixturePrior(3, 1)
    run_stages((ExPostDensity(),), plan.model, digits, plan.transform)
    with torch.no_grad(), seeded(0):
        q = plan.model.encode(plan.transform(torch.from_numpy(digits.train.x)))
    # The variance of the aggregate posterior is that of the means and the mean of the variances.
    expected = q.mean.var(0) + q.variance.mean(0)
    torch.testing.assert_close(plan.model.latent().variance, expected, rtol=0.2, atol=0.0)


def test_the_numbers_are_those_of_the_codes_and_stay_with_the_run(whole):
    found = whole.metrics["stages"]["density"]
    data, model = load_dataset("digits"), whole.model
    for name, split in (("nll", data.train), ("held_out_nll", data.validation)):
        drawn = [model.encode(block).mean.detach() for block, _ in pairs(split.x, whole.plan.transform, seed=0)]
        expected = -model.latent().log_prob(torch.cat(drawn)).mean()
        assert found[name] == pytest.approx(float(expected), rel=1e-4)


def test_what_is_printed_says_how_it_went(whole, digits, make_plan, capsys, monkeypatch):
    print_metrics(whole.metrics)
    assert "density: NLL " in capsys.readouterr().out
    plan = make_plan()
    monkeypatch.setattr("vaekit.stages.LINE_SECONDS", 0.0)
    run_stages((Noted([], "one"),), plan.model, digits, plan.transform, seed=3, progress=True)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", ["one  50%", "one  seed 3.00"])
    run_stages((Noted([], "one"),), plan.model, digits, plan.transform, seed=3)
    assert capsys.readouterr() == ("", "")


def test_a_conditional_prior_gets_the_contexts_as_the_parts_do(digits, make_plan):
    class Told(StandardNormal):
        def fit(self, codes, seed, *, context, held_out, advance):
            told.extend([(codes, context), held_out])
            return {}

    told = []
    model = VAE(lambda x, c: DiagonalGaussian(3)(torch.zeros(len(x), 6)), None, Told(3), context=OneHot(10))
    run_stages((ExPostDensity(),), model, digits, make_plan().transform)
    for (codes, context), split in zip(told, (digits.train, digits.validation), strict=True):
        assert codes.shape == (len(split), 3)
        assert torch.equal(context, torch.nn.functional.one_hot(torch.from_numpy(split.labels), 10).float())


def test_a_prior_that_cannot_be_fitted_is_refused(digits, make_plan):
    plan = make_plan()
    with pytest.raises(RequestError, match="prior is a StandardNormal, which cannot be fitted to codes"):
        run_stages((ExPostDensity(),), plan.model, digits, plan.transform)


def test_most_recipes_have_none():
    data = DataSpec.of(load_dataset("digits"))
    assert get("vae")(data).stages == get("autoencoder")(data, density="none").stages == ()
    assert get("autoencoder")(data).stages == (ExPostDensity(),)
