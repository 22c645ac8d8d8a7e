"""What users say of themselves, inside their own session."""

from __future__ import annotations

from typing import Final

from app.errors import ForbiddenError, StaleError
from database.session import Session, WriteSession

GET_PROFILE_SQL: Final = "SELECT display_name, version FROM public.user_profiles WHERE id = auth.uid()"

CHANGE_PROFILE_SQL: Final = """
UPDATE public.user_profiles
SET display_name = %(display_name)s
WHERE id = auth.uid() AND (%(version)s::int IS NULL OR version = %(version)s)
RETURNING version
"""


class ProfileReader:
    """Finds the caller's own profile."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self) -> tuple[str | None, int]:
        """Return display name and version; a profile that the first write will make is at version 1, too."""
        rows = self._session.rows(GET_PROFILE_SQL, {})
        return (rows[0][0], rows[0][1]) if rows else (None, 1)


class ProfileRepository(ProfileReader):
    """Changes the caller's own profile inside its transaction."""

    def __init__(self, session: WriteSession) -> None:
        super().__init__(session)
        self._caller = session.caller

    def change(self, display_name: str | None, version: int | None) -> None:
        """Change how the caller is called.

        Raises:
            ForbiddenError: The caller is the service, which is nobody.
            StaleError: The profile is at another version.
        """
        if self._caller.role != "authenticated":
            raise ForbiddenError("the service has no profile", code="not_permitted")
        if not self._session.rows(CHANGE_PROFILE_SQL, {"display_name": display_name, "version": version}):
            msg = f"your profile was changed meanwhile: its version is {self.get()[1]}"
            raise StaleError(msg)
