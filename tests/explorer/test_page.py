r"""The page, driven in a real browser."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from vaekit.explorer.description import description_of
from vaekit.explorer.service import Service

pytest.importorskip("tornado", reason="the extra explore is not installed: the page is not tested")


@pytest.fixture(scope="module")
def service(small):
    subject = small(3, (1, 8, 8), n=400)
    return Service(subject, description_of(subject))


@pytest.fixture(scope="module")
def conditional(small):
    subject = small(2, (1, 8, 8), conditional=True)
    return Service(subject, description_of(subject))


class Page:
    """A page of the explorer, and what it complained of."""

    def __init__(self, browser, url):
        self.page = browser.new_page(viewport={"width": 1280, "height": 860}, accept_downloads=True)
        self.page.set_default_timeout(10_000)
        self.complaints = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)
        self.page.locator(".vk-numbers div").first.wait_for()
        self.box = self.page.locator(".vk-map").bounding_box()

    def at(self, x, y):
        """A place of the map, in parts of its width and height."""
        return self.box["x"] + x * self.box["width"], self.box["y"] + y * self.box["height"]

    def settle(self, change):
        """Do something and wait for the picture that it leads to; return this as the page has it."""
        watch = """() => { window.settled = new Promise((resolve) => document.querySelector(".vk-explorer")
            .addEventListener("vaekit:shown", resolve, {once: true})); }"""
        self.page.evaluate(watch)
        change()
        self.page.evaluate("() => window.settled")
        return self.picture()

    def picture(self, which=".vk-big"):
        url = self.page.locator(which).evaluate("(canvas) => canvas.toDataURL()")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("L"))

    def units(self):
        """The latent point that the sliders show, in the order of the units."""
        sliders = self.page.get_by_role("slider", name=re.compile("^unit z"))
        names = [s.get_attribute("aria-label") for s in sliders.all()]
        places = [int(re.match(r"unit z(\d+)", name)[1]) - 1 for name in names]
        values = [float(s.input_value()) for s in sliders.all()]
        return np.array(values, np.float32)[np.argsort(places)]


@pytest.fixture(scope="module")
def url(service, served):
    with served(service) as server:
        yield server.url


@pytest.fixture
def page(browser, url, tmp_path):
    opened = Page(browser, url)
    yield opened
    opened.page.screenshot(path=str(tmp_path / "page.png"))
    opened.page.close()
    assert opened.complaints == []


def decoded(service, z):
    """What the page has to show of a latent point."""
    import torch

    with torch.no_grad():
        x = service.subject.model.decode(torch.from_numpy(np.atleast_2d(z)).float()).mean
    return np.rint(255 * x[0, 0].numpy())


def test_the_pointer_shows_what_lies_below_it_and_a_click_keeps_it(page, service):
    first = page.picture()
    kept = page.units()
    np.testing.assert_allclose(first, decoded(service, kept), atol=1.01)
    pointed = page.settle(lambda: page.page.mouse.move(*page.at(0.3, 0.4)))
    assert (pointed != first).any()
    np.testing.assert_array_equal(page.picture(".vk-preview"), pointed)
    np.testing.assert_array_equal(page.units(), kept)  # nothing is kept yet
    left = page.settle(lambda: page.page.mouse.move(*page.at(0.3, -0.05)))
    np.testing.assert_array_equal(left, first)
    page.settle(lambda: page.page.mouse.click(*page.at(0.3, 0.4)))
    assert (page.units() != kept).any()
    np.testing.assert_allclose(page.picture(), decoded(service, page.units()), atol=1.01)


@pytest.mark.slow
def test_a_place_of_the_plane_is_the_latent_point_of_the_description(page, service):
    page.page.get_by_label("under the pointer").select_option("plane")
    page.settle(lambda: page.page.mouse.click(*page.at(0.62, 0.31)))
    drawn = service.description["map"]
    mean, axes = np.array(drawn["mean"]), np.array(drawn["axes"])
    z = page.units()
    np.testing.assert_allclose(mean + (z - mean) @ axes.T @ axes, z, atol=1e-4)  # it lies in the plane
    before = (z - mean) @ axes.T
    page.settle(lambda: page.page.mouse.click(*page.at(0.72, 0.31)))
    step = (page.units() - mean) @ axes.T - before
    assert step[0] > 0  # to the right is along the first axis
    assert abs(step[1]) < 1e-3 * step[0]


def test_a_slider_moves_its_unit_alone(page, service):
    unit = service.description["latent"]["units"][1]
    slider = page.page.get_by_role("slider", name=f"unit z{unit['index'] + 1},")
    before = page.units()
    page.settle(lambda: slider.fill("1.5"))
    after = page.units()
    assert after[unit["index"]] == pytest.approx(1.5, abs=1e-4)
    others = np.arange(3) != unit["index"]
    np.testing.assert_array_equal(after[others], before[others])
    np.testing.assert_allclose(page.picture(), decoded(service, after), atol=1.01)
    rates = [row.inner_text() for row in page.page.locator(".vk-rate").all()]
    assert rates == sorted(rates, key=lambda text: -float(text.split()[0]))
    page.settle(lambda: slider.press("ArrowRight"))
    assert page.units()[unit["index"]] > 1.5


@pytest.mark.slow
def test_an_attribute_moves_along_its_vector(page, service):
    before = page.units()
    page.page.get_by_role("tab", name="Attributes").click()
    attribute = service.description["attributes"][2]
    page.settle(lambda: page.page.get_by_role("slider", name="attribute 2").fill("1"))
    page.page.get_by_role("tab", name="Units").click()
    expected = attribute["spread"] * np.array(attribute["vector"])
    np.testing.assert_allclose(page.units() - before, expected, atol=1e-4)
    page.settle(lambda: page.page.get_by_role("button", name="Reset", exact=True).click())
    np.testing.assert_allclose(page.units(), before, atol=1e-6)


def test_two_points_make_a_path_that_plays(page, service):
    page.page.get_by_role("radio", name="Path").click()
    page.page.mouse.click(*page.at(0.35, 0.35))
    page.page.get_by_text("A is set").wait_for()
    page.page.mouse.click(*page.at(0.6, 0.6))
    strip = page.page.locator(".vk-strip canvas")
    strip.first.wait_for()
    assert strip.count() == 9
    page.settle(lambda: page.page.get_by_label("place 1 of 9 on the path").click())
    a = page.units()
    page.settle(lambda: page.page.get_by_label("place 9 of 9 on the path").click())
    b = page.units()
    page.settle(lambda: page.page.get_by_label("place 5 of 9 on the path").click())
    np.testing.assert_allclose(page.units(), (a + b) / 2, atol=1e-4)  # halfway along the line
    page.page.get_by_label("way").select_option("arc")
    page.page.wait_for_timeout(200)
    page.settle(lambda: page.page.get_by_label("place 5 of 9 on the path").click())
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    halfway = (np.sin(angle / 2) / np.sin(angle)) * (a + b)
    np.testing.assert_allclose(page.units(), halfway, atol=1e-4)
    page.page.get_by_role("button", name="Play").click()
    page.page.wait_for_timeout(300)
    page.page.get_by_role("button", name="Pause").click()
    assert float(page.page.get_by_label("place on the path", exact=True).input_value()) > 0
    page.page.get_by_role("button", name="Clear").click()
    assert not strip.count()


def test_an_uploaded_picture_is_encoded_and_decoded(page, service):
    page.page.get_by_role("tab", name="Upload").click()
    x = service.subject.data.test.x[7]
    file = io.BytesIO()
    Image.fromarray(x[0]).save(file, "PNG")
    upload = page.page.get_by_label("choose a file to encode")
    upload.set_input_files({"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.page.get_by_text("reconstruction", exact=True).wait_for()
    np.testing.assert_array_equal(page.picture(".vk-before"), x[0])
    codes = np.frombuffer(base64.b64decode(service.description["map"]["codes"]), "<f4").reshape(-1, 3)
    np.testing.assert_allclose(page.units(), codes[7], atol=1e-4)  # what is on the map already is its own neighbour
    assert page.page.locator(".vk-result .vk-tile").count() == 8
    nearest = page.page.locator(".vk-result .vk-tile canvas").first.evaluate("(canvas) => canvas.ariaLabel")
    assert nearest == "example 7"
    page.page.locator(".vk-numbers").get_by_text("−log p(x|z)").wait_for()


def test_bad_files_are_a_message_and_the_page_goes_on(page, service, tmp_path):
    page.page.get_by_role("tab", name="Upload").click()
    upload = page.page.get_by_label("choose a file to encode")
    huge = io.BytesIO()
    Image.new("1", (9000, 9000)).save(huge, "PNG")
    for name, content, message in (
        ("text.png", b"this is no picture", "no picture that can be read"),
        ("empty.png", b"", "no picture that can be read"),
        ("huge.png", huge.getvalue(), "9,000 × 9,000 pixels"),
        ("long.png", b"\0" * (50 * 2**20), "50 MiB; expected at most 16"),
    ):
        (tmp_path / name).write_bytes(content)
        upload.set_input_files(tmp_path / name)
        page.page.get_by_role("alert").get_by_text(message).wait_for()
        page.page.get_by_label("close this message").click()
    moved = page.settle(lambda: page.page.mouse.click(*page.at(0.4, 0.5)))
    np.testing.assert_allclose(moved, decoded(service, page.units()), atol=1.01)


def test_the_same_seed_draws_the_same_samples(page):
    page.page.get_by_role("tab", name="Samples").click()

    def drawn(seed):
        page.page.get_by_label("seed").fill(str(seed))
        page.page.get_by_role("button", name="Draw samples").click()
        page.page.wait_for_timeout(250)
        return page.page.locator(".vk-grid canvas").evaluate_all("(all) => all.map((one) => one.toDataURL())")

    one, other, again = drawn(3), drawn(4), drawn(3)
    assert len(one) == 24
    assert one == again != other


def test_what_is_seen_can_be_downloaded(page):
    def saved(button):
        with page.page.expect_download() as download:
            page.page.get_by_role("button", name=button).click()
        return Image.open(download.value.path())

    picture = np.asarray(saved("Download picture").convert("L"))
    shown = page.picture()
    assert picture.shape == (512, 512)
    np.testing.assert_array_equal(picture[32::64, 32::64], shown)
    map_ = np.asarray(saved("Download map").convert("RGB"))
    assert len(np.unique(map_.reshape(-1, 3), axis=0)) > 10


@pytest.mark.slow
def test_the_map_is_moved_and_worked_by_keys(page, service):
    element = page.page.locator(".vk-map")
    element.focus()
    before = page.picture()
    moved = page.settle(lambda: [element.press("ArrowRight") for _ in range(6)])
    page.settle(lambda: element.press("Enter"))
    np.testing.assert_allclose(page.picture(), decoded(service, page.units()), atol=1.01)
    assert (moved != before).any() or (page.picture() != before).any()
    element.press("a")
    for _ in range(9):
        element.press("Shift+ArrowUp")
    element.press("b")
    page.page.locator(".vk-strip canvas").first.wait_for()
    element.press("Escape")
    assert not page.page.locator(".vk-strip canvas").count()
    whole = element.locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()")
    element.press("+")
    page.page.wait_for_timeout(100)
    near = element.locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()")
    element.press("0")
    page.page.wait_for_timeout(100)
    assert element.locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()") == whole != near


@pytest.mark.slow
def test_classes_are_hidden_and_colours_changed(page):
    ground = page.page.locator(".vk-map canvas").first
    whole = ground.evaluate("(canvas) => canvas.toDataURL()")
    page.page.get_by_title("show or hide 1").click()
    page.page.wait_for_timeout(100)
    assert ground.evaluate("(canvas) => canvas.toDataURL()") != whole
    for colouring in ("unit 0", "attribute 1", "none", "label"):
        page.page.get_by_label("colour by").select_option(colouring)
    page.page.wait_for_timeout(100)
    assert ground.evaluate("(canvas) => canvas.toDataURL()") == whole


@pytest.mark.slow
def test_a_narrow_window_and_the_dark(page, tmp_path):
    page.page.set_viewport_size({"width": 400, "height": 800})
    page.page.emulate_media(color_scheme="dark")
    page.page.wait_for_timeout(200)
    assert page.page.evaluate("() => document.documentElement.scrollWidth") <= 400
    page.page.screenshot(path=str(tmp_path / "narrow.png"), full_page=True)


@pytest.mark.slow
def test_a_conditional_model_is_asked_for_its_class(browser, conditional, served):
    import torch

    with served(conditional) as server:
        opened = Page(browser, server.url)
        for name, number in (("2", 2), ("1", 1)):
            picture = opened.settle(lambda n=name: opened.page.get_by_label("class", exact=True).select_option(label=n))
            with torch.no_grad():
                z = torch.from_numpy(opened.units()[None])
                x = conditional.subject.model.decode(z, torch.tensor([number])).mean
            np.testing.assert_allclose(picture, np.rint(255 * x[0, 0].numpy()), atol=1.01)
        opened.page.close()
    assert opened.complaints == []


@pytest.mark.slow
def test_a_page_that_loses_its_model_says_so(browser, service, served):
    with served(service) as server:
        opened = Page(browser, server.url)
    opened.page.get_by_role("alert").get_by_text("connection").wait_for()
    opened.page.close()


def test_a_connection_that_breaks_is_made_again(url, browser):
    sockets = """() => { window.lines = []; const Own = window.WebSocket; window.WebSocket = class extends Own {
        constructor(...given) { super(...given); window.lines.push(this); } }; }"""
    page = browser.new_page()
    page.set_default_timeout(10_000)
    page.add_init_script(f"({sockets})()")
    page.goto(url)
    page.locator(".vk-numbers div").first.wait_for()
    before = page.locator(".vk-big").evaluate("(canvas) => canvas.toDataURL()")
    page.evaluate("() => window.lines[0].close()")
    page.wait_for_function("() => window.lines.length === 2 && window.lines[1].readyState === WebSocket.OPEN")
    slider = page.get_by_role("slider", name=re.compile("^unit z")).first
    slider.fill("2.5")  # asks the model, over the new line
    page.wait_for_function("(before) => document.querySelector('.vk-big').toDataURL() !== before", arg=before)
    page.close()
