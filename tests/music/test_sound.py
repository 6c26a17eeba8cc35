r"""Sound: the right pitch for the right time, silence elsewhere, nothing clipped and nothing that clicks."""

import io
import math
import wave

import numpy as np
import pytest

from vaekit.errors import RequestError
from vaekit.music import HIGHEST, LOWEST, Note
from vaekit.music.sound import PARTIALS, RATE, frequency, synthesise, wav, write_wav


def peak(sound, rate):
    """The frequency of the largest partial, by a parabola through the logarithms about the largest bin."""
    window = np.hanning(len(sound))
    size = 1 << 18
    spectrum = np.log(np.abs(np.fft.rfft(sound * window, size)) + 1e-12)
    k = int(spectrum.argmax())
    a, b, c = spectrum[k - 1 : k + 2]
    return (k + (a - c) / (2 * (a - 2 * b + c))) * rate / size


@pytest.mark.parametrize("rate", [22_050, 44_100])
@pytest.mark.parametrize("pitch", [LOWEST, 40, 60, 69, 81, HIGHEST])
def test_a_note_has_its_pitch(pitch, rate):
    sound = synthesise([Note(0, 16, pitch)], rate=rate)
    expected = 440 * 2 ** ((pitch - 69) / 12)
    assert frequency(pitch) == pytest.approx(expected)
    assert abs(1200 * math.log2(peak(sound.astype(float), rate) / expected)) < 1  # cents


@pytest.mark.parametrize("tempo", [120.0, 97.0])
def test_notes_sound_from_their_start_to_their_stop_and_rests_are_silent(tempo):
    notes = [Note(1, 4, 60), Note(4, 5, 67), Note(9, 12, 55)]
    sound = synthesise(notes, 16, tempo=tempo)
    step = RATE * 15 / tempo
    assert len(sound) == round(16 * step)
    for start in range(16):
        part = sound[math.ceil(start * step) : math.floor((start + 1) * step)].astype(float)
        heard = any(note.start <= start < note.stop for note in notes)
        assert (np.abs(part).max() > 3000) == heard
        assert heard or not part.any()


def test_nothing_is_clipped_and_nothing_clicks():
    random = np.random.default_rng(0)
    starts = np.cumsum(random.integers(1, 4, 40))
    notes = [
        Note(int(a), int(b), int(p)) for a, b, p in zip(starts, starts[1:], random.integers(21, 109, 39), strict=False)
    ]
    sound = synthesise(notes).astype(float)
    assert 10_000 < np.abs(sound).max() < 0.81 * 32767
    # A partial's slope is at most its amplitude times its angular frequency; a click would be steeper than that.
    low = synthesise([Note(0, 3, 36), Note(3, 5, 43), Note(7, 9, 36)]).astype(float)
    slope = sum(k * a for k, a in enumerate(PARTIALS, start=1)) / sum(PARTIALS)
    steepest = 1.1 * slope * 0.8 * 32767 * 2 * math.pi * frequency(43) / RATE
    assert np.abs(np.diff(low)).max() < steepest
    ends = [round(k * RATE / 8) for k in (0, 3, 5, 7)]
    assert all(np.abs(low[max(0, end - 2) : end + 3]).max() < 60 for end in ends)


def test_the_same_notes_are_the_same_bytes_and_the_file_is_a_wav(tmp_path):
    notes = [Note(0, 3, 60), Note(4, 8, 64)]
    content = wav(notes, 16, rate=44_100)
    assert content == wav(iter(notes), 16, rate=44_100)
    path = write_wav(tmp_path / "a.wav", notes, 16, rate=44_100)
    assert path.read_bytes() == content
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 44_100)
        read = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    np.testing.assert_array_equal(read, synthesise(notes, 16, rate=44_100))
    assert len(read) == 2 * 44_100


def test_partials_above_half_of_the_rate_are_left_out():
    sound = synthesise([Note(0, 16, HIGHEST)], rate=9000).astype(float)  # the second partial is 8,372 hertz
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    bins = np.fft.rfftfreq(len(sound), 1 / 9000)
    away = np.abs(bins - frequency(HIGHEST)) > 100
    assert spectrum[away].max() < 1e-3 * spectrum.max()


def test_no_notes_and_those_beyond_the_end():
    assert not len(synthesise([]))
    assert not synthesise([], 4).any()
    np.testing.assert_array_equal(synthesise([Note(0, 2, 60), Note(4, 9, 60)], 4)[:5512], synthesise([Note(0, 2, 60)]))
    assert len(synthesise([Note(0, 100, 60)], 4)) == RATE // 2


@pytest.mark.parametrize(
    ("asked", "message"), [({"tempo": 0}, "tempo is 0"), ({"rate": 10}, "rate is 10"), ({"steps": 10**6}, "1000000")]
)
def test_what_cannot_be_is_refused(asked, message):
    with pytest.raises(RequestError, match=message):
        synthesise([Note(0, 1, 60)], **asked)
