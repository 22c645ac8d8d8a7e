"""What Postgres refuses, in the service's own terms: SQLSTATE and constraint name, never message text.

Constraints are the rules that hold under concurrency; their names say which field a client has to mend.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from app.errors import ConflictError, CryoProtectError, Fault, ForbiddenError, InvalidError, UnavailableError


class DatabaseRefusal(CryoProtectError):
    """The database cannot be used or migrated as it is; `detail` says what an administrator has to do."""


CONSTRAINTS: Final[dict[str, tuple[str, str]]] = {
    "molecules_inchikey_public_key": ("/is_public", "a public molecule with this InChIKey exists already"),
    "molecules_project_id_inchikey_key": ("/project_id", "the project has a molecule with this InChIKey already"),
    "molecules_created_by_inchikey_key": ("", "you have a molecule with this InChIKey already"),
    "molecules_name_polymer_key": ("/name", "a polymer of this name exists already"),
    "molecules_project_id_fkey": ("/project_id", "no such project"),
    "molecules_name_check": ("/name", "a name has 1 to 500 characters"),
    "molecules_canonical_smiles_check": ("/smiles", "the canonical SMILES has more than 20,000 characters"),
    "molecules_inchi_check": ("/inchi", "the InChI has more than 40,000 characters"),
    "molecules_formula_check": ("", "the formula has more than 500 characters"),
    "molecule_identifiers_external_id_check": ("/identifiers", "an identifier has 1 to 500 characters"),
    "molecule_identifiers_source_check": ("/identifiers", "a source is a short lower-case word"),
    "molecule_identifiers_kind_check": ("/identifiers", "a kind is a short lower-case word"),
    "molecular_properties_property_type_fkey": ("/properties", "no such property type"),
    "molecular_properties_numeric_value_check": ("/properties", "a value must be a finite number"),
    "molecular_properties_text_value_check": ("/properties", "a text has 1 to 10,000 characters"),
    "molecular_properties_method_check": ("/properties", "a method has at most 2,000 characters"),
    "molecular_properties_reference_check": ("/properties", "a reference has at most 2,000 characters"),
    "molecular_properties_molecule_id_property_type_content_hash_key": ("/properties", "the same value stands twice"),
    "molecular_properties_standard_uncertainty_check": (
        "/properties",
        "an uncertainty must be finite and not negative",
    ),
    "user_profiles_display_name_check": ("/display_name", "a name has 1 to 200 characters"),
    "projects_team_id_fkey": ("/team_id", "no such team"),
    "teams_name_check": ("/name", "a name has 1 to 200 characters"),
    "team_members_role_check": ("/role", "a role is owner, editor or viewer"),
    "team_members_last_owner_check": ("", "a team keeps at least one owner"),
    "team_projects_role_check": ("/role", "a role is editor or viewer"),
    "projects_name_check": ("/name", "a name has 1 to 200 characters"),
    "projects_description_check": ("/description", "a description has at most 10,000 characters"),
    "projects_team_id_name_key": ("/name", "the team has a project of this name already"),
    "molecules_in_use_check": ("", "others see this molecule in a mixture; take it out of that first"),
    "mixtures_name_check": ("/name", "a name has 1 to 500 characters"),
    "mixtures_description_check": ("/description", "a description has at most 10,000 characters"),
    "mixtures_solvent_check": ("/solvent", "a solvent's name has 1 to 200 characters"),
    "mixtures_reference_check": ("/reference", "a reference has at most 2,000 characters"),
    "mixtures_project_id_fkey": ("/project_id", "no such project"),
    "mixtures_components_check": ("/components", "a mixture has at least one component"),
    "mixtures_components_sum_check": ("/components", "shares of one unit add up to more than the whole"),
    "mixtures_components_visible_check": (
        "/components",
        "a component is not visible to everybody who may see the mixture",
    ),
    "mixture_components_pkey": ("/components", "a molecule stands twice"),
    "mixture_components_amount_check": ("/components", "an amount is a positive, finite number"),
    "mixture_components_unit_check": ("/components", "no such unit"),
    "mixture_components_share_check": ("/components", "a share is at most 100 %"),
    "mixture_components_mole_fraction_check": ("/components", "a mole fraction is at most 1"),
}
# Rules over several rows: what is sent is well-formed, but what is stored stands against it.
_CONFLICTS: Final = frozenset({"team_members_last_owner_check", "molecules_in_use_check"})

# Of the pool itself: it is full or closed, which says nothing about its connections.
_POOL_ERRORS: Final = (PoolTimeout, TooManyRequests, PoolClosed)
# Shut down, crashed, starting up, idle for too long, without a free slot, a transaction idle or open for too long.
_CONNECTION_STATES: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "53300", "25P03", "25P04"})
_BUSY_STATES: Final = {
    # A standby, or a server that its operator has set to read-only.
    "25006": "the database takes no changes right now",
    "57014": "the request took longer than the database allows",
    "40001": "other changes came in between",
    "40P01": "other changes came in between",
    "55P03": "the row is being changed by another request",
    "53100": "the database's disk is full",
    "53200": "the database is out of memory",
}
_UNREADABLE_STATES: Final = frozenset({"22P02", "22003", "22007", "22008", "22021", "22P05", "22023", "54000"})


def is_connection_loss(error: BaseException) -> bool:
    """Return whether the error says that this connection, not this statement, is at fault."""
    if not isinstance(error, psycopg.Error) or isinstance(error, _POOL_ERRORS):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith("08") or error.sqlstate in _CONNECTION_STATES


def translate(error: Exception) -> CryoProtectError | None:
    """Return the service's own error for a database error; None where it is a fault of ours."""
    if isinstance(error, _POOL_ERRORS) or is_connection_loss(error):
        return UnavailableError("the database does not answer right now", retry_after_s=2, code="database_unavailable")
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return None
    state = error.sqlstate
    if state in _BUSY_STATES:
        return UnavailableError(_BUSY_STATES[state], retry_after_s=1, code="database_busy")
    if state == "42501":
        return ForbiddenError("you may not do this", code="not_permitted")
    if state in _UNREADABLE_STATES:
        return InvalidError("a value cannot be stored", code="invalid_value")
    return _translate_constraint(state, error.diag.constraint_name or "")


def _translate_constraint(state: str, name: str) -> CryoProtectError | None:
    if not state.startswith("23"):
        return None
    pointer, sentence = CONSTRAINTS.get(name, ("", "the change contradicts what is stored"))
    kind = ConflictError if state in {"23505", "23P01"} or name in _CONFLICTS else InvalidError
    # RESTRICT has a state of its own from PostgreSQL 18 on; older servers say 23503 at both ends of a foreign key.
    if state == "23001" or (state == "23503" and name not in CONSTRAINTS):
        kind, pointer, sentence = ConflictError, "", "other records still refer to this one"
    return kind(sentence, code="constraint", faults=[Fault(pointer, sentence)])
