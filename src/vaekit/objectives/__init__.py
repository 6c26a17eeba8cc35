r"""Objectives: what training minimises, and what is reported of it."""

from vaekit.objectives.adversarial import AdversarialPrior
from vaekit.objectives.base import Adversarial, HasLatents, Inference, Infers, Latents, Loss, Objective
from vaekit.objectives.categories import AdversarialCategories, Labelled
from vaekit.objectives.commitment import Commitment
from vaekit.objectives.correlation import FactorVAE, TotalCorrelation
from vaekit.objectives.elbo import ELBO, Bound
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.objectives.information import InfoVAE
from vaekit.objectives.moments import DIP
from vaekit.objectives.penalised import Penalised
from vaekit.objectives.rate import Capacity, FreeBits
from vaekit.objectives.reconstruction import Reconstruction
from vaekit.objectives.regression import LatentRegression

__all__ = [
    "Adversarial",
    "AdversarialCategories",
    "AdversarialPrior",
    "Bound",
    "Capacity",
    "Commitment",
    "DIP",
    "ELBO",
    "FactorVAE",
    "FreeBits",
    "HasLatents",
    "ImportanceWeighted",
    "InfoVAE",
    "Inference",
    "Infers",
    "Labelled",
    "LatentRegression",
    "Latents",
    "Loss",
    "Objective",
    "Penalised",
    "Reconstruction",
    "TotalCorrelation",
]
