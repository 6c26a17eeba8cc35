r"""What training promises: the same run from the same seed, the right weights, honest numbers in the log."""

import random

import numpy as np
import pytest
import torch

from vaekit import recipes
from vaekit.data import Dataset, Split
from vaekit.data.transforms import Identity
from vaekit.errors import Diverged, RequestError
from vaekit.models import seeded
from vaekit.plan import DataSpec
from vaekit.schedules import Constant, Cosine, Linear
from vaekit.training import fit, loop
from vaekit.training.adam import Adam
from vaekit.training.checks import check_fit
from vaekit.training.engine import SingleDevice
from vaekit.training.step import evaluate_terms


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def run(plan, data, **options):
    outcome = fit(plan, data, progress=False, **options)
    return {name: t.clone() for name, t in outcome.model.state_dict().items()}, outcome


def test_same_seed_same_run_other_seed_other_run(digits, make_plan):
    first, a = run(make_plan(), digits, seed=1)
    second, b = run(make_plan(), digits, seed=1)
    third, _ = run(make_plan(), digits, seed=2)
    assert same(first, second)
    assert {k: v for k, v in a.history.items() if k != "seconds"} == {
        k: v for k, v in b.history.items() if k != "seconds"
    }
    assert not same(first, third)


def test_global_random_state_is_left_alone(digits, make_plan):
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    run(make_plan(epochs=1), digits)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    assert before[2] == random.getstate()


def test_history_columns_and_values(digits, make_plan):
    rows = []
    plan = make_plan(beta=Linear(2), epochs=3, schedule=Cosine(3))
    _, outcome = run(plan, digits, on_epoch=rows.append)
    terms = ("elbo", "rate", "distortion")
    columns = ["epoch", "step", "seconds", "learning_rate", "beta"]
    columns += [f"{split}_{term}" for split in ("train", "validation") for term in terms]
    assert list(outcome.history) == columns
    assert [list(row) for row in rows] == [columns] * 3
    history = outcome.history
    assert history["epoch"] == [1, 2, 3]
    assert history["step"] == [6, 12, 18]
    # the weight and the rate of the last step of an epoch
    assert history["beta"] == pytest.approx([5 / 12, 11 / 12, 1.0])
    assert history["learning_rate"] == pytest.approx([0.01 * Cosine(3)(e - 1 / 12) for e in (1, 2, 3)])
    for split in ("train", "validation"):
        elbo, rate, distortion = (np.array(history[f"{split}_{term}"]) for term in terms)
        # never weighted, whatever beta was
        np.testing.assert_allclose(elbo, -(rate + distortion), rtol=1e-5)
    assert history["train_elbo"][2] > history["train_elbo"][0]


def test_logged_terms_are_means_over_examples_whatever_the_batch(digits, make_plan):
    logs = [
        run(make_plan(point=True, epochs=1, batch_size=size, learning_rate=1e-30), digits)[1].history
        for size in (10, 100, 600)
    ]
    for column in ("train_distortion", "train_elbo"):
        assert logs[1][column] == pytest.approx(logs[0][column], rel=1e-5)
        assert logs[2][column] == pytest.approx(logs[0][column], rel=1e-5)
    # drawn from the validation's own stream: not merely close
    noisy = [
        run(make_plan(epochs=1, batch_size=size, learning_rate=1e-30), digits)[1].history for size in (10, 100, 600)
    ]
    assert noisy[0]["validation_elbo"] == noisy[1]["validation_elbo"] == noisy[2]["validation_elbo"]
    assert noisy[0]["validation_rate"] == noisy[2]["validation_rate"]


def test_validation_is_not_moved_by_training_draws_and_shared_blocks_add_up(make_plan, digits):
    plan = make_plan()
    x = np.tile(digits.train.x, (4, 1, 1, 1))  # 2,400 rows, three blocks
    cpu = torch.device("cpu")
    whole = evaluate_terms(plan.model, x, plan.transform, 7, cpu)
    torch.rand(5)
    again = evaluate_terms(plan.model, x, plan.transform, 7, cpu)
    shares = [evaluate_terms(plan.model, x, plan.transform, 7, cpu, rank=rank, ranks=2) for rank in (0, 1)]
    assert torch.equal(whole["elbo"], again["elbo"])
    assert [len(share["elbo"]) for share in shares] == [1400, 1000]
    assert torch.equal(
        torch.cat([shares[0]["elbo"][:1000], shares[1]["elbo"], shares[0]["elbo"][1000:]]), whole["elbo"]
    )


@pytest.fixture
def script(monkeypatch):
    """Let the validation bound take given values, epoch by epoch, and keep the weights of each."""

    def arrange(values):
        seen = []

        def evaluate(model, x, *args, **kwargs):
            seen.append({name: t.clone() for name, t in model.state_dict().items()})
            return {name: torch.full((len(x),), values[len(seen) - 1]) for name in ("elbo", "rate", "distortion")}

        monkeypatch.setattr(loop, "evaluate_terms", evaluate)
        return seen

    return arrange


def test_patience_stops_and_restores_the_best_weights(script, digits, make_plan):
    seen = script([-5.0, -3.0, -4.0, -3.0, -3.5, 0.0])  # as good as the best is not better
    weights, outcome = run(make_plan(epochs=6, patience=3), digits)
    assert outcome.facts["epochs"] == 5
    assert outcome.facts["best_epoch"] == 2
    assert outcome.facts["stopped"] == "patience"
    assert same(seen[1], weights)
    assert not same(seen[4], weights)


def test_without_patience_all_epochs_are_run(script, digits, make_plan):
    seen = script([-1.0, -3.0, -4.0, -5.0])
    weights, outcome = run(make_plan(epochs=4), digits)
    assert (outcome.facts["epochs"], outcome.facts["best_epoch"], outcome.facts["stopped"]) == (4, 1, "epochs")
    assert same(seen[0], weights)


def test_select_last_keeps_the_last_weights(script, digits, make_plan):
    seen = script([-1.0, -3.0, -4.0])
    weights, outcome = run(make_plan(epochs=3, select="last"), digits)
    assert outcome.facts["best_epoch"] == 3
    assert same(seen[2], weights)


def test_selection_and_patience_begin_after_the_warm_up(script, digits, make_plan):
    seen = script([-1.0, -2.0, -6.0, -5.0, -5.5, -5.6, -5.7, -5.8])
    weights, outcome = run(make_plan(epochs=8, beta=Linear(2), patience=2), digits)
    assert outcome.facts["best_epoch"] == 4
    assert outcome.facts["epochs"] == 6
    assert same(seen[3], weights)


def test_train_on_all_uses_the_validation_rows_too(digits, make_plan):
    alone, outcome = run(make_plan(epochs=1, train_on="train"), digits)
    both, whole = run(make_plan(epochs=1, train_on="all"), digits)
    assert (outcome.history["step"], whole.history["step"]) == ([6], [7])
    assert not same(alone, both)
    without = Dataset("x", digits.train, Split(digits.validation.x[:0]), digits.test, 17)
    rest, outcome = run(make_plan(epochs=1, train_on="all"), without)
    assert "validation_elbo" not in outcome.history
    assert same(alone, rest)


def steps_of(plan, data):
    before = {name: t.clone() for name, t in plan.model.state_dict().items()}
    after, _ = run(plan, data)
    return before, after


def test_clip_bounds_the_gradient(digits, make_plan, monkeypatch):
    norms = []
    step = Adam.step

    def watch(self):
        norms.append(torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in self.parameters])).item())
        return step(self)

    monkeypatch.setattr(Adam, "step", watch)
    run(make_plan(epochs=1), digits)
    assert min(norms) > 0.5
    norms.clear()
    run(make_plan(epochs=1, clip=0.25), digits)
    assert len(norms) == 6
    assert max(norms) == pytest.approx(0.25, rel=1e-3)


def test_optimizer_is_the_one_asked_for(digits, make_plan):
    before, decayed = steps_of(
        make_plan(epochs=1, optimizer="adamw", weight_decay=100.0, learning_rate=1e-3, betas=(0.5, 0.9)), digits
    )
    _, plain = steps_of(make_plan(epochs=1, learning_rate=1e-3, betas=(0.5, 0.9)), digits)
    name = "encoder.network.layers.0.weight"
    # AdamW multiplies by 1 - lr * decay at every step, here 0.9 ** 6; Adam's own steps are at most 6 * lr.
    assert (decayed[name] - 0.9**6 * before[name]).abs().max() < 0.01
    assert (plain[name] - before[name]).abs().max() < 0.01
    assert before[name].abs().max() > 0.1


def test_schedule_of_the_learning_rate_is_followed(digits, make_plan):
    class Off(Constant):
        def __call__(self, epoch):
            return 0.0 if epoch >= 1 else 1.0

    one, _ = run(make_plan(epochs=1, select="last", schedule=Off()), digits)
    two, _ = run(make_plan(epochs=2, select="last", schedule=Off()), digits)
    assert same(one, two)


def test_learning_improves_the_bound(digits, make_plan):
    _, outcome = run(make_plan(epochs=10), digits)
    assert outcome.history["validation_elbo"][-1] > outcome.history["validation_elbo"][0] + 1


def test_a_huge_learning_rate_diverges_with_advice(tmp_path, digits, make_plan):
    with pytest.raises(Diverged, match=r"no longer finite after epoch \d.*1e\+20.*--learning-rate.*--clip"):
        fit(make_plan(learning_rate=1e20), digits, directory=tmp_path, progress=False)


def test_a_batch_must_fit_the_data_and_the_processes(digits, make_plan):
    with pytest.raises(RequestError, match="601 but there are 600 training examples: pass --batch-size 600"):
        fit(make_plan(batch_size=601), digits, progress=False)
    check_fit(make_plan(batch_size=700, train_on="all"), digits)
    with pytest.raises(RequestError, match=r"101, shared by 2 processes.*--batch-size 100"):
        check_fit(make_plan(batch_size=101), digits, processes=2)


def test_data_outside_the_likelihood_are_refused(digits, make_plan):
    grey = make_plan(transform=Identity())
    with pytest.raises(RequestError, match=r"train example 0 runs from 0 to 15 after .*expects zeros and ones"):
        fit(grey, digits, progress=False)
    x = (digits.train.x > 8).astype(np.uint8)
    wrong = (digits.test.x > 8).astype(np.uint8)
    wrong[7, 0, 0, 0] = 5
    bits = Dataset("bits", Split(x), Split(x[:50]), Split(wrong), 17)
    with pytest.raises(RequestError, match="test example 7 runs from 0 to 5"):
        fit(grey, bits, progress=False)


def test_mixed_precision_trains(digits, make_plan):
    from vaekit.training.engine import engine_for

    full, reference = run(make_plan(epochs=3), digits)
    mixed, outcome = run(make_plan(epochs=3, clip=10.0), digits, engine=engine_for(precision="bf16-mixed"))
    assert not same(full, mixed)
    assert all(t.dtype == torch.float32 for t in mixed.values())
    assert outcome.history["train_elbo"] == pytest.approx(reference.history["train_elbo"], rel=0.01)


def broken(module, example):
    raise RuntimeError("this backend\nis broken")


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_step_that_cannot_be_compiled_is_run_as_it_is(digits, make_plan, monkeypatch, precision):
    from vaekit.training.engine import engine_for

    plain, _ = run(make_plan(epochs=1), digits, engine=engine_for(precision=precision))
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda step, **options: compile(step, **{**options, "backend": broken}))
    torch.compiler.reset()
    with pytest.warns(UserWarning, match="could not be compiled .*training goes on uncompiled"):
        weights, outcome = run(make_plan(epochs=1), digits, compile=True, engine=engine_for(precision=precision))
    assert outcome.facts["compiled"] is False
    assert same(plain, weights)  # with the draws, and the precision, that it would have had


def test_an_error_of_the_model_is_not_taken_for_one_of_the_compiler(digits, make_plan):
    class Odd(torch.nn.Module):
        def forward(self, x, context=None):
            if torch.is_grad_enabled():
                raise ZeroDivisionError("mine")
            return inner(x)

    plan = make_plan(epochs=1)
    inner = plan.model.encoder
    plan.model.encoder = Odd()
    plan.model.encoder.inner = inner
    with pytest.raises(ZeroDivisionError, match="mine"):
        fit(plan, digits, progress=False)


@pytest.mark.slow
def test_compiled_training_is_eager_training(digits, make_plan):
    eager, a = run(make_plan(point=True), digits, compile=False)
    compiled, b = run(make_plan(point=True), digits, compile=True)
    assert b.facts["compiled"]
    assert not a.facts["compiled"]
    for name in eager:
        torch.testing.assert_close(compiled[name], eager[name], rtol=1e-3, atol=1e-4)
    assert b.history["validation_distortion"] == pytest.approx(a.history["validation_distortion"], rel=1e-4)


class SecondProcess(SingleDevice):
    world_size = 2
    global_rank = 1


def test_every_process_begins_with_the_same_codebook(digits):
    def begun(engine):
        with seeded(0):
            plan = recipes.get("vq-vae")(DataSpec.of(digits), codes=8, epochs=1)
        begun, prepare = {}, plan.model.prepare

        def watched(*given):
            prepare(*given)
            begun.update({name: tensor.clone() for name, tensor in plan.model.state_dict().items()})

        plan.model.prepare = watched
        fit(plan, digits, engine=engine, progress=False)
        return begun

    first, second = begun(SingleDevice("cpu")), begun(SecondProcess("cpu"))
    assert any(name.startswith("quantiser.") for name in first), list(first)
    assert same(first, second)
