"""Our optimiser does to the bit what PyTorch's does, and does not bring the compiler along."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from vaekit.training.adam import Adam

OPTIONS = {"betas": (0.8, 0.95), "eps": 1e-6}
KINDS = {
    "adam": (torch.optim.Adam, {}),
    "decay": (torch.optim.Adam, {"weight_decay": 0.1}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1, "decoupled": True}),
}


def parameters():
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((7, 5), (7,), (3, 2))]


def theirs(kind, parameters):
    make, options = KINDS[kind]
    options = {name: value for name, value in options.items() if name != "decoupled"}
    return make(parameters, 1e-2, fused=True, **OPTIONS, **options)


def ours(kind, parameters):
    return Adam(parameters, 1e-2, **OPTIONS, **KINDS[kind][1])


def steps(optimizer, parameters, numbers):
    """Steps by gradients that are the same for both, the last parameter without one in every other step."""
    for number in numbers:
        generator = torch.Generator().manual_seed(number)
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        if number % 2:
            parameters[-1].grad = None
        optimizer.param_groups[0]["lr"] = 1e-2 / (1 + number)
        optimizer.step()
        optimizer.zero_grad()
        assert all(p.grad is None for p in parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_pytorch(kind):
    one, two = parameters(), parameters()
    steps(ours(kind, one), one, range(1, 8))
    steps(theirs(kind, two), two, range(1, 8))
    assert all(torch.equal(p, q) for p, q in zip(one, two, strict=True))
    assert not torch.equal(one[0], parameters()[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("before", "after"), [(ours, theirs), (theirs, ours), (ours, ours)])
def test_a_state_goes_from_one_to_the_other(kind, before, after):
    one, two = parameters(), parameters()
    begun, whole = before(kind, one), theirs(kind, two)
    steps(begun, one, range(1, 4))
    going = after(kind, one)
    going.load_state_dict({**going.state_dict(), "state": begun.state_dict()["state"]})
    steps(going, one, range(4, 8))
    steps(whole, two, range(1, 8))
    assert all(torch.equal(p, q) for p, q in zip(one, two, strict=True))


def test_what_never_had_a_gradient_has_no_state_and_stays():
    one = parameters()
    optimizer = ours("adamw", one)
    one[0].grad = torch.ones_like(one[0])
    optimizer.step()
    assert list(optimizer.state_dict()["state"]) == [0]
    assert all(torch.equal(p, q) for p, q in zip(one[1:], parameters()[1:], strict=True))


def test_gradients_can_be_kept_as_zeros():
    one = parameters()[:2]
    optimizer = Adam(one, 1e-2)
    one[0].grad = torch.ones_like(one[0])
    optimizer.zero_grad(set_to_none=False)
    assert not one[0].grad.any()
    assert one[1].grad is None


def test_a_small_training_does_not_import_the_compiler(tmp_path):
    code = (
        "import sys, vaekit\n"
        f"vaekit.train('vae', data='digits', epochs=1, out={str(tmp_path / 'run')!r}, progress=False)\n"
        "print(sorted({'torch._dynamo', 'torch._inductor', 'sympy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]"), done.stdout
