r"""Regression of held-out frames: VAER against its baselines, and what the Gaussian process costs.

    python -m benchmarks.regression table --data clips --seeds 3 --out docs/results/regression.json
    python -m benchmarks.regression cost

A method's numbers are kept as soon as they are there, and a call that is repeated goes on where it stopped. RMSE and
the log density are of held-out frames, in the numbers that the data set stores (for poses also in the file's unit).
The log density is that of a normal distribution an entry, with the predicted mean and standard deviation, in nats.
Standard deviations are calibrated alike: multiplied by the root mean square of the errors, by them, of every other
observed frame predicted from the others, and intervals reach the quantiles of these; see `Calibration`.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data import Dataset, load_dataset
from vaekit.data.holdout import hold_out
from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.models.base import seeded
from vaekit.networks.inputs import Inputs
from vaekit.plan import DataSpec
from vaekit.recipes.vaer_motion import vaer_motion
from vaekit.recipes.vaer_video import vaer_video
from vaekit.regression import maximise_marginal, observed, predict
from vaekit.stages import run_stages
from vaekit.storage import write_json
from vaekit.training import fit

Arrays = tuple[np.ndarray, np.ndarray | None]
LEVELS = (0.5, 0.9, 0.95)


def flat(data: Dataset, name: str) -> np.ndarray:
    """A split's outputs as rows, on [0, 1] where they are bytes."""
    x = np.asarray(data.splits[name].x, np.float64).reshape(len(data.splits[name]), -1)
    return x if data.levels is None else x / (data.levels - 1)


def linear(data: Dataset, given: np.ndarray, y: np.ndarray, new: np.ndarray) -> Arrays:
    """Straight lines between the observed frames of each sequence."""
    found = np.empty((len(new), y.shape[1]))
    for number in np.unique(new[:, 0]):
        rows, asked = given[:, 0] == number, new[:, 0] == number
        t, at = given[rows, 1], new[asked, 1]
        right = np.searchsorted(t, at).clip(1, max(1, rows.sum() - 1))
        share = ((at - t[right - 1]) / (t[right] - t[right - 1])).clip(0, 1)[:, None]
        found[asked] = (1 - share) * y[rows][right - 1] + share * y[rows][right]
    return found, None


def process(data: Dataset, given: np.ndarray, y: np.ndarray, new: np.ndarray) -> Arrays:
    """A Gaussian process on the outputs, each centred; length scale, variance and noise by marginal likelihood."""
    import gpytorch

    class Noisy(gpytorch.kernels.Kernel):  # type: ignore[misc]
        """A kernel with noise on its diagonal, so that the marginal likelihood sets it too."""

        def __init__(self) -> None:
            super().__init__()
            self.smooth = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel())
            self.log_noise = torch.nn.Parameter(torch.tensor(-4.0))

        def forward(self, a: Any, b: Any, diag: bool = False, **_: Any) -> Any:
            if diag:
                return self.smooth(a, b, diag=True) + self.log_noise.exp()
            same = torch.cdist(a, b) == 0
            return self.smooth(a, b).to_dense() + self.log_noise.exp() * same

    inputs = Inputs.of(DataSpec.of(data))
    x, at = (inputs.positions(torch.from_numpy(part).float()) for part in (given, new))
    centre, scale = y.mean(0), max(float(y.std(0).mean()), 1e-12)
    z = torch.from_numpy((y - centre) / scale)
    numbers = given[:, 0]
    gp = GaussianProcess(Noisy(), variances="none")
    rows = [np.flatnonzero(numbers == number)[:128] for number in np.unique(numbers)]
    maximise_marginal(gp, [(x[r], z[r], None) for r in rows[:8]])
    mean, std = np.empty((len(new), y.shape[1])), np.empty((len(new), y.shape[1]))
    with torch.no_grad():
        for number in np.unique(new[:, 0]):
            own, asked = numbers == number, new[:, 0] == number
            p = gp(x[own], z[own], None, at[asked])
            mean[asked], std[asked] = p.mean.numpy(), p.stddev.numpy()
    return mean * scale + centre, std * scale


def components(data: Dataset, given: np.ndarray, y: np.ndarray, new: np.ndarray) -> Arrays:
    """Principal components that keep 99 % of the variance, a Gaussian process on them, and what they leave as noise."""
    from sklearn.decomposition import PCA

    pca = PCA(0.99, svd_solver="full").fit(y)
    mean, std = process(data, given, pca.transform(y), new)
    assert std is not None
    left = ((y - pca.inverse_transform(pca.transform(y))) ** 2).mean(0)
    return pca.inverse_transform(mean), np.sqrt(std**2 @ pca.components_**2 + left)


BASELINES: dict[str, Callable[..., Arrays]] = {"linear": linear, "gp": process, "pca+gp": components}


def calibrated(
    data: Dataset, method: Callable[..., Arrays]
) -> tuple[np.ndarray, np.ndarray | None, dict[float, float]]:
    """A baseline's predictions of the test frames, calibrated as the models are."""
    given, y, new = data.train.given, flat(data, "train"), data.test.given
    assert given is not None
    assert new is not None
    mean, std = method(data, given, y, new)
    hidden = np.zeros(len(y), bool)
    for span in data.train.spans.values():
        hidden[span.start + 1 : span.stop - 1 : 2] = True
    if std is None or not hidden.any():
        return mean, None, {}
    centre, spread = method(data, given[~hidden], y[~hidden], given[hidden])
    assert spread is not None
    errors = np.abs(y[hidden] - centre) / np.maximum(spread, 1e-12)
    width = float(np.sqrt((errors**2).mean()))
    return mean, std * width, {level: float(np.quantile(errors, level)) / width for level in LEVELS}


def scored(data: Dataset, mean: np.ndarray, std: np.ndarray | None, reach: dict[float, float]) -> dict[str, float]:
    """RMSE, negative log density an entry, and the part of entries that intervals hold."""
    errors = mean - flat(data, "test")
    found = {"rmse": float(np.sqrt((errors**2).mean()))}
    if data.poses is not None:
        found["rmse_in_units"] = found["rmse"] * data.poses.scale
    if std is None:
        return found
    found["nlpd"] = float((0.5 * (errors / std) ** 2 + np.log(std) + 0.5 * np.log(2 * np.pi)).mean())
    return found | {f"held_{level:.0%}": float((np.abs(errors) < reach[level] * std).mean()) for level in LEVELS}


def model(data: Dataset, weight: float, seed: int, arguments: dict[str, Any]) -> dict[str, float]:
    """Train VAER, or with weight 0 the same autoencoder with a process fitted afterwards, for as many epochs."""
    recipe = vaer_motion if len(data.shape) == 1 else vaer_video
    begun = time.monotonic()
    with seeded(seed):
        plan = recipe(DataSpec.of(data), weight=weight, **arguments)
    outcome = fit(plan, data, seed=seed, progress=False)
    run_stages(plan.stages, outcome.model, data, plan.transform, seed=seed)
    seconds = time.monotonic() - begun
    y, given = observed([data.train], plan.transform)
    trained: Any = outcome.model.cpu()
    found = predict(trained, y.cpu(), given.cpu(), torch.from_numpy(np.asarray(data.test.given)), seed=seed)
    rows = len(data.test)
    reach = {level: found.reach(level) for level in LEVELS}
    return scored(data, found.mean.reshape(rows, -1), found.stddev.reshape(rows, -1), reach) | {"seconds": seconds}


def table(options: argparse.Namespace) -> None:
    """Fill in the table, and print it."""
    whole = load_dataset(options.data, **{**json.loads(options.data_options), "validation": 0, "test": 0})
    path = Path(options.out)
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    arguments = json.loads(options.arguments)
    protocols: list[dict[str, Any]] = [{"gap": int(gap)} for gap in options.gaps.split(",") if gap]
    protocols += [{"hole": options.hole}] if options.hole else []
    for protocol in protocols:
        for seed in range(options.seeds):
            data = hold_out(whole, **protocol, seed=seed)
            jobs: dict[str, Callable[[], dict[str, float]]] = {
                name: lambda method=method, data=data: scored(data, *calibrated(data, method))  # type: ignore[misc]
                for name, method in BASELINES.items()
            }
            for name, weight in (("vae+gp", 0.0), ("vaer", 1.0)):
                jobs[name] = lambda w=weight, data=data, seed=seed: model(data, w, seed, arguments)  # type: ignore[misc]
            for name, job in jobs.items():
                key = f"{options.data} {json.dumps(protocol)} {name} {seed}"
                if key not in kept:
                    kept[key] = job()
                    write_json(path, kept)
                print(key, "  ".join(f"{k} {v:.4g}" for k, v in kept[key].items()), flush=True)


def cost() -> None:
    """Seconds and error of the exact and the sparse solve, over the number of inputs."""
    for n in (100, 300, 1000, 3000, 10_000):
        x = torch.linspace(0, n / 10, n, dtype=torch.float64)[:, None]
        z = torch.cat([torch.sin(x), torch.cos(0.7 * x)], 1)
        v, new = torch.full_like(z, 0.01), x[:: max(1, n // 100)] + 0.02
        exact = None
        for inducing in (None, 256):
            if inducing is None and n > 3000:
                continue  # two factors of 800 MB each
            begun = time.monotonic()
            with torch.no_grad():
                p = GaussianProcess(inducing=inducing)(x, z, v, new)
            seconds = time.monotonic() - begun
            exact = p.mean if inducing is None else exact
            error = "" if exact is None else f"  largest difference {float((p.mean - exact).abs().max()):.1e}"
            print(
                f"{n:>6} inputs  {'exact' if inducing is None else f'{inducing} inducing':<13} {seconds:8.3f} s{error}"
            )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("table", "cost"))
    parser.add_argument("--data", default="clips")
    parser.add_argument("--data-options", default="{}")
    parser.add_argument("--arguments", default="{}", help="of the recipe, as JSON")
    parser.add_argument("--gaps", default="2,4,8,16")
    parser.add_argument("--hole", type=float, default=0.25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default="regression.json")
    options = parser.parse_args()
    if options.what == "cost":
        cost()
    else:
        table(options)


if __name__ == "__main__":
    main()
