r"""Symbols and notes tell the same melody: each becomes the other and back, whatever the melody."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.errors import RequestError
from vaekit.music import HIGHEST, LOWEST, NO_EVENT, NOTE_OFF, STEPS_PER_BAR, SYMBOLS, Note, notes_of, tokens_of

PITCHES = st.integers(LOWEST, HIGHEST)


@st.composite
def melodies(draw):
    """Notes one at a time, with and without rests between, and how many steps there are."""
    notes, at = [], 0
    for rest, length, pitch in draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9), PITCHES), max_size=12)):
        notes.append(Note(at + rest, at + rest + length, pitch))
        at = notes[-1].stop
    return notes, at + draw(st.integers(0, 20))


def played(notes, steps):
    """What sounds in each step, and whether it begins there, by going through the notes."""
    sound = [(0, False)] * steps
    for note in notes:
        for step in range(note.start, min(note.stop, steps)):
            sound[step] = (note.pitch, step == note.start)
    return sound


@settings(max_examples=150, deadline=None)
@given(melodies())
def test_notes_come_back_from_their_symbols(melody):
    notes, steps = melody
    tokens = tokens_of(notes, steps)
    assert (tokens.dtype, tokens.shape) == (np.uint8, (steps,))
    assert tokens.max(initial=0) < SYMBOLS
    assert notes_of(tokens) == notes
    assert np.array_equal(tokens_of(notes[::-1], steps), tokens)  # in any order


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, SYMBOLS - 1), max_size=40))
def test_any_symbols_are_notes_whose_symbols_sound_the_same(symbols):
    notes = notes_of(symbols)
    assert all(a.stop <= b.start for a, b in pairwise(notes))
    assert all(0 <= note.start < note.stop <= len(symbols) for note in notes)
    again = tokens_of(notes, len(symbols))
    assert notes_of(again) == notes
    # They differ at most in symbols that change nothing.
    for step in np.flatnonzero(again != symbols):
        assert {again[step], symbols[step]} == {NO_EVENT, NOTE_OFF}


@settings(max_examples=100, deadline=None)
@given(melodies(), st.integers(0, 40))
def test_what_sounds_is_what_is_in_the_steps_and_the_rest_is_cut_off(melody, steps):
    notes, _ = melody
    kept = notes_of(tokens_of(notes, steps))
    assert played(kept, steps) == played(notes, steps)


def test_every_symbol_by_hand():
    assert (STEPS_PER_BAR, SYMBOLS, LOWEST, HIGHEST, {NOTE_OFF, NO_EVENT}) == (16, 90, 21, 108, {0, 1})
    assert tokens_of([Note(0, 1, LOWEST), Note(1, 2, HIGHEST)], 3).tolist() == [2, 89, 0]
    assert tokens_of([Note(1, 3, 60), Note(3, 4, 60), Note(6, 8, 72)], 8).tolist() == [1, 41, 1, 41, 0, 1, 53, 1]
    assert tokens_of([], 4).tolist() == [1, 1, 1, 1]
    assert tokens_of([Note(5, 6, 60)], 4).tolist() == [1, 1, 1, 1]
    assert tokens_of([Note(0, 9, 60), Note(2, 3, 64)], 5).tolist() == [41, 1, 45, 0, 1]  # ended by the next


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, bool])
def test_symbols_of_any_type_are_read(kind):
    tokens = np.array([0, 1, 1]) if kind is bool else np.array([41, 1, 0])
    assert notes_of(tokens.astype(kind)) == ([] if kind is bool else [Note(0, 2, 60)])
    assert notes_of(torch.tensor([41.0, 1.0, 0.0])) == [Note(0, 2, 60)]


@pytest.mark.parametrize(
    "notes",
    [
        [Note(0, 4, LOWEST - 1)],
        [Note(0, 4, HIGHEST + 1)],
        [Note(-1, 4, 60)],
        [Note(4, 4, 60)],
        [Note(0, 4, 60), Note(0, 2, 64)],
    ],
)
def test_what_is_no_melody_is_refused(notes):
    with pytest.raises(RequestError, match="a note"):
        tokens_of(notes, 8)


@pytest.mark.parametrize("tokens", [[[41, 1]], [90], [-1], [41.5], [float("nan")], 41])
def test_what_are_no_symbols_is_refused(tokens):
    with pytest.raises(RequestError, match="the symbols are"):
        notes_of(tokens)
