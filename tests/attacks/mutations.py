"""Damage, drawn from a generator: of bytes, words and JSON."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from attacks.figures import record
from attacks.program import Outcome

ODD = (
    *("", " ", ".", "..", "-", "--", "-1", "%s", "{}", "[red]", "[/]", "'", '"', "$(x)"),
    *("\n", "\t", "\r", "\x1b[31m", "\x1b]0;x\x07", "\x7f", "\x85", "\u202e", "\u2028"),
    *("é", "e\u0301", "ß" * 300, "😀", "\udcff", "٣", "nan", "inf", "-inf", "1e400", "0", "1_0"),
    *("0x10", "9" * 30, "9" * 5000, "a" * 5000, "None", "/dev/null", "/proc/self/mem"),
)
"""Text that is seldom meant."""
JSON_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2.5, 10**30, float("nan"), float("inf"), "", [], {}, [[]]),
    *([1], [10**9, 10**9], {"a": {"b": []}}, "a" * 5000, "\x1b[31m", "\udcff", -(2**63)),
)
"""What a field of JSON seldom holds."""


def attack(kind: str, count: int, case: Callable[[Random], tuple[str, Outcome]]) -> None:
    """Try ``count`` cases, each of a generator of its own, and fail with all that went wrong.

    Args:
        kind: names the attack; together with a case's number it is the seed of its generator.
        count: how many to try.
        case: draws one and runs it: what it is, in words that reproduce it, and how it ended.
    """
    problems = []
    statuses: dict[int, int] = {}
    for i in range(count):
        text, outcome = case(Random(f"{kind} {i}"))
        statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
        problem = outcome.problem()
        if problem:
            problems.append(f"{kind} {i}: {text:.2000}\n{problem}")
    ended = ", ".join(f"{n} with {status}" for status, n in sorted(statuses.items()))
    record(f"{kind}", f"{count}: {len(problems)} problems; exit status: {ended}")
    assert not problems, f"{len(problems)} of {count}\n\n" + "\n\n".join(problems)


def some(random: Random, values: Any) -> Any:
    """One of several values."""
    return values[random.randrange(len(values))]


def mangled(random: Random, words: list[str]) -> list[str]:
    """Words, some dropped, doubled, exchanged, replaced or changed."""
    words = list(words)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        at = random.randrange(len(words) + 1)
        kind = random.randrange(6)
        if at == len(words) or kind == 0:
            words.insert(at, some(random, ODD))
        elif kind == 1:
            del words[at]
        elif kind == 2:
            words.insert(at, words[at])
        elif kind == 3:
            words[at] = some(random, ODD)
        elif kind == 4:
            other = random.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        else:
            cut = random.randrange(len(words[at]) + 1)
            # No path may lead out of the folder in which the command runs.
            odd = some(random, [text for text in ODD if "/" not in text and text != ".."])
            words[at] = words[at][:cut] + odd + words[at][cut + random.randrange(2) :]
    return words


def damaged(random: Random, content: bytes) -> bytes:
    """Bytes, some flipped, cut out, doubled, inserted, or cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 5, 20))):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 2, 8, 100, 5000)))
        kind = random.randrange(7)
        if kind == 0:
            del data[at:end]
        elif kind == 1:
            data[at:at] = data[at:end]
        elif kind == 2:
            data[at:at] = random.randbytes(random.choice((1, 4, 64)))
        elif kind == 3:
            data[at:end] = bytes(end - at)
        elif kind == 4 and random.random() < 0.3:
            del data[at:]
        else:
            for _ in range(random.choice((1, 1, 8))):
                if data:
                    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def damaged_json(random: Random, text: str | bytes) -> str:
    """JSON of which some values, keys or elements are others, or are missing."""
    root = json.loads(text)
    for _ in range(random.choice((1, 1, 2, 4))):
        root = json.loads(json.dumps(root))  # what was put in is shared
        inside = list(_containers(root))
        if not inside:
            break
        container = some(random, inside)
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        kind = random.randrange(4)
        if not keys or kind == 0:
            value = some(random, JSON_VALUES)
            if isinstance(container, dict):
                container[some(random, ODD)] = value
            else:
                container.append(value)
            continue
        key = some(random, keys)
        if kind == 1:
            del container[key]
        elif kind == 2:
            container[key] = container[some(random, keys)]
        else:
            container[key] = some(random, JSON_VALUES)
    return json.dumps(root)


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for child in list(value.values() if isinstance(value, dict) else value)[:200]:
            yield from _containers(child)


def write(path: Path, content: bytes) -> None:
    """Write a file into folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
