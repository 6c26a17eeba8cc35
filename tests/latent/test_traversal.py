import pytest
import torch
from torch import nn
from torch.distributions import Independent, Laplace, Normal

from vaekit.distributions import Factorised, SymmetricDirichlet
from vaekit.errors import RequestError
from vaekit.latent import prior_quantiles, traverse


def test_at_the_median_of_a_standard_normal_a_unit_is_at_zero_and_the_others_stay(identity):
    at = torch.tensor([1.0, 2.0, 3.0])
    z, x = traverse(identity(3), [2, 0], at=at, quantiles=[0.5, 0.9])
    assert z.shape == (2, 2, 3)
    assert z[:, 0].tolist() == [[1.0, 2.0, 0.0], [0.0, 2.0, 3.0]]
    reach = Normal(0.0, 1.0).icdf(torch.tensor(0.9))
    torch.testing.assert_close(z[:, 1], torch.tensor([[1.0, 2.0, reach], [reach, 2.0, 3.0]]))
    torch.testing.assert_close(x, z)


def test_by_default_all_units_from_the_medians_and_evenly(identity):
    z, _ = traverse(identity(2, Factorised(2, Laplace, loc=3.0, scale=2.0)), quantiles=5)
    assert z.shape == (2, 5, 2)
    assert (z[0, :, 1] == 3).all()
    assert (z[1, :, 0] == 3).all()
    torch.testing.assert_close(Laplace(3.0, 2.0).cdf(z[0, :, 0]), torch.linspace(0.01, 0.99, 5), rtol=1e-4, atol=0)


def test_a_conditional_prior_is_asked_with_what_is_told(identity):
    class Shifted(nn.Module):
        def forward(self, context=None):
            return Independent(Normal(context, torch.ones_like(context)), 1)

    model = identity(2, Shifted())
    model.context_network = nn.Identity()
    model.decoder.forward = lambda z, context: Independent(Normal(z, torch.ones_like(z)), 1)
    z, _ = traverse(model, [0], quantiles=[0.5], context=torch.tensor([[4.0, -1.0]]))
    assert z.tolist() == [[[4.0, -1.0]]]


def test_quantiles_of_a_prior_without_a_closed_form_are_those_of_its_draws():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([0.25, 0.75])),
        Independent(Normal(torch.tensor([[-4.0, 0.0], [4.0, 1.0]]), torch.ones(2, 2)), 1),
    )
    found = prior_quantiles(mixture, torch.tensor([0.125, 0.625]))
    # A quarter is about -4, so an eighth is its middle; the rest is about 4, and 5/8 is the middle of that.
    torch.testing.assert_close(found[0], torch.tensor([-4.0, 4.0]), atol=0.15, rtol=0)
    assert (prior_quantiles(mixture, torch.tensor([0.125, 0.625])) == found).all()
    assert (torch.get_rng_state() == before).all()


def test_what_cannot_be_traversed_is_refused(identity):
    for words, request in {
        "no unit 3": {"units": [3]},
        "no unit -1": {"units": [-1]},
        "above 0 and below 1": {"quantiles": [0.0, 0.5]},
        "at least 2 of them": {"quantiles": 1},
        r"shape \(3,\)": {"at": torch.zeros(3)},
    }.items():
        with pytest.raises(RequestError, match=words):
            traverse(identity(2), **request)
    with pytest.raises(RequestError, match="one at a time"):
        traverse(identity(3, SymmetricDirichlet(3)), [0])
