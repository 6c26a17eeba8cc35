r"""What a training step of DRAW costs, beside a plain loop: `python -m benchmarks.draw`.

The plain loop is the paper's equations one by one, with the library's LSTM cells: a linear map for each thing that is
read off a state, glimpses of image and error one after the other, and the divergence of each step as it is made. Both
contestants have the same sizes and take turns, so that what else the machine does hits both.
"""

__all__ = ["PlainDRAW", "main"]

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.machine import write
from vaekit.distributions import Bernoulli
from vaekit.models import DRAW, DrawDecoder, DrawEncoder

ROOT = Path(__file__).parents[1]
SHAPE = (1, 28, 28)
PROTOCOL = (
    "one training step (loss, gradients, no update) on random bits of 28 by 28; both models of the same sizes, taking "
    "turns; seconds are of the processor, the median over rounds, and ratio is the median of the rounds' ratios, the "
    "plain loop over vaekit, with the lowest and the highest; compiled is this for a step compiled whole"
)


class PlainDRAW(nn.Module):
    """DRAW as it is written down."""

    def __init__(self, glimpses: int, latent: int, hidden: int, read: int | None, write: int | None) -> None:
        super().__init__()
        self.glimpses, self.hidden, self.read, self.write = glimpses, hidden, read, write
        pixels = SHAPE[1] * SHAPE[2]
        self.encoder = nn.LSTMCell(2 * (pixels if read is None else read**2) + hidden, hidden)
        self.decoder = nn.LSTMCell(latent, hidden)
        self.mean, self.log_scale = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.patch = nn.Linear(hidden, pixels if write is None else write**2)
        self.read_at, self.write_at = nn.Linear(hidden, 5), nn.Linear(hidden, 5)

    def banks(self, numbers: Tensor, filters: int) -> tuple[Tensor, Tensor, Tensor]:
        """The filters over rows and over columns, and the intensity."""
        height, width = SHAPE[1:]
        x, y, log_variance, log_stride, log_intensity = numbers.chunk(5, 1)
        stride = (max(height, width) - 1) / (filters - 1) * log_stride.exp()
        banks = []
        for size, at in ((height, y), (width, x)):
            means = (size + 1) / 2 * (at + 1) + (torch.arange(1, filters + 1) - filters / 2 - 0.5) * stride
            away = torch.arange(1, size + 1).view(1, 1, -1) - means.unsqueeze(-1)
            bank = torch.exp(-away.square() / (2 * log_variance.exp().unsqueeze(-1)))
            banks.append(bank / bank.sum(-1, keepdim=True).clamp_min(1e-8))
        return banks[0], banks[1], log_intensity.exp()

    def forward(self, x: Tensor) -> Tensor:
        """Return the loss, in nats."""
        x = x[:, 0]
        n = len(x)
        canvas = torch.zeros_like(x)
        h_enc, c_enc, h_dec, c_dec = (torch.zeros(n, self.hidden) for _ in range(4))
        rate = torch.zeros(n)
        for _ in range(self.glimpses):
            error = x - canvas.sigmoid()
            if self.read is None:
                seen = [x.flatten(1), error.flatten(1)]
            else:
                rows, columns, intensity = self.banks(self.read_at(h_dec), self.read)
                seen = [intensity * (rows @ image @ columns.mT).flatten(1) for image in (x, error)]
            h_enc, c_enc = self.encoder(torch.cat([*seen, h_dec], 1), (h_enc, c_enc))
            mean, log_scale = self.mean(h_enc), self.log_scale(h_enc)
            z = mean + log_scale.exp() * torch.randn_like(mean)
            rate = rate + 0.5 * (mean**2 + (2 * log_scale).exp() - 2 * log_scale - 1).sum(1)
            h_dec, c_dec = self.decoder(z, (h_dec, c_dec))
            if self.write is None:
                canvas = canvas + self.patch(h_dec).view_as(canvas)
            else:
                rows, columns, intensity = self.banks(self.write_at(h_dec), self.write)
                drawn = rows.mT @ self.patch(h_dec).view(n, self.write, self.write) @ columns
                canvas = canvas + drawn / intensity.unsqueeze(-1)
        distortion = F.binary_cross_entropy_with_logits(canvas, x, reduction="none").sum((1, 2))
        return (distortion + rate).mean()


def _seconds(call: Any, model: nn.Module, x: Tensor, steps: int) -> float:
    start = time.process_time()
    for _ in range(steps):
        model.zero_grad()
        call(x).backward()
    return (time.process_time() - start) / steps


def _measure(options: argparse.Namespace, attention: bool) -> dict[str, Any]:
    torch.manual_seed(0)
    read, written = (2, 5) if attention else (None, None)
    plain = PlainDRAW(options.glimpses, options.latent, options.hidden, read, written)
    encoder = DrawEncoder(SHAPE, options.latent, options.hidden, read)
    ours = DRAW(encoder, DrawDecoder(Bernoulli(SHAPE), options.latent, options.glimpses, options.hidden, written))
    x = torch.bernoulli(torch.full((options.batch, *SHAPE), 0.3))
    calls: dict[str, tuple[Any, nn.Module]] = {"plain": (plain, plain), "vaekit": (lambda x: ours(x).loss, ours)}
    result: dict[str, Any] = {"attention": attention}
    if options.compile:
        ours(x[:2])  # looks up the divergence, which the compiler could not follow
        compiled = torch.compile(ours)
        start = time.perf_counter()
        compiled(x).loss.backward()
        result["compile_seconds"] = round(time.perf_counter() - start, 1)
        calls["compiled"] = (lambda x: compiled(x).loss, ours)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(options.rounds + 1):
        for name, (call, model) in calls.items():
            took = _seconds(call, model, x, options.steps)
            if number:  # the first round warms up
                seconds[name].append(took)
    for name, values in seconds.items():
        result[f"{name}_seconds"] = round(statistics.median(values), 5)
        if name != "plain":
            ratios = sorted(a / b for a, b in zip(seconds["plain"], values, strict=True))
            result[f"{name}_ratio"] = [round(r, 3) for r in (statistics.median(ratios), ratios[0], ratios[-1])]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glimpses", type=int, default=10)
    parser.add_argument("--latent", type=int, default=100)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15, help="of each contestant in turn")
    parser.add_argument("--steps", type=int, default=2, help="in a round")
    parser.add_argument("--compile", action="store_true", help="a step compiled whole too: minutes of compiling")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "draw_speed.json")
    options = parser.parse_args()

    from vaekit.training.acceleration import keep_freed_memory

    keep_freed_memory()
    results = []
    for attention in (True, False):
        results.append(_measure(options, attention))
        print(results[-1], flush=True)
    sizes = {name: getattr(options, name) for name in ("glimpses", "latent", "hidden", "batch", "rounds", "steps")}
    write(options.out, PROTOCOL, {"sizes": sizes, "threads": torch.get_num_threads(), "results": results})


if __name__ == "__main__":
    main()
