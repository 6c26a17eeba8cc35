r"""Attributes of digits along their vectors: `python -m benchmarks.attributes RUN`.

Stroke thickness and slant are measured on what a trained model makes of held-out digits as they are moved along the
vectors of these attributes, and a classifier of digits reads it.
"""

__all__ = ["main"]

import argparse
import functools
from pathlib import Path
from typing import Any

from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "vectors from the codes of training digits and from thickness and slant measured on these; codes of test digits "
    "drawn at random, moved along a vector at evenly spaced strengths (1 is one standard deviation of the attribute, "
    "as linear regression moves the codes) and decoded, means of p(x|z); the Spearman correlation of strength and "
    "measured attribute is taken for each digit, over its strengths, and averaged over digits; kept is the share of "
    "all decoded images that the shipped classifier of digits reads as the label of the digit that was moved; "
    "kept_unmoved is that share at strength 0, of plain reconstructions"
)
TARGET = {"spearman": 0.95, "kept": 0.90}


class _Vectors:
    """The vectors of a run's attributes, from codes and measurements that are made once."""

    def __init__(self, run: Any) -> None:
        from vaekit.commands.attributes import attribute_values
        from vaekit.commands.picking import train_codes

        self.codes = train_codes(run)
        self.values = functools.cache(lambda name: attribute_values(run, name, self.codes))

    def __call__(self, name: str, others: list[str], method: Any) -> Any:
        import numpy as np

        from vaekit.latent import attribute_vector

        beside = [self(other, [], method) for other in others]
        values = self.values(name)
        kept = np.isfinite(values)
        return attribute_vector(self.codes.codes[kept], values[kept], method, others=beside)


def _measure(
    run: Any, vectors: _Vectors, name: str, others: list[str], method: Any, strengths: list[float], n: int
) -> dict[str, Any]:
    """Move n test digits along one vector."""
    import numpy as np
    import torch
    from scipy.stats import spearmanr

    from vaekit.commands.picking import model_view
    from vaekit.evaluation.posterior import random_rows
    from vaekit.latent import MEASURES, mean_codes, move

    part = run.data.test
    rows = random_rows(len(part), n, seed=0)
    vector = vectors(name, others, method)
    x = move(run.model, mean_codes(run.model, model_view(run, part.x[rows])), vector, strengths).x
    flat = x.flatten(0, 1)
    measured = {m: MEASURES[m](flat.numpy()).reshape(n, -1) for m in {name, "thickness", "slant"}}
    with torch.no_grad():
        read = _classifier()(flat).argmax(1).view(n, -1).numpy()
    right = read == part.labels[rows][:, None]
    each = np.array([spearmanr(strengths, values).statistic for values in measured[name]])
    return {
        "attribute": name,
        "orthogonal_to": others,
        "method": method,
        "strengths": strengths,
        "spearman": float(np.nanmean(each)),
        "spearman_undefined": int(np.isnan(each).sum()),
        "spearman_at_least_0.95": float(np.mean(each >= 0.95)),
        "kept": float(right.mean()),
        "kept_by_strength": right.mean(0).tolist(),
        "kept_unmoved": float(right[:, strengths.index(0.0)].mean()),
        "mean_by_strength": {m: np.nanmean(values, 0).tolist() for m, values in sorted(measured.items())},
    }


def _classifier() -> Any:
    from vaekit.networks.digit_classifier import DigitClassifier
    from vaekit.networks.pretrained import shipped_weights

    net = DigitClassifier()
    net.load_state_dict(shipped_weights("digits"))
    return net.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a model of MNIST, as `vaekit train vae --epochs 20` makes it")
    parser.add_argument("--n", type=int, default=500, help="test digits")
    parser.add_argument("--reach", type=float, default=2.0, help="strengths go from minus this to this")
    parser.add_argument("--steps", type=int, default=9, help="strengths, an odd number")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "attributes.json")
    options = parser.parse_args()

    from vaekit.runs import Run

    run = Run(options.run)
    run.require_trained()
    half = options.steps // 2
    strengths = [options.reach * i / half for i in range(-half, half + 1)]
    vectors, results = _Vectors(run), []
    for name, other in (("thickness", "slant"), ("slant", "thickness")):
        for method in ("difference", "classifier"):
            for others in ([], [other, *(f"label:{digit}" for digit in range(9))]):
                found = _measure(run, vectors, name, others, method, strengths, options.n)
                results.append(found)
                print(
                    f"{name:<10}{method:<12}{'orthogonal' if others else '':<12}"
                    f"spearman {found['spearman']:.3f}  kept {found['kept']:.1%} (unmoved {found['kept_unmoved']:.1%})",
                    flush=True,
                )
    config = run.config
    trained = {"recipe": config["recipe"], "arguments": config["arguments"], "versions": config["versions"]}
    write(options.out, PROTOCOL, {"target": TARGET, "digits": options.n, "run": trained, "results": results})


if __name__ == "__main__":
    main()
