r"""Figures: arrays in, matplotlib `Figure` out; nothing here computes a model and nothing touches pyplot."""

__all__ = [
    "COLOURS",
    "loss_curves",
    "reconstructions",
    "sample_grid",
    "latent_scatter",
    "manifold",
    "unit_rates",
    "bound_curve",
    "save",
    "data_uri",
]

from vaekit.figures.files import data_uri, save
from vaekit.figures.pictures import manifold, reconstructions, sample_grid
from vaekit.figures.plots import bound_curve, latent_scatter, loss_curves, unit_rates
from vaekit.figures.style import COLOURS
