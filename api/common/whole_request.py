"""A request whose body is whole or refused.

A body without a stated length is read up to the limit, and werkzeug stops there without a word: of an
NDJSON batch of 11 MB the records of the first 10 would be stored, and the client told that all went well.
"""

from __future__ import annotations

from typing import Any

from flask import Request


class WholeRequest(Request):
    """Refuses a body that goes on beyond the limit, chunked ones too."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - werkzeug's own signature
        """Return the body.

        Raises:
            RequestEntityTooLarge: It goes on beyond the limit.
        """
        data = super().get_data(*args, **kwargs)
        if self.content_length is None:
            # At the end of the limit this raises; at the end of the body it gives nothing.
            self.stream.read(1)
        return data
