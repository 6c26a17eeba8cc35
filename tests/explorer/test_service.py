import io
import json
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.data.transforms import Scale
from vaekit.explorer.description import description_of
from vaekit.explorer.service import MOST, Service
from vaekit.explorer.views import UPLOAD_BYTES, ImageView, VectorView
from vaekit.explorer.wire import HEADER_BYTES, pack, unpack


@pytest.fixture(scope="module")
def service(small):
    subject = small(3)
    return Service(subject, description_of(subject))


def ask(service, payload=b"", **header):
    answer, content = unpack(service.answer(pack({"id": 1, **header}, payload)))
    return answer, np.frombuffer(content, "<f4")


def f4(array):
    return np.asarray(array, "<f4").tobytes()


def test_decoding_is_the_mean_of_the_decoder(service):
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    answer, values = ask(service, f4(z), op="decode")
    with torch.no_grad():
        expected = service.subject.model.decode(torch.from_numpy(z)).mean.numpy()
    assert "error" not in answer
    np.testing.assert_allclose(values.reshape(5, 1, 4, 4), expected, atol=1e-6)


def test_an_example_of_the_map_is_encoded_to_its_code(service):
    import base64

    drawn = service.description["map"]
    _, x = ask(service, op="examples", rows=drawn["rows"][:4])
    np.testing.assert_allclose(x.reshape(4, 1, 4, 4), service.subject.data.test.x[drawn["rows"][:4]] / 255, atol=1e-6)
    _, z = ask(service, f4(x), op="encode")
    codes = np.frombuffer(base64.b64decode(drawn["codes"]), "<f4").reshape(-1, 3)
    np.testing.assert_allclose(z.reshape(4, 3), codes[:4], atol=1e-5)


def test_a_seed_gives_the_same_samples_and_leaves_the_random_state(service):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two, other = (ask(service, op="sample", n=400 // 2, seed=seed)[1] for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(one, two)
    assert (one != other).all()
    assert abs(one.mean()) < 0.15
    assert abs(one.std() - 1) < 0.1  # the prior's


def test_measures_are_in_nats(service):
    z, x = torch.tensor([[0.5, -1.0, 2.0]]), torch.from_numpy(service.subject.data.test.x[:1])
    answer, _ = ask(service, f4(z) + f4(x / 255), op="measure")
    model = service.subject.model
    with torch.no_grad():
        q = model.encode(Scale(256)(x))
        logits = model.decode(z).log_prob(Scale(256)(x)).item()
    mean, variance = q.mean, q.stddev**2
    measures = answer["measures"]
    assert measures["log_prior"] == pytest.approx(float(-0.5 * (z**2).sum() - 1.5 * np.log(2 * np.pi)), rel=1e-5)
    assert measures["rate"] == pytest.approx(0.5 * (mean**2 + variance - 1 - variance.log()).sum().item(), rel=1e-4)
    assert measures["distortion"] == pytest.approx(-logits, rel=1e-5)
    alone, _ = ask(service, f4(z), op="measure")
    assert alone["measures"] == {"log_prior": measures["log_prior"]}


def test_a_conditional_model_is_told_the_chosen_class(small):
    subject = small(3, conditional=True)
    service = Service(subject, description_of(subject))
    z = np.ones((2, 3), np.float32)
    for chosen in range(3):
        _, values = ask(service, f4(z), op="decode", context=chosen)
        with torch.no_grad():
            expected = subject.model.decode(torch.from_numpy(z), torch.tensor([chosen, chosen])).mean.numpy()
        np.testing.assert_allclose(values, expected.ravel(), atol=1e-6)
    assert "whole number from 0 to 2" in ask(service, f4(z), op="decode", context=3)[0]["error"]


@pytest.mark.parametrize(
    ("header", "payload", "message"),
    [
        ({"op": "open", "path": "/etc/passwd"}, b"", "asks for 'open'"),
        ({"op": "__init__"}, b"", "asks for"),
        ({"op": ["decode"]}, b"", "asks for"),
        ({"op": "decode"}, b"", "0 bytes"),
        ({"op": "decode"}, b"abc", "3 bytes"),
        ({"op": "decode"}, f4(np.zeros(3 * (MOST + 1))), f"1 to {MOST} rows"),
        ({"op": "decode"}, f4([np.nan, 0, 0]), "NaN"),
        ({"op": "decode"}, f4([np.inf, 0, 0]), "infinity"),
        ({"op": "encode"}, f4(np.zeros(15)), "16 float32"),
        ({"op": "sample", "n": 10**9, "seed": 0}, b"", "n is 1000000000"),
        ({"op": "sample", "n": 1, "seed": -1}, b"", "seed is -1"),
        ({"op": "sample", "n": True, "seed": 0}, b"", "n is True"),
        ({"op": "sample", "n": 1.5, "seed": 0}, b"", "n is 1.5"),
        ({"op": "sample"}, b"", "n is None"),
        ({"op": "examples", "rows": [60]}, b"", "row is 60"),
        ({"op": "examples", "rows": [-1]}, b"", "row is -1"),
        ({"op": "examples", "rows": "../../etc/passwd"}, b"", "no list"),
        ({"op": "examples", "rows": [0] * (MOST + 1)}, b"", "no list"),
        ({"op": "measure"}, f4([0, 0]), "8 bytes"),
        ({"op": "measure"}, f4(np.zeros(3 + 15)), "60 bytes"),
        ({"op": "read"}, b"not a picture", "no picture"),
        ({"op": "decode", "id": None}, b"", "no id"),
    ],
)
def test_a_hostile_message_is_answered_with_an_error(service, header, payload, message):
    answer, values = ask(service, payload, **header)
    assert message in answer["error"]
    assert len(answer["error"]) < 400
    assert not len(values)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0",
        b"\xff\xff\xff\xff{}",
        struct.pack("<I", HEADER_BYTES + 4) + b" " * (HEADER_BYTES + 4),
        struct.pack("<I", 4) + b"[1] ",
        struct.pack("<I", 4) + b"\xff\xfe\xfd\xfc",
        struct.pack("<I", 8) + b"[[[[[[[[",
        struct.pack("<I", 40_000) + b"[" * 40_000,
    ],
)
def test_what_is_no_message_is_answered_with_an_error(service, message):
    answer, _ = unpack(service.answer(message))
    assert answer["id"] is None
    assert "reload the page" in answer["error"]


def test_a_fault_of_ours_is_an_answer_too(service, monkeypatch):
    monkeypatch.setitem(service.operations, "decode", lambda header, payload: 1 / 0)
    answer, _ = ask(service, f4([0, 0, 0]), op="decode")
    assert "fault of vaekit (ZeroDivisionError)" in answer["error"]


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_picture_is_cut_to_the_middle_and_laid_on_white():
    wide = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    wide.paste((0, 0, 255, 255), (10, 0, 30, 20))
    values = ImageView((3, 10, 10)).read(png(wide))
    np.testing.assert_allclose(values.transpose(1, 2, 0), np.broadcast_to([0.0, 0.0, 1.0], (10, 10, 3)), atol=0.06)
    empty = ImageView((1, 4, 4)).read(png(Image.new("RGBA", (8, 8), (0, 0, 0, 0))))
    np.testing.assert_array_equal(empty, np.ones((1, 4, 4)))


def claiming(side):
    """A PNG of a few bytes that says it has side × side pixels."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_file_is_measured_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    for side in (8_000, 20_000):  # what Pillow lets pass, and what it does not
        with pytest.raises(ValueError, match="expected at most 32 million"):
            ImageView((1, 4, 4)).read(claiming(side))
    with pytest.raises(ValueError, match="17 MiB; expected at most 16"):
        ImageView((1, 4, 4)).read(b"\0" * (UPLOAD_BYTES + 2**20))


def test_a_picture_that_is_cut_off_is_refused():
    whole = png(Image.effect_noise((64, 64), 50))
    with pytest.raises(ValueError, match="no picture that can be read"):
        ImageView((1, 4, 4)).read(whole[: len(whole) // 2])


def test_columns_in_units_of_their_own_have_each_its_range():
    sizes = np.array([1.0, 1e4, 1e-3, 0.0, 20.0])
    x = np.random.default_rng(0).normal(size=(300, 5)) * sizes + 7
    view = VectorView.of(x.astype(np.float32), None)
    shown = view.values(x)
    np.testing.assert_allclose(shown.min(0), 0, atol=1e-3)
    np.testing.assert_allclose(shown.max(0), [1, 1, 1, 0, 1], atol=1e-3)
    np.testing.assert_allclose(view.origin + view.unit * shown, x, atol=1e-3 * 7)
    assert json.loads(json.dumps(view.describe()))["low"] == pytest.approx(x.min(0), rel=1e-4)
    np.testing.assert_allclose(view.read(b"7 7 7 7 7"), view.values(np.full(5, 7.0)))
    # Those of about one size are a curve, and share a range.
    assert isinstance(VectorView.of(np.float32(x[:, [0, 0, 4, 4]]) * [20, 20, 1, 1], None).low, float)


def test_numbers_are_read_from_text():
    view = VectorView((3,), -1.0, 1.0)
    np.testing.assert_allclose(view.read(b"-1, 0\n1"), [0, 0.5, 1])
    for content in (b"1 2", b"1 2 x", b"1 2 nan", b"\xff\xfe"):
        with pytest.raises(ValueError, match="the file holds"):
            view.read(content)
