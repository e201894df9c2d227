"""Damage to files, drawn by chance: what transfers, disks and other programs do to them."""

from __future__ import annotations

import numpy as np

# Files tell sizes and places near their beginning.
_HEAD = 80
_ODD = np.uint8([0, 1, 0x7F, 0x80, 0xFE, 0xFF])


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three things done to it; half of them near its beginning."""
    for _ in range(rng.integers(1, 4)):
        data = bytearray(content)
        size = len(data) if rng.random() < 0.5 else min(len(data), _HEAD)
        if size == 0:
            return content
        first = int(rng.integers(0, size))
        last = first + int(rng.integers(1, 1 + min(40, len(data) - first)))
        kind = rng.integers(0, 7)
        if kind == 0:
            data[first] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[first] = int(rng.choice(_ODD))
        elif kind == 2:
            data[first:last] = rng.integers(0, 256, last - first).astype(np.uint8).tobytes()
        elif kind == 3:
            del data[first:last]
        elif kind == 4:
            data[first:first] = data[first:last]
        elif kind == 5:
            data[first : first + 4] = rng.choice(_ODD, 4).tobytes()
        else:
            del data[first:]
        content = bytes(data)
    return content


def mutated_text(content: bytes, rng: np.random.Generator) -> bytes:
    """The text with one of its words exchanged, dropped or doubled, or damaged as any file."""
    if rng.random() < 0.3:
        return mutated(content, rng)
    words = _words(content) or [b""]
    place = int(rng.integers(0, len(words)))
    kind = rng.integers(0, 5)
    if kind == 0:
        words[place] = words[int(rng.integers(0, len(words)))]
    elif kind == 1:
        del words[place]
    elif kind == 2:
        words.insert(place, words[place])
    elif kind == 3:
        words[place] = bytes(
            rng.choice([b"-1", b"0", b"1e999", b"NaN", b"null", b"99999999999", b"{}", b"\xff"])
        )
    else:
        other = int(rng.integers(0, len(words)))
        words[place], words[other] = words[other], words[place]
    return b"".join(words)


def _words(content: bytes) -> list[bytes]:
    """Numbers and names, and what stands between them."""
    words: list[bytes] = []
    inside = None
    for byte in content:
        letter = bytes([byte])
        if (letter.isalnum() or letter in b"._-") == inside:
            words[-1] += letter
        else:
            words.append(letter)
            inside = letter.isalnum() or letter in b"._-"
    return words
