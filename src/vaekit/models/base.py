r"""The contract between models, the trainer and the evaluation."""

__all__ = ["LatentVariableModel", "bounds_from_weights", "seed_of", "seeded"]

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vaekit.errors import RequestError
from vaekit.objectives import Inference, Loss, Objective

ROWS = 1000  # (example, sample) pairs decoded at once; more do not run faster, and they no longer fit the cache


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    r"""Draw random numbers from a seed inside the block and leave the caller's random state as it was.

    With `None` the block draws from the global state, as PyTorch does.

    Example:
        >>> with seeded(1):
        ...     a = torch.rand(3)
        >>> with seeded(1):
        ...     bool((torch.rand(3) == a).all())
        True
    """
    if seed is None:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def seed_of(seed: int, block: int) -> int:
    r"""Return the seed of a block of examples, another one for each block and each seed.

    Example:
        >>> seed_of(0, 1), seed_of(1, 0)
        (1, 1000003)
    """
    return (seed * 1_000_003 + block) % 2**63


def bounds_from_weights(weights: Tensor, samples: Sequence[int]) -> Tensor:
    r"""Return the bounds of several numbers of draws, shape `(len(samples), n)`, from log weights, shape `(most, n)`.

    A bound of k draws is the mean over the disjoint groups of k.

    Example:
        >>> bounds_from_weights(torch.tensor([[1.0], [3.0], [1.0], [3.0]]).log(), (1, 2)).exp()
        tensor([[1.7321],
                [2.0000]])
    """
    bounds = []
    for k in samples:
        groups = weights[: len(weights) // k * k].unflatten(0, (-1, k))
        bounds.append((groups.logsumexp(1) - math.log(k)).mean(0))
    return torch.stack(bounds)


def _rivals(objective: Objective) -> dict[str, nn.Module]:
    """The networks of an objective that are trained against the model, by name."""
    rivals: dict[str, nn.Module] = getattr(objective, "rivals", {})
    return rivals


def _at_least_one_draw(samples: Sequence[int]) -> int:
    if min(samples, default=0) < 1:
        raise RequestError(f"samples are {tuple(samples)}; expected at least 1 importance sample: pass 1000, say")
    return max(samples)


class LatentVariableModel(nn.Module, ABC):
    r"""A model of data x with latent variables z.

    A subclass says how inference runs (`infer`) and how data are generated (`generate`). The bound, the importance
    weighted likelihood, every objective and the whole evaluation ask for nothing else, so a model whose inference
    is interleaved with generation needs no special case anywhere.

    Attributes:
        objective: What `forward`, and so the trainer, minimises.
    """

    objective: Objective

    @property
    def conditional(self) -> bool:
        """Whether the model describes data given a context, which all of its methods then have to be told."""
        return False

    @abstractmethod
    def infer(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Inference:
        r"""Draw z for each example and weigh it.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
            samples: Draws of z for each example.
            analytic: Give the rate in closed form where there is one.
        """

    @abstractmethod
    def generate(self, n: int, context: Tensor | None = None, *, mean: bool = True) -> Tensor:
        """Draw n examples from the model; see `sample`."""

    @property
    def first_look(self) -> int:
        """How many examples `prepare` wants to see before the first step of a training; most models ask for none."""
        return 0

    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        r"""Set what is to be set from data before the first step of a training.

        The trainer calls it once, with `first_look` examples drawn at random from the training data, where that is
        not 0.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
        """

    def phases(self) -> dict[str, list[nn.Parameter]]:
        r"""Return the parameters of each phase of a training step, by the phase's name.

        The trainer gives each phase an optimiser and calls `forward` with the phase's name, one after the other on
        the same batch. Most models have one, "bound"; each rival of the objective, a network that is trained against
        the model, has another.
        """
        rivals = {name: list(module.parameters()) for name, module in _rivals(self.objective).items()}
        theirs = {id(p) for parameters in rivals.values() for p in parameters}
        return {"bound": [p for p in self.parameters() if p.requires_grad and id(p) not in theirs], **rivals}

    def forward(self, x: Tensor, context: Tensor | None = None, phase: str = "bound") -> Loss:
        """Return the loss of a phase and its terms."""
        if phase in _rivals(self.objective):
            return cast(Loss, self.objective.rival_loss(phase, self, x, context))  # type: ignore[attr-defined]
        return self.objective(self, x, context)

    def elbo(self, x: Tensor, context: Tensor | None = None, samples: int = 1) -> Tensor:
        r"""Return the evidence lower bound, never weighted or annealed, in nats, shape `(n,)`.

        .. math::
            \mathcal L(x) = \mathbb E_{q(z \mid x)}[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z))
            \le \log p(x)

        References:
            Auto-Encoding Variational Bayes (Kingma and Welling, 2014), equation 3.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
            samples: Draws of z for each example, to average over.
        """
        distortion, rate, _ = self.infer(x, context, samples, analytic=True)
        return -(distortion.mean(0) + rate.mean(0))

    @torch.no_grad()
    def log_prob(self, x: Tensor, context: Tensor | None = None, samples: int = 1000) -> Tensor:
        r"""Return the importance-weighted estimate of the log-likelihood, in nats, shape `(n,)`.

        .. math::
            \log \hat p(x) = \log \frac1k \sum_{i=1}^k \frac{p(x, z_i)}{q(z_i \mid x)}, \qquad z_i \sim q(z \mid x)

        Its expectation is a lower bound of :math:`\log p(x)` that rises with k. Draws are streamed: memory does not
        grow with n, and with k only by one number a draw.

        References:
            Importance weighted autoencoders (Burda, Grosse and Salakhutdinov, 2016), equation 8.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            context: Context, shape `(n, ...)`.
            samples: Draws of z for each example, k above.

        Raises:
            NotImplementedError: If the posterior has no density.
            RequestError: If `samples` is less than 1.
        """
        return self.importance_bounds(x, (samples,), context)[0]

    @torch.no_grad()
    def importance_bounds(
        self,
        x: Tensor,
        samples: Sequence[int],
        context: Tensor | None = None,
        *,
        rows: int = ROWS,
        compiled: Callable[..., Inference] | None = None,
    ) -> Tensor:
        r"""Return the importance-weighted bounds for several numbers of draws, in nats, shape `(len(samples), n)`.

        All come from one set of draws, as many as the largest number asks for. A bound of k draws is the mean over
        the disjoint groups of k among them, so that its noise is as small as these draws allow.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            samples: Numbers of draws.
            context: Context, shape `(n, ...)`.
            rows: How many (example, draw) pairs are decoded at once.
            compiled: `infer`, compiled, for the parts of full size.

        Raises:
            NotImplementedError: If the posterior has no density.
            RequestError: If a number of draws is less than 1.
        """
        most = _at_least_one_draw(samples)
        weights = self.importance_weights(x, most, context, rows=rows, compiled=compiled)
        return torch.cat([bounds_from_weights(part, samples) for part in weights], dim=1)

    @torch.no_grad()
    def importance_weights(
        self,
        x: Tensor,
        samples: int,
        context: Tensor | None = None,
        *,
        rows: int = ROWS,
        compiled: Callable[..., Inference] | None = None,
    ) -> Iterator[Tensor]:
        r"""Yield log importance weights of a few examples at a time, in order, in nats, shape `(samples, few)`.

        .. math::
            \log w_i = \log p(x, z_i) - \log q(z_i \mid x), \qquad z_i \sim q(z \mid x)

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            samples: Draws of z for each example.
            context: Context, shape `(n, ...)`.
            rows: How many (example, draw) pairs are decoded at once.
            compiled: `infer`, compiled, for the parts of full size.

        Raises:
            NotImplementedError: If the posterior has no density.
            RequestError: If `samples` is less than 1.
        """
        _at_least_one_draw((samples,))
        draws = min(samples, max(1, rows // 4))
        examples = max(1, rows // draws)
        for start in range(0, len(x), examples):
            part = slice(start, start + examples)
            given = None if context is None else context[part]
            pieces = []
            for done in range(0, samples, draws):
                full = len(x[part]) == examples and samples - done >= draws
                infer = compiled if compiled is not None and full else self.infer
                distortion, rate, _ = infer(x[part], given, min(draws, samples - done))
                pieces.append(-(distortion + rate))
            yield torch.cat(pieces)

    @torch.no_grad()
    def sample(
        self, n: int = 64, context: Tensor | None = None, *, mean: bool = True, seed: int | None = None
    ) -> Tensor:
        r"""Draw n examples, shape `(n, *data_shape)`: z from the prior, then x from the decoder.

        Arguments:
            n: How many.
            context: Context, shape `(n, ...)`.
            mean: Give the mean of :math:`p(x \mid z)`, which is the picture people show. False draws x itself, with
                the noise that the likelihood describes, as is always done where there is no mean, as of symbols.
            seed: Draw from this seed; by default from PyTorch's global state.

        Raises:
            RequestError: If `n` is less than 1.
        """
        if n < 1:
            raise RequestError(f"n is {n}; expected at least 1 sample: pass a positive number")
        with seeded(seed):
            return self.generate(n, context, mean=mean)
