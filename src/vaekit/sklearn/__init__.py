r"""scikit-learn estimators."""

from vaekit.sklearn.regressor import VAERegressor
from vaekit.sklearn.transformer import VAETransformer

__all__ = ["VAERegressor", "VAETransformer"]
