"""Ends with status 0 when the service in this container answers: the image has no curl."""

from __future__ import annotations

import http.client
import os
import sys

OK = 200


def main() -> int:
    """Return the exit status."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=4)
    try:
        connection.request("GET", "/health/live")
        return 0 if connection.getresponse().status == OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
