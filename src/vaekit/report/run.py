r"""A run's figures and its page, drawn from its model, its data and its numbers."""

__all__ = ["report_run"]

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit import figures
from vaekit.contexts import contexts_for
from vaekit.data.transforms import pairs
from vaekit.distributions import StandardNormal
from vaekit.evaluation import Evaluation
from vaekit.evaluation.codes import has_codes
from vaekit.figures.canvas import boxed, evenly
from vaekit.figures.strips import strips
from vaekit.kinds import kind_of
from vaekit.latent import manifold_grid, style_grid
from vaekit.models import DRAW, seeded
from vaekit.networks import OneHot
from vaekit.report import write_report
from vaekit.runs import Run

SHOWN = 20
CANVASES, STEPS = 6, 12  # samples that are shown step by step, and steps side by side
STYLES = 8  # examples whose style is shown in every class
PLOTTED = 5000  # points in the latent scatter
HEARD = 30.0  # seconds of samples that sound


def report_run(run: Run, metrics: dict[str, Any], evaluation: Evaluation | None, beside: Run | None = None) -> Path:
    r"""Draw the figures of a run and write its `report.html`.

    Arguments:
        run: The run, trained.
        metrics: All that was measured.
        evaluation: Of the test split; without one the pictures of the latent space stay as they are.
        beside: Another run on examples of the same shape, whose reconstructions are shown beside this one's.
    """
    folder = run.directory / "figures"
    device = next(run.model.parameters()).device
    history = run.history
    pictures = {"loss_curves": figures.loss_curves(history, best_epoch=metrics.get("training", {}).get("best_epoch"))}
    kind, test = kind_of(run.data), run.data.test
    new = contexts_for(run, kind.sampled)
    samples = run.model.sample(kind.sampled, None if new is None else new.to(device), mean=not kind.noisy, seed=0)
    given = test.given[: kind.rebuilt] if run.model.conditional and test.given is not None else None
    originals, told = next(pairs(test.x[: kind.rebuilt], run.plan.transform, given, device=device))
    results = _array(run.model.reconstruct(originals, told))
    pictures["reconstructions"] = kind.reconstructions(_array(originals), results)
    if beside is not None:
        pictures["beside"] = _beside(run, beside, device)
    pictures["samples"] = kind.samples(_array(samples), columns=16)
    if isinstance(run.model.context_network, OneHot) and told is not None and len(run.data.shape) == 3:
        styles = style_grid(run.model, originals[:STYLES], told[:STYLES])
        pictures["styles"] = figures.sample_grid(_array(styles.flatten(0, 1)), columns=styles.shape[1])
    if isinstance(run.model, DRAW):
        pictures["canvas"] = _canvas(run.model)
    if evaluation is not None:
        pictures |= _latent_pictures(run, metrics, evaluation)
    paths = {name: figures.save(figure, folder / f"{name}.png") for name, figure in pictures.items()}
    paths |= {path.stem: path for path in folder.glob("*.png") if path.stem not in paths}
    sound = kind.sound(_array(samples), HEARD)
    config = run.config
    command = config.get("command") or "trained from Python; see the configuration"
    title = f"{config['recipe'] or config['arguments']['model']} on {config['data']['name']}"
    return write_report(
        run.directory,
        title=title,
        config=config,
        metrics=metrics,
        history=history,
        figures=paths,
        command=command,
        sounds={} if sound is None else {"samples": sound},
    )


def _latent_pictures(run: Run, metrics: dict[str, Any], evaluation: Evaluation) -> dict[str, Any]:
    test, labels = metrics.get("test", {}), run.data.test.labels
    z: NDArray[Any] = evaluation.codes.mean[:PLOTTED]
    axes = ("z1", "z2")
    if z.shape[1] > 2 and len(z) == 1:
        z = z[:, :2]  # one point has no principal axes
    elif z.shape[1] > 2:
        z, axes = _principal_axes(z), ("first principal axis", "second principal axis")
    elif z.shape[1] == 1:
        z, axes = np.column_stack([z, np.zeros(len(z))]), ("z1", "")
    pictures = {
        "latent": figures.latent_scatter(
            z,
            None if labels is None else labels[:PLOTTED][: len(z)],
            run.data.label_names,
            axes=axes,
            prior=_prior_draws(run),
        )
    }
    if "unit_rates" in test:
        pictures["unit_rates"] = figures.unit_rates(test["unit_rates"], test["unit_active"])
    ks = sorted(int(key[6:]) for key in test if key.startswith("bound_") and not key.endswith("_se"))
    if len(ks) > 1:
        pictures["bound_curve"] = figures.bound_curve(
            ks, [test[f"bound_{k}"] for k in ks], [test[f"bound_{k}_se"] for k in ks]
        )
    plane = evaluation.codes.mean.shape[1] == 2 and not has_codes(run.model)
    if plane and len(run.data.shape) == 3 and not run.model.conditional:
        grid, quantiles = manifold_grid(run.model)
        pictures["manifold"] = figures.manifold(_array(grid), quantiles=(quantiles, quantiles))
    return pictures


def _canvas(model: DRAW) -> Any:
    """Draw samples as they come to be, with the window that each step is drawn through."""
    with seeded(0):
        images, boxes = model.draw(model.latent().sample((CANVASES,)))
    steps = evenly(images.shape[1], STEPS)
    where = None if boxes is None else _array(boxes[:, steps])
    return strips(boxed(_array(images[:, steps]), where), columns=[f"step {step + 1}" for step in steps])


def _beside(run: Run, other: Run, device: torch.device) -> Any:
    """Draw the reconstructions of the same test examples by two runs, each from what its own model sees."""
    from vaekit.evaluation.generation import expected

    test, names, rows = run.data.test, [], []
    for one in (run, other):
        given = test.given[:SHOWN] if one.model.conditional and test.given is not None else None
        seen, told = next(pairs(test.x[:SHOWN], one.plan.transform, given, device=device))
        rows.append(_array(one.model.to(device).reconstruct(seen, told)))
        names.append(one.config["recipe"] or one.directory.name)
    if names[0] == names[1]:
        names = [one.directory.name for one in (run, other)]
    originals, _ = next(pairs(test.x[:SHOWN], expected(run.plan.transform), device=device))
    return figures.reconstructions(_array(originals), rows[0], name=names[0], beside={names[1]: rows[1]})


def _prior_draws(run: Run) -> NDArray[Any] | None:
    """Draws of a prior in the plane that circles do not tell, to show under the codes."""
    prior = run.model.latent() if not run.model.conditional else None
    if prior is None or prior.event_shape != (2,) or isinstance(run.model.prior, StandardNormal):
        return None
    with seeded(0):
        return _array(prior.sample((PLOTTED,)))


def _principal_axes(z: NDArray[Any]) -> NDArray[np.float64]:
    """Project on the two directions in which z spreads most. scikit-learn's PCA would take longer to import."""
    centred = z.astype(np.float64) - z.mean(axis=0, dtype=np.float64)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:2]
    # An axis has no sign of its own: with the largest entry positive, every machine draws the same picture.
    signs = np.sign(directions[[0, 1], np.abs(directions).argmax(axis=1)])
    projected: NDArray[np.float64] = centred @ (directions * signs[:, None]).T
    return projected


def _array(x: torch.Tensor) -> NDArray[Any]:
    return x.detach().cpu().numpy()
