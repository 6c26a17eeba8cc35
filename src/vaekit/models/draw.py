r"""The deep recurrent attentive writer, whose inference and generation take turns."""

__all__ = ["DRAW", "Drawing", "DrawDecoder", "DrawEncoder", "InterleavedPosterior"]

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, constraints

from vaekit.distributions import Likelihood, StandardNormal
from vaekit.distributions.rates import closed_rate, sampled_rate
from vaekit.errors import RequestError
from vaekit.models.vae import VAE, _repeat
from vaekit.networks.glimpses import AttentiveReader, AttentiveWriter, Reader, WholeReader, WholeWriter, Writer, lstm
from vaekit.objectives import Inference, Objective


class Start(nn.Module):
    r"""What a recurrence starts from: a vector that is learned, at first zero."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, n: int) -> Tensor:
        """Return it for each of n rows."""
        return self.bias.expand(n, -1)


class State(NamedTuple):
    r"""Where a recurrence stands: the output and the cell of its memory, shape `(n, hidden)` each."""

    output: Tensor
    cell: Tensor


class DrawEncoder(nn.Module):
    r"""One step of inference: look at the image and at what is drawn of it, and say where the next latent is.

    .. math::
        h_t^e = \mathrm{LSTM}(h_{t-1}^e, [\mathrm{read}(x, x - \bar x_{t-1}, h_{t-1}^d), h_{t-1}^d]) , \qquad
        q(z_t \mid x, z_{<t}) = \mathcal N(\mu(h_t^e), \operatorname{diag} \sigma(h_t^e)^2)

    Arguments:
        shape: Shape of an image.
        latent_dim: Size of the latent of one step.
        hidden: Size of both memories, this one's and the decoder's.
        read: Filters along a side of the window; None to see all of the image.
    """

    def __init__(self, shape: Sequence[int], latent_dim: int, hidden: int = 256, read: int | None = 2) -> None:
        super().__init__()
        self.reader: Reader = (
            WholeReader(shape, hidden, 4 * hidden) if read is None else AttentiveReader(shape, hidden, 4 * hidden, read)
        )
        self.recurrent = nn.Linear(2 * hidden, 4 * hidden, bias=False)
        self.start = Start(hidden)
        self.head = nn.Linear(hidden, 2 * latent_dim)

    def begin(self, n: int) -> State:
        """Return the state before the first step."""
        output = self.start(n)
        return State(output, torch.zeros_like(output))

    def forward(self, looked: Tensor, drawn: Tensor, decoder: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Return mean and scale of the next latent, shape `(n, latent_dim)`, and the state after."""
        gates = self.reader(looked, drawn, decoder) + self.recurrent(torch.cat([decoder, state.output], dim=1))
        state = State(*lstm(gates, state.cell))
        mean, log_scale = self.head(state.output).chunk(2, dim=1)
        return mean, log_scale.exp(), state


class DrawDecoder(nn.Module):
    r"""The decoder: each of T latents moves a memory, which adds to a canvas; the last canvas is read as p(x|z).

    .. math::
        h_t^d = \mathrm{LSTM}(h_{t-1}^d, z_t) , \qquad c_t = c_{t-1} + \mathrm{write}(h_t^d) , \qquad
        p(x \mid z_1 \dots z_T) = p(x \mid c_T)

    Arguments:
        likelihood: How a canvas is read, from numbers that start as the likelihood's parameters.
        latent_dim: Size of the latent of one step.
        glimpses: Steps, T.
        hidden: Size of the memory.
        write: Filters along a side of the window; None to draw on all of the canvas.

    Example:
        >>> from vaekit.distributions import Bernoulli
        >>> decoder = DrawDecoder(Bernoulli((1, 8, 8)), latent_dim=3, glimpses=4, hidden=16)
        >>> decoder(torch.zeros(5, 12)).mean.shape
        torch.Size([5, 1, 8, 8])
    """

    unrolled = True  # see `vaekit.training.acceleration.compilable`

    def __init__(
        self, likelihood: Likelihood, latent_dim: int, glimpses: int, hidden: int = 256, write: int | None = 5
    ) -> None:
        super().__init__()
        self.head, self.latent_dim, self.glimpses = likelihood, latent_dim, glimpses
        shape = likelihood.parameter_shape
        self.writer: Writer = WholeWriter(shape, hidden) if write is None else AttentiveWriter(shape, hidden, write)
        self.recurrent = nn.Linear(latent_dim + hidden, 4 * hidden)
        self.start = Start(hidden)
        self.canvas = Start(math.prod(shape))

    def begin(self, n: int) -> tuple[Tensor, State]:
        """Return the canvas and the state before the first step."""
        output = self.start(n)
        canvas = self.canvas(n).unflatten(1, self.head.parameter_shape)
        return canvas, State(output, torch.zeros_like(output))

    def drawn(self, canvas: Tensor) -> Tensor:
        """Return the image that a canvas stands for, the mean of its distribution."""
        return cast(Tensor, self.head(canvas).mean)

    def step(self, z: Tensor, canvas: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the canvas and the state after a latent of shape `(n, latent_dim)`."""
        gates = self.recurrent(torch.cat([z, state.output], dim=1))
        state = State(*lstm(gates, state.cell))
        return canvas + self.writer(state.output), state

    def forward(self, z: Tensor, context: Tensor | None = None) -> Distribution:
        """Return p(x|z) for latents of all steps side by side, shape `(n, glimpses * latent_dim)`."""
        canvas, state = self.begin(z.shape[0])
        for latent in z.unflatten(1, (self.glimpses, self.latent_dim)).unbind(1):
            canvas, state = self.step(latent, canvas, state)
        return cast(Distribution, self.head(canvas))


class Course(NamedTuple):
    r"""One course of inference: latents, what each was drawn from given those before it, and the last canvas.

    Attributes:
        z: Latents of all steps side by side, shape `(n, T * d)`.
        posterior: :math:`q(z_t \mid x, z_{<t})` of all steps side by side, at these latents.
        canvas: Shape `(n, *parameter_shape)`.
    """

    z: Tensor
    posterior: Distribution
    canvas: Tensor


class Drawing(NamedTuple):
    r"""How images came to be.

    Attributes:
        images: What is drawn after each step, shape `(n, T, *data_shape)`.
        boxes: Where it was drawn, shape `(n, T, 5)`: left, top, right and bottom filters in pixels from 1, and how
            wide a filter is; None without attention.
    """

    images: Tensor
    boxes: Tensor | None


class InterleavedPosterior(Distribution):
    r"""The posterior of latents each of which is drawn when those before it are known, and drawn with.

    .. math::
        q(z \mid x) = \prod_{t=1}^T q(z_t \mid x, z_{<t})

    Draws and densities take a pass through the recurrence. It is a distribution over the latents of all steps side by
    side, `event_shape (T * d,)`, one for each row of x. No moment of it is known: `mean` is where it leads if every
    latent is the mean of its own conditional distribution, the code that is shown.

    Arguments:
        model: The model.
        x: Data, shape `(n, *data_shape)`.
    """

    arg_constraints = {}  # noqa: RUF012 - torch's own convention
    support = constraints.real_vector
    has_rsample = True
    interleaved = True

    def __init__(self, model: "DRAW", x: Tensor) -> None:
        self._model, self._x = model, x
        event = torch.Size((model.decoder.glimpses * model.decoder.latent_dim,))
        super().__init__(x.shape[:1], event, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The code: every latent at the mean of its conditional distribution, shape `(n, T * d)`."""
        return self._model.course(self._x, noise=self._x.new_zeros(self._extended_shape())).z

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw z, shape `(*sample_shape, n, T * d)`."""
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Draw z, shape `(*sample_shape, n, T * d)`, with its log-density in nats, shape `(*sample_shape, n)`."""
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(shape, dtype=self._x.dtype, device=self._x.device).flatten(0, -2)
        course = self._model.course(self._x, noise=noise)
        return course.z.view(shape), course.posterior.log_prob(course.z).view(shape[:-1])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density in nats, shape `(*sample_shape, n)`, of z, shape `(*sample_shape, n, T * d)`.

        Raises:
            RequestError: If there is not one z for each row of x.
        """
        if value.shape[-2:] != self.batch_shape + self.event_shape:
            raise RequestError(
                f"z has shape {tuple(value.shape)}; expected (..., {self.batch_shape[0]}, {self.event_shape[0]}), for "
                "every density takes a pass through the recurrence: repeat z for each example"
            )
        z = value.flatten(0, -2)
        return self._model.course(self._x, z=z).posterior.log_prob(z).view(value.shape[:-1])


class DRAW(VAE):
    r"""The deep recurrent attentive writer: T latents, each inferred from the image and from what is drawn of it.

    .. math::
        \mathcal L(x) = \mathbb E_{q} \Big[ \log p(x \mid c_T)
        - \sum_{t=1}^T \mathrm{KL}(q(z_t \mid x, z_{<t}) \,\|\, p(z_t)) \Big] , \qquad p(z_t) = \mathcal N(0, I)

    The latent z is that of all steps side by side, :math:`T \cdot d` numbers. Prior and decoder are those of any VAE;
    the posterior knows of the canvas, so that inference and generation take turns, and an `InterleavedPosterior`
    says so. The rate's parts are those of the steps.

    References:
        DRAW: A recurrent neural network for image generation (Gregor et al., 2015).

    Arguments:
        encoder: One step of inference.
        decoder: The canvas, and how it is read.
        objective: What to minimise; by default minus the evidence lower bound.

    Example:
        >>> from vaekit.distributions import Bernoulli
        >>> shape = (1, 8, 8)
        >>> encoder = DrawEncoder(shape, latent_dim=3, hidden=16)
        >>> model = DRAW(encoder, DrawDecoder(Bernoulli(shape), latent_dim=3, glimpses=4, hidden=16))
        >>> x = torch.bernoulli(torch.full((5, *shape), 0.5))
        >>> model.elbo(x).shape, model.encode(x).mean.shape, model.sample(2).shape
        (torch.Size([5]), torch.Size([5, 12]), torch.Size([2, 1, 8, 8]))
        >>> model.draw(model.encode(x).mean).images.shape
        torch.Size([5, 4, 1, 8, 8])
    """

    encoder: DrawEncoder
    decoder: DrawDecoder

    def __init__(self, encoder: DrawEncoder, decoder: DrawDecoder, objective: Objective | None = None) -> None:
        super().__init__(encoder, decoder, StandardNormal(decoder.glimpses * decoder.latent_dim), objective)

    def course(self, x: Tensor, *, noise: Tensor | None = None, z: Tensor | None = None) -> Course:
        r"""Follow the recurrence, with latents that noise makes, :math:`\mu_t + \sigma_t \varepsilon_t`, or are given.

        Arguments:
            x: Data, shape `(n, *data_shape)`.
            noise: :math:`\varepsilon` of all steps, shape `(k * n, T * d)`.
            z: Or the latents, the same shape.
        """
        given = cast(Tensor, noise if z is None else z)
        rows = given.shape[0]  # not len, which an exporter would take for a constant
        looked = cast(Tensor, _repeat(self.encoder.reader.look(x), rows // x.shape[0]))
        state = self.encoder.begin(rows)
        canvas, decoder = self.decoder.begin(rows)
        latents, means, scales = [], [], []
        for each in given.unflatten(1, (self.decoder.glimpses, -1)).unbind(1):
            mean, scale, state = self.encoder(looked, self.decoder.drawn(canvas), decoder.output, state)
            latents.append(mean + scale * each if z is None else each)
            means.append(mean)
            scales.append(scale)
            canvas, decoder = self.decoder.step(latents[-1], canvas, decoder)
        posterior = Normal(torch.cat(means, 1), torch.cat(scales, 1), validate_args=False)
        return Course(torch.cat(latents, 1), Independent(posterior, 1, validate_args=False), canvas)

    def infer(self, x: Tensor, context: Tensor | None = None, samples: int = 1, *, analytic: bool = False) -> Inference:
        """Draw z and weigh it in one pass; see `LatentVariableModel.infer`.

        In closed form, the rate is the sum over steps of those given the latents before, which are drawn.
        """
        self._embedded(context)
        size = self.decoder.glimpses * self.decoder.latent_dim
        course = self.course(
            x, noise=torch.randn(samples, x.shape[0], size, dtype=x.dtype, device=x.device).flatten(0, 1)
        )
        p = self.decoder.head(course.canvas)
        distortion = -p.log_prob(cast(Tensor, _repeat(x, samples))).view(samples, -1)
        prior = self.latent()
        if analytic:
            rate, parts = closed_rate(course.posterior, prior)
        else:
            rate, parts = sampled_rate(course.posterior, prior, course.z)
        steps = cast(Tensor, parts).view(samples, len(x), self.decoder.glimpses, -1).sum(-1)
        return Inference(distortion, rate.view(samples, -1), steps)

    @torch.no_grad()
    def draw(self, z: Tensor) -> Drawing:
        """Return how the images of latents, shape `(n, T * d)`, come to be, step by step."""
        canvas, state = self.decoder.begin(z.shape[0])
        images, boxes = [], []
        for latent in z.unflatten(1, (self.decoder.glimpses, -1)).unbind(1):
            canvas, state = self.decoder.step(latent, canvas, state)
            images.append(self.decoder.drawn(canvas))
            boxes += [] if (box := self.decoder.writer.box(state.output)) is None else [box]
        return Drawing(torch.stack(images, 1), torch.stack(boxes, 1) if boxes else None)

    def _embedded(self, context: Tensor | None) -> Tensor | None:
        if context is not None:
            raise RequestError(
                f"the model was given a context of shape {tuple(context.shape)}; expected none, for it describes "
                "data without one: leave it out"
            )
        return None

    def _encode(self, x: Tensor, c: Tensor | None) -> Distribution:
        return InterleavedPosterior(self, x)
