"""The model of the protocol says what the document says."""

from __future__ import annotations

import re

import pytest

from tests.support.protocol import PlainServer
from tests.test_documents import PROTOCOL, literal, wire_examples


@pytest.mark.parametrize("example", wire_examples(PROTOCOL))
def test_the_model_agrees_with_each_example(example: str) -> None:
    server = PlainServer()
    keys = {name: key for key, name in enumerate(dict.fromkeys(re.findall(r"^\w+", example, re.M)))}
    for name, mark, text in re.findall(r"^(\w+) +([<>]) (.*)", example, re.M):
        if text == "FIN":
            server.end(keys[name])
        elif mark == ">":
            server.receive(keys[name], literal(text))
    for name, key in keys.items():
        expected = re.findall(rf"^{name} +< (.*\\n)$", example, re.M)
        assert server.peers[key].screen == b"".join(map(literal, expected))
