r"""Quantisers by their laws: nearest codes, running means, straight-through gradients, and what keeps codes alive."""

import math

import pytest
import torch
from torch import nn

from vaekit.distributions import (
    CertainCode,
    Codebook,
    FiniteScalar,
    MovingCodebook,
    ResidualQuantiser,
    UniformCodes,
    kl_divergence,
)
from vaekit.distributions.k_means import k_means, nearest
from vaekit.distributions.quantisers import perplexity, straight_through
from vaekit.errors import RequestError


def made(kind, dim=4, codes=16, **options):
    torch.manual_seed(3)
    if kind == "fsq":
        return FiniteScalar((5, 4, 3, 2)[:dim])
    if kind == "residual":
        return ResidualQuantiser([MovingCodebook(codes, dim, **options) for _ in range(3)])
    return (Codebook if kind == "gradient" else MovingCodebook)(codes, dim, **options)


KINDS = ["ema", "gradient", "residual", "fsq"]


def features(n=6, dim=4, *positions, seed=0):
    return torch.randn(n, dim, *(positions or (3, 5)), generator=torch.Generator().manual_seed(seed))


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("kind", KINDS)
def test_what_codes_stand_for_is_what_the_decoder_sees_to_the_bit(kind):
    quantiser = made(kind)
    found = quantiser(features())
    assert found.codes.dtype == torch.int64
    assert found.codes.shape == (6, *quantiser.grid((3, 5)))
    assert torch.equal(quantiser.embed(found.codes), found.embedded)
    assert found.embedded.shape == found.features.shape == (6, 4, 3, 5)
    assert 0 <= found.codes.min() <= found.codes.max() < quantiser.codes


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_without_positions_are_quantised_too(kind):
    quantiser = made(kind)
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    assert quantiser(x).codes.shape == (7, *quantiser.grid(()))
    assert quantiser(x).embedded.shape == (7, 4)


@pytest.mark.parametrize("kind", ["ema", "gradient", "residual"])
def test_the_gradient_goes_straight_through(kind):
    x, weights = features().requires_grad_(), features(seed=1)
    (made(kind)(x).embedded * weights).sum().backward()
    assert torch.equal(x.grad, weights)


def test_the_gradient_through_finite_scalars_is_that_of_their_bound():
    quantiser, x, weights = made("fsq"), features().requires_grad_(), features(seed=1)
    (quantiser(x).embedded * weights).sum().backward()
    twin = x.detach().clone().requires_grad_()
    half = (quantiser.sizes // 2).view(-1, 1, 1)
    (quantiser._bounded(twin) / half * weights).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)
    assert (x.grad != 0).all()


def test_codes_are_the_nearest_by_brute_force(monkeypatch):
    points, centres = torch.randn(300, 5), torch.randn(40, 5)
    expected = (points[:, None] - centres).square().sum(-1).argmin(1)
    assert torch.equal(nearest(points, centres), expected)
    monkeypatch.setattr("vaekit.distributions.k_means._CELLS", 40 * 7)  # in parts
    assert torch.equal(nearest(points, centres), expected)
    quantiser = made("ema")
    x = features()
    rows = x.movedim(1, -1).reshape(-1, 4)
    expected = (rows[:, None] - quantiser.weight).square().sum(-1).argmin(1).view(6, 3, 5)
    assert torch.equal(quantiser(x).codes, expected)


def test_the_two_losses_are_one_number_with_the_gradient_on_either_side():
    quantiser, x = made("gradient"), features().requires_grad_()
    found = quantiser(x)
    expected = (x - quantiser.embed(found.codes)).square().sum((1, 2, 3))
    torch.testing.assert_close(found.commitment, expected)
    torch.testing.assert_close(found.codebook, expected)
    (gradient,) = torch.autograd.grad(found.commitment.sum(), x, retain_graph=True)
    torch.testing.assert_close(gradient, 2 * (x - found.embedded).detach())
    assert torch.autograd.grad(found.commitment.sum(), quantiser.weight, retain_graph=True, allow_unused=True) == (
        None,
    )
    assert torch.autograd.grad(found.codebook.sum(), x, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(found.codebook.sum(), quantiser.weight)[0].any()
    assert made("ema")(x).codebook is None


def test_without_decay_entries_are_the_means_of_the_batch():
    quantiser = MovingCodebook(3, 2, decay=0.0, expire=0.0)
    quantiser.weight.copy_(torch.tensor([[0.0, 0.0], [5.0, 5.0], [-5.0, 5.0]]))
    x = torch.cat([torch.randn(50, 2), torch.randn(30, 2) + 5, torch.randn(20, 2) + torch.tensor([-5.0, 5.0])])
    found = quantiser(x)
    means = torch.stack([x[found.codes == k].mean(0) for k in range(3)])
    quantiser.learn(found)
    torch.testing.assert_close(quantiser.weight, means)
    assert quantiser.sizes.tolist() == found.codes.bincount(minlength=3).tolist()


def test_running_means_in_closed_form():
    quantiser, decay = MovingCodebook(2, 1, decay=0.9, expire=0.0), 0.9
    quantiser.weight.copy_(torch.tensor([[0.0], [10.0]]))
    quantiser.sums.copy_(quantiser.weight)
    batches = [torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([[0.5], [11.0], [12.0]]), torch.tensor([[0.1]])]
    size, total = [1.0, 1.0], [0.0, 10.0]
    for x in batches:
        own = [x[x < 5], x[x >= 5]]
        for k in range(2):
            size[k] = decay * size[k] + (1 - decay) * len(own[k])
            total[k] = decay * total[k] + (1 - decay) * own[k].sum().item()
        quantiser.learn(quantiser(x))
        for k in range(2):
            assert quantiser.weight[k].item() == pytest.approx(total[k] / size[k], rel=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_entries_that_are_not_used_stay_where_they_are(decay):
    # Sizes that start at zero send them far away with the first step.
    quantiser = MovingCodebook(8, 3, decay=decay, expire=0.0)
    quantiser.weight[1:] += 100
    quantiser.sums.copy_(quantiser.weight)
    before = quantiser.weight.clone()
    for seed in range(100):
        quantiser.learn(quantiser(features(10, 3, seed=seed)))
    torch.testing.assert_close(quantiser.weight[1:], before[1:], rtol=1e-4, atol=0)
    assert (quantiser.weight[0] - before[0]).norm() > 0.1


def test_entries_that_are_not_used_are_put_where_vectors_are():
    quantiser = MovingCodebook(32, 2, decay=0.5, expire=0.1)
    quantiser.weight[1:] += 1000
    quantiser.sums.copy_(quantiser.weight)
    x = features(50, 2)
    assert quantiser(x).codes.unique().tolist() == [0]
    torch.manual_seed(0)
    for _ in range(60):
        quantiser.learn(quantiser(x))
    assert len(quantiser(x).codes.unique()) >= 30
    assert (quantiser.weight.abs() < 10).all()
    frozen = MovingCodebook(32, 2, decay=0.5, expire=0.0)
    frozen.weight[1:] += 1000
    frozen.sums.copy_(frozen.weight)
    for _ in range(60):
        frozen.learn(frozen(x))
    assert frozen(x).codes.unique().tolist() == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_looking_changes_nothing_in_whatever_mode(kind):
    quantiser = made(kind)
    before, random = state(quantiser), torch.get_rng_state()
    for training in (True, False):
        quantiser.train(training)
        quantiser.embed(quantiser(features()).codes)
    assert same(before, state(quantiser))
    assert torch.equal(random, torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_quantiser_gives_the_same_codes_and_learns_the_same(kind):
    one = made(kind)
    one.learn(one(features()))
    torch.manual_seed(77)
    two = type(one)((5, 4, 3, 2)) if kind == "fsq" else made(kind)
    two.load_state_dict(one.state_dict())
    for quantiser in (one, two):
        torch.manual_seed(5)
        quantiser.learn(quantiser(features(seed=2)))
    assert same(state(one), state(two))
    assert torch.equal(one(features(seed=3)).codes, two(features(seed=3)).codes)


@pytest.mark.parametrize("kind", ["ema", "gradient", "residual"])
def test_half_precision_around_it_does_not_reach_the_codebook(kind):
    quantiser, x = made(kind), features()
    expected = quantiser(x).codes
    with torch.autocast("cpu", torch.bfloat16):
        found = quantiser(x)
        quantiser.learn(found)
    assert torch.equal(found.codes, expected)
    assert found.embedded.dtype == found.commitment.dtype == torch.float32
    assert {tensor.dtype for tensor in quantiser.state_dict().values()} == {torch.float32}
    assert quantiser(x.bfloat16()).embedded.dtype == torch.float32


def test_each_book_leaves_less():
    x = features(200, 4, 2, 2)
    torch.manual_seed(0)
    quantiser = ResidualQuantiser([MovingCodebook(16, 4) for _ in range(4)])
    quantiser.start(x)
    codes = quantiser(x).codes
    errors = [(x - quantiser.embed(codes[:, :depth])).square().mean().item() for depth in (1, 2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < errors[0] / 4
    found = quantiser(x)
    squares = sum((x - quantiser.embed(codes[:, :depth])).square().sum((1, 2, 3)) for depth in (1, 2, 3, 4))
    torch.testing.assert_close(found.commitment, squares)


def test_each_book_learns_from_what_those_before_it_left():
    x = features(50, 4)
    quantiser = made("residual", decay=0.0, expire=0.0)
    books = [MovingCodebook(16, 4, decay=0.0, expire=0.0) for _ in range(3)]
    for book, own in zip(books, quantiser.books, strict=True):
        book.load_state_dict(own.state_dict())
    rest = x
    for book in books:
        found = book(rest)
        rest = rest - book.embed(found.codes)
        book.learn(found)
    quantiser.learn(quantiser(x))
    for book, own in zip(books, quantiser.books, strict=True):
        torch.testing.assert_close(book.weight, own.weight)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2,), (3, 2), (7, 4, 3)])
def test_codes_of_finite_scalars_and_points_are_one_to_one(levels):
    quantiser = FiniteScalar(levels)
    every = torch.arange(math.prod(levels))
    points = quantiser.embed(every)
    assert quantiser.codes == len(points.unique(dim=0)) == math.prod(levels)
    for j, size in enumerate(levels):
        assert torch.equal(points[:, j].unique(), (torch.arange(size) - size // 2) / (size // 2))
    # Some feature is quantised to each of them: those whose bounded values are its levels.
    sizes = torch.tensor(levels)
    bounded = (points * (sizes // 2) + (1 - sizes % 2) / 2) / ((sizes - 1) / 2)
    x = bounded.clamp(-0.999, 0.999).atanh()
    assert torch.equal(quantiser(x).codes, every)


def test_finite_scalars_are_bounded_and_use_both_sides_alike():
    quantiser = FiniteScalar((8, 5))
    x = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0))
    digits = quantiser(x).embedded * (quantiser.sizes // 2)
    for j, low in enumerate((-4, -2)):
        shares = (digits[:, j].round().long() - low).bincount() / len(x)
        torch.testing.assert_close(shares, shares.flip(0), atol=5e-3, rtol=0)
    far = quantiser(torch.tensor([[99.0, 99.0], [-99.0, -99.0]])).embedded
    assert far.tolist() == [[0.75, 1.0], [-1.0, -1.0]]
    assert len(quantiser(torch.randn(5000, 2) * 1.5).codes.unique()) == 40


def test_perplexity_of_even_use_is_the_number_of_codes_and_of_constant_use_one():
    assert perplexity(torch.full((512,), 7.0)).item() == pytest.approx(512, rel=1e-5)
    assert perplexity(torch.eye(5)[2] * 9).item() == pytest.approx(1)
    assert perplexity(torch.tensor([5.0, 5.0, 0.0, 0.0])).item() == pytest.approx(2)
    assert perplexity(torch.zeros(4)).isfinite()


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_counted(kind):
    quantiser = made(kind)
    codes = quantiser(features()).codes
    counts = quantiser.counts(codes)
    assert counts.shape == (quantiser.depth, quantiser.codes)
    for own, part in zip(counts, codes.unbind(1) if kind == "residual" else [codes], strict=True):
        assert own.tolist() == part.flatten().bincount(minlength=quantiser.codes).tolist()


def test_k_means_finds_clusters_and_never_does_worse_than_its_start():
    torch.manual_seed(0)
    centres = torch.randn(8, 3) * 50
    points = (centres[:, None] + torch.randn(8, 40, 3)).flatten(0, 1)
    found = k_means(points, 8)
    means = points.view(8, 40, 3).mean(1)
    assert torch.cdist(means, found).min(1).values.max() < 1e-3
    errors = []
    for iterations in (0, 1, 3, 10):
        torch.manual_seed(1)
        few = k_means(points, 20, iterations)
        errors.append(torch.cdist(points, few).min(1).values.square().sum().item())
    assert errors == sorted(errors, reverse=True)


def test_k_means_takes_fewer_points_than_centres_and_no_others():
    found = k_means(torch.tensor([[1.0], [2.0]]).repeat(9, 1), 5)
    assert found.unique().tolist() == [1.0, 2.0]
    for points in (torch.zeros(0, 2), torch.tensor([[math.nan]])):
        with pytest.raises(RequestError, match="points"):
            k_means(points, 2)


def test_a_start_is_from_the_features_and_resets_the_running_means():
    x = features(100, 4) + 7
    quantiser = made("ema")
    quantiser.learn(quantiser(x))
    quantiser.start(x)
    assert (quantiser.weight.mean(0) - 7).abs().max() < 1
    assert torch.equal(quantiser.sums, quantiser.weight)
    assert quantiser.sizes.tolist() == [1.0] * 16
    cold = made("gradient", kmeans=False)
    before = state(cold)
    cold.start(x)
    assert same(before, state(cold))
    assert isinstance(made("gradient").weight, nn.Parameter)


def test_a_certain_code_costs_what_the_prior_asks_for_it():
    codes = torch.randint(10, (4, 3, 5))
    q, p = CertainCode(codes, 2), UniformCodes((3, 5), 10)()
    assert (q.batch_shape, q.event_shape) == ((4,), (3, 5))
    torch.testing.assert_close(kl_divergence(q, p), torch.full((4,), 15 * math.log(10)))
    assert torch.equal(q.sample((6,)), codes.expand(6, -1, -1, -1))
    assert q.log_prob(codes).tolist() == [0.0] * 4
    other = codes.clone()
    other[0, 2, 4] = (other[0, 2, 4] + 1) % 10
    assert q.log_prob(other).tolist() == [-math.inf, 0.0, 0.0, 0.0]
    # All probabilities sum to one.
    small = UniformCodes((2,), 3)()
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    assert small.log_prob(every).exp().sum().item() == pytest.approx(1)
    assert p.sample((1000,)).unique().tolist() == list(range(10))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Codebook(0, 3), "0 codes of size 3"),
        (lambda: MovingCodebook(4, 3, decay=1.0), r"decay is 1\.0"),
        (lambda: MovingCodebook(4, 3, expire=1.0), r"expire is 1\.0"),
        (lambda: ResidualQuantiser([]), "at least 1 book"),
        (lambda: ResidualQuantiser([Codebook(4, 2), Codebook(4, 3)]), "all of one size"),
        (lambda: FiniteScalar(()), "at least 2 of each"),
        (lambda: FiniteScalar((4, 1)), "at least 2 of each"),
        (lambda: UniformCodes((3, 0), 4), r"the grid is \(3, 0\)"),
        (lambda: Codebook(4, 3)(torch.zeros(2, 5, 7, 7)), r"expected \(n, 3, \.\.\.\)"),
        (lambda: FiniteScalar((3, 3))(torch.zeros(2, 5)), r"expected \(n, 2, \.\.\.\)"),
    ],
)
def test_wrong_requests_are_refused(make, words):
    with pytest.raises(RequestError, match=words):
        make()


def test_straight_through_keeps_values_to_the_bit():
    x, y = torch.randn(1000) * 1e3, torch.randn(1000) * 1e-3
    assert torch.equal(straight_through(x, y), y)
