r"""MusicVAE on a collection of melodies: `python -m benchmarks.music --data essen.zip`.

Trains what is not trained yet, goes on with what was stopped, and measures: how many symbols come back, whether paths
between melodies are melodies, and whether a vector of an attribute moves it.
"""

__all__ = ["main"]

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import write

ROOT = Path(__file__).parents[1]
SYSTEMS = {"music-vae-2bar": 2, "music-vae-16bar": 16, "music-vae-16bar-flat": 16}
PUBLISHED = {  # of the web's melodies: teacher-forced, and drawn; reported
    "music-vae-2bar": (0.986, 0.951),
    "music-vae-16bar": (0.919, 0.812),
    "music-vae-16bar-flat": (0.883, 0.620),
}
ORDER = 5
PROTOCOL = (
    "windows of tunes, split by tune; one width for all LSTMs, and the same epochs and batches for the flat and the "
    "hierarchical decoder. Accuracy: of test windows, see the family accuracy. Paths: between pairs of test windows "
    "drawn at random, at even steps; in latent space from mean code to mean code along the prior's sphere, decoded "
    "greedily; in data space each symbol is that of the second window with a probability that rises evenly. "
    "distance is the Hamming distance to the first end over that between both ends, leap the largest Hamming distance "
    f"of neighbours over that between the ends; nll is that of a {ORDER}-gram model of the training windows, in nats a "
    "symbol, and cost what it is above the straight line between that of both ends. In latent space the ends are the "
    "reconstructions. Attributes: vectors from mean codes of training windows and what is measured of these, test "
    "windows moved along them (1 is one standard deviation), decoded greedily and measured; spearman is the mean over "
    "windows of the rank correlation of strength and measurement, where the measurement moves at all, which it does "
    "in the share moved; of_mean is that of strength and the mean measurement"
)


def _bars(name: str, options: argparse.Namespace) -> int:
    """How long a system's melodies are: sixteen bars can be made fewer."""
    return SYSTEMS[name] if SYSTEMS[name] == 2 else options.bars


def _trained(name: str, folder: Path, options: argparse.Namespace) -> Any:
    """Train a system, or go on with its training, or return its finished run."""
    import vaekit
    from vaekit.runs import Run

    out = folder / name
    if (out / "metrics.json").exists():
        return Run(out)
    if (out / "checkpoints" / "last.safetensors").exists():
        return vaekit.train(resume=True, out=out)
    bars = _bars(name, options)
    widths: dict[str, Any] = {"hidden": options.hidden, "decoder_hidden": options.hidden}
    if name == "music-vae-16bar":
        widths |= {"conductor_hidden": options.hidden, "embedding": options.hidden}
    return vaekit.train(
        name,
        options.data,
        data_options={"bars": bars, "metres": options.metres, "repeat": options.repeat and bars > 2},
        out=out,
        bars=bars,
        epochs=options.epochs[SYSTEMS[name]],
        batch_size=options.batch_size,
        latent_dim=options.latent_dim,
        learning_rate=options.learning_rate,
        nll_samples=0,
        force=True,
        **widths,
    )


def _accuracy(run: Any, options: argparse.Namespace) -> dict[str, Any]:
    from vaekit.evaluation import accuracy_metrics, likelihood_metrics

    x, transform = run.dataset().test.x[: options.n], run.plan.transform
    common: dict[str, Any] = {"context": None, "seed": 0}
    bound = likelihood_metrics(run.model, x, transform, samples=(), **common)
    return accuracy_metrics(run.model, x, transform, **common) | {
        name: bound[name] for name in ("elbo", "rate", "distortion")
    }


def _paths(run: Any, language: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Go from one test window to another, in latent space and in data space."""
    import numpy as np
    import torch

    from vaekit.latent import interpolate

    random = np.random.default_rng(0)
    x = np.asarray(run.dataset().test.x[:])
    pairs = np.stack([random.choice(len(x), 2, replace=False) for _ in range(options.pairs)])
    pairs = pairs[(x[pairs[:, 0]] != x[pairs[:, 1]]).any(1)]
    alphas = np.linspace(0, 1, options.steps)
    latent = np.stack(
        [
            interpolate(run.model, torch.from_numpy(x[pair]).float(), options.steps, spherical=True).x.numpy()
            for pair in pairs
        ]
    )
    a, b = x[pairs[:, 0], None], x[pairs[:, 1], None]
    data = np.where(random.random((len(pairs), options.steps, x.shape[1])) < alphas[:, None], b, a)
    apart = (latent[:, 0] != latent[:, -1]).any(1)
    return {
        "alphas": alphas.tolist(),
        "pairs": int(apart.sum()),
        "latent": _path(latent[apart], language),
        "data": _path(data[apart], language),
    }


def _path(x: Any, language: Any) -> dict[str, Any]:
    """Measure paths, shape `(pairs, points, steps)`."""
    import numpy as np

    ends = (x[:, :1] != x[:, -1:]).mean(2)
    distance = (x != x[:, :1]).mean(2) / ends
    leaps = (x[:, 1:] != x[:, :-1]).mean(2) / ends
    nll = language.nll(x.reshape(-1, x.shape[2])).reshape(x.shape[:2]) / x.shape[2]
    t = np.linspace(0, 1, x.shape[1])
    cost = nll - ((1 - t) * nll[:, :1] + t * nll[:, -1:])
    found = {"distance": distance.mean(0).tolist(), "nll": nll.mean(0).tolist(), "cost": cost.mean(0).tolist()}
    middle = cost[:, x.shape[1] // 2]
    return found | {
        "cost_in_the_middle": float(middle.mean()),
        "cost_in_the_middle_se": float(middle.std(ddof=1) / len(x) ** 0.5),
        "leap": float(leaps.max(1).mean()),
    }


def _attributes(run: Any, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Move test windows along the vectors of what can be measured of them."""
    import numpy as np
    import torch
    from scipy.stats import spearmanr

    from vaekit.evaluation.posterior import random_rows
    from vaekit.latent import attribute_vector, mean_codes, move
    from vaekit.music.statistics import MEASURES

    data, model = run.dataset(), run.model
    train = np.asarray(data.train.x[random_rows(len(data.train), 5000, 0)])
    test = np.asarray(data.test.x[random_rows(len(data.test), options.n, 0)])
    codes, start = (mean_codes(model, torch.from_numpy(x).float()) for x in (train, test))
    values = {name: measure(train) for name, measure in MEASURES.items()}
    known = np.all([np.isfinite(v) for v in values.values()], axis=0)
    plain = {name: attribute_vector(codes[known], v[known]) for name, v in values.items()}
    strengths = np.linspace(-2, 2, 9)
    found = []
    for name, measure in MEASURES.items():
        others = [vector for other, vector in plain.items() if other != name]
        for orthogonal in (False, True):
            vector = attribute_vector(codes[known], values[name][known], others=others if orthogonal else None)
            moved = move(model, start, vector, strengths.tolist()).x.numpy()
            measured = measure(moved.reshape(-1, moved.shape[2])).reshape(len(test), -1)
            varied = [row for row in measured if np.isfinite(row).all() and np.ptp(row) > 0]
            mean = np.nanmean(measured, 0)
            found.append(
                {
                    "attribute": name,
                    "orthogonal": orthogonal,
                    "spearman": float(np.mean([spearmanr(strengths, row).statistic for row in varied])),
                    "moved": len(varied) / len(test),
                    "of_mean": float(spearmanr(strengths, mean).statistic),
                    "mean_by_strength": mean.tolist(),
                    "deviation": float(values[name][known].std()),
                }
            )
    return found


def _measured(run: Any, languages: Callable[[int, Any], Any], options: argparse.Namespace) -> dict[str, Any]:
    config, data = run.config, run.dataset()
    training = run.metrics["training"]
    return {
        "arguments": config["arguments"],
        "windows": {name: len(split) for name, split in data.splits.items()},
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "training": {name: training[name] for name in ("epochs", "steps", "seconds")},
        "accuracy": _accuracy(run, options),
        "paths": _paths(run, languages(data.shape[0], data), options),
        "attributes": _attributes(run, options),
    }


def _finite(found: Any) -> Any:
    """Put None in the place of numbers that are none, which JSON has not."""
    if isinstance(found, dict):
        return {name: _finite(part) for name, part in found.items()}
    if isinstance(found, list):
        return [_finite(part) for part in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _table(results: dict[str, Any]) -> str:
    """The numbers that matter, as Markdown."""
    lines = [
        "| system | updates | minutes | teacher-forced | free-running | drawn | notes, free-running | chance | "
        "published, forced and drawn |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        a, t = found["accuracy"], found["training"]
        shares = " | ".join(
            f"{a[key]:.3f} ± {a[key + '_se']:.3f}"
            for key in ("teacher_forced", "free_running", "sampled", "notes_free_running")
        )
        shown = PUBLISHED[name] if len(a["bars_free_running"]) == SYSTEMS[name] else ()
        published = " and ".join(f"{value:.3f}" for value in shown)
        lines.append(
            f"| {name} | {t['steps']:,} | {t['seconds'] / 60:.0f} | {shares} | {a['chance']:.3f} | {published} |"
        )
    lines += ["", "Of the notes of a bar, the share that comes back, running freely:", ""]
    most = max(len(found["accuracy"]["bars_free_running"]) for found in results.values())
    bars = [bar for bar in (1, 2, 3, 4, 8, 12, 16) if bar <= most]
    lines += [f"| system | {' | '.join(f'bar {bar}' for bar in bars)} |", "|---" * (len(bars) + 1) + "|"]
    for name, found in results.items():
        shares = found["accuracy"]["bars_free_running"]
        cells = [f"{shares[bar - 1]:.2f}" if bar <= len(shares) else "" for bar in bars]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| system | path | nats a symbol above the ends, halfway | largest leap |", "|---|---|---|---|"]
    for name, found in results.items():
        for space in ("latent", "data"):
            p = found["paths"][space]
            cost = f"{p['cost_in_the_middle']:+.3f} ± {p['cost_in_the_middle_se']:.3f}"
            lines.append(f"| {name} | {space} | {cost} | {p['leap']:.2f} |")
    lines += ["", "| system | attribute | orthogonal to the others | rank correlation | of the mean |"]
    lines += ["|---|---|---|---|---|"]
    for name, found in results.items():
        for row in found["attributes"]:
            lines.append(
                f"| {name} | {row['attribute']} | {'yes' if row['orthogonal'] else 'no'} | {row['spearman']:.3f} | "
                f"{row['of_mean']:.3f} |"
            )
    return "\n".join(lines) + "\n"


def _epochs(text: str) -> dict[int, int]:
    """Read epochs of two bars and of sixteen."""
    two, _, sixteen = text.partition(",")
    return {2: int(two), 16: int(sixteen or two)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="an archive or folder of MIDI files")
    parser.add_argument("--metres", default="4/4,2/2,2/4", help="those of the melodies that are used")
    parser.add_argument("--repeat", action="store_true", help="melodies too short for 16 bars are played again")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "music", help="where the runs are")
    parser.add_argument("--only", choices=SYSTEMS, help="train this one and measure nothing")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="those to measure")
    parser.add_argument("--epochs", type=_epochs, default="20,20", help="for two bars, for sixteen")
    parser.add_argument("--bars", type=int, default=16, help="of the systems of sixteen: fewer are learned sooner")
    parser.add_argument("--hidden", type=int, default=128, help="units of every LSTM")
    parser.add_argument("--latent-dim", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the first; 1e-3 as published")
    parser.add_argument("--n", type=int, default=500, help="test windows")
    parser.add_argument("--pairs", type=int, default=200, help="pairs of them, for paths")
    parser.add_argument("--accuracy", action="store_true", help="measure this again and keep the rest of --out")
    parser.add_argument("--steps", type=int, default=11, help="points of a path, an odd number")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "music.json")
    options = parser.parse_args()
    if options.only:
        _trained(options.only, options.runs, options)
        return

    import numpy as np

    from benchmarks.ngram import NGram

    known: dict[int, NGram] = {}

    def language(steps: int, data: Any) -> NGram:
        if steps not in known:
            known[steps] = NGram(np.asarray(data.train.x[:]), data.levels, ORDER)
        return known[steps]

    kept = json.loads(options.out.read_text()) if options.accuracy else {}
    results: dict[str, Any] = {}
    for name in options.systems:
        run = _trained(name, options.runs, options)
        if options.accuracy:
            results[name] = kept["results"][name] | {"accuracy": _accuracy(run, options)}
        else:
            results[name] = _measured(run, language, options)
        print(
            name, {key: round(v, 4) for key, v in results[name]["accuracy"].items() if isinstance(v, float)}, flush=True
        )
    table = _table(results)
    print(table)
    source = {"all_but_accuracy": kept["machine"]} if kept else {}  # where what is kept was measured
    write(options.out, PROTOCOL, {**source, "published": PUBLISHED, "results": _finite(results)})
    about = f"# MusicVAE on {Path(options.data).name}\n\nProtocol: {PROTOCOL}.\n\n"
    options.out.with_suffix(".md").write_text(about + table)


if __name__ == "__main__":
    main()
