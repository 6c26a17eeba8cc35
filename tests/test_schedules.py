import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.errors import RequestError
from vaekit.schedules import Constant, Cosine, Cyclical, Exponential, Ladder, Linear

lengths = st.floats(0.5, 500)
ends = st.floats(0, 10)
schedules = st.one_of(
    st.builds(Constant, ends),
    st.builds(Linear, lengths, ends, ends),
    st.builds(Cyclical, lengths, st.integers(1, 6), st.floats(0.05, 1), ends, ends),
    st.builds(Cosine, lengths, st.floats(0, 1)),
    st.builds(Ladder, lengths, st.integers(1, 9)),
)


@given(schedule=schedules, later=st.floats(0, 1000))
def test_nothing_changes_after_a_schedule_has_settled(schedule, later):
    settled = schedule(schedule.settled)
    assert schedule(schedule.settled + later) == pytest.approx(settled, rel=1e-9, abs=1e-9)


@given(schedule=schedules, epoch=st.floats(0, 1000))
def test_values_lie_between_the_ends_and_depend_on_time_alone(schedule, epoch):
    low, high = {
        Constant: lambda s: (s.value, s.value),
        Linear: lambda s: sorted((s.start, s.end)),
        Cyclical: lambda s: sorted((s.start, s.end)),
        Cosine: lambda s: (s.floor, 1.0),
        Ladder: lambda s: (0.1, 1.0),
    }[type(schedule)](schedule)
    value = schedule(epoch)
    assert low - 1e-9 <= value <= high + 1e-9
    assert schedule(epoch) == value


@given(start=ends, end=ends, epochs=lengths, share=st.floats(0, 1))
def test_linear_is_a_line(start, end, epochs, share):
    line = Linear(epochs, start, end)
    assert line(0) == start
    assert line(share * epochs) == pytest.approx(start + share * (end - start), abs=1e-9)
    assert line(2 * epochs) == pytest.approx(end)


def test_cyclical_climbs_in_every_period():
    beta = Cyclical(period=8, cycles=3, ramp=0.25, start=0.5, end=2.5)
    for cycle in range(3):
        assert [beta(8 * cycle + t) for t in (0, 1, 2, 5, 7.9)] == pytest.approx([0.5, 1.5, 2.5, 2.5, 2.5])
    assert beta.settled == 18
    assert beta(24) == beta(100) == 2.5


def test_cosine_falls_from_one_to_its_floor():
    rate = Cosine(epochs=20, floor=0.1)
    assert rate(0) == 1
    assert rate(10) == pytest.approx(0.55)
    assert rate(20) == rate(50) == pytest.approx(0.1)
    values = [rate(t / 2) for t in range(41)]
    assert values == sorted(values, reverse=True)


def test_cosine_after_a_rise():
    rate = Cosine(epochs=20, warmup=4)
    assert [rate(t) for t in (0, 2, 4, 12, 20)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_exponential_goes_the_same_share_of_what_is_left_in_the_same_time():
    rate = Exponential(epochs=10, start=3.0, end=1.0)
    assert rate(0) == 3
    left = [rate(t) - 1 for t in (0, 5, 10, 15, 20)]
    assert [b / a for a, b in pairwise(left)] == pytest.approx([math.exp(-0.5)] * 4)
    assert Exponential(epochs=-1 / math.log(0.9), start=0.0, end=0.5)(7) == pytest.approx(0.5 * (1 - 0.9**7))
    assert rate.settled == 0


def test_ladder_is_the_published_one():
    rate = Ladder(epochs=3280)
    start = 0
    for i in range(8):
        for epoch in (start, start + 3**i - 0.01):
            assert rate(epoch) == pytest.approx(10 ** (-i / 7))
        start += 3**i
    assert start == 3280
    assert rate.settled == pytest.approx(3280 - 3**7)


@given(epochs=st.floats(1, 10_000), share=st.floats(0, 0.999))
def test_a_shorter_ladder_has_the_same_shares(epochs, share):
    edges = [(3**i - 1) / 2 / 3280 for i in range(9)]
    if min(abs(share - edge) for edge in edges) > 1e-6:
        assert Ladder(epochs)(share * epochs) == Ladder(3280)(share * 3280)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Linear(0), "warm-up is 0; expected a finite number above 0"),
        (lambda: Linear(-2.0), "warm-up is -2.0"),
        (lambda: Linear(math.nan), "warm-up is nan"),
        (lambda: Linear(math.inf), "warm-up is inf"),
        (lambda: Exponential(0), "epochs is 0"),
        (lambda: Cyclical(0), "period is 0"),
        (lambda: Cyclical(5, cycles=0), "cycles is 0"),
        (lambda: Cyclical(5, ramp=0), "ramp is 0; expected a share of the period: pass a number above 0, at most 1"),
        (lambda: Cyclical(5, ramp=1.1), "ramp is 1.1"),
        (lambda: Cosine(0), "epochs is 0"),
        (lambda: Cosine(10, floor=-0.1), "floor is -0.1; expected a share of the peak"),
        (lambda: Cosine(10, warmup=-1), "warmup is -1 of 10 epochs"),
        (lambda: Cosine(10, warmup=10), "warmup is 10 of 10 epochs; expected at least 0 and less than all"),
        (lambda: Ladder(0), "epochs is 0"),
        (lambda: Ladder(10, stages=0), "stages is 0"),
    ],
)
def test_wrong_schedules_are_refused(build, words):
    with pytest.raises(RequestError, match=words):
        build()
