"""Salines, buffers and media that cryoprotectants are dissolved in: by name they count as water."""

from __future__ import annotations

import re
from typing import Final

_NAMES: Final = frozenset(
    {
        "a-mem",
        "cell culture",
        "ci-vm-1",
        "complete culture",
        "culture",
        "dmem",
        "dmem/f-12",
        "dmem/f12",
        "dmem/ham f-12",
        "dpbs",
        "dulbecco's modified eagle",
        "e8",
        "electroporation",
        "euro-collins",
        "hbss",
        "hepes-buffered saline",
        "knockout dmem",
        "l-15",
        "lactated ringer",
        "lm5",
        "m199",
        "medium 199",
        "mem",
        "minimum essential",
        "modified pbs",
        "mpbs",
        "ms",
        "pb1",
        "pbs",
        "phosphate buffer saline",
        "phosphate-buffered saline",
        "ringer",
        "rpmi",
        "rpmi 1640",
        "saline",
        "tcm 199",
        "tcm199",
        "\u03b1-mem",
    }
)
_KIND: Final = re.compile(r"\s+(?:medium|media|solution|buffer)$")
_SEVERAL: Final = re.compile(r"\s+(?:or|and|\+)\s+")


def is_carrier(name: str) -> bool:
    """Return whether a solvent's name is that of one carrier, or of several.

    Serum, plasma and solutions with colloids are none: too much of them is not water.
    """
    return all(_KIND.sub("", part) in _NAMES for part in _SEVERAL.split(name.strip().casefold()))
