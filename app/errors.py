"""What can go wrong, free of HTTP; `api.common.errors` gives each class its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with an input: where (a JSON pointer, or a parameter's name) and what."""

    pointer: str
    detail: str


class CryoProtectError(Exception):
    """Root of the service's own errors; `detail` is a sentence that may be shown to any caller."""

    def __init__(self, detail: str, *, code: str | None = None, faults: Sequence[Fault] = (), **extra: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.faults = tuple(faults)
        self.extra: Mapping[str, object] = extra


class MalformedError(CryoProtectError):
    """The request cannot be read: broken JSON, an unknown parameter, a forged cursor."""


class InvalidError(CryoProtectError):
    """The request can be read, but its values cannot be accepted."""

    @classmethod
    def at(cls, pointer: str, detail: str) -> InvalidError:
        """Return the error for a single fault."""
        return cls(detail, faults=[Fault(pointer, detail)])


class StructureError(InvalidError):
    """A chemical structure that RDKit, or our limits, refuse."""


class TokenError(CryoProtectError):
    """The caller's token is present but cannot be accepted."""


class RevokedError(TokenError):
    """The caller's token was good until somebody revoked it."""

    def __init__(self) -> None:
        super().__init__("The token was revoked.", code="token_revoked")


class CredentialsError(CryoProtectError):
    """An e-mail with its password, or a refresh token, that somebody signs in with is not accepted."""


class ForbiddenError(CryoProtectError):
    """The caller is known, but may not do this."""


class NotFoundError(CryoProtectError):
    """No such thing, or none that the caller may see: the same answer."""


class ConflictError(CryoProtectError):
    """The request contradicts what is stored."""


class StaleError(CryoProtectError):
    """The caller changes a version that is no longer the current one."""


class UnavailableError(CryoProtectError):
    """A part that the request needs does not answer now; try again after `retry_after_s`."""

    def __init__(self, detail: str, *, retry_after_s: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after_s = retry_after_s


class LostError(UnavailableError):
    """The database gave the request up before it kept anything of it: the whole may be carried out again."""


class OutcomeUnknownError(UnavailableError):
    """The connection was lost between a COMMIT and its answer: only what has an Idempotency-Key may be repeated."""


class TooManyAttemptsError(UnavailableError):
    """A part that the request needs has been asked too often; try again after `retry_after_s`."""
