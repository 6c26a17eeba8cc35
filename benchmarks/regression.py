r"""Regression of held-out frames: VAER against its baselines, and what the Gaussian process costs.

    python -m benchmarks.regression table --data clips --seeds 3
    python -m benchmarks.regression table --data PATH/walking.mp4 --data-options '{"size": 24, "colour": "grey"}'
    python -m benchmarks.regression cost

The table is added to: a method's numbers are kept as soon as they are there, a call that is repeated goes on where it
stopped, and `regression.md` is written anew beside it. Frames held out are met only to be compared with, but for one
in ten, which calibrates intervals and says how far an autoencoder is trusted. RMSE is in the unit of the file for poses
and of [0, 1] for pixels; the log density is that of a normal distribution an entry, in nats.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import describe
from vaekit.data import Dataset, load_dataset
from vaekit.data.holdout import hold_out
from vaekit.distributions.gaussian_process import GaussianProcess
from vaekit.models.base import seeded
from vaekit.networks.inputs import Inputs
from vaekit.plan import DataSpec
from vaekit.recipes.vaer_motion import vaer_motion
from vaekit.recipes.vaer_video import vaer_video
from vaekit.regression import fit_to_outputs, observed, predict, runs
from vaekit.stages import run_stages
from vaekit.storage import write_json
from vaekit.training import fit

Arrays = tuple[np.ndarray, np.ndarray | None]
Numbers = dict[str, float]
LEVELS = (0.5, 0.9, 0.95)
NAMES = {
    "linear": "linear interpolation",
    "gp": "GP on outputs",
    "pca+gp": "PCA + GP",
    "vae+gp": "VAE + GP afterwards",
    "vaer": "VAER, fine-tuned",
}
PROTOCOL = (
    "Frames 0, g, 2g, ... of each sequence are observed, and its last; or all but one run of frames, the hole. One in "
    "ten of the frames held out, drawn at random, is not tested: for all methods alike it calibrates intervals, and "
    "says how far an autoencoder is trusted. All processes have a Matern kernel with length scale, variance, noise and "
    "smoothness by the marginal likelihood of observed outputs; to take the roughest of several that are nearly as "
    "likely was settled by the error of the GP on outputs with seed 0, which favours that row. Both autoencoders have "
    "the residuals regressed, the same arguments and the same number of steps. RMSE over all entries of all frames "
    "that are tested, mean over seeds. The design, how many rows set the kernel and the share of fine-tuning were "
    "settled while looking at held-out frames of the clips at gaps 4 and 16 with seed 0."
)


def flat(data: Dataset, *names: str) -> np.ndarray:
    """Outputs of splits as rows, on [0, 1] where they are bytes."""
    parts = [np.asarray(data.splits[name].x, np.float64).reshape(len(data.splits[name]), -1) for name in names]
    x = np.concatenate(parts)
    return x if data.levels is None else x / (data.levels - 1)


def told(data: Dataset, *names: str) -> np.ndarray:
    """Contexts of splits."""
    parts = [data.splits[name].given for name in names if len(data.splits[name])]
    return np.concatenate([part for part in parts if part is not None])


def linear(data: Dataset, given: np.ndarray, y: np.ndarray, new: np.ndarray) -> Arrays:
    """Straight lines between the observed frames of each sequence."""
    found = np.empty((len(new), y.shape[1]))
    for number in np.unique(new[:, 0]):
        rows, asked = given[:, 0] == number, new[:, 0] == number
        order = np.argsort(given[rows, 1])
        t, values, at = given[rows, 1][order], y[rows][order], new[asked, 1]
        right = np.searchsorted(t, at).clip(1, max(1, rows.sum() - 1))
        share = ((at - t[right - 1]) / (t[right] - t[right - 1])).clip(0, 1)[:, None]
        found[asked] = (1 - share) * values[right - 1] + share * values[right]
    return found, None


def process(data: Dataset, given: np.ndarray, y: np.ndarray, new: np.ndarray) -> Arrays:
    """A Gaussian process on the outputs, each centred; length scale, variance and noise by marginal likelihood."""
    inputs = Inputs.of(DataSpec.of(data))
    x, at = (inputs.positions(torch.from_numpy(part).float()) for part in (given, new))
    centre = y.mean(0)
    z = torch.from_numpy(y - centre)
    own = flat(data, "train") if y.shape[1] == flat(data, "train").shape[1] else y[: len(data.train)]
    basis = torch.linalg.svd(torch.from_numpy(own - own.mean(0)), full_matrices=False).Vh[:16].T
    gp = GaussianProcess("matern", length_scale=1.5)
    where = inputs.positions(torch.from_numpy(told(data, "train")).float())
    rows = torch.from_numpy(own - own.mean(0)) @ basis
    noise = fit_to_outputs(gp, [(where[run], rows[run]) for run in runs(data.train)])
    mean, std = np.empty((len(new), y.shape[1])), np.empty((len(new), y.shape[1]))
    with torch.no_grad():
        for number in np.unique(new[:, 0]):
            seen, asked = given[:, 0] == number, new[:, 0] == number
            p = gp(x[seen], z[seen], torch.full((int(seen.sum()), 1), noise), at[asked])
            mean[asked], std[asked] = p.mean.numpy(), np.sqrt(p.stddev.numpy() ** 2 + noise)
    return mean + centre, std * max(float(y.std()), 1e-12)


def components(data: Dataset, given: np.ndarray, y: np.ndarray, new: np.ndarray) -> Arrays:
    """Principal components that keep 99 % of the variance, a Gaussian process on them, and what they leave as noise."""
    from sklearn.decomposition import PCA

    pca = PCA(0.99, svd_solver="full").fit(y)
    mean, std = process(data, given, pca.transform(y), new)
    assert std is not None
    left = ((y - pca.inverse_transform(pca.transform(y))) ** 2).mean(0)
    return pca.inverse_transform(mean), np.sqrt(std**2 @ pca.components_**2 + left + 1e-8)


BASELINES: dict[str, Callable[..., Arrays]] = {"linear": linear, "gp": process, "pca+gp": components}


def calibrated(
    data: Dataset, method: Callable[..., Arrays]
) -> tuple[np.ndarray, np.ndarray | None, float, dict[float, float]]:
    """A baseline's predictions of the test frames, and the width and reaches that calibrate them, as of the models."""
    mean, std = method(data, told(data, "train"), flat(data, "train"), told(data, "test"))
    if std is None:
        return mean, None, 1.0, {}
    centre, spread = method(data, told(data, "train"), flat(data, "train"), told(data, "validation"))
    assert spread is not None
    errors = np.abs(flat(data, "validation") - centre) / np.maximum(spread, 1e-12)
    width = float(np.sqrt((errors**2).mean()))
    return mean, std, width, {level: float(np.quantile(errors, level)) / width for level in LEVELS}


def scored(data: Dataset, mean: np.ndarray, std: np.ndarray | None, width: float, reach: dict[float, float]) -> Numbers:
    """RMSE, negative log density an entry, and the part of entries that intervals hold, calibrated and before."""
    errors = mean - flat(data, "test")
    unit = 1.0 if data.poses is None else data.poses.scale
    found = {"rmse": float(np.sqrt((errors**2).mean())) * unit}
    if std is None:
        return found
    r = np.abs(errors) / np.maximum(std, 1e-12)
    found["nlpd"] = float((0.5 * (r / width) ** 2 + np.log(std * width * unit) + 0.5 * np.log(2 * np.pi)).mean())
    normal = torch.distributions.Normal(0.0, 1.0)
    for level in LEVELS:
        found[f"before_{level:.0%}"] = float((r < float(normal.icdf(torch.tensor(0.5 + level / 2)))).mean())
        found[f"held_{level:.0%}"] = float((r < reach[level] * width).mean())
    return found


def model(data: Dataset, weight: float, seed: int, steps: int, arguments: dict[str, Any]) -> Numbers:
    """Train VAER, or with weight 0 the same autoencoder with a process fitted afterwards, for as many steps."""
    recipe = vaer_motion if len(data.shape) == 1 else vaer_video
    begun = time.monotonic()
    with seeded(seed):
        spec = DataSpec.of(data)
        plan = recipe(spec, weight=weight, **arguments)
        epochs = max(1, round(steps / -(-len(data.train) // plan.batch_size)))
        plan = recipe(spec, weight=weight, epochs=epochs, **arguments)
    outcome = fit(plan, data, seed=seed, progress=False, compile=False)
    run_stages(plan.stages, outcome.model, data, plan.transform, seed=seed)
    seconds = time.monotonic() - begun
    trained: Any = outcome.model.cpu()
    y, given = observed([data.train], plan.transform)
    new = torch.from_numpy(told(data, "test"))
    found = predict(trained, y.cpu(), given.cpu(), new, seed=seed)
    mean, std = (part.reshape(len(new), -1).astype(np.float64) for part in (found.mean, found.stddev))
    width = float(trained.width)
    more = {"trust": float(trained.trust), "width": width, "seconds": seconds}
    process, trained.residuals = trained.residuals, None
    alone = predict(trained, y.cpu(), given.cpu(), new, seed=seed).mean.reshape(len(new), -1)
    trained.residuals = process
    more["rmse_without_residuals"] = scored(data, alone, None, 1.0, {})["rmse"]
    return scored(data, mean, std / width, width, {level: found.reach(level) for level in LEVELS}) | more


def table(options: argparse.Namespace) -> None:
    """Add to the table, and write it."""
    given = json.loads(options.data_options)
    whole = load_dataset(options.data, **{**given, "validation": 0, "test": 0})
    title = f"{Path(options.data).name} {json.dumps(given)}" if given else Path(options.data).name
    path = Path(options.out)
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"protocol": PROTOCOL, "runs": []}
    kept["protocol"] = PROTOCOL
    arguments = json.loads(options.arguments)
    protocols: list[dict[str, Any]] = [{"gap": int(gap)} for gap in options.gaps.split(",") if gap]
    protocols += [{"hole": options.hole}] if options.hole else []
    for seed in range(options.seeds):
        for protocol in protocols:
            data = hold_out(whole, **protocol, seed=seed, validate=10, validate_on="held-out")
            for name in NAMES:
                about = {"data": title, **protocol, "method": name, "seed": seed}
                if any(about.items() <= run.items() for run in kept["runs"]):
                    continue
                if name in BASELINES:
                    numbers = scored(data, *calibrated(data, BASELINES[name]))
                else:
                    about |= {"steps": options.steps, "arguments": arguments}
                    numbers = model(data, float(name == "vaer"), seed, options.steps, arguments)
                kept["runs"].append({**about, **numbers})
                kept["machine"] = {**describe(), "command": "python -m benchmarks.regression table"}
                write_json(path, kept)
                print(*about.values(), "  ".join(f"{k} {v:.4g}" for k, v in numbers.items()), flush=True)
    write_json(path, kept)
    path.with_suffix(".md").write_text(written(kept))


def written(kept: dict[str, Any]) -> str:
    """The tables and what they say, in Markdown."""
    runs, lines = kept["runs"], ["# Regression of held-out frames", "", kept["protocol"], ""]
    for title in dict.fromkeys(run["data"] for run in runs):
        own = [run for run in runs if run["data"] == title]
        by_gap = sorted(own, key=lambda run: (run.get("gap", float("inf")), run.get("hole", 0.0)))
        places = list(dict.fromkeys(place(run) for run in by_gap))
        lines += [f"## {title}", "", "RMSE, ± one standard deviation over seeds where there are several:", ""]
        lines += ["| | " + " | ".join(places) + " |", "|---|" + "---:|" * len(places)]
        means: dict[tuple[str, str], float] = {}
        for name, words in NAMES.items():
            cells = []
            for at in places:
                found = [run["rmse"] for run in own if run["method"] == name and place(run) == at]
                means[name, at] = float(np.mean(found)) if found else float("nan")
                spread = f" ± {np.std(found, ddof=1):.4f}" if len(found) > 1 else ""
                cells.append(f"{means[name, at]:.4f}{spread}" if found else "")
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
        lines += [""] + [said(means, at, own) for at in places]
        lines += ["", "What intervals of 50 / 90 / 95 % held of the entries, before calibration → after:", ""]
        lines += ["| | " + " | ".join(places) + " |", "|---|" + "---|" * len(places)]
        for name in list(NAMES)[1:]:
            cells = []
            for at in places:
                found = [run for run in own if run["method"] == name and place(run) == at]
                before, after = (
                    " / ".join(f"{np.mean([run[f'{key}_{level:.0%}'] for run in found]) * 100:.0f}" for level in LEVELS)
                    for key in ("before", "held")
                )
                cells.append(f"{before} → {after}")
            lines.append(f"| {NAMES[name]} | " + " | ".join(cells) + " |")
        steps = sorted({run["steps"] for run in own if "steps" in run})
        arguments = sorted({json.dumps(run["arguments"]) for run in own if "arguments" in run})
        counts = {at: len({run["seed"] for run in own if place(run) == at}) for at in places}
        lines += ["", f"Steps: {', '.join(map(str, steps))}. Arguments besides the recipe's: {', '.join(arguments)}. "]
        lines += ["Seeds: " + ", ".join(f"{count} at {at}" for at, count in counts.items()) + ".", ""]
    machine = kept["machine"]
    changed = " with changes" if machine["modified"] else ""
    lines += [
        f"Hardware: {machine['processor']}, {machine['cpus']} processors. Commit: {machine['commit'][:10]}{changed}."
    ]
    return "\n".join(lines) + "\n"


def place(run: dict[str, Any]) -> str:
    """The protocol of a run, in words."""
    return f"gap {run['gap']}" if "gap" in run else f"hole of {run['hole']:.0%}"


def said(means: dict[tuple[str, str], float], at: str, runs: list[dict[str, Any]]) -> str:
    """Who wins, and by how much."""
    here = {name: means[name, at] for name in NAMES if means[name, at] == means[name, at]}
    best = min(here, key=lambda name: here[name])
    others = {name: value for name, value in here.items() if name != "vaer"}
    rival = min(others, key=lambda name: others[name])
    if "vaer" not in here:
        return f"- At {at} VAER was not measured."
    part = here["vaer"] / here[rival] - 1
    seeds = len({run["seed"] for run in runs if run["method"] == "vaer" and place(run) == at})
    words = f"- At {at} VAER {'is best' if best == 'vaer' else 'is not best'}: {abs(part):.1%} "
    words += f"{'below' if part < 0 else 'above'} {NAMES[rival]}"
    if rival != "vae+gp" and "vae+gp" in here:
        own = here["vaer"] / here["vae+gp"] - 1
        words += f", and {abs(own):.1%} {'below' if own < 0 else 'above'} {NAMES['vae+gp']}"
    return words + (", with one seed." if seeds == 1 else ".")


def cost(out: Path) -> None:
    """Seconds and error of the exact and the sparse solve, over the number of inputs."""
    rows: list[dict[str, Any]] = []
    for n in (100, 300, 1000, 3000, 10_000):
        x = torch.linspace(0, n / 10, n, dtype=torch.float64)[:, None]
        z = torch.cat([torch.sin(x), torch.cos(0.7 * x)], 1)
        v, new = torch.full_like(z, 0.01), x[:: max(1, n // 100)] + 0.02
        truth = torch.cat([torch.sin(new), torch.cos(0.7 * new)], 1)
        for inducing in (None, 128, 512):
            if (inducing is None and n > 3000) or (inducing is not None and inducing >= n):
                continue  # the exact factors of 10,000 inputs are 800 MB each
            seconds = []
            for _ in range(3):
                begun = time.monotonic()
                with torch.no_grad():
                    p = GaussianProcess(inducing=inducing)(x, z, v, new)
                seconds.append(time.monotonic() - begun)
            error = float((p.mean - truth).square().mean().sqrt())
            rows.append({"inputs": n, "inducing": inducing, "seconds": seconds, "rmse": error})
            kind = "exact" if inducing is None else f"{inducing} inducing"
            print(f"{n:>6} inputs  {kind:<13} {min(seconds):8.3f} s  RMSE {error:.2e}", flush=True)
    protocol = (
        "Seconds of predicting 2 dimensions at 100 inputs, solve and all, three times; RMSE against the curves that "
        "the points lie on, which turn 0.16 and 0.11 times in 10 inputs, so that more inputs need more inducing points"
    )
    machine = {**describe(), "command": "python -m benchmarks.regression cost"}
    write_json(out, {"protocol": protocol, "machine": machine, "rows": rows})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("table", "cost"))
    parser.add_argument("--data", default="clips")
    parser.add_argument("--data-options", default="{}")
    parser.add_argument("--arguments", default="{}", help="of the recipe, as JSON")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--gaps", default="2,4,8,16")
    parser.add_argument("--hole", type=float, default=0.25, help="part of each sequence; 0 for none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", default=None, help="by default docs/results/regression.json or regression_cost.json")
    options = parser.parse_args()
    default = Path("docs/results") / ("regression.json" if options.what == "table" else "regression_cost.json")
    options.out = Path(options.out) if options.out else default
    if options.what == "cost":
        cost(options.out)
    else:
        table(options)


if __name__ == "__main__":
    main()
