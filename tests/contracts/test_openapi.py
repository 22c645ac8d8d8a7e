"""The OpenAPI document against the running app: Schemathesis tries what it allows and what it forbids."""

from __future__ import annotations

import os

import hypothesis
import pytest
import schemathesis
from flask import Flask
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

from app.services.tokens import issue_token
from tests.plugins.database import SECRET

GLYCEROL_MOLFILE = """
     RDKit          2D

  3  2  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    1.2990    0.7500    0.0000 C   0  0  0  0  0  0  0  0  0  0  0  0
    2.5981    0.0000    0.0000 O   0  0  0  0  0  0  0  0  0  0  0  0
  1  2  1  0
  2  3  1  0
M  END
"""
schemathesis.openapi.format("smiles", st.sampled_from(["OCC(O)CO", "CS(C)=O", "OCCO", "CC(O)CO", "NC=O"]))
schemathesis.openapi.format("inchi", st.just("InChI=1S/C3H8O3/c4-1-3(6)2-5/h3-6H,1-2H2"))
schemathesis.openapi.format("molfile", st.just(GLYCEROL_MOLFILE))

EXCLUDED_CHECKS: dict[str, str] = {}
"""Checks that are left out, each with its reason."""
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "25"))


@pytest.fixture
def described(app: Flask, emptied: None) -> schemathesis.BaseSchema:
    """Give the document as the app serves it."""
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


schema = schemathesis.pytest.from_fixture("described")


@pytest.mark.timeout(600)
@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck), derandomize=True
)
def test_every_operation_does_what_the_document_says(case: schemathesis.Case) -> None:
    token = issue_token(SECRET, role="service_role", ttl_s=3600)

    case.call_and_validate(
        headers={"Authorization": f"Bearer {token}"},
        excluded_checks=[check for check in CHECKS.get_all() if check.__name__ in EXCLUDED_CHECKS],
    )
