import subprocess
import sys

SCRIPT = """
import torch
from vaekit import recipes
from vaekit.distributions import Conditional, Point
from vaekit.models import VAE
from vaekit.networks import MLP
from vaekit.objectives import ImportanceWeighted
from vaekit.plan import DataSpec

def check(model):
    # One graph, or an error; and the same value as without, in the same process but afterwards.
    x = torch.bernoulli(torch.full((6, 1, 4, 4), 0.5))
    torch.manual_seed(0)
    compiled = torch.compile(model, backend="eager", fullgraph=True)(x)
    torch.manual_seed(0)
    plain = model(x)
    torch.testing.assert_close(compiled.loss, plain.loss)
    compiled.loss.backward()

spec = DataSpec("x", (1, 4, 4), 2, "bernoulli")
check(recipes.get("vae")(spec, likelihood="continuous-bernoulli", hidden=(8,)).model)
model = recipes.get("vae")(spec, hidden=(8,)).model
check(VAE(Conditional(MLP((1, 4, 4), (24,)), Point(24)), model.decoder, model.prior))
check(VAE(model.encoder, model.decoder, model.prior, ImportanceWeighted(3)))
from vaekit.distributions.gaussian_process import GaussianProcess
GaussianProcess()  # a library that registers divergences of its own, and has PyTorch forget
check(recipes.get("vae")(spec, hidden=(8,)).model)
"""


def test_a_step_is_traced_whole_in_a_process_that_has_done_nothing_before():
    # PyTorch remembers which divergence belongs to which types, and looking it up breaks a graph: hence the process.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
