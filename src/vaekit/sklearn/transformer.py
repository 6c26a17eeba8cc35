r"""A variational autoencoder as a scikit-learn estimator."""

__all__ = ["VAETransformer"]

import copy
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from vaekit.data import from_arrays
from vaekit.data.transforms import Identity
from vaekit.errors import RequestError, nearest
from vaekit.models.base import seeded
from vaekit.models.vae import VAE
from vaekit.plan import DataSpec, Plan
from vaekit.recipes.compose import Parts, compose
from vaekit.schedules import Cosine
from vaekit.sklearn.pickling import HoldsModel
from vaekit.training import Interrupted, fit
from vaekit.training.engine import SingleDevice

Reals = NDArray[np.floating[Any]]

_DTYPES = [np.float64, np.float32]
_ON_UNIT_INTERVAL = ("bernoulli", "continuous-bernoulli")
_DEVICES = ("auto", "cpu", "cuda", "mps")
_ROWS = 4096  # examples encoded or decoded at once


class _Architecture(NamedTuple):
    r"""What the fitted network was built of, whatever `set_params` says since."""

    features: int
    latent_dim: int
    hidden: tuple[int, ...]
    activation: str
    likelihood: str

    def network(self, spec: DataSpec, beta: float = 1.0) -> VAE:
        plan = compose(
            spec,
            Parts(beta=beta),
            latent_dim=self.latent_dim,
            network="mlp",
            hidden=self.hidden,
            activation=self.activation,
            likelihood=self.likelihood,
            standardise=False,  # in float64 before, or as the caller wishes not at all
            warmup=0.0,
        )
        return cast(VAE, plan.model)


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, HoldsModel, BaseEstimator):  # type: ignore[misc]
    r"""A variational autoencoder of two multilayer perceptrons: reduce dimensions, score, sample.

    It is fitted by maximising the evidence lower bound

    .. math::
        \mathbb E_{q(z \mid x)}[\log p(x \mid z)] - \beta \, \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I))

    with Adam, whose step size falls along a cosine. The weights kept are those of the epoch with the best bound
    (with weight 1 on the rate) on the validation part, or on the training data where there is none.

    As elsewhere in scikit-learn, X has shape `(n_samples, n_features)`. Computations follow its type, float32 or
    float64; training is in float32. The encoded X depends on nothing but X: it is the posterior's mean.

    References:
        Auto-Encoding Variational Bayes (Kingma and Welling, 2014).
        Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), for `score_samples`.

    Arguments:
        latent_dim: Size of z, the number of features that come out.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse. Without any, `()`, encoder and
            decoder are linear and the model is probabilistic PCA.
        activation: Between layers: tanh, relu, leaky-relu, gelu, silu, elu, softplus or sigmoid.
        likelihood: gaussian (one variance, learned), gaussian-pixel (a variance a feature, given z), squared-error
            (variance 1); or bernoulli for features that are 0 or 1, continuous-bernoulli for features in [0, 1],
            both with `standardize=False`.
        beta: Weight of the rate; 1 trains the bound itself.
        epochs: Passes over the training data, at most.
        batch_size: Examples in a step; all of them if there are fewer.
        learning_rate: Adam's first step size.
        standardize: Take each feature's mean away and divide by its standard deviation before anything else.
            `inverse_transform` and `sample` undo it, and `score_samples` accounts for it: with s the standard
            deviations, :math:`\log p(x) = \log p((x - m) / s) - \sum_j \log s_j`, a density in the units of X.
        validation_fraction: Part of X that is held out to choose the epoch by; 0 for none.
        patience: Epochs without a better bound before training stops; None to run them all.
        nll_samples: Importance samples for an example in `score_samples`.
        random_state: Seed of the weights, of the held-out part, of batches and draws: an int, a `RandomState`, or
            None for a new one at every fit.
        verbose: Show progress.
        device: "auto" for the best there is, or "cpu", "cuda", "mps".

    Attributes:
        model_: The trained `vaekit.models.VAE`, of standardised features if `standardize`.
        scaler_: The fitted `StandardScaler`, or None.
        history_: The log of training: a list of numbers, one an epoch, by name, such as "validation_elbo".
        n_iter_: Number of epochs run.
        n_features_in_: Number of features seen in `fit`.
        feature_names_in_: Their names, if X had names that are all strings.

    Raises:
        ValueError: In `fit`, if an argument is out of its range, or X lies outside the likelihood's support.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> vae = VAETransformer(latent_dim=2, epochs=5, random_state=0).fit(X)
        >>> vae.transform(X).shape, vae.score_samples(X).shape, vae.sample(3).shape
        ((150, 2), (150,), (3, 4))
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        hidden: tuple[int, ...] = (128, 128),
        activation: str = "leaky-relu",
        likelihood: str = "gaussian",
        beta: float = 1.0,
        epochs: int = 200,
        batch_size: int = 100,
        learning_rate: float = 3e-3,
        standardize: bool = True,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        nll_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        device: str = "auto",
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.activation = activation
        self.likelihood = likelihood
        self.beta = beta
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.standardize = standardize
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.nll_samples = nll_samples
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train on X; y is ignored."""
        X = cast(Reals, validate_data(self, X, dtype=_DTYPES))
        self._check_arguments()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.scaler_ = StandardScaler().fit(X) if self.standardize else None
        held_out = round(len(X) * self.validation_fraction)
        data = from_arrays(self._scaled(X), name="X", seed=seed, validation=held_out, test=0)
        self._architecture = _Architecture(
            X.shape[1], self.latent_dim, tuple(self.hidden), self.activation, self.likelihood
        )
        with seeded(seed):
            plan = Plan(
                self._architecture.network(DataSpec.of(data), self.beta),
                Identity(),
                epochs=self.epochs,
                batch_size=min(self.batch_size, len(data.train)),
                learning_rate=self.learning_rate,
                schedule=Cosine(self.epochs, floor=0.01),
                patience=self.patience,
            )
        engine = SingleDevice(self.device)
        try:
            outcome = fit(plan, data, seed=seed, engine=engine, progress=bool(self.verbose))
        except Interrupted:
            raise KeyboardInterrupt from None
        self.model_ = cast(VAE, outcome.model)
        self.history_ = outcome.history
        self.n_iter_ = int(outcome.facts["epochs"])
        self._seed = seed
        return self

    def transform(self, X: ArrayLike) -> Reals:
        """Return the means of q(z|x), shape `(n_samples, latent_dim)`."""
        X = self._seen(X)
        return self._mapped(self._scaled(X), lambda model, x: model.encode(x).mean)

    def inverse_transform(self, Z: ArrayLike) -> Reals:
        """Return the means of p(x|z) in the units of X, shape `(n_samples, n_features)`.

        Arguments:
            Z: Latent points, shape `(n_samples, latent_dim)`.
        """
        check_is_fitted(self)
        points = cast(Reals, check_array(Z, dtype=_DTYPES))
        if points.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {points.shape[1]} features; expected {self._n_features_out}, the latent size: "
                "pass points like those that transform gives"
            )
        return self._unscaled(self._mapped(points, lambda model, z: model.decode(z).mean))

    def score_samples(self, X: ArrayLike) -> Reals:
        r"""Return an estimate of each example's log-likelihood, in nats and in the units of X, shape `(n_samples,)`.

        .. math::
            \log \hat p(x) = \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)}, \qquad z_i \sim q(z \mid x)

        with k = `nll_samples`; on average it is below the exact value, the less so the larger k. The draws for an
        example are chosen by its own numbers and the seed of `fit`, so that it scores the same in any company.
        """
        X = self._seen(X)
        scaled = self._scaled(X)
        model = self._model(scaled.dtype)
        device = next(model.parameters()).device
        scores = np.empty(len(X), dtype=scaled.dtype)
        for row, example in enumerate(scaled):
            x = torch.tensor(example[None], device=device)
            with seeded(zlib.crc32(example.tobytes(), self._seed)):
                scores[row] = model.log_prob(x, samples=self.nll_samples).item()
        return scores if self.scaler_ is None else scores - np.log(self.scaler_.scale_).sum().astype(scaled.dtype)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`, in nats per example, higher is better; y is ignored."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Reals:
        """Draw examples from the fitted density, the likelihood's noise included, in the units of X.

        As `sklearn.neighbors.KernelDensity.sample` does it returns X alone, shape `(n_samples, n_features)`: there
        are no components to go with it. For examples without noise, decode latent points with `inverse_transform`.

        Arguments:
            n_samples: How many.
            random_state: Seed of the draws: an int, a `RandomState`, or None for new ones at every call.
        """
        check_is_fitted(self)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        drawn = self._model(np.dtype(np.float64)).sample(n_samples, mean=False, seed=seed)
        return self._unscaled(cast(Reals, drawn.double().cpu().numpy()))

    @property
    def _n_features_out(self) -> int:
        """The number of features that come out, as fitted; scikit-learn names them."""
        return self._architecture.latent_dim

    def _check_arguments(self) -> None:
        if self.standardize and self.likelihood in _ON_UNIT_INTERVAL:
            raise RequestError(
                f"likelihood {self.likelihood!r} describes features from 0 to 1, which standardising moves: "
                "pass standardize=False, or likelihood='gaussian'"
            )
        if not 0 <= self.validation_fraction < 1:
            raise RequestError(
                f"validation_fraction is {self.validation_fraction}; expected a part from 0 to below 1: pass 0.1, say"
            )
        if self.device not in _DEVICES:
            raise RequestError(
                f"device is {self.device!r}; expected one of {', '.join(_DEVICES)}.{nearest(self.device, _DEVICES)}"
            )
        for name in ("batch_size", "nll_samples"):
            if getattr(self, name) < 1:
                raise RequestError(f"{name} is {getattr(self, name)}; expected at least 1: pass {name}=100, say")

    def _seen(self, X: ArrayLike) -> Reals:
        check_is_fitted(self)
        return cast(Reals, validate_data(self, X, dtype=_DTYPES, reset=False))

    def _scaled(self, X: Reals) -> Reals:
        return X if self.scaler_ is None else cast(Reals, self.scaler_.transform(X))

    def _unscaled(self, X: Reals) -> Reals:
        return X if self.scaler_ is None else cast(Reals, self.scaler_.inverse_transform(X))

    def _model(self, dtype: np.dtype[Any]) -> VAE:
        """The model in the precision of the data, so that its answers do not depend on how they are batched."""
        on_mps = next(self.model_.parameters()).device.type == "mps"  # which has no float64
        model = cast(VAE, self.model_)
        return copy.deepcopy(model).double() if dtype == np.float64 and not on_mps else model

    @torch.no_grad()
    def _mapped(self, rows: Reals, call: Callable[[VAE, Tensor], Tensor]) -> Reals:
        model = self._model(rows.dtype)
        weight = next(model.parameters())
        blocks = [torch.tensor(rows[start : start + _ROWS]).to(weight) for start in range(0, len(rows), _ROWS)]
        results = [call(model, block).cpu().numpy() for block in blocks]
        return cast(Reals, np.concatenate(results).astype(rows.dtype, copy=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _untrained(self) -> VAE:
        return self._architecture.network(DataSpec("X", (self._architecture.features,), None, "gaussian"))
