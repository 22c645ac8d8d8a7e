"""What the service asks the database about itself."""

from __future__ import annotations

from typing import Final

from database.session import Session

GET_REVISION_SQL: Final = "SELECT version_num FROM private.alembic_version"


class SystemRepository:
    """Answers questions about the database's own state."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def revision(self) -> str | None:
        """Return the revision that the schema is at."""
        rows = self._session.rows(GET_REVISION_SQL, {})
        return rows[0][0] if rows else None
