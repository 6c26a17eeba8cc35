import math

import pytest
import torch
from scipy import stats
from torch.distributions import (
    Distribution,
    Independent,
    Kumaraswamy,
    MultivariateNormal,
    Normal,
    RelaxedOneHotCategorical,
    Uniform,
    constraints,
)

from vaekit.distributions import (
    DiagonalGaussian,
    Dirichlet,
    FullGaussian,
    GumbelSoftmax,
    Posterior,
    StudentT,
    kl_divergence,
    posterior,
    prior_for,
)
from vaekit.distributions.edges import KumaraswamyDistribution, RelaxedCategories
from vaekit.distributions.families import POSTERIORS
from vaekit.distributions.location_scale import LogisticDistribution, StudentTDistribution
from vaekit.errors import RequestError

OPTIONS = {"gumbel-softmax": {"categories": 2}}
CLOSED = [name for name in POSTERIORS if name != "gumbel-softmax"]
SIMPLEX = ["dirichlet", "gumbel-softmax"]
names = pytest.mark.parametrize("name", POSTERIORS)


def pair(name, latent_dim=4):
    options = OPTIONS.get(name, {})
    return posterior(name, latent_dim, **options), prior_for(name, latent_dim, **options)


def some(head, n=5, size=1.0, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return size * torch.randn(n, *head.parameter_shape, generator=draw, dtype=dtype)


@names
def test_a_head_gives_one_distribution_for_each_row(name):
    head, prior = pair(name)
    q, p = head(some(head)), prior.double()()
    assert isinstance(head, POSTERIORS[name])
    assert (q.batch_shape, q.event_shape, p.batch_shape, p.event_shape) == ((5,), (4,), (), (4,))
    z = q.rsample((3,))
    assert z.shape == (3, 5, 4)
    assert q.log_prob(z).shape == p.log_prob(z).shape == (3, 5)
    assert q.mean.shape == (5, 4)
    assert z.dtype == q.log_prob(z).dtype == p.log_prob(z).dtype == torch.float64
    assert prior.state_dict() == {}


@names
def test_posterior_and_prior_live_in_the_same_space(name):
    head, prior = pair(name)
    torch.manual_seed(0)
    q, p = head(some(head, dtype=torch.float32)), prior()
    z = q.sample((200,))
    assert q.support.check(z).all()
    assert p.support.check(z).all()
    assert p.log_prob(z).isfinite().all()
    z = p.sample((200, 1))
    assert q.support.check(z.expand(200, 5, 4)).all()
    assert q.log_prob(z).isfinite().all()
    assert torch.equal(p.support.check(-z), q.support.check(-z.expand(200, 5, 4))[:, :1])


@names
def test_a_row_depends_on_no_other(name):
    head, _ = pair(name)
    parameters = some(head)
    whole = head(parameters)
    torch.manual_seed(0)
    z = whole.sample((2,))
    for i in range(5):
        single = head(parameters[i : i + 1])
        torch.testing.assert_close(single.log_prob(z[:, i : i + 1]), whole.log_prob(z)[:, i : i + 1])
        torch.testing.assert_close(single.mean, whole.mean[i : i + 1])


@names
def test_draws_have_the_moments_that_are_claimed(name):
    head, _ = pair(name)
    q = head(some(head, n=3))
    torch.manual_seed(0)
    z = q.sample((40_000,))
    if name == "gumbel-softmax":  # whose mean is the probability that an entry is the largest
        z = torch.eye(2, dtype=z.dtype)[z.unflatten(-1, (2, 2)).argmax(-1)].flatten(-2)
    error = z.std(0) / math.sqrt(len(z))
    assert ((z.mean(0) - q.mean).abs() < 5 * error).all()
    if name != "gumbel-softmax":
        square = (z - q.mean).square()
        error = square.std(0) / math.sqrt(len(z))
        assert ((square.mean(0) - q.variance).abs() < 5 * error).all()
        torch.testing.assert_close(q.stddev.square(), q.variance)


def grid(name, latent_dim):
    """Points that cover the support, and the log of the volume that each stands for."""
    line = torch.arange(-36, 36, 0.002 if latent_dim == 1 else 0.15, dtype=torch.float64)
    t = torch.cartesian_prod(*[line] * latent_dim).reshape(-1, latent_dim)
    log = latent_dim * math.log(line[1] - line[0])
    if name in SIMPLEX:  # softmax of t and 0; the volume is that of all entries but one
        z = torch.cat([t, torch.zeros(len(t), 1, dtype=t.dtype)], 1).log_softmax(1)
        return z.exp(), log + z.sum(1)
    if name in ("gamma", "log-normal"):
        return t.exp(), log + t.sum(1)
    if name == "kumaraswamy":
        return t.sigmoid(), log + (t.sigmoid() * (-t).sigmoid()).log().sum(1)
    return t, torch.full((len(t),), log, dtype=t.dtype)


@names
@pytest.mark.parametrize("seed", range(3))
def test_the_density_integrates_to_one_and_to_the_mean(name, seed):
    size = 2 if name in (*SIMPLEX, "full-gaussian") else 1
    head = posterior(name, size)
    parameters = some(head, n=1, seed=seed)
    if name == "full-gaussian":
        parameters[:, 2:4] += 0.5  # wide enough for the grid
    q = head(parameters)
    z, volume = grid(name, 1 if name in SIMPLEX else size)
    mass = (q.log_prob(z) + volume).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-5)
    if name != "gumbel-softmax":
        torch.testing.assert_close((mass[:, None] * z).sum(0), q.mean[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SIMPLEX)
def test_the_density_on_a_triangle_integrates_to_one(name):
    head = posterior(name, 3)
    z, volume = grid(name, 2)
    parameters = some(head, n=1) + 1  # without a corner so sharp that the grid's ends cut it off
    assert (head(parameters).log_prob(z) + volume).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_monte_carlo_converges_to_the_closed_form(name):
    head, prior = pair(name, 3)
    q, p = head(some(head, n=4)), prior.double()()
    torch.manual_seed(0)
    z = q.sample((50_000,))
    values = q.log_prob(z) - p.log_prob(z)
    error = values.std(0) / math.sqrt(len(z))
    closed = kl_divergence(q, p)
    assert closed.shape == (4,)
    assert (error < 0.05).all()
    assert ((values.mean(0) - closed).abs() < 5 * error).all()


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_divergence_is_negative(name, dtype):
    head, prior = pair(name, 1 if name != "dirichlet" else 2)
    q = head(some(head, n=5000, size=3.0, dtype=dtype))
    assert (kl_divergence(q, prior.to(dtype)()) > -1e-5).all()


def test_divergences_that_are_known():
    one = torch.ones(2, dtype=torch.float64)
    cube = Uniform(0 * one, one)
    torch.testing.assert_close(kl_divergence(KumaraswamyDistribution(one, one), cube), 0 * one)
    # 2 z on (0, 1): the integral of 2 z log 2 z is log 2 - 1 / 2.
    torch.testing.assert_close(kl_divergence(KumaraswamyDistribution(2 * one, one), cube), one * (math.log(2) - 0.5))
    torch.testing.assert_close(
        kl_divergence(KumaraswamyDistribution(one, one), Uniform(-one, 3 * one)), one * math.log(4)
    )
    assert (kl_divergence(KumaraswamyDistribution(one, one), Uniform(0 * one, one / 2)) == math.inf).all()
    # With many degrees of freedom Student's t is the normal.
    q, same, p = StudentTDistribution(1e7, one, 2 * one), Normal(one, 2 * one), Normal(0 * one, 3 * one)
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(same, p), rtol=1e-5, atol=1e-5)


def test_a_relaxed_choice_has_no_divergence_in_closed_form():
    head, prior = pair("gumbel-softmax")
    with pytest.raises(NotImplementedError):
        kl_divergence(head(some(head)), prior())


@pytest.mark.parametrize(
    ("name", "size"),
    # Not the Gaussian at 50: its scale is an exponential.
    [(name, size) for name in POSTERIORS for size in (20.0, 50.0) if (name, size) != ("gaussian", 50.0)],
)
def test_extreme_outputs_give_finite_numbers_and_gradients(name, size):
    head, prior = pair(name, 6)
    draw = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (300, *head.parameter_shape), generator=draw) * 2.0 - 1
    signs[0], signs[1] = 1, -1
    parameters = (size * signs).requires_grad_()
    torch.manual_seed(0)
    q, p = head(parameters), prior()
    both = getattr(q, "rsample_and_log_prob", None)
    if both is None:
        z = q.rsample((20,))
        log_q = q.log_prob(z)
    else:
        z, log_q = both((20,))
    rate = log_q - p.log_prob(z)
    terms = [rate, q.mean.log() if name == "log-normal" else q.mean]
    if name in CLOSED:
        terms.append(kl_divergence(q, p))
    for term in terms:
        assert term.isfinite().all()
        (gradient,) = torch.autograd.grad(term.mean(), parameters, retain_graph=True)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", [name for name in POSTERIORS if name != "gaussian"])
def test_half_precision_is_read_in_single(name):
    head, prior = pair(name)
    q = head(some(head, dtype=torch.bfloat16))
    assert q.sample().dtype == q.log_prob(q.sample()).dtype == torch.float32
    assert (q.log_prob(q.sample()) - prior().log_prob(q.sample())).isfinite().all()


def test_densities_are_those_of_scipy_and_of_torch():
    z = torch.linspace(-30, 30, 13, dtype=torch.float64)
    mine = LogisticDistribution(torch.tensor(1.0).double(), torch.tensor(0.5).double()).log_prob(z)
    torch.testing.assert_close(mine, torch.from_numpy(stats.logistic(1.0, 0.5).logpdf(z.numpy())))
    mine = StudentTDistribution(5.0, torch.tensor(1.0).double(), torch.tensor(0.5).double()).log_prob(z)
    torch.testing.assert_close(mine, torch.from_numpy(stats.t(5.0, 1.0, 0.5).logpdf(z.numpy())))
    unit = torch.linspace(0.05, 0.95, 13, dtype=torch.float64)
    a, b = torch.tensor(2.5).double(), torch.tensor(0.7).double()
    torch.testing.assert_close(KumaraswamyDistribution(a, b).log_prob(unit), Kumaraswamy(a, b).log_prob(unit))
    logits, temperature = torch.randn(3, 2, 4).double(), torch.tensor(0.7).double()
    theirs = Independent(RelaxedOneHotCategorical(temperature, logits=logits), 1)
    z = theirs.sample((5,))
    torch.testing.assert_close(RelaxedCategories(logits, temperature).log_prob(z.flatten(-2)), theirs.log_prob(z))


def test_single_precision_at_the_edge_agrees_with_double():
    # A rounding away from 1, and near 0, where powers of z are lost.
    z = torch.tensor([1 - 2**-24, 1e-30], dtype=torch.float32)
    for a, b in ((0.5, 0.5), (20.0, 0.5), (3.0, 20.0)):
        single = KumaraswamyDistribution(torch.tensor(a), torch.tensor(b)).log_prob(z)
        x = z.double()
        exact = math.log(a * b) + (a - 1) * x.log() + (b - 1) * torch.log(-torch.expm1(a * x.log()))
        torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-4)


def test_full_gaussian_reads_a_factor_relative_to_its_scales():
    head = FullGaussian(3)
    assert head.parameter_shape == (9,)
    parameters = some(head)
    q = head(parameters)
    scale = 1e-4 + torch.nn.functional.softplus(parameters[:, 3:6])
    a, b, c = parameters[:, 6:].T
    zero, one = torch.zeros(5).double(), torch.ones(5).double()
    unit = torch.stack([one, zero, zero, a, one, zero, b, c, one], 1).view(5, 3, 3)
    factor = torch.diag_embed(scale) @ unit
    torch.testing.assert_close(q.covariance_matrix, factor @ factor.mT)
    torch.testing.assert_close(q.mean, parameters[:, :3])
    z, log_q = q.rsample_and_log_prob((4,))
    torch.testing.assert_close(log_q, q.log_prob(z))
    reference = MultivariateNormal(q.mean, factor @ factor.mT)
    torch.testing.assert_close(log_q, reference.log_prob(z))
    p = Independent(Normal(torch.randn(3).double(), torch.rand(3).double() + 0.5), 1)
    full = MultivariateNormal(p.mean, torch.diag(p.variance))
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(reference, full))


def test_joint_draws_of_the_full_gaussian_have_its_covariance():
    head = FullGaussian(3)
    q = head(some(head, n=1))
    torch.manual_seed(0)
    z, _ = q.rsample_and_log_prob((100_000,))
    gap = (z[:, 0] - q.mean)[:, :, None] * (z[:, 0] - q.mean)[:, None] - q.covariance_matrix
    assert (gap.mean(0).abs() < 5 * gap.std(0) / math.sqrt(len(z))).all()


def test_groups_of_categories_are_chosen_independently():
    head = GumbelSoftmax(6, categories=3)
    logits = some(head, n=2)
    q = head(logits)
    torch.testing.assert_close(q.mean.view(2, 2, 3), logits.view(2, 2, 3).softmax(-1))
    torch.testing.assert_close(q.sample((7,)).view(7, 2, 2, 3).sum(-1), torch.ones(7, 2, 2).double())
    groups = [GumbelSoftmax(3)(part) for part in logits.split(3, 1)]
    z = q.sample((7,))
    apart = sum(group.log_prob(part) for group, part in zip(groups, z.split(3, -1), strict=True))
    torch.testing.assert_close(q.log_prob(z), apart)
    assert not q.support.check(z.flip(-1) * 2).any()


def test_the_colder_the_nearer_to_one_hot():
    largest = []
    for temperature in (2.0, 0.5, 0.05):
        torch.manual_seed(0)
        q = GumbelSoftmax(4, temperature=temperature)(torch.zeros(1, 4))
        largest.append(q.sample((1000,)).amax(-1).mean())
    assert largest[0] < largest[1] < largest[2]
    assert largest[2] > 0.95


def test_names_and_options():
    for name, head in POSTERIORS.items():
        assert type(posterior(name, 2)) is head
        assert issubclass(head, Posterior)
        assert isinstance(prior_for(name, 2)(), Distribution)
    assert posterior("student-t", 2, df=3.0).df == 3.0
    p = prior_for("gumbel-softmax", 6, categories=3, temperature=0.3)()
    assert (p.groups, p.categories, round(float(p.temperature), 6)) == (2, 3, 0.3)
    assert constraints.real.check(DiagonalGaussian(1)(torch.zeros(1, 2)).sample()).all()


def test_wrong_names_and_options_are_refused():
    with pytest.raises(RequestError, match=r"unknown posterior 'laplac'; expected one of .*Did you mean 'laplace'"):
        posterior("laplac", 2)
    with pytest.raises(RequestError, match="unknown posterior"):
        prior_for("cauchy", 2)
    with pytest.raises(RequestError, match=r"'gumbel-softmax' has no option 'temprature'.*Did you mean 'temperature'"):
        posterior("gumbel-softmax", 2, temprature=0.5)
    with pytest.raises(RequestError, match=r"'gaussian' has no option 'df'; expected none"):
        prior_for("gaussian", 2, df=5)
    with pytest.raises(RequestError, match="there is no variance"):
        StudentT(2, df=2.0)
    with pytest.raises(RequestError, match="a simplex of one entry is a point"):
        Dirichlet(1)
    for options in ({"categories": 3}, {"categories": 1}):
        with pytest.raises(RequestError, match="expected at least 2 categories"):
            GumbelSoftmax(4, **options)
    with pytest.raises(RequestError, match="temperature is 0"):
        GumbelSoftmax(4, temperature=0)


@names
@pytest.mark.parametrize("latent_dim", [0, -3])
def test_a_latent_space_has_a_dimension(name, latent_dim):
    with pytest.raises(RequestError, match=rf"latent_dim is {latent_dim}; a latent space has at least 1 dimension"):
        posterior(name, latent_dim)
