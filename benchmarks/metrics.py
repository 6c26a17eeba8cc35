r"""Distances between samples of features, beside torchmetrics and scikit-learn: `python -m benchmarks.metrics`.

All get the same features and must give the same numbers, or one of them does other work.
"""

__all__ = ["main"]

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "two samples of normal features, one of them shifted, in one process, contestants taking turns, one turn before "
    "the counted ones; seconds from features to number, no network. vaekit gives a standard error with each number, in "
    "the same time. torchmetrics gets the features through a network that does nothing: its Fréchet distance is "
    "update and compute; its kernel distance, by its default of 100 random blocks of 1,000 and, as vaekit, of all "
    "pairs. Precision, recall, density and coverage by scikit-learn are its pairwise_distances with NumPy's partition, "
    "as the authors of density and coverage compute them. "
    "agreement: the relative difference of the numbers that must be equal"
)


class _Nothing(nn.Module):
    """A network whose features are its input."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_features = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def _frechet_vaekit(x: Tensor, y: Tensor) -> list[float]:
    from vaekit.evaluation.frechet import frechet_distance

    return [frechet_distance(x, y)[0]]


def _frechet_torchmetrics(x: Tensor, y: Tensor) -> list[float]:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Nothing(x.shape[1]), normalize=True, input_img_size=(x.shape[1], 1, 1))
    metric.update(x[..., None, None], real=True)
    metric.update(y[..., None, None], real=False)
    return [metric.compute().item()]


def _kernel_vaekit(x: Tensor, y: Tensor) -> list[float]:
    from vaekit.evaluation.kernel import kernel_distance

    return [kernel_distance(x, y)[0]]


def _kernel_torchmetrics(x: Tensor, y: Tensor, subsets: int, size: int) -> list[float]:
    from torchmetrics.image.kid import KernelInceptionDistance

    metric = KernelInceptionDistance(
        feature=_Nothing(x.shape[1]), normalize=True, subsets=subsets, subset_size=min(size, len(x))
    )
    metric.update(x[..., None, None], real=True)
    metric.update(y[..., None, None], real=False)
    return [metric.compute()[0].item()]


def _manifolds_vaekit(x: Tensor, y: Tensor) -> list[float]:
    from vaekit.evaluation.manifolds import manifold_metrics

    found = manifold_metrics(x, y, k=5)
    return [found[name] for name in ("precision", "recall", "density", "coverage")]


def _manifolds_scikit_learn(x: Tensor, y: Tensor) -> list[float]:
    from sklearn.metrics import pairwise_distances

    generated, real = x.numpy(), y.numpy()

    def reach(sample: np.ndarray) -> np.ndarray:
        # The sixth smallest of a row, of which the smallest is the example itself.
        return np.partition(pairwise_distances(sample, n_jobs=1), 5, axis=1)[:, 5]

    between = pairwise_distances(real, generated, n_jobs=1)
    in_real = between <= reach(real)[:, None]
    in_generated = between <= reach(generated)[None, :]
    return [in_real.any(0).mean(), in_generated.any(1).mean(), in_real.mean() * len(real) / 5, in_real.any(1).mean()]


Contestant = Callable[[Tensor, Tensor], list[float]]
CONTESTANTS: dict[str, dict[str, Contestant]] = {
    "frechet_distance": {"vaekit": _frechet_vaekit, "torchmetrics": _frechet_torchmetrics},
    "kernel_distance": {
        "vaekit": _kernel_vaekit,
        "torchmetrics": lambda x, y: _kernel_torchmetrics(x, y, 1, len(x)),
        "torchmetrics, 100 blocks of 1,000": lambda x, y: _kernel_torchmetrics(x, y, 100, 1000),
    },
    "precision_recall_density_coverage": {"vaekit": _manifolds_vaekit, "scikit-learn": _manifolds_scikit_learn},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "metrics_speed.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance`")
    generator = torch.Generator().manual_seed(options.seed)
    x, y = torch.randn(2, options.examples, options.dimensions, generator=generator)
    x = 0.9 * x + 0.1
    seconds = {metric: {name: [] for name in group} for metric, group in CONTESTANTS.items()}
    values: dict[str, dict[str, list[float]]] = {metric: {} for metric in CONTESTANTS}
    for turn in range(options.rounds + 1):
        for metric, group in CONTESTANTS.items():
            for name, measure in group.items():
                torch.manual_seed(options.seed)
                start = time.perf_counter()
                values[metric][name] = [float(value) for value in measure(x, y)]
                if turn:
                    seconds[metric][name].append(time.perf_counter() - start)
    ratios, agreement = {}, {}
    for metric, group in seconds.items():
        ours = group["vaekit"]
        for name in list(group)[1:]:
            pairs = zip(group[name], ours, strict=True)
            ratios[f"{metric}: vaekit/{name}"] = median(theirs / own for theirs, own in pairs)
            if "blocks" not in name:
                equals = zip(values[metric]["vaekit"], values[metric][name], strict=True)
                agreement[f"{metric}: {name}"] = max(abs(a - b) / abs(b) for a, b in equals)
        for name, found in group.items():
            print(f"{metric:<36}{name:<36}{median(found):>8.3f} s")
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f} times as fast")
    print("relative differences:", {name: f"{value:.1g}" for name, value in agreement.items()})
    settings = {name: getattr(options, name) for name in ("examples", "dimensions", "rounds", "seed")}
    settings["torch_threads"] = torch.get_num_threads()
    medians = {metric: {name: median(found) for name, found in group.items()} for metric, group in seconds.items()}
    results = {"ratios": ratios, "agreement": agreement, "median_seconds": medians, "seconds": seconds}
    write(options.out, PROTOCOL, {**settings, **results, "values": values})


if __name__ == "__main__":
    main()
