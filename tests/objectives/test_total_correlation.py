import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from vaekit.distributions.total_correlation import aggregate_log_prob, total_correlation
from vaekit.errors import RequestError
from vaekit.evaluation.aggregate import AggregatePosterior


def codes(correlation, n, scale=0.3, units=2, seed=0):
    """Posteriors whose aggregate is, for many of them, a Gaussian of unit variances and equal correlations."""
    torch.manual_seed(seed)
    full = torch.full((units, units), correlation, dtype=torch.float64).fill_diagonal_(1.0)
    means = MultivariateNormal(torch.zeros(units).double(), full - scale**2 * torch.eye(units)).sample((n,))
    return means, torch.full_like(means, scale), full


def posterior(mean, scale):
    return Independent(Normal(mean, scale), 1)


def brute_force(q, z):
    mixture = AggregatePosterior([q])
    return mixture.log_prob(z), mixture.marginal_log_prob(z)


def with_weights(q, z, weights):
    """Estimates from any matrix of weights, a row for each draw."""
    units = q.base_dist.log_prob(z[:, None])
    log_weights = weights.log()
    joint = (units.sum(-1) + log_weights).logsumexp(1)
    return joint, (units + log_weights[..., None]).logsumexp(1)


def published_weights(n, size, last):
    """Chen et al., appendix C: z's own example, M - 1 of the others with 1 / M, and one with what is left."""
    m = n - 1
    weights = torch.full((n, n), 1 / m, dtype=torch.float64)
    for i in range(n):
        weights[i, i] = 1 / size
        weights[i, (i + 1 + last) % n] = (size - m) / (size * m)
    return weights


def column_weights(n, size):
    """The same written to columns, by a stride of the batch and not of one more, as in code that is often copied."""
    m = n - 1
    weights = torch.full((n, n), 1 / m, dtype=torch.float64)
    weights[:, 0], weights[:, 1] = 1 / size, (size - m) / (size * m)
    return weights


def test_a_batch_of_the_whole_set_gives_the_mixture_exactly():
    mean, scale, _ = codes(0.5, 60, units=3)
    q = posterior(mean, scale * torch.rand(60, 3))
    z = q.sample()
    joint, units = aggregate_log_prob(q, z, 60)
    expected = brute_force(q, z)
    torch.testing.assert_close(joint, expected[0])
    torch.testing.assert_close(units, expected[1], rtol=1e-4, atol=1e-4)  # the reference has these in single precision


def test_the_mean_over_all_batches_is_the_mixture():
    # Five examples, batches of three: every batch that has the first, whose draw it is.
    mean, scale, _ = codes(0.5, 5)
    z = posterior(mean, scale).sample()[:1]
    found = []
    for a in range(1, 5):
        for b in range(a + 1, 5):
            rows = [0, a, b]
            q = posterior(mean[rows], scale[rows])
            joint, units = aggregate_log_prob(q, torch.cat([z, mean[rows[1:]]]), 5)
            found.append(torch.cat([joint[:1], units[0]]).exp())
    whole = torch.cat([t.view(-1) for t in aggregate_log_prob(posterior(mean, scale), z.repeat(5, 1), 5)])
    expected = torch.cat([whole[:1], whole[5:7]]).exp()
    torch.testing.assert_close(torch.stack(found).mean(0), expected)


def test_the_weights_are_the_mean_of_the_published_ones():
    mean, scale, _ = codes(0.3, 6)
    q, size = posterior(mean, scale), 40
    z = q.sample()
    pieces = [with_weights(q, z, published_weights(6, size, last)) for last in range(5)]
    joint, units = aggregate_log_prob(q, z, size)
    torch.testing.assert_close(torch.stack([p[0].exp() for p in pieces]).mean(0).log(), joint)
    torch.testing.assert_close(torch.stack([p[1].exp() for p in pieces]).mean(0).log(), units)


def test_a_batch_comes_within_a_tenth_of_a_nat_where_misplaced_weights_miss_by_nats():
    # Codes that are sharp in all units together and overlap in each: it counts which example z comes from.
    size, n = 4000, 200
    mean, scale, _ = codes(0.6, size, scale=0.25, units=10)
    rows = torch.randperm(size)[: 4 * n]
    z = posterior(mean[rows], scale[rows]).sample()
    joint, marginals = brute_force(posterior(mean, scale), z)
    exact = (joint - marginals.sum(1)).mean().item()
    right, wrong = [], []
    for batch, draws in zip(rows.split(n), z.split(n), strict=True):
        q = posterior(mean[batch], scale[batch])
        right.append(total_correlation(q, draws, size))
        joint, marginals = with_weights(q, draws, column_weights(n, size))
        wrong.append(joint - marginals.sum(1))
    assert torch.cat(right).mean().item() == pytest.approx(exact, abs=0.1)
    assert torch.cat(wrong).mean().item() > exact + 2


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_of_a_correlated_gaussian(correlation):
    mean, scale, full = codes(correlation, 1000, scale=0.4)
    q = posterior(mean, scale)
    values = total_correlation(q, q.sample((2,)), 1000)
    error = values.std().item() / math.sqrt(1000)
    assert error < 0.03
    assert values.mean().item() == pytest.approx(-torch.logdet(full).item() / 2, abs=3 * error + 0.01)


@pytest.mark.parametrize("units", [2, 5])
def test_weighted_sampling_leaves_its_constant(units):
    mean, scale, _ = codes(0.5, 300, units=units)
    q = posterior(mean, scale)
    z = q.sample()
    weighted, exact = (total_correlation(q, z, 300, kind) for kind in ("weighted", "stratified"))
    torch.testing.assert_close(weighted, exact + (units - 1) * math.log(300))
    # Without its normaliser, log N B for each density, what is left is a sum over the batch.
    rows = torch.arange(100)
    part = posterior(mean[rows], scale[rows])
    units_log = part.base_dist.log_prob(z[rows][:, None])
    bare = units_log.sum(-1).logsumexp(1) - units_log.logsumexp(1).sum(-1)
    torch.testing.assert_close(
        total_correlation(part, z[rows], 300, "weighted"), bare + (units - 1) * math.log(300 * 100)
    )


def test_several_draws_and_a_full_covariance_are_the_same_sums():
    mean, scale, _ = codes(0.5, 20)
    q = posterior(mean, scale)
    z = q.sample((3,))
    joint, units = aggregate_log_prob(q, z, 50)
    assert joint.shape == (3, 20)
    assert units.shape == (3, 20, 2)
    each = [aggregate_log_prob(q, one, 50) for one in z]
    torch.testing.assert_close(joint, torch.stack([j for j, _ in each]))
    torch.testing.assert_close(units, torch.stack([u for _, u in each]))
    full = MultivariateNormal(mean, scale_tril=torch.diag_embed(scale))
    for found, expected in zip(aggregate_log_prob(full, z, 50), (joint, units), strict=True):
        torch.testing.assert_close(found, expected)
    tilted = MultivariateNormal(mean, torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double().expand(20, -1, -1))
    assert not torch.allclose(aggregate_log_prob(tilted, z, 50)[0], joint)
    torch.testing.assert_close(aggregate_log_prob(tilted, z[0], 20)[0], brute_force(tilted, z[0])[0])


def test_a_single_example():
    q = posterior(torch.zeros(1, 2), torch.ones(1, 2))
    z = q.sample()
    for kind in ("stratified", "weighted"):
        joint, units = aggregate_log_prob(q, z, 10, kind)
        torch.testing.assert_close(joint, q.log_prob(z) - math.log(10))
        torch.testing.assert_close(units, q.base_dist.log_prob(z) - math.log(10))


def test_wrong_requests():
    q = posterior(torch.zeros(4, 2), torch.ones(4, 2))
    with pytest.raises(RequestError, match="dataset_size is 0; expected the number of training examples"):
        total_correlation(q, q.sample(), 0)
    with pytest.raises(RequestError, match=r"unknown estimator 'stratifed'; .* Did you mean 'stratified'\?"):
        total_correlation(q, q.sample(), 10, "stratifed")
    mixture = MixtureSameFamily(Categorical(torch.ones(4, 1)), Independent(Normal(torch.zeros(4, 1, 2), 1.0), 1))
    with pytest.raises(RequestError, match="units of a posterior of type MixtureSameFamily have no known"):
        total_correlation(mixture, mixture.sample(), 10)
