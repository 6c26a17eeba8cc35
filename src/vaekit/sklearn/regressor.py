r"""Variational auto-encoded regression as a scikit-learn estimator."""

__all__ = ["VAERegressor"]

import copy
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from vaekit.data import Dataset, Split
from vaekit.data.order import Shuffled
from vaekit.errors import RequestError
from vaekit.models import VAERegression
from vaekit.models.base import seeded
from vaekit.plan import DataSpec
from vaekit.recipes.vaer import Kernel, vaer
from vaekit.regression import predict
from vaekit.sklearn.pickling import HoldsModel
from vaekit.stages import run_stages
from vaekit.training import Interrupted, fit
from vaekit.training.engine import SingleDevice

Reals = NDArray[np.floating[Any]]


class VAERegressor(RegressorMixin, MultiOutputMixin, HoldsModel, BaseEstimator):  # type: ignore[misc]
    r"""Regression of many outputs at once: a Gaussian process in the latent space of an autoencoder of the outputs.

    It is for outputs that are many and move together, such as images or poses: Y of shape `(n_samples, n_outputs)`
    is encoded, its codes are regressed on X, and decoded; the autoencoder is first trained by itself and then through
    the regression, by the recipe `vaer`; what it leaves of the outputs is regressed as well. Predictions have standard
    deviations, calibrated on training outputs that are hidden from the process but were trained on, so that they are
    an order of magnitude rather than a promise.

    References:
        Variational autoencoded regression (Yoo et al., 2017).

    Arguments:
        latent_dim: Size of z.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.
        kernel: rbf, matern-1/2, matern-3/2 or matern-5/2, with hyperparameters by the marginal likelihood of y.
        inducing: Inducing points of the process where there are more samples; None for the exact solve.
        epochs: Passes over the data.
        fine_tune: Part of them that trains through the regression.
        batch_size: Examples in a step; all of them if there are fewer.
        learning_rate: Adam's first step size.
        draws: Of z, for each prediction.
        random_state: Seed of weights, batches and draws: an int, a `RandomState`, or None for a new one at every fit.
        verbose: Show progress.
        device: "auto" for the best there is, or "cpu", "cuda", "mps".

    Attributes:
        model_: The trained `vaekit.models.VAERegression`, of standardised outputs.
        scaler_: The fitted `StandardScaler` of the outputs.
        history_: The log of training: a list of numbers, one an epoch, by name, such as "train_regression".
        n_features_in_: Number of features seen in `fit`.

    Raises:
        ValueError: In `fit`, if an argument is out of its range.

    Example:
        >>> X = np.linspace(0, 6, 40)[:, None]
        >>> Y = np.column_stack([np.sin(X), np.cos(X), np.sin(X) * np.cos(X)])
        >>> vaer = VAERegressor(epochs=5, random_state=0).fit(X, Y)
        >>> mean, std = vaer.predict(X[:3], return_std=True)
        >>> mean.shape, std.shape
        ((3, 3), (3, 3))
    """

    def __init__(
        self,
        latent_dim: int = 8,
        *,
        hidden: tuple[int, ...] = (128, 128),
        kernel: Kernel = "rbf",
        inducing: int | None = 512,
        epochs: int = 400,
        fine_tune: float = 0.8,
        batch_size: int = 100,
        learning_rate: float = 3e-3,
        draws: int = 32,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        device: str = "auto",
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.kernel = kernel
        self.inducing = inducing
        self.epochs = epochs
        self.fine_tune = fine_tune
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.draws = draws
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on inputs X, shape `(n_samples, n_features)`, and outputs, shape `(n_samples, n_outputs)`."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, dtype=np.float64)
        if self.draws < 1 or self.batch_size < 1:
            raise RequestError(
                f"draws is {self.draws} and batch_size {self.batch_size}; expected at least 1 of each: pass 32, say"
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        outputs = np.asarray(y, np.float64)
        self._vector = outputs.ndim == 1
        self.scaler_ = StandardScaler().fit(outputs.reshape(len(outputs), -1))
        rows = Split(
            self.scaler_.transform(outputs.reshape(len(outputs), -1)).astype(np.float32),
            context=np.asarray(X, np.float32),
        )
        data = Dataset("X and y", rows, rows.take([]), rows.take([]), levels=None)
        spec = DataSpec.of(data)
        self._spec = spec.to_json()
        self._arguments: dict[str, Any] = {
            "latent_dim": self.latent_dim,
            "hidden": tuple(self.hidden),
            "network": "mlp",
            "standardise": False,  # in float64, above
            "kernel": self.kernel,
            "inducing": self.inducing,
            "epochs": self.epochs,
            "fine_tune": self.fine_tune,
            "batch_size": min(self.batch_size, len(rows)),
            "learning_rate": self.learning_rate,
        }
        with seeded(seed):
            plan = vaer(spec, **self._arguments).with_options(order=Shuffled())  # samples have no order in time
        engine = SingleDevice(self.device)
        try:
            outcome = fit(plan, data, seed=seed, engine=engine, progress=bool(self.verbose))
        except Interrupted:
            raise KeyboardInterrupt from None
        run_stages(plan.stages, outcome.model, data, plan.transform, seed=seed, device=engine.device)
        self.model_ = cast(VAERegression, outcome.model)
        self.history_ = outcome.history
        self._observed = (cast(Reals, rows.x), cast(Reals, rows.context))
        self._seed = seed
        return self

    def predict(self, X: ArrayLike, return_std: bool = False) -> Reals | tuple[Reals, Reals]:
        """Return the predicted outputs, and their standard deviations if asked, each `(n_samples, n_outputs)`.

        Arguments:
            X: Inputs, shape `(n_samples, n_features)`.
            return_std: Also return standard deviations.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        weight = next(self.model_.parameters())
        # In double precision an answer does not depend on what else is asked; mps has none.
        model = self.model_ if weight.device.type == "mps" else copy.deepcopy(self.model_).double()
        weight = next(model.parameters())
        y, given = (torch.from_numpy(part).to(weight) for part in self._observed)
        new = torch.from_numpy(np.asarray(X, np.float64)).to(weight)
        found = predict(model, y, given, new, draws=self.draws, seed=self._seed)
        mean = cast(Reals, self.scaler_.inverse_transform(found.mean.astype(np.float64)))
        std = found.stddev.astype(np.float64) * self.scaler_.scale_
        if self._vector:
            mean, std = mean[:, 0], std[:, 0]
        return (mean, std) if return_std else mean

    def _untrained(self) -> VAERegression:
        return cast(VAERegression, vaer(DataSpec.from_json(self._spec), **self._arguments).model)
