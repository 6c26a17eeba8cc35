r"""Recurrent networks: what they read, in which order, and from where they go on."""

import pytest
import torch

from vaekit.errors import RequestError
from vaekit.networks import Conductor, RecurrentEncoder, SymbolDecoder, recurrent
from vaekit.networks.recurrent import one_hot


@pytest.mark.parametrize("layers", [1, 2])
def test_the_encoder_reads_both_ways(layers):
    torch.manual_seed(0)
    network = RecurrentEncoder((5,), (3,), 4, hidden=6, layers=layers)
    x = torch.randint(4, (7, 5)).float()
    # The final states, by hand: the forward one after the last symbol, the backward one after the first.
    outputs, _ = network.lstm(one_hot(x, 4))
    both = torch.cat([outputs[:, -1, :6], outputs[:, 0, 6:]], dim=1)
    torch.testing.assert_close(network(x), network.output(both))
    for step in range(5):  # each symbol tells
        other = x.clone()
        other[:, step] = (x[:, step] + 1) % 4
        assert (network(other) - network(x)).abs().amax(1).min() > 1e-4


def test_sequences_are_read_alike_however_many_there_are(monkeypatch):
    torch.manual_seed(0)
    network = RecurrentEncoder((5,), (2, 3), 4, hidden=6)
    x = torch.randint(4, (7, 5))
    whole = network(x)
    assert whole.shape == (7, 2, 3)
    monkeypatch.setattr(recurrent, "_AT_ONCE", 15)
    with torch.no_grad():
        torch.testing.assert_close(network(x), whole.detach())
    torch.testing.assert_close(network(x[2:3]), whole[2:3])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_decoder_goes_on_from_where_it_was(layers):
    torch.manual_seed(0)
    network = SymbolDecoder(3, 4, hidden=6, layers=layers)
    before, code = one_hot(torch.randint(4, (7, 5)), 4), torch.randn(7, 3)
    whole, last = network(before, code)
    state, steps = None, []
    for step in range(5):
        logits, state = network(before[:, step : step + 1], code, state)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other)


def test_the_code_sets_the_state_and_is_read_at_every_step():
    torch.manual_seed(0)
    network = SymbolDecoder(3, 4, hidden=6)
    before, code = torch.zeros(1, 5, 4), torch.randn(1, 3)
    state = network.start(code).tanh().view(2, 1, 1, 6)
    seen = torch.cat([before, code.expand(1, 5, 3)], 2)
    expected = network.output(network.lstm(seen, (state[0], state[1]))[0])
    torch.testing.assert_close(network(before, code)[0], expected)
    with torch.no_grad():
        network.start.weight.zero_()  # it still reads it
    assert (network(before, code)[0] - network(before, -code)[0]).abs().amax(2).min() > 1e-4


def test_a_conductor_gives_an_embedding_a_part_and_each_depends_on_the_code():
    torch.manual_seed(0)
    network = Conductor(3, (4, 5), hidden=6, layers=2)
    z = torch.randn(7, 3, requires_grad=True)
    found = network(z)
    assert found.shape == (7, 4, 5)
    for part in range(4):
        (gradient,) = torch.autograd.grad(found[2, part].sum(), z, retain_graph=True)
        assert gradient[2].abs().min() > 0
        assert not gradient[[0, 1, 3, 4, 5, 6]].any()
    assert (found[:, 1:] - found[:, :-1]).abs().amax(2).min() > 1e-4  # parts differ


def test_gates_that_keep_start_open():
    lstm = SymbolDecoder(3, 4, hidden=600, layers=2).lstm
    for layer in range(2):
        bias = getattr(lstm, f"bias_ih_l{layer}") + getattr(lstm, f"bias_hh_l{layer}")
        means = bias.detach().view(4, 600).mean(1)
        torch.testing.assert_close(means, torch.tensor([0.0, 1.0, 0.0, 0.0]), atol=0.02, rtol=0.0)


def test_wrong_requests():
    for make, message in (
        (lambda: RecurrentEncoder((4, 4), (3,), 4), r"in_shape is \(4, 4\); expected one axis"),
        (lambda: RecurrentEncoder((4,), (3,), 4, hidden=0), "hidden is 0"),
        (lambda: SymbolDecoder(3, 4, layers=0), "layers is 0"),
        (lambda: Conductor(3, (4,)), r"out_shape is \(4,\); expected the number of parts"),
        (lambda: RecurrentEncoder((4,), (3,), 4, hidden=2)(torch.zeros(5, 6)), r"expected \(batch, 4\)"),
    ):
        with pytest.raises(RequestError, match=message):
            make()
