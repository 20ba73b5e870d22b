"""How tests damage a document: values of the wrong kind in a plain value, and bytes that are no text any more."""

import copy
import random
from typing import Any

ODD: list[Any] = [
    None, True, 0, -1, 1.5, 1e308, 10**17, 2**63, "", "²", "0", "a/b", "../../EVIL", "/etc/passwd", "a\x00b", "\ud800",
    "%s%n", "{case}", "x" * 5000, [], {}, [[]], [None], {"": None}, {"0": "CT"}, ["a", "a"], [1, "a"], {"a": [1, 2]},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a plain value, as the keys and numbers that lead there."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inner for deeper in places(item, (*path, key)))]


def changed(value: Any, chance: random.Random) -> Any:
    """A copy with one value replaced, deleted, wrapped or under another key."""
    value = copy.deepcopy(value)
    path = chance.choice(places(value)[1:] or [()])
    if not path:
        return chance.choice(ODD)
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    act = chance.randrange(4)
    if act == 0:
        del parent[path[-1]]
    elif act == 1 and isinstance(parent, dict):
        parent[str(chance.choice(["x", "²", "", "labels", "../x", "10", "\x00"]))] = parent.pop(path[-1])
    elif act == 2:
        parent[path[-1]] = [parent[path[-1]]]
    else:
        parent[path[-1]] = chance.choice(ODD)
    return value


def damaged(text: bytes, chance: random.Random) -> bytes:
    """Bytes with a cut, a flipped bit, bytes put in, or what JSON is not."""
    place = chance.randrange(len(text) + 1)
    act = chance.randrange(7)
    if act == 0:
        return text[:place]
    if act == 1 and text:
        place = min(place, len(text) - 1)
        return text[:place] + bytes([text[place] ^ (1 << chance.randrange(8))]) + text[place + 1 :]
    if act == 2:
        return text[:place] + chance.choice([b"NaN", b"\x00", b"\xff", b"[" * 2000, b'"', b"1" * 6000]) + text[place:]
    if act == 3:
        return text.decode("utf-8", "replace").encode("utf-16")
    if act == 4:
        return b"\xef\xbb\xbf" + text
    return chance.choice([b"", b"[]", b"null", b"5", b'"x"', b"{}", b"[" * 100_000, b'{"a":' * 60_000])
