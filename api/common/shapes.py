"""Parts that the JSON schemas of answers are made of."""

from __future__ import annotations

from typing import Any, Final

TEXT: Final = {"type": "string"}
OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
UUID_TEXT: Final = {"type": "string", "format": "uuid"}
OPTIONAL_UUID: Final = {"type": ["string", "null"], "format": "uuid"}


def record(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON schemas
    """Return the schema of an object that has these properties, all of them and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def array(items: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": items}
