import subprocess
import sys

import pytest

SCRIPT = """
import torch
from torch import nn
from vaekit.distributions import Conditional, DiagonalGaussian, Gaussian, StandardNormal
from vaekit.models import VAE
from vaekit.objectives import (
    DIP, ELBO, Capacity, FactorVAE, FreeBits, ImportanceWeighted, InfoVAE, TotalCorrelation
)
from vaekit.schedules import Linear

OBJECTIVES = [
    ImportanceWeighted(3, "doubly-reparameterised"),
    FactorVAE(Linear(10, end=5.0), 2, (4,)),
    FreeBits(Linear(10)),
    FreeBits(0.5, 1, "example"),
    Capacity(Linear(10)),
    InfoVAE(0.5, 10.0),
    InfoVAE(0.5, 10.0, "rbf"),
    TotalCorrelation(6.0, 100),
    TotalCorrelation(6.0, 100, "weighted"),
    DIP("i"),
    DIP("ii"),
]

def gradients(model, run, x, phase):
    model.zero_grad(set_to_none=True)
    torch.manual_seed(0)
    result = run(x, phase=phase)
    result.loss.backward()
    return result, [p.grad for p in model.parameters()]

for objective in OBJECTIVES:
    torch.manual_seed(0)
    head = DiagonalGaussian(2)
    model = VAE(
        Conditional(nn.Linear(3, 4), head), Conditional(nn.Linear(2, 3), Gaussian((3,))), StandardNormal(2), objective
    )
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)  # one graph, or an error
    x = torch.randn(6, 3)
    for epoch in (1.0, 5.0):  # the second weight finds the program there
        objective.advance(epoch)
        for phase in model.phases():
            result, found = gradients(model, compiled, x, phase)
            plain, expected = gradients(model, model, x, phase)
            torch.testing.assert_close(result.loss, plain.loss)
            for name, term in plain.terms.items():
                torch.testing.assert_close(result.terms[name], term)
            for one, other in zip(found, expected):
                torch.testing.assert_close(one, other)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == len(model.phases())
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
"""


@pytest.mark.slow
def test_a_step_is_one_graph_with_the_gradients_of_the_plain_one():
    # In a process of its own, which has looked up no divergence before.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
