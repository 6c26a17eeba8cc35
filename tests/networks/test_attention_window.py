import math

import numpy as np
import pytest
import torch

from vaekit.errors import RequestError
from vaekit.networks import AttentionWindow
from vaekit.networks.attention_window import filterbank
from vaekit.networks.glimpses import AttentiveReader, AttentiveWriter, WholeReader, WholeWriter, lstm

SIZES = [((6, 9), 3), ((9, 6), 2), ((5, 5), 5), ((7, 4), 1)]


def numbers_of(n, seed=0):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 2


def placed(image, filters, numbers):
    """Centres, stride, variance and intensity as the paper writes them."""
    (height, width), (x, y, log_variance, log_stride, log_intensity) = image, numbers.tolist()
    stride = (max(image) - 1) / max(filters - 1, 1) * math.exp(log_stride)
    return (
        (width + 1) / 2 * (x + 1),
        (height + 1) / 2 * (y + 1),
        stride,
        math.exp(log_variance),
        math.exp(log_intensity),
    )


def weight(i, pixel, size, centre, stride, variance, filters):
    """One weight of one filter, its normaliser a plain sum over pixels."""
    mean = centre + (i - filters / 2 - 0.5) * stride
    every = [math.exp(-((a - mean) ** 2) / (2 * variance)) for a in range(1, size + 1)]
    return every[pixel - 1] / sum(every)


def weights(image, filters, numbers):
    x, y, stride, variance, intensity = placed(image, filters, numbers)
    grid = range(1, filters + 1)
    rows = [[weight(i, b, image[0], y, stride, variance, filters) for b in range(1, image[0] + 1)] for i in grid]
    columns = [[weight(i, a, image[1], x, stride, variance, filters) for a in range(1, image[1] + 1)] for i in grid]
    return np.array(rows), np.array(columns), intensity


@pytest.mark.parametrize(("image", "filters"), SIZES)
def test_reading_and_writing_are_the_sums_over_pixels(image, filters):
    x = torch.randn(3, 2, *image, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    patch = torch.randn(3, 2, filters, filters, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    numbers = numbers_of(3)
    window = AttentionWindow(image, filters)(numbers)
    seen, drawn = window.read(x), window.write(patch)
    for n in range(3):
        rows, columns, intensity = weights(image, filters, numbers[n])
        for c in range(2):
            for i in range(filters):
                for j in range(filters):
                    total = 0.0
                    for b in range(image[0]):
                        for a in range(image[1]):
                            total += rows[i, b] * float(x[n, c, b, a]) * columns[j, a]
                    assert float(seen[n, c, i, j]) == pytest.approx(intensity * total, rel=1e-9, abs=1e-12)
            for b in range(image[0]):
                for a in range(image[1]):
                    total = 0.0
                    for i in range(filters):
                        for j in range(filters):
                            total += rows[i, b] * float(patch[n, c, i, j]) * columns[j, a]
                    assert float(drawn[n, c, b, a]) == pytest.approx(total / intensity, rel=1e-9, abs=1e-12)


def test_writing_is_the_transpose_of_reading():
    window = AttentionWindow((6, 9), 4)(numbers_of(5) * torch.tensor([1, 1, 1, 1, 0]))  # of intensity 1
    x, patch = torch.randn(5, 3, 6, 9, dtype=torch.float64), torch.randn(5, 3, 4, 4, dtype=torch.float64)
    ours, theirs = (window.read(x) * patch).sum((1, 2, 3)), (x * window.write(patch)).sum((1, 2, 3))
    torch.testing.assert_close(ours, theirs)


def test_what_is_written_at_one_point_is_read_back_by_the_overlap_of_filters():
    window = AttentionWindow((8, 8), 3)(numbers_of(4))
    for i, j in ((0, 0), (1, 2)):
        delta = torch.zeros(4, 1, 3, 3, dtype=torch.float64)
        delta[:, :, i, j] = 1
        rows, columns = window.rows @ window.rows.mT, window.columns @ window.columns.mT
        torch.testing.assert_close(window.read(window.write(delta))[:, 0], rows[:, :, i, None] * columns[:, None, :, j])


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_filter_sums_to_one_however_far_or_narrow(scale, dtype):
    numbers = (scale * numbers_of(200)).to(dtype).requires_grad_()
    window = AttentionWindow((28, 20), 5)(numbers)
    for bank in (window.rows, window.columns):
        assert bool((bank >= 0).all())
        torch.testing.assert_close(bank.sum(-1), torch.ones_like(bank.sum(-1)))
    (window.read(torch.randn(200, 1, 28, 20, dtype=dtype)).tanh().sum()).backward()
    assert bool(numbers.grad.isfinite().all())


def test_a_filter_beyond_the_image_sees_the_nearest_pixel():
    numbers = torch.tensor([[50.0, -50.0, -10.0, 0.0, 0.0]])  # far to the right and far up
    x = torch.arange(12.0).view(1, 1, 3, 4)
    assert AttentionWindow((3, 4), 2)(numbers).read(x).unique().tolist() == [3.0]


def test_a_window_of_a_filter_a_pixel_is_the_identity():
    numbers = torch.tensor([[0.0, 0.0, -12.0, 0.0, 0.0]])
    window = AttentionWindow((9, 9), 9)(numbers)
    x = torch.randn(1, 3, 9, 9)
    assert torch.equal(window.read(x), x)
    assert torch.equal(window.write(x), x)


def test_a_window_moved_by_a_pixel_sees_the_image_moved():
    image = torch.zeros(1, 1, 11, 11)
    image[..., 3:6, 4:7] = torch.rand(3, 3)
    at = torch.tensor([[0.0, 0.0, -12.0, math.log(0.2), 0.0]])  # 3 filters a pixel apart
    moved = at + torch.tensor([[2 / 12, 0, 0, 0, 0]])  # (A + 1) / 2 = 6, so that a sixth is a pixel
    window = AttentionWindow((11, 11), 3)
    torch.testing.assert_close(window(moved).read(image), window(at).read(image.roll(-1, 3)))


@pytest.mark.parametrize(("image", "filters"), [((28, 28), 2), ((20, 30), 5), ((6, 6), 1)])
def test_a_window_at_first_covers_the_image(image, filters):
    window = AttentionWindow(image, filters)
    reads, writes = window(window.covering()[None]), window(window.covering(writes=True)[None])
    grey = torch.full((1, 1, *image), 0.7)
    torch.testing.assert_close(reads.read(grey), torch.full((1, 1, filters, filters), 0.7))
    # Every pixel is seen by some filter about as much as by a mean over the tile that it is in.
    side = max(image) / filters
    assert float((reads.rows.amax(1) * side).min()) > 0.1
    assert float((reads.columns.amax(1) * side).min()) > 0.1
    drawn = writes.write(torch.full((1, 1, filters, filters), 0.7))
    middle = drawn[0, 0, image[0] // 2 - 1 : image[0] // 2 + 1, image[1] // 2 - 1 : image[1] // 2 + 1]
    assert 0.3 < float(middle.mean()) < 1.4
    box = window.box(window.covering()[None])[0].tolist()
    assert box[2] - box[0] == pytest.approx(side * (filters - 1), abs=1e-4)
    assert box[4] == pytest.approx(side / 2)


def test_gradients_are_those_of_finite_differences():
    numbers, patch = numbers_of(2).requires_grad_(), torch.randn(2, 1, 3, 3, dtype=torch.float64).requires_grad_()
    x = torch.randn(2, 1, 5, 4, dtype=torch.float64).requires_grad_()
    window = AttentionWindow((5, 4), 3)
    assert torch.autograd.gradcheck(lambda numbers, x: window(numbers).read(x), (numbers, x))
    assert torch.autograd.gradcheck(lambda numbers, patch: window(numbers).write(patch), (numbers, patch))


def test_a_box_is_where_the_outermost_filters_look():
    numbers = numbers_of(6)
    box = AttentionWindow((20, 30), 4).box(numbers)
    for n in range(6):
        x, y, stride, variance, _ = placed((20, 30), 4, numbers[n])
        expected = [x - 1.5 * stride, y - 1.5 * stride, x + 1.5 * stride, y + 1.5 * stride, math.sqrt(variance)]
        torch.testing.assert_close(box[n].tolist(), expected)


def test_a_variance_widens_a_filter_as_it_says():
    one = torch.ones(1, dtype=torch.float64)
    bank = filterbank(50.5 * one, one, math.log(9) * one, 1, 100)[0, 0]
    at = torch.arange(1, 101)
    assert float((bank * at).sum()) == pytest.approx(50.5)
    assert float((bank * (at - 50.5) ** 2).sum()) == pytest.approx(9, rel=1e-6)


@pytest.mark.parametrize(("image", "filters"), [((5, 5), 0), ((5,), 2), ((0, 5), 2)])
def test_a_window_without_pixels_or_filters_is_refused(image, filters):
    with pytest.raises(RequestError, match="expected at least 1 filter"):
        AttentionWindow(image, filters)


def test_memory_is_that_of_the_library():
    cell = torch.nn.LSTMCell(3, 4)
    x, h, c = torch.randn(5, 3), torch.randn(5, 4), torch.randn(5, 4)
    gates = x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih + cell.bias_hh
    for ours, theirs in zip(lstm(gates, c), cell(x, (h, c)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_attention_reading_is_linear_in_image_and_error():
    reader, x, drawn = WholeReader((2, 3, 4), 5, 8), torch.randn(6, 2, 3, 4), torch.rand(6, 2, 3, 4)
    expected = reader.image(x.flatten(1)) + reader.error((x - drawn).flatten(1))
    torch.testing.assert_close(reader(reader.look(x), drawn, torch.randn(6, 5)), expected)


def test_without_attention_writing_is_linear_in_the_state():
    writer, state = WholeWriter((2, 3, 4), 5), torch.randn(6, 5)
    assert torch.equal(writer(state).flatten(1), writer.drawn(state))
    assert writer.box(state) is None


def test_with_attention_the_state_places_both_windows():
    reader, writer = AttentiveReader((1, 6, 6), 5, 8, 2), AttentiveWriter((1, 6, 6), 5, 3)
    x, drawn, state = torch.randn(4, 1, 6, 6), torch.rand(4, 1, 6, 6), torch.randn(4, 5)
    window = AttentionWindow((6, 6), 2)(reader.place(state))
    glimpse = torch.cat([window.read(x), window.read(x - drawn)], dim=1)
    torch.testing.assert_close(reader(reader.look(x), drawn, state), reader.seen(glimpse.flatten(1)))
    numbers, patch = writer.drawn(state)[:, :5], writer.drawn(state)[:, 5:].view(4, 1, 3, 3)
    torch.testing.assert_close(writer(state), AttentionWindow((6, 6), 3)(numbers).write(patch))
    torch.testing.assert_close(writer.box(state), AttentionWindow((6, 6), 3).box(numbers))
