r"""Objectives: what training minimises, and what is reported of it."""

from vaekit.objectives.base import HasLatents, Inference, Infers, Latents, Loss, Objective
from vaekit.objectives.elbo import ELBO
from vaekit.objectives.importance import ImportanceWeighted

__all__ = ["ELBO", "HasLatents", "ImportanceWeighted", "Inference", "Infers", "Latents", "Loss", "Objective"]
