"""YAML that people write by hand, read so that no file costs more than its size.

PyYAML's own safe loader runs no code, but leaves in many ways: a RecursionError for depth, a KeyError or an AttributeError for a
tag that does not fit, a ValueError for the 99th of a month; and ten lines of aliases of aliases are a list of 10^9 items.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.scanner import ScannerError

MAX_CHARACTERS = 2**20
MAX_VALUES = 50_000
"""Values of a file, with every alias written out; the shipped rules have 500."""
MAX_DEPTH = 40


class _Loader(yaml.SafeLoader):
    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: N803  (PyYAML's name)
        # Each open bracket makes every later token dearer: 3,000 of them took 2 to 6 s before the depth was looked at.
        if self.flow_level >= MAX_DEPTH:
            raise ScannerError(None, None, f"it is nested more than {MAX_DEPTH} deep", self.get_mark())
        super().fetch_flow_collection_start(TokenClass)


def read_yaml(text: str) -> Any:
    """What the text says, in plain Python values; None for an empty one. Raises yaml.YAMLError, and nothing else."""
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"the file is larger than {MAX_CHARACTERS} characters")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _measure(node, {}, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise yaml.YAMLError(f"a value is not what it looks like or is said to be: {error}") from None


def _measure(node: yaml.Node, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """How many values a node is, with its aliases written out, and how deep. Raises yaml.YAMLError where that is too much."""
    place = id(node)
    if place in known:
        return known[place]
    if place in above:
        raise _at(node, "it holds itself")
    above.add(place)
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        inside = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inside = node.value
    else:
        _check_text(node)
    sizes = [_measure(part, known, above) for part in inside]
    above.remove(place)
    size, depth = 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
    if size > MAX_VALUES:
        raise _at(node, f"it holds more than {MAX_VALUES} values")
    if depth > MAX_DEPTH:
        raise _at(node, f"it is nested more than {MAX_DEPTH} deep")
    known[place] = size, depth
    return size, depth


def _check_text(node: yaml.Node) -> None:
    """Half a surrogate pair ("\\ud800") can be written, but is no text: no log, answer or database could hold it."""
    try:
        node.value.encode()
    except UnicodeEncodeError:
        raise _at(node, "it holds half a character") from None


def _at(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return ConstructorError(None, None, problem, node.start_mark)
