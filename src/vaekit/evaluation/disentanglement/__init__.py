r"""Disentanglement: do the codes of data with known factors keep the factors apart?"""

from vaekit.evaluation.disentanglement.beta_vae import beta_vae_score
from vaekit.evaluation.disentanglement.dci import completeness, dci_scores, disentanglement
from vaekit.evaluation.disentanglement.factor_vae import factor_vae_score
from vaekit.evaluation.disentanglement.metrics import BRIEF, METRICS, disentanglement_metrics
from vaekit.evaluation.disentanglement.mutual_information import (
    entropies,
    mig_score,
    modularity_score,
    mutual_information,
)
from vaekit.evaluation.disentanglement.representation import Encoder, Representation
from vaekit.evaluation.disentanglement.sap import sap_score
from vaekit.evaluation.disentanglement.thinned import Thinned

__all__ = [
    "BRIEF",
    "METRICS",
    "Encoder",
    "Representation",
    "Thinned",
    "beta_vae_score",
    "completeness",
    "dci_scores",
    "disentanglement",
    "disentanglement_metrics",
    "entropies",
    "factor_vae_score",
    "mig_score",
    "modularity_score",
    "mutual_information",
    "sap_score",
]
