"""`GET /{resource}/{id}/history`: what was changed of a record, and by whom, for those who may change it."""

from __future__ import annotations

from typing import Final

from flask import Blueprint, Response

from api.common import access
from api.common.context import reading
from api.common.formats import TABLE_FORMATS, answer_list
from api.common.listing import ListQuery, lists
from api.common.openapi import describes
from api.common.resource import Api, Resource
from database.repositories.history import HISTORIES, History, HistoryReader

blueprint: Final = Blueprint("history", __name__)
api: Final = Api(blueprint)


def _resource(history: History) -> type[Resource]:
    class HistoryResource(Resource):
        """The history of one record."""

        @access.user()
        @lists(history.listing, history.scope)
        @describes(listing=history.listing, formats=TABLE_FORMATS, may_be_refused=True)
        def get(self, query: ListQuery) -> Response:
            """List what was changed of a record, newest first; of a bulk import the run alone is kept."""
            return answer_list(HistoryReader(reading(), history), query, TABLE_FORMATS)

    return HistoryResource


for _history in HISTORIES:
    api.add_resource(
        _resource(_history),
        f"/{_history.resource}/<uuid:{_history.scope.parent}_id>/history",
        endpoint=f"{_history.resource}history",
    )
