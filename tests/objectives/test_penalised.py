r"""Penalties on the codes of a batch: InfoVAE, beta-TCVAE, FactorVAE and DIP."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, TransformedDistribution

from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, Point, StandardNormal
from vaekit.distributions.discrepancy import maximum_mean_discrepancy
from vaekit.errors import RequestError
from vaekit.models import VAE
from vaekit.objectives import DIP, ELBO, FactorVAE, Inference, InfoVAE, TotalCorrelation
from vaekit.schedules import Linear

SIZE = 40


def build(objective=None, posterior=DiagonalGaussian):
    torch.manual_seed(0)
    head = posterior(3)
    return VAE(
        Conditional(nn.Linear(5, *head.parameter_shape), head),
        Conditional(nn.Linear(3, 5), Gaussian((5,), variance=0.5)),
        StandardNormal(3),
        objective,
    ).double()


X = torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

OBJECTIVES = {
    "info": (lambda **more: InfoVAE(0.3, 5.0, **more), {"mmd": 0.3 + 5 - 1}),
    "info, rbf": (lambda **more: InfoVAE(1.0, 5.0, "rbf", **more), {"mmd": 5.0}),
    "correlation": (lambda **more: TotalCorrelation(6.0, SIZE, **more), {"total_correlation": 5.0}),
    "correlation, all": (
        lambda **more: TotalCorrelation(6.0, SIZE, "weighted", alpha=0.5, gamma=2.0, **more),
        {"mutual_information": -0.5, "total_correlation": 5.0, "dimension_kl": 1.0},
    ),
    "factor": (lambda **more: FactorVAE(7.0, 3, (8, 8), **more), {"total_correlation": 7.0}),
    "dip i": (lambda **more: DIP("i", 2.0, 20.0, **more), {"dip_off_diagonal": 2.0, "dip_diagonal": 20.0}),
    "dip ii": (lambda **more: DIP("ii", 2.0, 3.0, **more), {"dip_off_diagonal": 2.0, "dip_diagonal": 3.0}),
}
every = pytest.mark.parametrize("name", OBJECTIVES)


def evaluate(model, x=X, seed=3):
    torch.manual_seed(seed)
    return model(x)


@every
@pytest.mark.parametrize("samples", [1, 3])
def test_the_loss_is_the_weighted_sum_of_unweighted_terms(name, samples):
    make, weights = OBJECTIVES[name]
    result = evaluate(build(make(samples=samples)))
    terms = result.terms
    plain = evaluate(build(ELBO(samples=samples))).terms
    for term in ("elbo", "rate", "distortion"):  # the same draws, and no weight has touched them
        torch.testing.assert_close(terms[term], plain[term])
    assert all(term.shape == (len(X),) and term.isfinite().all() for term in terms.values())
    rate = 0.7 if name == "info" else 0.0 if name == "info, rbf" else 1.0
    expected = plain["distortion"].mean() + rate * plain["rate"].mean()
    expected = expected + sum(weight * terms[term].mean() for term, weight in weights.items())
    torch.testing.assert_close(result.loss, expected)
    assert all(terms[term].abs().max() > 1e-4 for term in weights)


@every
def test_every_parameter_of_the_model_learns_and_no_rival_does(name):
    model = build(OBJECTIVES[name][0]())
    evaluate(model).loss.backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert idle == {n for n, _ in model.named_parameters() if n.startswith("objective.")}
    assert [id(p) for p in model.phases()["bound"]] == [
        id(p) for n, p in model.named_parameters() if not n.startswith("objective.")
    ]


@every
def test_a_batch_of_one_and_a_pass_without_gradients(name):
    model = build(OBJECTIVES[name][0](samples=2))
    with torch.no_grad():
        result = evaluate(model, X[:1])
    assert result.loss.isfinite()
    assert all(term.shape == (1,) and term.isfinite().all() for term in result.terms.values())


@every
def test_a_model_that_hides_its_draws_is_refused(name):
    class Weighs:
        def infer(self, x, context=None, samples=1, *, analytic=False):
            return Inference(x.expand(samples, -1), x.expand(samples, -1))

    with pytest.raises(RequestError, match="Weighs does not show its draws of z, which this objective looks at"):
        OBJECTIVES[name][0]()(Weighs(), torch.zeros(3))


@pytest.mark.parametrize(
    ("objective", "weights"),
    [
        (InfoVAE(0.0, Linear(10, start=1.0, end=11.0)), {"beta": 1.0, "lambda_": 6.0}),
        (TotalCorrelation(Linear(10, end=6.0), SIZE, gamma=Linear(5)), {"beta": 3.0, "alpha": 1.0, "gamma": 1.0}),
        (FactorVAE(Linear(10, end=8.0), 3, (4,), beta=Linear(10)), {"beta": 0.5, "gamma": 4.0}),
        (DIP("i", Linear(10), Linear(10, end=10.0)), {"beta": 1.0, "lambda_od": 0.5, "lambda_d": 5.0}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_penalties_are_annealed_in(objective, weights):
    # What a weight of zero leaves is the plain bound, or with the total correlation free, the rest of it.
    assert objective.settled == 10
    model = build(objective)
    start = evaluate(model)
    objective.advance(5.0)
    assert objective.weights() == weights
    later = evaluate(model)
    for name, term in start.terms.items():
        torch.testing.assert_close(later.terms[name], term)
    assert not torch.allclose(later.loss, start.loss)
    objective.advance(50.0)
    assert objective.weights() != weights
    assert not {"beta", "gamma", "lambda_"} & set(objective.state_dict())


@pytest.mark.parametrize(
    "objective",
    [
        InfoVAE(0.0, 1.0),
        TotalCorrelation(1.0, SIZE),
        FactorVAE(0.0, 3, (4,)),
        DIP("i", 0.0, 0.0),
        DIP("ii", 0.0, 0.0),
    ],
    ids=lambda o: type(o).__name__,
)
def test_without_its_weight_a_penalty_leaves_the_plain_bound(objective):
    torch.testing.assert_close(evaluate(build(objective)).loss, evaluate(build(ELBO())).loss, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["i", "ii"])
def test_moments_do_not_change_when_every_example_is_listed_twice(kind):
    model = build(DIP(kind, 2.0, 3.0))
    once, twice = evaluate(model), evaluate(model, torch.cat([X, X]))
    for name in ("dip_off_diagonal", "dip_diagonal"):
        torch.testing.assert_close(once.terms[name], twice.terms[name][: len(X)])


# InfoVAE


def test_the_discrepancy_is_that_of_the_draws_and_the_prior():
    model = build(InfoVAE(0.0, 5.0, "rbf", (0.5, 2.0), samples=2))
    found = evaluate(model).terms["mmd"]
    torch.manual_seed(3)
    z = model.latents(X, samples=2, analytic=True).z
    prior = model.prior().sample((2, len(X)))
    pairs = [maximum_mean_discrepancy(z[k], prior[k], "rbf", (0.5, 2.0)) for k in range(2)]
    torch.testing.assert_close(found, torch.stack(pairs).mean().expand(len(X)))


class Told(nn.Module):
    """A prior that depends on the context, one for each example."""

    def forward(self, context=None):
        return Independent(Normal(context, torch.ones_like(context)), 1)


def test_with_contexts_the_prior_is_drawn_for_each():
    model = build(InfoVAE(0.0, 5.0))
    model.prior = Told()
    model.encoder = nn.Identity()
    model.encoder.forward = lambda x, context: Independent(Normal(context, torch.ones_like(context)), 1)
    model.decoder.forward = lambda z, context: Independent(Normal(z.repeat(1, 2)[:, :5], torch.ones(5).double()), 1)
    torch.manual_seed(0)
    context = 5 * torch.randn(500, 3).double()
    near = model(torch.zeros(500, 5).double(), context).terms["mmd"][0]
    model.prior.forward = lambda context: Independent(Normal(0 * context, torch.ones_like(context)), 1)
    far = model(torch.zeros(500, 5).double(), context).terms["mmd"][0]
    assert abs(near) < 0.02 < 0.5 < far


def test_a_point_posterior_makes_a_wasserstein_autoencoder():
    model = build(InfoVAE(alpha=1.0, lambda_=10.0), Point)
    result = evaluate(model)
    assert not result.terms["rate"].any()
    result.loss.backward()
    assert model.encoder.network.weight.grad.any()


@pytest.mark.slow
def test_it_shapes_the_codes_of_an_autoencoder_like_the_prior():
    for objective, like in ((InfoVAE(1.0, 200.0), True), (ELBO(), False)):
        model = build(objective, Point)
        x = torch.randn(200, 3).double() @ torch.randn(3, 5).double() + 2
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(200):
            optimizer.zero_grad()
            model(x).loss.backward()
            optimizer.step()
        z = model.encode(x).mean.detach()
        assert (maximum_mean_discrepancy(z, torch.randn(1000, 3).double()) < 0.05).item() == like


# Total correlation


def test_the_parts_sum_to_the_sampled_rate():
    model = build(TotalCorrelation(2.0, SIZE, samples=3))
    terms = evaluate(model).terms
    sampled = evaluate(build(ELBO(samples=3, estimator="monte-carlo"))).terms["rate"]
    total = terms["mutual_information"] + terms["total_correlation"] + terms["dimension_kl"]
    torch.testing.assert_close(total, sampled)


def test_of_the_whole_set_the_estimates_do_not_change_when_every_example_is_listed_twice():
    class Fixed(nn.Module):
        """A posterior whose draws are known, the same for the same example."""

        def forward(self, x, context=None):
            q = Independent(Normal(x[:, :3], x[:, 3:4].exp().expand(-1, 3)), 1)
            q.rsample = lambda shape: (x[:, :3] + 0.5 * x[:, 3:4].exp()).expand(*shape, -1, -1)
            return q

    found = []
    for x in (X, torch.cat([X, X])):
        model = build(TotalCorrelation(4.0, len(x)))
        model.encoder = Fixed()
        found.append(model(x))
    torch.testing.assert_close(found[0].loss, found[1].loss)
    for name, term in found[0].terms.items():
        torch.testing.assert_close(torch.cat([term, term]), found[1].terms[name])


# FactorVAE


class Fed(nn.Module):
    """An encoder of given codes, with no noise to speak of."""

    def forward(self, x, context=None):
        return Independent(Normal(x, torch.full_like(x, 1e-9)), 1)


def test_the_discriminator_gets_its_gradient_in_its_own_phase_and_the_model_none():
    model = build(FactorVAE(5.0, 3, (8, 8)))
    assert list(model.phases()) == ["bound", "discriminator"]
    assert model.phases()["discriminator"] == list(model.objective.discriminator.parameters())
    result = model(X, phase="discriminator")
    result.loss.backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None and bool(p.grad.any())) == name.startswith("objective.discriminator"), name
    assert set(result.terms) == {"discriminator", "discriminator_accuracy"}
    assert all(term.shape == (len(X),) for term in result.terms.values())
    torch.testing.assert_close(result.loss, result.terms["discriminator"].mean())


def test_each_unit_is_shuffled_across_the_batch_by_a_permutation_of_its_own():
    model = build(FactorVAE(5.0, 3, (4,)))
    seen = []
    model.objective.discriminator = nn.Module()
    model.objective.discriminator.forward = lambda z: (seen.append(z), z[:, :1])[1]
    model.encoder = Fed()
    x = torch.arange(600.0, dtype=torch.float64).view(200, 3)
    for _ in range(2):
        model(x, phase="discriminator")
    (codes, shuffled), (_, again) = (z.round().split(200) for z in seen)
    torch.testing.assert_close(codes, x)
    torch.testing.assert_close(shuffled.sort(0).values, x)  # every unit has its own values, once each
    rows = (shuffled / 3).floor()
    assert all((rows[:, a] == rows[:, b]).double().mean() < 0.05 for a, b in ((0, 1), (1, 2), (0, 2)))
    assert all((rows[:, a] == torch.arange(200)).double().mean() < 0.05 for a in range(3))
    assert not torch.equal(shuffled, again)


def test_the_cross_entropy_by_hand():
    model = build(FactorVAE(5.0, 3, (4,)))
    model.encoder = Fed()
    model.objective.discriminator = nn.Module()
    model.objective.discriminator.forward = lambda z: torch.cat(
        [z.new_tensor([[2.0], [-1.0]]), z.new_tensor([[3.0], [-4.0]])]
    )
    terms = model(X[:2, :3], phase="discriminator").terms
    said = [1 / (1 + math.exp(-logit)) for logit in (2.0, -1.0, 3.0, -4.0)]
    expected = [-(math.log(said[i]) + math.log(1 - said[i + 2])) / 2 for i in range(2)]
    assert terms["discriminator"].tolist() == pytest.approx(expected)
    assert terms["discriminator_accuracy"].tolist() == [0.5, 0.5]


def test_the_discriminator_finds_the_total_correlation_of_a_correlated_gaussian():
    torch.manual_seed(0)
    correlation = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    objective = FactorVAE(1.0, 2, (64, 64))
    model = VAE(Fed(), Conditional(nn.Linear(2, 2), Gaussian((2,))), StandardNormal(2), objective)
    codes = MultivariateNormal(torch.zeros(2), correlation)
    optimizer = torch.optim.Adam(model.phases()["discriminator"], 3e-3)
    for _ in range(250):
        optimizer.zero_grad()
        result = model(codes.sample((500,)), phase="discriminator")
        result.loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = objective(model, codes.sample((5000,))).terms["total_correlation"].mean().item()
    assert found == pytest.approx(-torch.logdet(correlation).item() / 2, abs=0.1)
    assert 0.6 < result.terms["discriminator_accuracy"].mean() < 0.8


# DIP


def test_moments_by_hand():
    mean = torch.tensor([[1.0, 0.0], [-1.0, 2.0]], dtype=torch.float64)  # covariance [[1, -1], [-1, 1]]
    scale = torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64)  # mean variances 5, 2
    q = Independent(Normal(mean, scale, validate_args=False), 1, validate_args=False)
    for kind, off, on in (("i", 2.0, 0.0), ("ii", 2.0, 25.0 + 4.0)):
        penalties = DIP(kind, 10.0, 7.0).penalties(mean, q, q)
        assert {name: (float(w), v.item()) for name, (w, v) in penalties.items()} == {
            "dip_off_diagonal": (10.0, off),
            "dip_diagonal": (7.0, on),
        }


def test_moments_of_a_full_covariance():
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
    q = MultivariateNormal(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]).double(), covariance.expand(2, 2, 2))
    penalties = DIP("ii").penalties(q.mean, q, q)
    assert penalties["dip_off_diagonal"][1].item() == pytest.approx(2 * 0.5**2)
    assert penalties["dip_diagonal"][1].item() == pytest.approx(2.0**2)


def test_moments_that_are_not_known_are_refused():
    base = Independent(Normal(torch.zeros(4, 2), torch.ones(4, 2)), 1)
    flow = TransformedDistribution(base, [torch.distributions.TanhTransform()])
    with pytest.raises(RequestError, match="mean and variance of a posterior of type TransformedDistribution"):
        DIP("ii").penalties(torch.zeros(1, 4, 2), flow, flow)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InfoVAE(alpha=1.5), "alpha is 1.5; expected at most 1"),
        (lambda: InfoVAE(alpha=math.nan), "alpha is nan"),
        (lambda: InfoVAE(alpha=0.0, lambda_=0.5), "lambda_ is 0.5; expected a finite weight of at least 1"),
        (
            lambda: InfoVAE(alpha=-1.0, lambda_=Linear(5, end=9.0)),
            "lambda_ is 0.0; expected a finite weight of at least 2",
        ),
        (lambda: InfoVAE(kernel="cubic"), "unknown kernel 'cubic'"),
        (lambda: InfoVAE(scales=(0.0,)), "scales are (0.0,)"),
        (lambda: TotalCorrelation(-1.0, 10), "beta is -1.0"),
        (lambda: TotalCorrelation(6.0, 10, alpha=-1.0), "alpha is -1.0"),
        (lambda: TotalCorrelation(6.0, 10, gamma=Linear(3, end=-1.0)), "gamma is -1.0"),
        (lambda: TotalCorrelation(6.0, 1), "dataset_size is 1; expected the number of training examples"),
        (lambda: TotalCorrelation(6.0, 10, "mini"), "unknown estimator 'mini'; expected 'stratified' or 'weighted'"),
        (lambda: TotalCorrelation(6.0, 10, samples=0), "samples is 0"),
        (lambda: FactorVAE(-1.0, 3), "gamma is -1.0"),
        (lambda: FactorVAE(35.0, 0), "layer widths are [0,"),
        (lambda: DIP("iii"), "unknown kind 'iii'; expected 'i' or 'ii'"),
        (lambda: DIP("i", -1.0), "lambda_od is -1.0"),
        (lambda: DIP("i", 1.0, math.inf), "lambda_d is inf"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(RequestError) as caught:
        make()
    assert str(caught.value).startswith(message)
