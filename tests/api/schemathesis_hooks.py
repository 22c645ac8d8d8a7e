"""What Schemathesis has to know beyond the OpenAPI document: chemistry's formats, and rules across records."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import schemathesis
from hypothesis import strategies as st

ETHANOL_MOLFILE = """
  CryoProtect

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    1.2990    0.7500    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    2.5981    0.0000    0.0000 O   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
  2  3  1  0
M  END
"""
# An address line has room for 8,190 characters: for the longest cursor, or for all filters at once.
MAX_QUERY = 8000
# Of what `tests/api/test_openapi.py` stores before it starts.
COMPONENTS: list[Any] = [{"molecule": "OKKJLVBELUTLKV-UHFFFAOYSA-N", "amount": 2.3, "unit": "mol/L"}]
SMILES = [f"{'C' * length}O" for length in range(1, 40)]

schemathesis.openapi.format("smiles", st.sampled_from(SMILES))
schemathesis.openapi.format("inchi", st.just("InChI=1S/C3H8O3/c4-1-3(6)2-5/h3-6H,1-2H2"))
schemathesis.openapi.format("molfile", st.just(ETHANOL_MOLFILE))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], **_: object) -> None:
    """Leave out of valid cases what is valid only together with something that no schema can know.

    A cursor belongs to one query, a project has to exist, a value's unit has to convert to that of its
    property, a component's molecule has to exist, an Idempotency-Key must be new,
    and what a dry run created is not there: tests/api covers each, and invalid cases keep them.
    """
    if _is_too_long(case.query):
        case.query.pop("cursor", None)
    if case.meta is None or case.meta.generation.mode is not schemathesis.GenerationMode.POSITIVE:
        return
    if isinstance(case.query, dict):
        case.query.pop("cursor", None)
    if case.headers is not None:
        case.headers.pop("Idempotency-Key", None)
        case.headers.pop("Prefer", None)
    for record in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(record, dict) and not case.path.endswith("/properties"):
            record.pop("project_id", None)
            record.pop("properties", None)
            if "components" in record:
                record["components"] = COMPONENTS


def _is_too_long(query: object) -> bool:
    return isinstance(query, dict) and len(urlencode(query)) > MAX_QUERY
