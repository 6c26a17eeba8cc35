r"""Sequences of symbols: a distribution in the laws of probability, causal, and drawn as it is weighed."""

import math
from itertools import product

import pytest
import torch
from torch import nn

from vaekit.distributions import AutoregressiveSequence, RecurrentLikelihood
from vaekit.distributions.draws import draw, nucleus
from vaekit.errors import RequestError
from vaekit.models.base import seeded
from vaekit.networks import SymbolDecoder, recurrent
from vaekit.networks.recurrent import one_hot

LEVELS, STEPS = 3, 4
FLAT, BARS = (1, 2), (2, 2)  # codes of the parts, and their size


def every():
    return torch.tensor(list(product(range(LEVELS), repeat=STEPS))).float()


def decided(levels=LEVELS, layers=1, seed=0):
    """A network whose guesses are far from uniform, and depend on what it saw."""
    with seeded(seed):
        network = SymbolDecoder(2, levels, hidden=8, layers=layers)
        nn.init.normal_(network.output.weight)
        nn.init.normal_(network.start.weight)
        for weight in (network.lstm.weight_ih_l0, network.lstm.weight_hh_l0):
            nn.init.normal_(weight)
    return network


def sequences(shape=FLAT, n=2, **options):
    with seeded(1):
        codes = torch.randn(n, *shape)
    return AutoregressiveSequence(decided(), codes, STEPS, **options)


@pytest.mark.parametrize("shape", [FLAT, BARS])
def test_probabilities_of_all_sequences_sum_to_one(shape):
    p = sequences(shape)
    log_p = p.log_prob(every().unsqueeze(1))  # points against a batch
    assert log_p.shape == (81, 2)
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(2))
    assert log_p.std() > 0.5
    assert (log_p[:, 0] - log_p[:, 1]).abs().max() > 0.1  # codes tell
    both = p.log_prob(every().unsqueeze(1).expand(-1, 2, STEPS))
    torch.testing.assert_close(log_p, both)
    assert p.support.check(every()).all()
    assert not p.support.check(torch.tensor([0.0, 1.0, 3.0, 1.0]))


@pytest.mark.parametrize("shape", [FLAT, BARS])
def test_a_symbol_depends_on_those_before_it_in_its_part_and_on_none_after(shape):
    parts = shape[0]
    p, part = sequences(shape, n=1), STEPS // shape[0]
    seen = one_hot(torch.randint(LEVELS, (parts, part)), LEVELS).requires_grad_()
    logits = p.network(nn.functional.pad(seen, (0, 0, 1, -1)), p.codes[0])[0]
    for step in range(part):
        (gradient,) = torch.autograd.grad(logits[:, step].square().sum(), seen, retain_graph=True)
        assert not gradient[:, step:].any()
        assert gradient[:, :step].any() == (step > 0)
    # And so the scores: another symbol changes its own score, those after it in its part, and no other.
    x = torch.tensor([[0.0, 1.0, 2.0, 1.0]])
    for step in range(STEPS):
        other = x.clone()
        other[0, step] = (x[0, step] + 1) % LEVELS
        changed = (p.scores(other) - p.scores(x))[0].abs() > 1e-6
        expected = torch.zeros(STEPS, dtype=torch.bool)
        expected[step : (step // part + 1) * part] = True
        assert torch.equal(changed, expected)


def test_a_part_depends_on_no_code_but_its_own():
    p = sequences(BARS, n=1)
    codes = p.codes.clone().requires_grad_()
    scores = AutoregressiveSequence(p.network, codes, STEPS).scores(torch.tensor([[0.0, 1.0, 2.0, 1.0]]))
    for step in range(STEPS):
        (gradient,) = torch.autograd.grad(scores[0, step], codes, retain_graph=True)
        assert gradient[0, step // 2].any()
        assert not gradient[0, 1 - step // 2].any()


@pytest.mark.parametrize("shape", [FLAT, BARS])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_are_as_frequent_as_they_are_probable(shape, temperature):
    p, n = sequences(shape), 4_000
    with seeded(2):
        drawn = p.sample((n,), temperature=temperature)
    assert drawn.shape == (n, 2, STEPS)
    assert drawn.dtype == torch.float32
    if temperature == 1:
        log_p = p.log_prob(every().unsqueeze(1)).detach()
    else:  # each step's own distribution is sharpened, not that of the whole sequence
        logits = p.logits(every().unsqueeze(1)).detach() / temperature
        symbols = every().long()[:, None, :, None].expand(-1, 2, -1, 1)
        log_p = logits.log_softmax(-1).gather(-1, symbols).sum((-1, -2))
    expected = n * log_p.exp()
    numbers = (drawn * 3.0 ** torch.arange(STEPS - 1, -1, -1)).sum(-1).long()
    for member in range(2):
        often = expected[:, member] > 5
        counts = torch.bincount(numbers[:, member], minlength=81).float()
        statistic = float(((counts - expected[:, member])[often].square() / expected[often, member]).sum())
        cells = int(often.sum())
        assert cells > 8
        assert abs(statistic - cells) < 4 * math.sqrt(2 * cells)


@pytest.mark.parametrize("layers", [1, 2])
def test_what_is_drawn_step_by_step_was_drawn_from_what_is_weighed_at_once(layers, monkeypatch):
    # Logits at each draw, caught on the way, are those of the whole sequence that came of it.
    caught = []

    def catch(logits, temperature, top_p):
        caught.append(logits)
        return draw(logits, temperature, top_p)

    monkeypatch.setattr("vaekit.distributions.autoregressive_sequence.draw", catch)
    p = AutoregressiveSequence(decided(layers=layers), torch.randn(2, *BARS), 10)
    x = p.sample()
    assert len(caught) == 5  # as many steps as a part has, whatever their number
    rows = torch.stack(caught, 1).log_softmax(-1).gather(-1, x.long().view(4, 5, 1)).view(2, 10)
    torch.testing.assert_close(p.scores(x), rows)
    torch.testing.assert_close(p.log_prob(x), rows.sum(1))


def test_no_temperature_is_greedy_which_stands_for_the_mean():
    p = sequences(BARS)
    assert torch.equal(p.mean, p.sample(temperature=0.0))
    with seeded(0):
        cold = p.sample((20,), temperature=1e-4)
    assert (cold == p.mean).all()
    assert torch.equal(p.logits(p.mean).argmax(-1).float(), p.mean)
    assert p.mean.dtype == torch.float32
    assert not p.has_mean


def test_a_nucleus_is_the_fewest_symbols_that_suffice():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3], [0.97, 0.01, 0.01, 0.01]]).log()
    for top_p, kept in ((0.35, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.95, 4), (1.0, 4)):
        finite = nucleus(logits, top_p).isfinite()
        assert int(finite[0].sum()) == kept
        assert float(logits[0][finite[0]].exp().sum()) >= top_p - 1e-6
        assert logits[0][finite[0]].min() >= logits[0][~finite[0]].max() if kept < 4 else True
        assert torch.equal(nucleus(logits, top_p)[finite], logits[finite])
    assert int(nucleus(logits, 0.95).isfinite()[1].sum()) == 1


def test_top_p_draws_from_the_nucleus_and_as_often_as_it_says():
    p = sequences(FLAT, n=1)
    with seeded(3):
        x = p.sample((2000,), top_p=0.8)
    before = p.logits(x)
    kept = nucleus(before, 0.8)
    assert kept.gather(-1, x.long().unsqueeze(-1)).isfinite().all()
    assert not kept.isfinite().all()
    first = torch.bincount(x[:, 0, 0].long(), minlength=LEVELS) / 2000
    torch.testing.assert_close(first, kept[0, 0, 0].softmax(-1), atol=0.04, rtol=0.0)


def test_how_many_are_weighed_at_once_changes_nothing(monkeypatch):
    p, x = sequences(BARS, n=5), torch.randint(LEVELS, (3, 5, STEPS)).float()
    with torch.no_grad():
        whole, logits = p.log_prob(x), p.logits(x)
        monkeypatch.setattr(recurrent, "_AT_ONCE", 7)
        torch.testing.assert_close(p.log_prob(x), whole)
        torch.testing.assert_close(p.logits(x), logits)
    one = AutoregressiveSequence(p.network, p.codes[1:2], STEPS)
    torch.testing.assert_close(one.log_prob(x[:, 1:2]), whole[:, 1:2])
    assert p.log_prob(x[:0]).shape == (0, 5)
    assert p.sample((0,)).shape == (0, 5, STEPS)


def test_draws_follow_the_seed():
    p = sequences()
    with seeded(4):
        first = p.sample((5,))
    with seeded(4):
        assert torch.equal(p.sample((5,)), first)
    assert not torch.equal(p.sample((5,)), first)


# Scheduled sampling


def head(sampling=2.0, **options):
    with seeded(0):
        made = RecurrentLikelihood((STEPS,), LEVELS, BARS, hidden=8, sampling=sampling, **options)
    made.network = decided()
    return made


def test_true_symbols_alone_are_teacher_forcing():
    x = torch.randint(LEVELS, (6, STEPS)).float()
    p = sequences(BARS, n=6)
    never = sequences(BARS, n=6, own=torch.tensor(0.0))
    torch.testing.assert_close(never.scores(x), p.scores(x))


def test_own_symbols_alone_have_seen_no_true_one():
    x = torch.randint(LEVELS, (6, STEPS)).float()
    always = sequences(BARS, n=6, own=torch.tensor(1.0))
    caught = []
    always.network.register_forward_hook(lambda module, inputs, output: caught.append((inputs[0], output[0])))
    with seeded(5):
        scores = always.scores(x)
    other = (x + torch.randint(1, LEVELS, x.shape)) % LEVELS
    seen = [before for before, _ in caught]
    caught.clear()
    with seeded(5):
        always.scores(other)  # the same draws, whatever is true
    assert all(torch.equal(before, again) for before, (again, _) in zip(seen, caught, strict=True))
    # The score is that of the true symbol given what was drawn.
    logits = torch.cat([logits for _, logits in caught], 1)
    true = x.long().view(-1, STEPS // 2, 1)
    torch.testing.assert_close(scores.view(-1, STEPS // 2), logits.log_softmax(-1).gather(-1, true)[..., 0])
    # What it saw is distributed as what it draws: its first symbols as the first logits say.
    many = AutoregressiveSequence(always.network, always.codes[:1].expand(4000, -1, -1), STEPS, own=torch.tensor(1.0))
    caught.clear()
    with seeded(6):
        many.scores(torch.zeros(4000, STEPS))
    shares = caught[1][0].view(4000, 2, LEVELS).mean(0)
    torch.testing.assert_close(shares, caught[0][1].view(4000, 2, LEVELS)[0].softmax(-1), atol=0.03, rtol=0.0)


def test_own_symbols_are_seen_as_often_as_they_should():
    codes = torch.tensor([[[0.3, -0.3]]]).expand(4000, -1, -1)
    p = AutoregressiveSequence(decided(), codes, STEPS, own=torch.tensor(0.3))
    caught = []
    p.network.register_forward_hook(lambda module, inputs, output: caught.append((inputs[0], output[0])))
    with seeded(0):
        p.scores(torch.zeros(4000, STEPS))
    # At the second step the true symbol, 0, was seen unless another was drawn.
    other = 1 - float(caught[0][1][0, 0].detach().softmax(-1)[0])
    assert other > 0.2
    assert 1 - float(caught[1][0][:, 0, 0].mean()) == pytest.approx(0.3 * other, abs=0.02)


def test_the_schedule_is_the_inverse_sigmoid():
    made = head(sampling=2.0)
    for batches in (0, 1, 3, 10, 1000):
        made.batches.fill_(batches)
        expected = 1 - 2 / (2 + math.exp(min(batches / 2, 300)))
        assert float(made.own) == pytest.approx(expected, rel=1e-5)
        made.pace = 3.0
        assert float(made.own) == pytest.approx(1 - 2 / (2 + math.exp(min(3 * batches / 2, 300))), rel=1e-5)
        made.pace = 1.0
    assert float(head(sampling=None).own) == 0


def test_batches_are_counted_in_training_alone_and_kept_with_the_weights():
    made, codes = head(), torch.randn(3, *BARS)
    assert made.train()(codes).own is not None
    made(codes)
    with torch.no_grad():
        assert made(codes).own is None
    assert made.eval()(codes).own is None
    assert int(made.batches) == 2
    again = head()
    again.load_state_dict(made.state_dict())
    assert int(again.batches) == 2
    assert head(sampling=None).train()(codes).own is None
    # The distribution holds the probability of its own batch.
    p = made.train()(codes)
    before = p.own.clone()
    made(codes)
    assert torch.equal(p.own, before)


def test_every_parameter_gets_a_gradient_also_through_its_own_symbols():
    for own in (None, torch.tensor(0.5)):
        network = SymbolDecoder(2, LEVELS, hidden=8, layers=2)
        codes = torch.randn(5, *BARS, requires_grad=True)
        (-AutoregressiveSequence(network, codes, STEPS, own=own).log_prob(torch.ones(5, STEPS)).mean()).backward()
        assert codes.grad.abs().amin() > 0
        assert all(q.grad is not None and q.grad.any() for q in network.parameters())


def test_gradients_are_those_of_finite_differences():
    network = decided().double()
    x = torch.randint(LEVELS, (2, STEPS))

    def value(codes):
        return AutoregressiveSequence(network, codes, STEPS).log_prob(x)

    torch.set_default_dtype(torch.float64)
    try:
        assert torch.autograd.gradcheck(value, torch.randn(2, *BARS, requires_grad=True))
    finally:
        torch.set_default_dtype(torch.float32)


def test_wrong_requests():
    for make, message in (
        (lambda: AutoregressiveSequence(decided(), torch.zeros(1, 3, 2), 4), "4 steps in 3 parts"),
        (lambda: RecurrentLikelihood((4,), 3, (3, 2)), "parts of one length"),
        (lambda: RecurrentLikelihood((4, 4), 3, (2, 2)), r"events of shape \(4, 4\)"),
        (lambda: RecurrentLikelihood((4,), 3, (2, 2), sampling=0.0), "sampling is 0.0; expected a number of batches"),
        (lambda: RecurrentLikelihood((4,), 3, (2, 2), pace=0.0), "pace is 0.0"),
        (lambda: sequences().sample(temperature=-1.0), "temperature is -1.0; expected a finite number of at least 0"),
        (lambda: sequences().sample(top_p=0.0), "top_p is 0.0; expected a share above 0"),
    ):
        with pytest.raises(RequestError, match=message):
            make()
