"""Fields of bodies that take what they are named for and nothing that merely resembles it."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any, Final

from marshmallow import ValidationError, fields

# What `str.strip` leaves: to it some control characters are blanks, which to a JSON schema they are not.
NOT_BLANK: Final = r"[^\s\x1c-\x1f\x85]"


class Text(fields.String):
    """A text without characters that merely look like nothing."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's own
        super().__init__(**{**kwargs, "metadata": {"pattern": NOT_BLANK, **kwargs.get("metadata", {})}})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:  # noqa: ANN401
        text: str = super()._deserialize(value, attr, data, **kwargs)
        stripped = text.strip()
        if not stripped:
            msg = "must not be blank"
            raise ValidationError(msg)
        return stripped


class Table(fields.Dict):
    """An object of names that are not known before; what is wrong with an entry is said at its name."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return super()._deserialize(value, attr, data, **kwargs)  # type: ignore[no-untyped-call]
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            entries = error.messages.items()
            raise ValidationError({name: said.get("key") or said["value"] for name, said in entries}) from error


class Flag(fields.Boolean):
    """True or false and nothing that merely means it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> bool:  # noqa: ANN401 - marshmallow's own
        if not isinstance(value, bool):
            msg = "must be true or false"
            raise ValidationError(msg)
        return value


class WholeNumber(fields.Integer):
    """A JSON number without a fraction: 5 and 5.0, but neither "5" nor true."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:  # noqa: ANN401 - marshmallow's own
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
            msg = "must be a whole number"
            raise ValidationError(msg)
        return int(value)


class Number(fields.Float):
    """A finite JSON number: neither "2.3" nor true."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> float:  # noqa: ANN401 - marshmallow's own
        msg = "must be a finite number"
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValidationError(msg)
        try:
            number = float(value)
        except OverflowError as error:
            raise ValidationError(msg) from error
        if not math.isfinite(number):
            raise ValidationError(msg)
        return number


class Moment(fields.AwareDateTime):
    """A time with its zone, kept in UTC: without one nobody can say which moment it is."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - marshmallow's own
        super().__init__(**{**kwargs, "format": "iso"})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:  # noqa: ANN401
        msg = "must be a time with its zone, such as 2026-01-31T12:00:00Z"
        if not isinstance(value, str):
            raise ValidationError(msg)
        try:
            moment: dt.datetime = super()._deserialize(value, attr, data, **kwargs)
            return moment.astimezone(dt.UTC)
        except (ValidationError, OverflowError, ValueError) as error:
            raise ValidationError(msg) from error
