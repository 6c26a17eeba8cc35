r"""Melodies: symbols and notes, what can be measured of them, and how they become files and sound."""

__all__ = [
    "HIGHEST",
    "LOWEST",
    "NOTE_OFF",
    "NO_EVENT",
    "STEPS_PER_BAR",
    "SYMBOLS",
    "Melody",
    "Metre",
    "Note",
    "notes_of",
    "read_midi",
    "read_scores",
    "tokens_of",
    "write_midi",
]

from vaekit.music.melody import Melody, Metre
from vaekit.music.midi import read_midi, write_midi
from vaekit.music.scores import read_scores
from vaekit.music.tokens import (
    HIGHEST,
    LOWEST,
    NO_EVENT,
    NOTE_OFF,
    STEPS_PER_BAR,
    SYMBOLS,
    Note,
    notes_of,
    tokens_of,
)
