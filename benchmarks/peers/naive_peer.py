"""The naive way: flask-restful and marshmallow as their tutorials show them.

Rows come as dictionaries, a marshmallow schema dumps them, flask-restful turns the result into JSON;
the transaction sends one statement at a time and waits for each. Tokens, role and row-level security
are the same as everywhere, since leaving them out would not be the same service.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import jwt
import orjson
from flask import Flask, abort, request
from flask_restful import Api, Resource
from marshmallow import Schema, fields
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from benchmarks.peers.settings import PeerSettings
from database.session import WRITE_PREAMBLE_SQL

SETTINGS: Final = PeerSettings.from_environment()
COLUMNS: Final = """
    id, name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors,
    is_public, project_id, created_by, version, created_at, updated_at
"""
BEGIN_SQL: Final = "SET TRANSACTION READ ONLY"
GET_SQL: Final = f"SELECT {COLUMNS} FROM public.molecules WHERE id = %(id)s"  # noqa: S608 (constants only)
LIST_SQL: Final = f"SELECT {COLUMNS} FROM public.molecules ORDER BY created_at DESC, id DESC LIMIT %(limit)s"  # noqa: S608
FILTERED_LIST_SQL: Final = f"""
SELECT {COLUMNS}
FROM public.molecules
WHERE molar_mass_g_mol >= %(low)s AND molar_mass_g_mol < %(high)s
ORDER BY created_at DESC, id DESC
LIMIT %(limit)s
"""  # noqa: S608 (constants only)
IDENTIFIERS_SQL: Final = """
SELECT source, kind, external_id, verified
FROM public.molecule_identifiers
WHERE molecule_id = %(id)s
ORDER BY source, kind, external_id
"""


class IdentifierSchema(Schema):
    """A molecule's name elsewhere."""

    source = fields.String()
    kind = fields.String()
    external_id = fields.String()
    verified = fields.Boolean()


class MoleculeSchema(Schema):
    """What clients see of a molecule."""

    id = fields.UUID()
    name = fields.String()
    kind = fields.String()
    canonical_smiles = fields.String()
    inchi = fields.String()
    inchikey = fields.String()
    parent_inchikey = fields.String()
    formula = fields.String()
    molar_mass_g_mol = fields.Float()
    descriptors = fields.Dict()
    is_public = fields.Boolean()
    project_id = fields.UUID(allow_none=True)
    created_by = fields.UUID()
    version = fields.Integer()
    created_at = fields.DateTime(format="%Y-%m-%dT%H:%M:%S.%fZ")
    updated_at = fields.DateTime(format="%Y-%m-%dT%H:%M:%S.%fZ")
    identifiers = fields.List(fields.Nested(IdentifierSchema))


app = Flask(__name__)
api = Api(app)
pool: ConnectionPool[Connection[dict[str, Any]]] = ConnectionPool(
    SETTINGS.database_url, min_size=1, max_size=SETTINGS.pool_size, kwargs={"row_factory": dict_row}, open=False
)
one, many = MoleculeSchema(), MoleculeSchema(many=True)


def claims_json() -> str:
    """Return the verified claims of the request's token."""
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        claims = jwt.decode(token, SETTINGS.jwt_secret, algorithms=["HS256"], audience="authenticated")
    except jwt.InvalidTokenError:
        abort(401)
    return orjson.dumps(claims).decode()


@contextmanager
def transaction() -> Iterator[Connection[dict[str, Any]]]:
    """Give a connection that sees what the caller may see."""
    pool.open()
    with pool.connection() as connection:
        connection.execute(BEGIN_SQL)
        connection.execute(WRITE_PREAMBLE_SQL, {"role": "authenticated", "claims": claims_json(), "request_id": ""})
        yield connection


class Molecule(Resource):  # type: ignore[misc]
    """One molecule."""

    def get(self, molecule_id: str) -> Any:  # noqa: ANN401 (what flask-restful takes)
        """Return it."""
        with transaction() as connection:
            found = connection.execute(GET_SQL, {"id": molecule_id}).fetchone()
        return one.dump(found) if found else abort(404)


class Molecules(Resource):  # type: ignore[misc]
    """The newest molecules."""

    def get(self) -> Any:  # noqa: ANN401 (what flask-restful takes)
        """Return one page of them."""
        limit = request.args.get("limit", 50, int)
        low, high = (request.args.get(f"molar_mass_g_mol__{end}", None, float) for end in ("gte", "lt"))
        statement = LIST_SQL if low is None else FILTERED_LIST_SQL
        with transaction() as connection:
            found = connection.execute(statement, {"low": low, "high": high, "limit": limit + 1}).fetchall()
            if request.args.get("include") == "identifiers":
                for row in found:
                    row["identifiers"] = connection.execute(IDENTIFIERS_SQL, {"id": row["id"]}).fetchall()
        next_id = str(found[limit - 1]["id"]) if len(found) > limit else None
        return {"data": many.dump(found[:limit]), "page": {"limit": limit, "next": next_id, "count": None}}


api.add_resource(Molecule, "/api/v1/molecules/<molecule_id>")
api.add_resource(Molecules, "/api/v1/molecules")
