r"""Evaluation of the likelihood by importance sampling, equal samples: `python -m benchmarks.nll`.

pythae's `get_nll` beside vaekit's `model.log_prob`, the same network with the same weights, each in a process of its
own. Their estimates must agree, or one of them does other work.
"""

__all__ = ["main"]

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contestants import HIDDEN, LATENT, PIXELS
from benchmarks.images import make_images
from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "log p(x) of binary images by importance sampling from the posterior, 784-500-tanh-2-500-tanh-784, the same "
    "weights; pythae gets fewer images, as its time grows with their number alone; one process at a time, "
    "taking turns; vaekit compiled, as it is in a long evaluation; a short call, with the compilation in it, before "
    "the timed one; memory: growth of the peak resident size over the size before"
)


def _weights(seed: int) -> dict[str, Any]:
    """Draw the weights that both networks get; log-variance for pythae is twice vaekit's log-scale."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def draw(rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) / columns**0.5

    encoder, head = draw(HIDDEN, PIXELS), draw(2 * LATENT, HIDDEN)
    return {"encoder": encoder, "head": head, "decoder": draw(HIDDEN, LATENT), "output": draw(PIXELS, HIDDEN)}


def _pythae(seed: int) -> Callable[[Any, int], float]:
    import torch

    from benchmarks.contestants.pythae_trainer import build

    model, w = build(), _weights(seed)
    log_scale = w["head"][LATENT:]
    layers = [model.encoder.hidden[0], model.encoder.embedding, model.encoder.log_var]
    layers += [model.decoder.layers[0], model.decoder.layers[2]]
    values = [w["encoder"], w["head"][:LATENT], 2 * log_scale, w["decoder"], w["output"]]
    for layer, weight in zip(layers, values, strict=True):
        layer.weight.data.copy_(weight)
        torch.nn.init.zeros_(layer.bias)
    model.eval()
    # It returns the mean log-likelihood, whatever its name; 100 samples at a time is its default.
    return lambda x, samples: float(model.get_nll(x, n_samples=samples, batch_size=100))


def _vaekit(seed: int) -> Callable[[Any, int], float]:
    import torch

    from vaekit.distributions import Bernoulli, Conditional, DiagonalGaussian, StandardNormal
    from vaekit.models import VAE
    from vaekit.networks import MLP

    posterior, likelihood, w = DiagonalGaussian(LATENT), Bernoulli((PIXELS,)), _weights(seed)
    inward = MLP((PIXELS,), posterior.parameter_shape, hidden=(HIDDEN,), activation="tanh")
    outward = MLP((LATENT,), likelihood.parameter_shape, hidden=(HIDDEN,), activation="tanh")
    model = VAE(Conditional(inward, posterior), Conditional(outward, likelihood), StandardNormal(LATENT))
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    for layer, weight in zip(layers, w.values(), strict=True):
        layer.weight.data.copy_(weight)
        torch.nn.init.zeros_(layer.bias)
    model.eval()
    # As `vaekit evaluate` does in a long evaluation.
    infer = torch.compile(model.infer, dynamic=False)
    return lambda x, samples: float(model.importance_bounds(x, (samples,), compiled=infer).mean())


LIBRARIES = {"pythae": _pythae, "vaekit": _vaekit}


def _peak() -> float:
    """Return the peak resident size so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _measure(library: str, images: int, samples: int, seed: int) -> dict[str, float]:
    """Time one library in this process."""
    import torch

    torch.manual_seed(seed)
    grey = torch.from_numpy(make_images(images, seed)).float() / 255
    x = (torch.rand(grey.shape, generator=torch.Generator().manual_seed(seed)) < grey).float()
    estimate = LIBRARIES[library](seed)
    estimate(x[:8], samples if library == "vaekit" else 100)  # compiles, and maps memory
    before, start = _peak(), time.perf_counter()
    value = estimate(x, samples)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "images_per_second": images / seconds, "peak_mib": _peak(),
            "growth_mib": _peak() - before, "log_prob": value}  # fmt: skip


def _child(library: str, images: int, options: argparse.Namespace) -> dict[str, Any]:
    arguments = [f"--measure={library}", f"--images={images}", f"--samples={options.samples}", f"--seed={options.seed}"]
    command = [sys.executable, "-m", "benchmarks.nll", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{library}: its process ended with status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="for vaekit")
    parser.add_argument("--pythae-images", type=int, default=200, help="the first of them, for pythae")
    parser.add_argument("--samples", type=int, default=1000, help="a multiple of 100, which pythae rounds to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "nll.json")
    parser.add_argument("--measure", choices=list(LIBRARIES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(_measure(options.measure, options.images, options.samples, options.seed)))
        return
    counts = {"pythae": options.pythae_images, "vaekit": options.images}
    runs: dict[str, list[dict[str, Any]]] = {library: [] for library in counts}
    for _ in range(options.rounds):
        for library, images in counts.items():
            runs[library].append(_child(library, images, options))
    # Equal images, once and untimed for the record: the two must estimate the same number.
    same = _child("vaekit", options.pythae_images, options)
    pairs = zip(runs["vaekit"], runs["pythae"], strict=True)
    ratio = median(ours["images_per_second"] / theirs["images_per_second"] for ours, theirs in pairs)
    gap = same["log_prob"] - median(run["log_prob"] for run in runs["pythae"])
    for library, found in runs.items():
        speed, growth = (median(run[key] for run in found) for key in ("images_per_second", "growth_mib"))
        print(f"{library:<8}{speed:>10,.1f} images/s{growth:>10,.0f} MiB more than before")
    print(f"vaekit/pythae {ratio:.1f}; estimates differ by {gap:.3f} nats on the same images")
    settings = {"samples": options.samples, "images": counts, "rounds": options.rounds, "seed": options.seed}
    write(options.out, PROTOCOL, {**settings, "vaekit/pythae": ratio, "gap_nats": gap, "same": same, "runs": runs})


if __name__ == "__main__":
    main()
