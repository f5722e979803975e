"""The model of the protocol says what the document says."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.support import protocol
from tests.support.protocol import PlainServer
from tests.test_documents import PROTOCOL, literal, wire_examples


@pytest.mark.parametrize("example", wire_examples(PROTOCOL))
def test_the_model_agrees_with_each_example(example: str) -> None:
    tokens = (f"{number:02}" * 16 for number in itertools.count(1))
    server = PlainServer(tokens=tokens if "RESUME" in example else None)
    keys = {name: key for key, name in enumerate(dict.fromkeys(re.findall(r"^\w+", example, re.M)))}
    for name, mark, text in re.findall(r"^(\w+) +([<>]) (.*)", example, re.M):
        if text == "FIN":
            server.end(keys[name])
        elif mark == ">":
            server.receive(keys[name], literal(text))
    for name, key in keys.items():
        expected = re.findall(rf"^{name} +< (.*\\n)$", example, re.M)
        assert server.peers[key].screen == b"".join(map(literal, expected))


TEXTS = [text for name, text in vars(protocol).items() if name.isupper() and type(text) is str]


@pytest.mark.parametrize("text", sorted({*TEXTS} - {protocol.NAME, protocol.IN_AN_HOUR}))
def test_each_text_of_the_model_stands_in_the_document(text: str) -> None:
    assert text.removeprefix("Invalid username: ") in PROTOCOL.read_text()
