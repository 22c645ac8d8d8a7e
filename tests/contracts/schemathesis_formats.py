"""What Schemathesis sends where the OpenAPI document names one of chemistry's formats."""

from __future__ import annotations

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
SMILES = [f"{'C' * length}O" for length in range(1, 40)]

schemathesis.openapi.format("smiles", st.sampled_from(SMILES))
schemathesis.openapi.format("inchi", st.just("InChI=1S/C3H8O3/c4-1-3(6)2-5/h3-6H,1-2H2"))
schemathesis.openapi.format("molfile", st.just(ETHANOL_MOLFILE))
