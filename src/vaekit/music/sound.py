r"""Melodies as sound: partials of each note under an envelope, in WAV."""

__all__ = [
    "ATTACK",
    "FADE",
    "PARTIALS",
    "RATE",
    "RELEASE",
    "TEMPO",
    "frequency",
    "synthesise",
    "wav",
    "write_wav",
]

import io
import math
import os
import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import RequestError
from vaekit.music.tokens import Note
from vaekit.storage import replace_file

TEMPO = 120.0  # quarters a minute
RATE = 22_050  # samples a second
PARTIALS = (1.0, 0.45, 0.3, 0.15, 0.08, 0.04)  # amplitudes of the first partials: something between flute and piano

ATTACK, RELEASE, FADE = 0.008, 0.03, 0.9  # seconds: to rise, to end, and in which it falls to 1/e

_LOUDNESS = 0.8  # of what 16 bits hold
_LONGEST = 3600.0  # seconds of one file


def frequency(pitch: float) -> float:
    r"""Return the frequency of a MIDI pitch in hertz, :math:`440 \cdot 2^{(p - 69) / 12}`.

    Example:
        >>> frequency(69), round(frequency(60), 2)
        (440.0, 261.63)
    """
    return float(440.0 * 2.0 ** ((pitch - 69) / 12))


def synthesise(
    notes: Iterable[Note], steps: int | None = None, *, tempo: float = TEMPO, rate: int = RATE
) -> NDArray[np.int16]:
    r"""Return the sound of notes, shape `(samples,)`.

    A note of frequency f is

    .. math::
        e(t) \sum_k a_k \sin(2 \pi k f t)

    over the partials k below half of the rate. Its envelope e rises from 0 and comes back to 0 before the note stops,
    both as half a period of a cosine, so that nothing clicks and rests are silent; in between it falls exponentially.
    The amplitudes sum to 0.8 of what 16 bits hold: one note at a time is never clipped. The same notes are the same
    numbers.

    Arguments:
        notes: Notes; those that sound together are added.
        steps: Length in sixteenths; by default up to the end of the last note. What is beyond is left out.
        tempo: Quarters a minute.
        rate: Samples a second.

    Raises:
        RequestError: If the tempo is not from 10 to 1,000, the rate not from 4,000 to 192,000, or the whole would be
            longer than an hour.

    Example:
        >>> synthesise([Note(0, 4, 69)], 8).shape  # a quarter and a quarter's rest, half a second each
        (22050,)
    """
    if not 10 <= tempo <= 1000:
        raise RequestError(f"tempo is {tempo}; expected 10 to 1,000 quarters a minute: pass tempo=120")
    if not 4000 <= rate <= 192_000:
        raise RequestError(f"rate is {rate}; expected 4,000 to 192,000 samples a second: pass rate=22050")
    played = list(notes)
    length = max((note.stop for note in played), default=0) if steps is None else steps
    step = 15.0 * rate / tempo  # samples of a sixteenth
    if not 0 <= length * step <= _LONGEST * rate:
        raise RequestError(
            f"there are {length} sixteenths, {length * 15 / tempo:,.0f} seconds; expected up to "
            f"{_LONGEST:,.0f}: write fewer melodies into one file"
        )
    sound = np.zeros(round(length * step))
    for start, stop, pitch in played:
        # Rounded from the beginning, so that errors do not add up.
        begin, end = round(start * step), min(round(stop * step), len(sound))
        if begin < end:
            sound[begin:end] += _tone(frequency(pitch), end - begin, rate)
    largest = np.iinfo(np.int16).max
    return np.rint(np.clip(_LOUDNESS * sound, -1, 1) * largest).astype(np.int16)


def wav(notes: Iterable[Note], steps: int | None = None, *, tempo: float = TEMPO, rate: int = RATE) -> bytes:
    r"""Return the bytes of a WAV file, one channel of 16 bits, with the sound of notes; see `synthesise`.

    Example:
        >>> wav([Note(0, 4, 69)])[:4]
        b'RIFF'
    """
    sound = synthesise(notes, steps, tempo=tempo, rate=rate)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.astype("<i2").tobytes())
    return buffer.getvalue()


def write_wav(
    path: str | os.PathLike[str],
    notes: Iterable[Note],
    steps: int | None = None,
    *,
    tempo: float = TEMPO,
    rate: int = RATE,
) -> Path:
    r"""Write notes as sound to a WAV file, atomically, and return the path; see `synthesise`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_wav(Path(folder) / "a.wav", [Note(0, 4, 69)]).stat().st_size
        22094
    """
    content = wav(notes, steps, tempo=tempo, rate=rate)
    return replace_file(path, lambda temporary: temporary.write_bytes(content), durable=False)


def _tone(hertz: float, samples: int, rate: int) -> NDArray[np.float64]:
    """One note, from silence to silence, at most 1 in size."""
    time = np.arange(samples) / rate
    heard = [a for k, a in enumerate(PARTIALS, start=1) if k * hertz < rate / 2]
    tone = np.zeros(samples)
    for k, amplitude in enumerate(heard, start=1):
        tone += amplitude * np.sin(2 * math.pi * k * hertz * time)
    # Of a note too short for both, half is the rise and half the end.
    rise, end = (min(round(seconds * rate), samples // 2) for seconds in (ATTACK, RELEASE))
    envelope = np.exp(-time / FADE)
    envelope[:rise] *= _half_cosine(rise)
    envelope[samples - end :] *= _half_cosine(end)[::-1]
    return envelope * tone / sum(PARTIALS)


def _half_cosine(n: int) -> NDArray[np.float64]:
    """From 0 up to 1, in n samples."""
    rising: NDArray[np.float64] = (1 - np.cos(math.pi * np.arange(n) / max(n, 1))) / 2
    return rising
