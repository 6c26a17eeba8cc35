r"""MIDI files: the melody of one is read, and notes are written to one."""

__all__ = ["ENDINGS", "midi", "parse_midi", "read_midi", "write_midi"]

import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import cast

from vaekit.errors import RequestError
from vaekit.music.melody import Melody, melody_of
from vaekit.music.tokens import Note
from vaekit.storage import replace_file

ENDINGS = (".mid", ".midi")

_STEP = 120  # ticks of a sixteenth, 480 a quarter: what most programs write
_VELOCITY = 90


def midi(notes: Iterable[Note], *, tempo: float = 120.0, metre: tuple[int, int] = (4, 4), program: int = 0) -> bytes:
    r"""Return the bytes of a MIDI file of one track with some notes.

    Arguments:
        notes: Notes in sixteenths.
        tempo: Quarters a minute.
        metre: Upper and lower number of the time signature.
        program: The instrument, from 0 to 127 in the order of General MIDI; 0 is a piano.

    Raises:
        RequestError: If a value is none that a MIDI file has, or symusic is not installed.

    Example:
        >>> content = midi([Note(0, 4, 60), Note(4, 8, 64)])
        >>> content[:4], parse_midi(content).notes
        (b'MThd', (Note(start=0, stop=4, pitch=60), Note(start=4, stop=8, pitch=64)))
    """
    if not 10 <= tempo <= 1000:
        raise RequestError(f"tempo is {tempo}; expected 10 to 1,000 quarters a minute: pass tempo=120")
    if not 0 <= program <= 127:
        raise RequestError(f"program is {program}; expected 0 to 127, an instrument of General MIDI: pass program=0")
    beats, unit = metre
    if not 1 <= beats <= 255 or unit not in (1, 2, 4, 8, 16, 32, 64):
        raise RequestError(f"metre is {beats}/{unit}; expected one such as 4/4: pass metre=(4, 4)")
    symusic = _symusic()
    score, track = symusic.Score(4 * _STEP), symusic.Track("Melody", program, False)
    score.time_signatures.append(symusic.TimeSignature(0, beats, unit))
    score.tempos.append(symusic.Tempo(0, tempo))
    for start, stop, pitch in sorted(notes):
        if not 0 <= pitch <= 127 or not 0 <= start < stop:
            raise RequestError(
                f"a note of pitch {pitch} goes from sixteenth {start} to {stop}; expected a pitch from 0 to 127 and a "
                "stop after the start: give notes as vaekit.music.notes_of does"
            )
        track.notes.append(symusic.Note(start * _STEP, (stop - start) * _STEP, pitch, _VELOCITY))
    score.tracks.append(track)
    return cast(bytes, score.dumps_midi())


def write_midi(
    path: str | os.PathLike[str],
    notes: Iterable[Note],
    *,
    tempo: float = 120.0,
    metre: tuple[int, int] = (4, 4),
    program: int = 0,
) -> Path:
    r"""Write notes to a MIDI file, atomically, and return its path; see `midi`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     read_midi(write_midi(Path(folder) / "a.mid", [Note(2, 4, 60)])).notes
        (Note(start=2, stop=4, pitch=60),)
    """
    content = midi(notes, tempo=tempo, metre=metre, program=program)
    return replace_file(path, lambda temporary: temporary.write_bytes(content), durable=False)


def read_midi(source: str | os.PathLike[str] | bytes) -> Melody:
    r"""Return the melody of a MIDI file: the highest notes of the track that has most, percussion aside.

    Where the bar lines are is not known from a MIDI file, only what a bar is: see `vaekit.music.bars`.

    Arguments:
        source: A path, or the bytes of a file.

    Raises:
        RequestError: If it is damaged or without notes, or symusic is not installed.
    """
    named = "the MIDI file" if isinstance(source, bytes) else os.fspath(source)
    try:
        return parse_midi(source if isinstance(source, bytes) else Path(source).read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"{named} cannot be read ({reason}); expected a whole MIDI file: save it again") from None


def parse_midi(content: bytes) -> Melody:
    r"""Return the melody of the bytes of a MIDI file, as `read_midi` does.

    Raises:
        ValueError: If they are damaged, or there is no note.
        RequestError: If symusic is not installed.
    """
    symusic = _symusic()
    try:
        score = symusic.Score.from_midi(content)
    except Exception as error:  # it has no class of its own for this
        raise ValueError(" ".join(str(error).split())) from error
    tracks = [track for track in score.tracks if not track.is_drum and len(track.notes)]
    if not tracks:
        raise ValueError("it has no note, percussion aside")
    if score.ticks_per_quarter < 1:
        raise ValueError("its time is not in parts of a quarter")
    track = max(tracks, key=lambda track: len(track.notes))
    columns = track.notes.numpy()
    start, length, pitch = (columns[name].tolist() for name in ("time", "duration", "pitch"))
    return melody_of(
        ((t, t + d, p) for t, d, p in zip(start, length, pitch, strict=True)),
        score.ticks_per_quarter,
        [(metre.time, metre.numerator, metre.denominator) for metre in score.time_signatures],
        title=track.name,
    )


def _symusic() -> ModuleType:
    try:
        import symusic
    except ImportError:
        raise RequestError('MIDI files need symusic, which is not installed: pip install "vaekit[music]"') from None
    return symusic
