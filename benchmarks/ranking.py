r"""Does the Fréchet distance rank models alike whatever is drawn from them? `python -m benchmarks.ranking`."""

__all__ = ["main"]

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr

import vaekit
from benchmarks.machine import write
from vaekit.data.transforms import Scale, view
from vaekit.evaluation.features import feature_net, features_of
from vaekit.evaluation.frechet import frechet_distance

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "recipe vae on MNIST, each row of `runs` with its own size of z, weight of the rate, width and number of epochs, "
    "seed 0, on the training split; then the Fréchet distance of `generated` means of p(x|z), clamped to [0, 1], to "
    "the 10,000 grey test images, in the features of the net that ships with vaekit, under each of `seeds` of z. "
    "spearman: rank correlation of the distances under the first two seeds. real_against_real: that of the "
    "10,000 validation images to the test images. _se is one standard error, by jackknife"
)
RUNS: tuple[dict[str, Any], ...] = (
    {"latent_dim": 24, "hidden": (500, 500), "beta": 1.0, "epochs": 4},
    {"latent_dim": 24, "hidden": (500, 500), "beta": 1.0, "epochs": 1},
    {"latent_dim": 24, "hidden": (100,), "beta": 1.0, "epochs": 2},
    {"latent_dim": 24, "hidden": (500, 500), "beta": 4.0, "epochs": 2},
    {"latent_dim": 24, "hidden": (500, 500), "beta": 0.25, "epochs": 2},
    {"latent_dim": 24, "hidden": (500, 500), "beta": 0.02, "epochs": 2},
    {"latent_dim": 10, "hidden": (500, 500), "beta": 1.0, "epochs": 3},
    {"latent_dim": 5, "hidden": (500, 500), "beta": 1.0, "epochs": 2},
    {"latent_dim": 2, "hidden": (500, 500), "beta": 1.0, "epochs": 2},
    {"latent_dim": 1, "hidden": (32,), "beta": 1.0, "epochs": 1},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=len(RUNS), help="only so many of them")
    parser.add_argument("--generated", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "ranking.json")
    options = parser.parse_args()
    data = vaekit.load_dataset("mnist")
    rows: list[dict[str, Any]] = []
    net = feature_net("mnist")
    reference = features_of(net, view(data.test.x, Scale(256), 0, "cpu"))
    floor = frechet_distance(features_of(net, view(data.validation.x, Scale(256), 0, "cpu")), reference)
    for arguments in RUNS[: options.runs]:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = vaekit.train("vae", data, out=f"{folder}/run", nll_samples=0, progress=False, **arguments)
            row: dict[str, Any] = {**arguments, "training_seconds": time.perf_counter() - start}
            row["elbo"] = run.metrics["test"]["elbo"]
        start = time.perf_counter()
        found = []
        for seed in options.seeds:
            images = run.model.sample(options.generated, mean=True, seed=seed).clamp(0, 1)
            found.append(frechet_distance(features_of(net, images.split(1000)), reference))
        row["evaluation_seconds"] = (time.perf_counter() - start) / len(found)
        row["frechet_distance"], row["frechet_distance_se"] = zip(*found, strict=True)
        rows.append(row)
        settings = ", ".join(f"{name} {value}" for name, value in arguments.items())
        distances = "  ".join(f"{distance:8.3f} ± {error:.3f}" for distance, error in found)
        print(f"{settings:<64}{row['training_seconds']:6.1f} s   {distances}", flush=True)
    first, second = ([row["frechet_distance"][i] for row in rows] for i in (0, 1))
    correlation = float(spearmanr(first, second).statistic)
    print(f"real against real: {floor[0]:.3f} ± {floor[1]:.3f}")
    print(f"Spearman's rank correlation of {len(rows)} runs: {correlation:.4f}")
    settings = {"generated": options.generated, "seeds": options.seeds, "torch_threads": torch.get_num_threads()}
    features = {"features": net.describe(), "features_sha256": net.sha256, "real_against_real": floor}
    write(options.out, PROTOCOL, {**settings, **features, "spearman": correlation, "runs": rows})


if __name__ == "__main__":
    main()
