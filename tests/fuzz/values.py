"""What a damaged file may hold in the place of a value, and what may befall its bytes."""

import random
from typing import Any

VALUES = [
    *(None, True, False, 0, 1, -1, 2, 7, 1.5, -0.0, 1e9, -1e9, 1e300, 1e-320, 10**30, -(10**400)),
    *(float("nan"), float("inf"), float("-inf"), 2**31, 2**63, -(2**63), 4294967296.0),
    *("", "7", " 8 ", "07", "1e3", "nan", "x" * 5000, "\x00", "\n", "\ud800", "é", "../../../x"),
    *("/etc/passwd", "..", ".", "/", "a/b", "0.png", "http://a/../b.png"),
    *([], [[]], [[[]]], [None], [1], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6], ["1", "2", "3", "4"]),
    *([0, 0, 0, 0], [0, 0, 1e300, 1e300], [-5, -5, 10, 10], [1, 1, 10**400, 5]),
    *(
        [[1, 1, 9, 1, 9, 9]],
        [[1, 1, 9, 1, 9]],
        [[1, 1, 9, 1, float("nan"), 9]],
        [[1, 1, 9e9, 1, 9, 9]],
    ),
    *({}, {"size": [64, 80]}, {"counts": "abc"}, {"size": [64, 80], "counts": "o"}),
    *({"size": [10**6, 10**6], "counts": "0"}, {"size": [64, 80], "counts": [5120]}),
    *({"size": [64, 80], "counts": [1, 2]}, {"size": "big", "counts": 7}),
]


def damage_value(rng: random.Random, value: Any) -> Any:
    """A nearby value of a wrong kind, or any of the list."""
    choice = rng.random()
    if choice < 0.15:
        return str(value)
    if choice < 0.25 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return rng.choice([-value, float(value), value * 1000, value + 0.5, [value]])
    if choice < 0.3:
        return [value]
    return rng.choice(VALUES)


def damage_tree(rng: random.Random, root: Any) -> None:
    """Change, remove, double or add a value somewhere in parsed JSON, in place."""
    parent, key = None, None
    node = root
    while isinstance(node, (dict, list)) and node and (parent is None or rng.random() < 0.9):
        parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        node = parent[key]
    action = rng.random()
    if action < 0.65:
        parent[key] = damage_value(rng, node)
    elif action < 0.85:
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, node)
    else:
        parent[str(rng.choice(VALUES))[:20]] = rng.choice(VALUES)


def damage_bytes(rng: random.Random, content: bytes) -> bytes:
    """Cut, flip, blank, double or insert bytes."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        place = rng.randrange(len(data) or 1)
        size = rng.choice([1, 1, 2, 8, 64])
        action = rng.randrange(6)
        if action == 0:
            del data[place:]
        elif action == 1:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif action == 2:
            data[place : place + size] = bytes(size)
        elif action == 3:
            data[place:place] = data[place : place + size]
        elif action == 4:
            data[place:place] = rng.randbytes(size)
        else:
            del data[place : place + size]
    return bytes(data)
