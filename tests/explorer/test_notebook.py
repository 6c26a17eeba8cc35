import re

import numpy as np
import pytest

pytest.importorskip("panel", reason="the extra explore is not installed")

from vaekit.explorer.description import description_of
from vaekit.explorer.notebook import Explorer, bundled
from vaekit.explorer.service import Service
from vaekit.explorer.wire import pack, unpack


def test_a_bundle_names_everything_once_and_imports_nothing():
    text = bundled("notebook.js")
    assert not re.search(r"^import ", text, re.MULTILINE)
    assert re.findall(r"^export \w+ (\w+)", text, re.MULTILINE) == ["render"]
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", text, re.MULTILINE)
    assert len(names) > 30
    assert len(names) == len(set(names))


def test_the_object_answers_the_page_and_nothing_else(small, monkeypatch):
    subject = small(2)
    explorer, sent = Explorer(Service(subject, description_of(subject))), []
    monkeypatch.setattr(explorer, "_send_msg", sent.append)
    explorer._handle_msg({"message": pack({"id": "1", "op": "decode"}, np.zeros(2, "<f4").tobytes())})
    header, content = unpack(sent.pop()["message"])
    assert header == {"id": "1"}
    assert len(content) == 4 * 16
    for nonsense in (None, "text", {"message": "text"}, {}):
        explorer._handle_msg(nonsense)
    assert not sent
