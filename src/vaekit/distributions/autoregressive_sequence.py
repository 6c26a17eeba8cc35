r"""The distribution of a sequence of symbols, each given those before it and a code."""

__all__ = ["AutoregressiveSequence", "RecurrentLikelihood"]

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import cross_entropy, pad

from vaekit.distributions.draws import check_draw, draw
from vaekit.distributions.likelihoods import Likelihood
from vaekit.errors import RequestError
from vaekit.networks.recurrent import SymbolDecoder, one_hot, rows_at_once


class AutoregressiveSequence(Distribution):
    r"""A distribution over sequences in parts of one length, each symbol given a code of its part and those before it.

    .. math::
        p(x \mid c) = \prod_u \prod_t p(x_{u,t} \mid x_{u,1}, \dots, x_{u,t-1}, c_u)

    A part sees nothing of the others but what its code says. With one part this is the autoregressive factorisation
    of the whole sequence. Symbols are whole numbers from 0 to K - 1, of any type; those drawn are float32, as data are.

    Symbols have no mean. `mean`, the one sequence that stands for the distribution in reconstructions and pictures,
    is decoded greedily: each symbol is the likeliest given those before it.

    Arguments:
        network: Gives the logits of the next symbol.
        codes: The code of each part, shape `(n, parts, code_dim)`.
        steps: Length of a sequence.
        own: Probability with which the network sees a symbol of its own in place of the true one before it, in
            `log_prob`: scheduled sampling, see `RecurrentLikelihood`. None for never.

    Raises:
        RequestError: If the parts are not of one length.

    Example:
        >>> p = AutoregressiveSequence(SymbolDecoder(3, 5, hidden=8), torch.zeros(2, 4, 3), steps=8)
        >>> x = p.sample((10,))
        >>> x.shape, p.log_prob(x).shape, p.mean.shape
        (torch.Size([10, 2, 8]), torch.Size([10, 2]), torch.Size([2, 8]))
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention
    has_mean = False

    def __init__(self, network: SymbolDecoder, codes: Tensor, steps: int, *, own: Tensor | None = None) -> None:
        if steps % codes.shape[1]:
            raise RequestError(
                f"there are {steps} steps in {codes.shape[1]} parts; expected parts of one length: pass a divisor of "
                "the number of steps"
            )
        self.network, self.codes, self.own = network, codes, own
        self.part = steps // codes.shape[1]
        super().__init__(codes.shape[:1], torch.Size((steps,)), validate_args=False)

    @property
    def support(self) -> Any:
        """Whole numbers from 0 to K - 1 at every step."""
        return constraints.independent(constraints.integer_interval(0, self.network.levels - 1), 1)

    @property
    def mean(self) -> Tensor:
        """The greedy decoding, float32, shape `(*batch_shape, steps)`: it is no mean, which symbols have not."""
        return self.sample(temperature=0.0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability in nats, shape `(..., *batch_shape)`, of sequences, shape `(..., steps)`."""
        return self.scores(value).sum(-1)

    def scores(self, value: Tensor) -> Tensor:
        """Return the log probability of each symbol given those before it, in nats, shape `(..., steps)`."""
        lead, symbols, codes = self._laid_out(value)
        scores = []
        for part, code in self._at_once(symbols, codes):
            logits = self._logits(part, code)
            scores.append(-cross_entropy(logits.transpose(1, 2), part, reduction="none"))
        return torch.cat(scores).view(*lead, *self.event_shape)

    def logits(self, value: Tensor) -> Tensor:
        r"""Return the logits of each symbol given the true ones before it, shape `(..., steps, K)`.

        Arguments:
            value: Sequences, shape `(..., steps)`.
        """
        lead, symbols, codes = self._laid_out(value)
        logits = [self._forced(part, code) for part, code in self._at_once(symbols, codes)]
        return torch.cat(logits).view(*lead, *self.event_shape, -1)

    @torch.no_grad()
    def sample(self, sample_shape: Any = (), *, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
        r"""Draw sequences, float32, shape `(*sample_shape, *batch_shape, steps)`, symbol after symbol.

        Arguments:
            sample_shape: How many for each member of the batch.
            temperature: Divides the logits. Below 1, sequences are more likely ones and less varied; at 0 each
                symbol is the likeliest.
            top_p: Draw each symbol from the fewest that have this probability together.

        Raises:
            RequestError: If the temperature is negative, or `top_p` not above 0 and at most 1.
        """
        check_draw(temperature, top_p)
        lead = torch.Size(sample_shape) + self.batch_shape
        codes = self._codes(lead)
        before = codes.new_zeros(len(codes), 1, self.network.levels)
        state, drawn = None, []
        for _ in range(self.part):
            logits, state = self.network(before, codes, state)
            drawn.append(draw(logits[:, 0], temperature, top_p))
            before = one_hot(drawn[-1][:, None], self.network.levels)
        return torch.stack(drawn, 1).float().view(*lead, *self.event_shape)

    def _logits(self, symbols: Tensor, codes: Tensor) -> Tensor:
        return self._forced(symbols, codes) if self.own is None else self._mixed(symbols, codes, self.own)

    def _forced(self, symbols: Tensor, codes: Tensor) -> Tensor:
        """Logits where every symbol before is the true one, all in one call."""
        logits: Tensor = self.network(pad(one_hot(symbols, self.network.levels), (0, 0, 1, -1)), codes)[0]
        return logits

    def _mixed(self, symbols: Tensor, codes: Tensor, own: Tensor) -> Tensor:
        """Logits where some of the symbols before are drawn from the network's own, step by step."""
        levels = self.network.levels
        before, state, found = codes.new_zeros(len(codes), 1, levels), None, []
        for step in range(self.part):
            logits, state = self.network(before, codes, state)
            found.append(logits[:, 0])
            with torch.no_grad():
                drawn = torch.rand(len(codes), device=codes.device) < own
                before = one_hot(torch.where(drawn, draw(found[-1]), symbols[:, step])[:, None], levels)
        return torch.stack(found, 1)

    def _laid_out(self, value: Tensor) -> tuple[torch.Size, Tensor, Tensor]:
        """The shape in front, the parts of all sequences as rows, and the code of each row."""
        lead = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        symbols = value.expand(*lead, *self.event_shape).reshape(-1, self.part).long()
        return lead, symbols, self._codes(lead)

    def _codes(self, lead: torch.Size) -> Tensor:
        own = self.codes.shape[1:]
        return self.codes.expand(*lead, *own).reshape(-1, own[-1])

    def _at_once(self, symbols: Tensor, codes: Tensor) -> "zip[tuple[Tensor, Tensor]]":
        rows = len(symbols) if torch.is_grad_enabled() else rows_at_once(self.part)
        return zip(symbols.split(max(1, rows)), codes.split(max(1, rows)), strict=True)


class RecurrentLikelihood(Likelihood):
    r"""Sequences of symbols in parts, each drawn by one LSTM from a code of its own; the network gives these codes.

    In training mode, where gradients are asked for, `log_prob` may use *scheduled sampling*: the LSTM sees, with a
    probability that rises over the training, a symbol drawn from its own guess in place of the true one, as it will
    when it runs freely.

    .. math::
        \epsilon_i = \frac{k}{k + \exp(i \, s / k)}

    is the probability of a true one in the i-th batch, where the pace s is 1 as published. What is then trained is no
    likelihood, nor is the loss a bound: each symbol is scored as the true one, but given a past that is not. In
    evaluation mode, as in validation and in all that is reported, every symbol is scored given the true ones before
    it, and the bound is one. It takes a loop over steps in place of one fused call, for which a training step of a
    small model takes a processor 1.5 times as long. The loop is the published method, where each symbol is drawn given
    what was drawn before; two fused passes, the first of which draws all symbols given the true ones (Duckworth et
    al., 2019), would cost as much there and less on a GPU, and train on a past that nothing has drawn as a whole.

    The batches are counted in a buffer, `batches`, which is saved with the weights: a run that is resumed goes on
    where it was.

    References:
        A hierarchical latent vector model for learning long-term structure in music (Roberts et al., 2018).
        Scheduled sampling for sequence prediction with recurrent neural networks (Bengio et al., 2015), section 2.4,
        the inverse sigmoid decay.

    Arguments:
        event_shape: Shape of one x, `(steps,)`.
        levels: Number of symbols, K.
        parameter_shape: Number of parts and size of a code.
        hidden: Units of the LSTM.
        layers: LSTMs one above the other.
        sampling: k of the scheduled sampling, in batches; None for true symbols always.
        pace: How many batches of its schedule a batch counts for, s, where the whole training is shorter.

    Raises:
        RequestError: If a size is less than 1, or the parts are not of one length.

    Example:
        >>> head = RecurrentLikelihood((32,), 90, (2, 6), hidden=8)
        >>> p = head(torch.zeros(5, 2, 6))
        >>> p.batch_shape, p.event_shape, p.log_prob(torch.zeros(5, 32)).shape
        (torch.Size([5]), torch.Size([32]), torch.Size([5]))
    """

    batches: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int,
        parameter_shape: Sequence[int],
        hidden: int = 256,
        layers: int = 1,
        *,
        sampling: float | None = None,
        pace: float = 1.0,
    ) -> None:
        super().__init__(event_shape)
        if len(self.event_shape) != 1 or len(parameter_shape) != 2 or self.event_shape[0] % parameter_shape[0]:
            raise RequestError(
                f"there are events of shape {self.event_shape} and parameters of shape {tuple(parameter_shape)}; "
                "expected (steps,) and (parts, size of a code), with parts of one length: pass (32,) and (2, 64), say"
            )
        if sampling is not None and not 0 < sampling < math.inf:
            raise RequestError(f"sampling is {sampling}; expected a number of batches above 0: pass 1000, or None")
        if not 0 < pace < math.inf:
            raise RequestError(f"pace is {pace}; expected a number above 0: pass 1.0")
        self.sampling, self.pace = sampling, pace
        self._parameter_shape = tuple(parameter_shape)
        self.network = SymbolDecoder(parameter_shape[1], levels, hidden, layers)
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def parameter_shape(self) -> tuple[int, ...]:
        """Number of parts and size of a code."""
        return self._parameter_shape

    @property
    def own(self) -> Tensor:
        """Probability of a symbol of the network's own in the batch to come, a scalar."""
        if self.sampling is None:
            return torch.zeros_like(self.batches).float()
        # 1 - k / (k + exp(i s / k)), which overflows where it is all but 1
        return (self.batches * (self.pace / self.sampling) - math.log(self.sampling)).sigmoid()

    def forward(self, parameters: Tensor) -> AutoregressiveSequence:
        """Read the codes of the parts, shape `(n, parts, size)`."""
        own = None
        if self.training and torch.is_grad_enabled() and self.sampling is not None:
            own = self.own
            self.batches += 1
        return AutoregressiveSequence(self.network, parameters, self.event_shape[0], own=own)
