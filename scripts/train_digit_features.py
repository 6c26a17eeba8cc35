r"""Train the digit classifier that the evaluation looks through: `python -m scripts.train_digit_features`.

It writes the weights to `src/vaekit/networks/weights/`, and their hash and accuracy to
`docs/results/digit_features.json`. One seed gives the same weights on one machine with one thread
(`OMP_NUM_THREADS=1`); on another, weights as good. The hash in `vaekit.networks.pretrained` must follow.
"""

__all__ = ["main"]

import argparse
import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from benchmarks.machine import write
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from vaekit.data import load_dataset
from vaekit.networks.digit_classifier import DigitClassifier
from vaekit.training.acceleration import keep_freed_memory

ROOT = Path(__file__).parents[1]
PROTOCOL = (
    "the 50,000 training images of MNIST, the 10,000 validation images for nothing but the number below, the 10,000 "
    "test images once, at the end, with the weights as stored (float16). Each image of a batch is turned by up to 12 "
    "degrees, scaled by 0.88 to 1.12, sheared and shifted by up to 2 pixels; then it stays grey (3 in 8), is binarised "
    "with its grey levels as probabilities (2 in 8), thresholded at a random level (1 in 8), or blurred by a Gaussian "
    "of 0.4 to 1.3 pixels (2 in 8), as decoder means are. Adam, one cycle of the learning rate, batch normalisation "
    "folded into the weights afterwards, dropout on the features, average of the weights over the last epochs"
)


class _Normalised(nn.Module):
    """The classifier as it is trained: with batch normalisation, and dropout on the features."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.net = DigitClassifier()
        self.norms = nn.ModuleList(nn.BatchNorm2d(c.out_channels) for c in self.net.convolutions)
        self.last_norm = nn.BatchNorm1d(self.net.hidden.out_features)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for number, (convolution, norm) in enumerate(zip(self.net.convolutions, self.norms, strict=True)):
            x = norm(convolution(nn.functional.max_pool2d(x, 2) if number else x)).relu()
        return self.net.output(self.dropout(self.last_norm(self.net.hidden(x.flatten(1))).relu()))

    def folded(self) -> DigitClassifier:
        """Return the same function without normalisation layers."""
        self.eval()
        plain = DigitClassifier()
        plain.load_state_dict(self.net.state_dict())
        for i, norm in enumerate(self.norms):
            plain.convolutions[i] = fuse_conv_bn_eval(plain.convolutions[i].eval(), norm)
        plain.hidden = fuse_linear_bn_eval(plain.hidden.eval(), self.last_norm)
        return plain.eval()


def _channels_last(x: Tensor) -> Tensor:
    """Lay images out so that pooling is ten times as fast."""
    return x.to(memory_format=torch.channels_last)


@torch.no_grad()
def _features(net: DigitClassifier, x: Tensor) -> Tensor:
    return torch.cat([net.features(_channels_last(part)) for part in x.split(500)]).double()


@torch.no_grad()
def _rescale(net: DigitClassifier, x: Tensor) -> None:
    """Give each half of the features a total variance of 1 over images x, and leave the logits as they are."""
    hidden, averages = (half.var(0).sum().sqrt().float() for half in _features(net, x).chunk(2, dim=1))
    # A ReLU lets positive factors through.
    last = net.convolutions[-1]
    for parameter in (last.weight, last.bias):
        parameter /= averages
    net.hidden.weight *= averages
    for parameter in (net.hidden.weight, net.hidden.bias):
        parameter /= hidden
    net.output.weight *= hidden


def _blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image with its own Gaussian, of a standard deviation of `sigma` pixels."""
    offsets = torch.arange(-4.0, 5.0)
    kernel = (-0.5 * (offsets / sigma[:, None]) ** 2).exp()
    kernel /= kernel.sum(1, keepdim=True)
    x = x.transpose(0, 1)  # images become channels, each with a kernel of its own
    for shape, padding in (((-1, 1, 9, 1), (4, 0)), ((-1, 1, 1, 9), (0, 4))):
        x = nn.functional.conv2d(x, kernel.reshape(shape), padding=padding, groups=len(kernel))
    return x.transpose(0, 1)


def _moved(x: Tensor) -> Tensor:
    """Turn, scale, shear and shift each image a little."""
    n = len(x)
    angle = (torch.rand(n) * 2 - 1) * math.radians(12)
    across, down = torch.rand(2, n) * 0.24 + 0.88
    shear = (torch.rand(n) * 2 - 1) * 0.15
    shift = (torch.rand(n, 2) * 2 - 1) * 2 / 14
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(n, 2, 2)
    skew = torch.stack([across, shear, torch.zeros(n), down], 1).view(n, 2, 2)
    grid = nn.functional.affine_grid(torch.cat([turn @ skew, shift[..., None]], 2), list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, align_corners=False)


def augmented(x: Tensor) -> Tensor:
    """Return a batch as the classifier may meet it: grey, binary or blurred, and moved a little."""
    x = _moved(x).clamp(0, 1)
    kind = torch.randint(8, (len(x),))
    bits, cut, soft = (kind == 3) | (kind == 4), kind == 5, kind >= 6
    x[bits] = torch.bernoulli(x[bits])
    x[cut] = (x[cut] > torch.rand(int(cut.sum()), 1, 1, 1) * 0.4 + 0.3).float()
    if soft.any():
        x[soft] = _blurred(x[soft], torch.rand(int(soft.sum())) * 0.9 + 0.4)
    return x


def _views(x: Tensor) -> dict[str, Tensor]:
    """Return the kinds of images that the classifier must know, of one set of grey images."""
    torch.manual_seed(0)
    return {
        "grey": x,
        "binarised": torch.bernoulli(x),
        "thresholded": (x > 0.5).float(),
        "blurred": _blurred(x, torch.full((len(x),), 0.8)),
    }


@torch.no_grad()
def _accuracy(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    right = sum(
        (net(_channels_last(a)).argmax(1) == b).sum().item()
        for a, b in zip(x.split(500), labels.split(500), strict=True)
    )
    return right / len(x)


def _spread(net: DigitClassifier, x: Tensor) -> dict[str, float]:
    """Return how many directions the features use: a classifier's last layer collapses to one less than classes."""
    features = _features(net, x)
    values = torch.linalg.eigvalsh(features.T.cov()).clamp(min=0)
    share = values / values.sum()
    return {
        "participation_ratio": (1 / share.square().sum()).item(),
        "total_variance": values.sum().item(),
        "share_of_the_first_nine": share[-9:].sum().item(),
        "smallest_over_largest_eigenvalue": (values[0] / values[-1]).item(),
        "units_that_never_fire": int((features.amax(0) == 0).sum()),
    }


def _batches(n: int, size: int) -> Iterator[Tensor]:
    yield from torch.randperm(n).split(size)


def main() -> None:
    """Train, store, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--average", type=int, default=4, help="epochs at the end whose weights are averaged")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=50_000, help="fewer to try it out")
    parser.add_argument("--weights", type=Path, default=ROOT / "src/vaekit/networks/weights/digits.safetensors")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "digit_features.json")
    options = parser.parse_args()
    begun = time.monotonic()
    keep_freed_memory()
    data = load_dataset("mnist")
    splits = {
        name: (torch.from_numpy(s.x).float() / 255, torch.from_numpy(s.labels)) for name, s in data.splits.items()
    }
    x, labels = (part[: options.images] for part in splits["train"])

    torch.manual_seed(options.seed)
    model = _Normalised(options.dropout).to(memory_format=torch.channels_last)
    steps = options.epochs * math.ceil(len(x) / options.batch_size)
    optimiser = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, total_steps=steps)
    mean = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    for epoch in range(options.epochs):
        model.train()
        losses = []
        for rows in _batches(len(x), options.batch_size):
            loss = nn.functional.cross_entropy(model(_channels_last(augmented(x[rows]))), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        if epoch >= options.epochs - options.average:
            mean.update_parameters(model)
        with torch.random.fork_rng():
            right = _accuracy(model.eval(), *splits["validation"])
        loss = torch.stack(losses).mean().item()
        print(f"{epoch + 1:>3} loss {loss:.4f} validation {right:.2%} {time.monotonic() - begun:.0f} s", flush=True)

    trained = mean.module if options.average else model
    plain = trained.folded()
    _rescale(plain, x)
    weights = {name: tensor.half().contiguous() for name, tensor in plain.state_dict().items()}
    content = save(weights)
    options.weights.write_bytes(content)
    net = DigitClassifier().eval()
    net.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    accuracy: dict[str, Any] = {}
    for split in ("validation", "test"):
        images, classes = splits[split]
        accuracy[split] = {kind: _accuracy(net, view, classes) for kind, view in _views(images).items()}
        print(split, "  ".join(f"{kind} {value:.2%}" for kind, value in accuracy[split].items()))
    digest = hashlib.sha256(content).hexdigest()
    print(f"{options.weights.name}: {len(content):,} bytes, SHA-256 {digest}")
    settings = {name: getattr(options, name) for name in ("seed", "epochs", "average", "batch_size", "learning_rate",
                "dropout", "images")}  # fmt: skip
    result = {
        **settings,
        "file": f"src/vaekit/networks/weights/{options.weights.name}",
        "bytes": len(content),
        "sha256": digest,
        "accuracy": accuracy,
        "features_of_test": _spread(net, splits["test"][0]),
        "seconds": round(time.monotonic() - begun),
    }
    write(options.out, PROTOCOL, result)


if __name__ == "__main__":
    main()
