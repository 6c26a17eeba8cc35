r"""The gated PixelCNN: what each place sees, by autograd."""

import pytest
import torch

from vaekit.errors import RequestError
from vaekit.models import seeded
from vaekit.networks import GatedPixelCNN


def network(*arguments, **options):
    """Return a network whose last layer is not zero."""
    with seeded(0):
        made = GatedPixelCNN(*arguments, **{"channels": 6, "layers": 4, **options}).double()
        torch.nn.init.normal_(made.output.weight)
        torch.nn.init.normal_(made.place)
    return made


def seen(net, grid, context=None):
    """Return for each place, in raster order, which places its logits depend on."""
    kept = []
    hook = net.embedding.register_forward_hook(lambda module, given, out: kept.append(out.requires_grad_()) or out)
    with seeded(1):
        codes = torch.randint(net.levels, (1, *grid))
    logits = net(codes, context)[0].sum(0).flatten()
    hook.remove()
    rows = []
    for logit in logits:
        parts = torch.autograd.grad(logit, kept, retain_graph=True, allow_unused=True)
        total = sum(part.abs().sum(-1) for part in parts if part is not None)
        rows.append(total.flatten() != 0)
    return torch.stack(rows)


@pytest.mark.parametrize(("grid", "kernel", "layers"), [((4, 5), 3, 5), ((3, 3), 5, 2), ((1, 4), 3, 4), ((4, 1), 3, 4)])
def test_each_place_sees_exactly_those_before_it(grid, kernel, layers):
    n = grid[0] * grid[1]
    before = torch.ones(n, n).tril(-1).bool()
    assert torch.equal(seen(network(5, grid, kernel=kernel, layers=layers), grid), before)


def test_with_few_layers_it_sees_less_but_the_near_ones():
    # The place diagonally above to the right is what masked kernels in one stack are blind to.
    found = seen(network(5, (4, 4), layers=1), (4, 4)).view(4, 4, 4, 4)
    assert found[2, 1, 1, :3].all()
    assert found[2, 1, 2, 0]
    assert not found[2, 1, 1, 3]
    assert not found[2, 1, 2, 1:].any()


@pytest.mark.parametrize("spatial", [False, True])
def test_a_context_reaches_all_places(spatial):
    net = network(5, (4, 6), layers=6, context_dim=3, spatial=spatial)
    context = torch.randn(2, 3, 2, 3).double() if spatial else torch.randn(2, 3).double()
    context.requires_grad_()
    logits = net(torch.zeros(2, 4, 6, dtype=torch.long), context)
    for place in logits[1].sum(0).flatten():
        (gradient,) = torch.autograd.grad(place, context, retain_graph=True)
        assert gradient[1].flatten().any()
        assert not gradient[0].any()
    if spatial:  # what is at a place, or beside it, is told there, though it comes after it
        (gradient,) = torch.autograd.grad(logits[1, :, 0, 0].sum(), context)
        assert gradient[1, :, :2, :2].all()
    # The grid is as causal as it was.
    assert torch.equal(seen(net, (4, 6), context[:1]), torch.ones(24, 24).tril(-1).bool())


def test_all_at_once_is_row_by_row_and_place_by_place():
    net = network(7, (4, 5), context_dim=2, spatial=True)
    codes, context = torch.randint(7, (3, 4, 5)), torch.randn(3, 2, 4, 5).double()
    expected = net(codes, context)
    told = net.told(context)
    for i in range(4):
        links = [link[:, :, i:] for link in net.above(codes[:, : i + 1], told)]
        for j in range(5):
            row = net.across(codes[:, i : i + 1, : j + 1], [link[..., : j + 1] for link in links], top=i)
            torch.testing.assert_close(row[:, :, 0], expected[:, :, i, : j + 1])


def test_it_starts_uniform_and_every_parameter_learns():
    with seeded(0):
        net = GatedPixelCNN(5, (3, 3), channels=4, layers=2, context_dim=2)
    codes, context = torch.randint(5, (8, 3, 3)), torch.randn(8, 2)
    assert not net(codes, context).any()
    torch.nn.init.normal_(net.output.weight)
    torch.nn.functional.cross_entropy(net(codes, context), codes).backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_wrong_requests():
    for given, message in (
        ({"levels": 0}, "levels is 0; expected at least 1"),
        ({"grid": (3, 3, 3)}, "grid is .3, 3, 3.; expected rows and columns"),
        ({"layers": 0}, "layers is 0"),
        ({"kernel": 4}, "kernel is 4; expected an odd number: pass 5"),
        ({"context_dim": -1}, "context_dim is -1"),
    ):
        with pytest.raises(RequestError, match=message):
            GatedPixelCNN(**{"levels": 3, "grid": (3, 3), **given})
    codes = torch.zeros(2, 3, 3, dtype=torch.long)
    told = GatedPixelCNN(3, (3, 3), channels=4, layers=1, context_dim=2)
    with pytest.raises(RequestError, match="there is no context; expected one of 2 numbers"):
        told(codes)
    with pytest.raises(RequestError, match=r"the context has shape \(2, 3\); expected \(n, 2\)"):
        told(codes, torch.zeros(2, 3))
    with pytest.raises(RequestError, match=r"there is a context of shape \(2, 2\); expected none"):
        GatedPixelCNN(3, (3, 3), channels=4, layers=1)(codes, torch.zeros(2, 2))
