r"""Melodies in the explorer: what the page is told of them, what it draws, plays, reads and hands out."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributions import Categorical, Independent

from vaekit.data import Dataset
from vaekit.data.dataset import Split
from vaekit.data.transforms import Identity
from vaekit.distributions import Conditional, DiagonalGaussian, StandardNormal
from vaekit.errors import RequestError
from vaekit.explorer.description import description_of
from vaekit.explorer.service import Service
from vaekit.explorer.subject import Subject
from vaekit.explorer.views import MelodyView, VectorView, view_of
from vaekit.explorer.wire import pack, unpack
from vaekit.models import VAE
from vaekit.models.base import seeded
from vaekit.music import NO_EVENT, SYMBOLS, notes_of
from vaekit.music.sound import wav
from vaekit.networks import MLP

STEPS = 32


class Symbols(Independent):
    """Symbols, each drawn for itself, with the likeliest as the one that is shown."""

    def __init__(self, logits):
        super().__init__(Categorical(logits=logits, validate_args=False), 1, validate_args=False)

    @property
    def mean(self):
        return self.base_dist.logits.argmax(-1).float()

    def log_prob(self, value):
        return super().log_prob(value.long())


class Tunes(torch.nn.Module):
    """A decoder of broken chords: the first unit is how high they are, the second how fast."""

    def forward(self, z, context=None):
        step = torch.arange(STEPS)
        chord = torch.where(
            z[:, :1] > 0, torch.tensor([0, 4, 7, 12])[step // 4 % 4], torch.tensor([0, 3])[step // 4 % 2]
        )
        pitch = 62 + (4 * z[:, :1]).round().clamp(-20, 20) + chord
        begins = torch.where(z[:, 1:2] > 0, step % 2 == 0, step % 4 == 0)
        symbols = torch.where(begins, pitch - 19, torch.full_like(pitch, NO_EVENT)).long()
        return Symbols(3.0 * torch.nn.functional.one_hot(symbols, SYMBOLS).float())


@pytest.fixture(scope="module")
def subject():
    posterior, decoder = DiagonalGaussian(2), Tunes()
    with seeded(0):
        x = decoder(torch.randn(300, 2)).mean.numpy().astype(np.uint8)
        encoder = Conditional(MLP((STEPS,), posterior.parameter_shape, (8,)), posterior)
        model = VAE(encoder, decoder, StandardNormal(2)).eval()
    data = Dataset("chords", Split(x[:100]), Split(x[:0]), Split(x[100:]), levels=SYMBOLS, suggested="categorical")
    return Subject(model, data, Identity(), "chords")


@pytest.fixture(scope="module")
def service(subject):
    return Service(subject, description_of(subject))


def asked(service, header, payload=b""):
    header, content = unpack(service.answer(pack({"id": 1, **header}, payload)))
    return header, content


def floats(content):
    return np.frombuffer(content, "<f4")


def test_the_view_describes_itself(subject, service):
    view = subject.view
    assert isinstance(view, MelodyView)
    described = service.description["view"]
    assert described["kind"] == "melody"
    assert (described["shape"], described["low"], described["high"]) == ([STEPS], 0.0, 89.0)
    assert described["files"] == [".mid", ".wav"]
    pitches = [note.pitch for row in subject.examples.x for note in notes_of(row)]
    assert described["keys"] == [min(pitches) - 1, max(pitches) + 1]
    names = [attribute["name"] for attribute in service.description["attributes"]]
    assert names == ["density", "range"]  # nothing here is syncopated, so that no direction is
    assert not isinstance(view_of(np.zeros((9, 7), np.float32), None), MelodyView)
    assert isinstance(view_of(np.zeros((9, 7), np.uint8), 256), VectorView)


def test_symbols_come_and_go_unchanged(subject, service):
    x = subject.examples.x[:5]
    _, content = asked(service, {"op": "examples", "rows": [0, 1, 2, 3, 4]})
    values = floats(content).reshape(5, STEPS)
    np.testing.assert_array_equal(np.rint(values * 89), x)
    np.testing.assert_array_equal(subject.seen(values).numpy(), x)
    z = np.array([[1.0, -1.0]], np.float32)
    _, content = asked(service, {"op": "decode"}, z.tobytes())
    decoded = subject.model.decode(torch.from_numpy(z)).mean.numpy()
    np.testing.assert_array_equal(np.rint(floats(content) * 89), decoded[0])
    header, _ = asked(service, {"op": "measure"}, z.tobytes() + values[:1].tobytes())
    with torch.no_grad():
        expected = -subject.model.decode(torch.from_numpy(z)).log_prob(torch.from_numpy(x[:1]))
    assert header["measures"]["distortion"] == pytest.approx(float(expected))


def test_files_are_written_and_read(subject, service):
    values = subject.shown(subject.examples.x[3:4])
    notes = notes_of(subject.examples.x[3])
    _, content = asked(service, {"op": "write", "ending": ".wav"}, values.tobytes())
    assert content == wav(notes, STEPS)
    _, content = asked(service, {"op": "write", "ending": ".mid"}, values.tobytes())
    assert content[:4] == b"MThd"
    header, back = asked(service, {"op": "read"}, content)
    assert "error" not in header
    np.testing.assert_array_equal(np.rint(floats(back) * 89), subject.examples.x[3])
    for ending in (".exe", None, 3):
        header, _ = asked(service, {"op": "write", "ending": ending}, values.tobytes())
        assert "expected one of ('.mid', '.wav')" in header["error"]


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "MIDI"), (b"MThd", "MIDI"), (b"no file of notes", "MIDI"), (b"\0" * 2**25, "32 MiB")]
)
def test_broken_files_are_one_line(subject, content, message):
    with pytest.raises(RequestError, match=message):
        subject.view.read(content)


# The page.

LISTEN = """() => {
    window.heard = []; window.speakers = 0;
    const Own = window.AudioContext;
    window.AudioContext = class extends Own { constructor(...given) { super(...given); window.speakers += 1; } };
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (at) {
        window.heard.push({ hertz: this.frequency.value, at }); return start.call(this, at);
    };
}"""


class Page:
    """A page of the explorer, and what it complained of."""

    def __init__(self, browser, url):
        self.page = browser.new_page(viewport={"width": 1280, "height": 900}, accept_downloads=True)
        self.page.set_default_timeout(10_000)
        self.complaints = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.add_init_script(f"({LISTEN})()")
        self.page.goto(url)
        self.page.locator(".vk-numbers div").first.wait_for()

    def units(self):
        sliders = self.page.get_by_role("slider", name=re.compile("^unit z"))
        values = {s.get_attribute("aria-label")[:7]: float(s.input_value()) for s in sliders.all()}
        return np.array([values["unit z1"], values["unit z2"]], np.float32)

    def set_unit(self, name, value):
        watch = """() => { window.settled = new Promise((resolve) => document.querySelector(".vk-explorer")
            .addEventListener("vaekit:shown", resolve, {once: true})); }"""
        self.page.evaluate(watch)
        self.page.get_by_role("slider", name=f"unit {name},").fill(str(value))
        self.page.evaluate("() => window.settled")

    def roll(self, which=".vk-big"):
        """Where the drawing has notes."""
        url = self.page.locator(which).evaluate("(canvas) => canvas.toDataURL()")
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")).astype(int)
        return np.abs(pixels - [86, 180, 233]).max(-1) < 8


@pytest.fixture(scope="module")
def url(service, served):
    with served(service) as server:
        yield server.url


@pytest.fixture
def page(browser, url, tmp_path):
    opened = Page(browser, url)
    yield opened
    opened.page.screenshot(path=str(tmp_path / "melodies.png"))
    opened.page.close()
    assert opened.complaints == []


def notes_at(subject, z):
    with torch.no_grad():
        return notes_of(subject.model.decode(torch.from_numpy(np.atleast_2d(z)).float()).mean[0].numpy())


def drawn(notes, view):
    """What the drawing should have: each note at its key for its time."""
    low, high = view.keys
    cells = np.zeros((high - low + 1, STEPS), bool)
    for start, stop, pitch in notes:
        cells[high - min(high, max(low, pitch)), start:stop] = True
    return cells


def cells(roll, view):
    low, high = view.keys
    height, width = roll.shape[0] // (high - low + 1), roll.shape[1] // STEPS
    return roll[height // 2 :: height, width // 2 :: width]


def test_what_is_decoded_is_drawn_as_a_roll(page, subject):
    for name, value in (("z1", 1.5), ("z2", -1.0), ("z2", 1.0), ("z1", -1.0)):
        page.set_unit(name, value)
        np.testing.assert_array_equal(
            cells(page.roll(), subject.view), drawn(notes_at(subject, page.units()), subject.view)
        )
    box = page.page.locator(".vk-map").bounding_box()
    page.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.page.locator(".vk-preview").wait_for()
    page.page.get_by_role("tab", name="Samples").click()
    page.page.get_by_role("button", name="Draw samples").click()
    page.page.locator(".vk-grid canvas").nth(23).wait_for()


def test_play_sounds_what_is_shown_until_it_is_stopped(page, subject):
    page.set_unit("z2", -1.0)
    assert page.page.evaluate("() => window.speakers") == 0  # nothing plays by itself
    play = page.page.locator(".vk-main .vk-player button")
    assert play.get_attribute("aria-label") == "Play the melody"
    play.focus()
    play.press("Enter")
    page.page.wait_for_function("() => window.heard.length >= 4")
    assert page.page.locator(".vk-main .vk-head").is_visible()
    assert play.get_attribute("aria-label") == "Stop the melody"
    heard = page.page.evaluate("() => window.heard")
    notes = notes_at(subject, page.units())
    for one, note in zip(heard, notes, strict=False):
        assert one["hertz"] == pytest.approx(440 * 2 ** ((note.pitch - 69) / 12), rel=1e-5)
    times = np.diff([one["at"] for one in heard])
    np.testing.assert_allclose(times, np.diff([note.start for note in notes[: len(heard)]]) * 0.125, atol=0.02)
    page.set_unit("z2", 1.0)  # twice as fast, while it plays
    before = page.page.evaluate("() => window.heard.length")
    page.page.wait_for_function("(before) => window.heard.length >= before + 5", arg=before)
    later = page.page.evaluate("() => window.heard")[before + 1 :]
    np.testing.assert_allclose(np.diff([one["at"] for one in later]), 0.25, atol=0.02)
    play.press("Enter")
    assert play.get_attribute("aria-label") == "Play the melody"
    assert not page.page.locator(".vk-main .vk-head").is_visible()
    over = page.page.evaluate("() => window.heard.length")
    page.page.wait_for_timeout(400)
    assert page.page.evaluate("() => window.heard.length") == over
    assert page.page.evaluate("() => window.speakers") == 1


def test_files_go_out_and_come_back(page, subject):
    page.set_unit("z1", 0.6)
    notes = notes_at(subject, page.units())
    saved = {}
    for ending in (".mid", ".wav"):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=f"Download {ending}").click()
        assert download.value.suggested_filename == f"melody{ending}"
        saved[ending] = download.value.path().read_bytes()
    assert saved[".wav"] == wav(notes, STEPS)
    page.page.get_by_role("tab", name="Upload").click()
    assert page.page.get_by_text("invert light and dark").is_hidden()
    upload = page.page.get_by_label("choose a file to encode")
    upload.set_input_files({"name": "mine.mid", "mimeType": "audio/midi", "buffer": saved[".mid"]})
    page.page.get_by_text("reconstruction", exact=True).wait_for()
    np.testing.assert_array_equal(cells(page.roll(".vk-before"), subject.view), drawn(notes, subject.view))
    page.page.get_by_role("button", name="the original").click()
    page.page.wait_for_function("() => window.heard.length >= 1")
    page.page.get_by_role("button", name="the original").click()
    upload.set_input_files({"name": "bad.mid", "mimeType": "audio/midi", "buffer": saved[".mid"][:30]})
    page.page.get_by_role("alert").get_by_text("MIDI").wait_for()
    page.set_unit("z1", -0.6)
    np.testing.assert_array_equal(
        cells(page.roll(), subject.view), drawn(notes_at(subject, page.units()), subject.view)
    )
