"""What statements are called where they are counted: by their constant's name, or by their listing's.

A name says where to look and nothing of what was asked: no parameter, no filter's value.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Self

UNNAMED: Final = "unnamed"


class Statement(str):
    """A composed statement's text, which bears its name."""

    __slots__ = ("name",)
    name: str

    def __new__(cls, text: str, name: str) -> Self:
        """Return the text with its name."""
        statement = super().__new__(cls, text)
        statement.name = name
        return statement


def name_of(statements: Sequence[tuple[str, object]]) -> str:
    """Return the name of one statement, or those of several that were sent together."""
    if len(statements) == 1:
        return _name(statements[0][0])
    return " + ".join(_name(text) for text, _ in statements)


def _name(text: str) -> str:
    return text.name if isinstance(text, Statement) else _constant(text)


@lru_cache(maxsize=1024)
def _constant(text: str) -> str:
    """Return the name of the constant that holds the text; a look through the package, made once for each."""
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("database."):
            for name, value in vars(module).items():
                if name.endswith("_SQL") and value == text:
                    return name
    return UNNAMED
