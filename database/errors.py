"""What Postgres refuses, in the service's own terms: SQLSTATE and constraint name, never message text.

Constraints are the rules that hold under concurrency; their names say which field a client has to mend.
"""

from __future__ import annotations

import random
from typing import Final

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from app.errors import (
    ConflictError,
    CryoProtectError,
    Fault,
    ForbiddenError,
    InvalidError,
    LostError,
    OutcomeUnknownError,
    UnavailableError,
)
from database.connection import SilenceError


class DatabaseRefusal(CryoProtectError):
    """The database cannot be used or migrated as it is; `detail` says what an administrator has to do."""


class CommitLostError(psycopg.OperationalError):
    """The connection was lost after COMMIT was sent: what it was to keep is kept, or not."""


MAX_OPEN_JOBS: Final = 20
"""What one user may have computed later at once; `private.enqueue_own` counts."""

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
    "molecules_source_record_check": ("", "a source record has at most 200 characters"),
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
    "molecules_acl_check": ("", "a private molecule is shared with fewer than 100 projects"),
    "molecules_in_use_check": ("", "this molecule is part of a public mixture or experiment, and stays public with it"),
    "project_molecules_project_id_fkey": ("", "no such project"),
    "project_mixtures_project_id_fkey": ("", "no such project"),
    "mixtures_acl_check": ("", "a private mixture is shared with fewer than 100 projects"),
    "mixtures_name_check": ("/name", "a name has 1 to 500 characters"),
    "mixtures_description_check": ("/description", "a description has at most 10,000 characters"),
    "mixtures_solvent_check": ("/solvent", "a solvent's name has 1 to 200 characters"),
    "mixtures_reference_check": ("/reference", "a reference has at most 2,000 characters"),
    "mixtures_project_id_fkey": ("/project_id", "no such project"),
    "mixtures_data_source_id_source_record_key": ("", "this record of its source is stored already"),
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
    "mixtures_in_use_check": ("", "this mixture is part of a public experiment, and stays public with it"),
    "experiments_name_check": ("/name", "a name has 1 to 500 characters"),
    "experiments_subject_check": ("", "an experiment has one subject: a mixture or a molecule"),
    "experiments_outcome_check": ("/outcome", "an outcome is pass, fail or inconclusive"),
    "experiments_protocol_check": ("/protocol", "a protocol has at most 20,000 characters"),
    "experiments_conditions_check": ("/conditions", "conditions are an object"),
    "experiments_started_at_check": ("/started_at", "no such moment"),
    "experiments_completed_at_check": ("/completed_at", "an experiment is not completed before it is started"),
    "experiments_reference_check": ("/reference", "a reference has at most 2,000 characters"),
    "experiments_notes_check": ("/notes", "notes have at most 10,000 characters"),
    "experiments_project_id_fkey": ("/project_id", "no such project"),
    "experiments_results_check": ("/results", "an experiment has at least one result"),
    "experiments_failures_check": (
        "/failure_reasons",
        "a failed experiment has at least one failure reason, a passed one has none",
    ),
    "experiments_subject_visible_check": ("", "the subject is not visible to everybody who may see the experiment"),
    "experiments_molecules_visible_check": (
        "/molecules",
        "a molecule is not visible to everybody who may see the experiment",
    ),
    "experiment_results_property_type_fkey": ("/results", "no such property type"),
    "experiment_results_relation_check": ("/results", "a relation is =, <, <=, >, >= or ~"),
    "experiment_results_value_check": ("/results", "a value must be a finite number"),
    "experiment_results_unit_check": ("/results", "a unit has 1 to 50 characters"),
    "experiment_results_standard_deviation_check": (
        "/results",
        "a standard deviation must be finite and not negative",
    ),
    "experiment_results_replicates_check": ("/results", "there is at least one replicate"),
    "experiment_results_percentage_check": ("/results", "a percentage lies in 0 to 100"),
    "experiment_results_kelvin_check": ("/results", "a temperature in kelvin is not negative"),
    "experiment_failures_reason_check": ("/failure_reasons", "a failure reason has 1 to 500 characters"),
    "experiment_failures_pkey": ("/failure_reasons", "a failure reason stands twice"),
    "molecule_experiments_pkey": ("/molecules", "a molecule stands twice"),
    "predictions_subject_check": ("", "a prediction has one subject: a mixture or a molecule"),
    "predictions_mixture_id_fkey": ("/mixture_id", "no such mixture"),
    "predictions_molecule_id_fkey": ("/molecule_id", "no such molecule"),
    "predictions_property_type_fkey": ("/property_type", "no such property type"),
    "predictions_subject_property_type_method_id_inputs_hash_key": (
        "",
        "this model has predicted this property from these inputs already",
    ),
    "toxicity_results_molecule_id_fkey": ("/molecule_id", "no such molecule"),
    "toxicity_results_assay_id_endpoint_id_fkey": ("/endpoint_id", "this assay has no such endpoint"),
    "toxicity_results_hit_call_check": ("/hit_call", "a hit call is active, inactive or inconclusive"),
    "toxicity_results_continuous_hit_call_check": ("/continuous_hit_call", "a continuous hit call lies in -1 to 1"),
    "toxicity_results_continuous_outcome_check": ("/hit_call", "a continuous hit call needs a hit call"),
    "toxicity_results_potency_type_check": ("/potency_type", "a potency's type has 1 to 50 characters"),
    "toxicity_results_potency_relation_check": ("/potency_relation", "a relation is =, <, <=, >, >= or ~"),
    "toxicity_results_potency_check": ("/potency", "a potency is a positive, finite number"),
    "toxicity_results_potency_unit_check": ("/potency_unit", "a unit has 1 to 50 characters"),
    "toxicity_results_concentration_min_check": (
        "/concentration_min",
        "a concentration must be finite and not negative",
    ),
    "toxicity_results_concentration_max_check": (
        "/concentration_max",
        "a concentration must be finite and not negative",
    ),
    "toxicity_results_concentration_unit_check": ("/concentration_unit", "a unit has 1 to 50 characters"),
    "toxicity_results_concentrations_check": (
        "/concentration_max",
        "concentrations have a unit, and the highest is not below the lowest",
    ),
    "toxicity_results_outcome_check": ("", "a result has a hit call or a potency"),
    "toxicity_results_measured_check": ("/potency", "a potency has a type and a unit"),
    "toxicity_results_cell_type_check": ("/cell_type", "a cell type has 1 to 200 characters"),
    "toxicity_results_reference_check": ("/reference", "a reference has at most 2,000 characters"),
    "toxicity_results_source_record_check": ("/source_record", "a source record has at most 200 characters"),
    "toxicity_results_molecule_id_assay_id_source_record_key": (
        "/source_record",
        "the molecule has this record of the assay already",
    ),
    "jobs_of_one_user_check": (
        "",
        f"you have {MAX_OPEN_JOBS} jobs that wait or run: let one end, or remove one, before you ask for more",
    ),
}
# Rules over several rows: what is sent is well-formed, but what is stored stands against it.
_CONFLICTS: Final = frozenset(
    {
        "team_members_last_owner_check",
        "molecules_acl_check",
        "molecules_in_use_check",
        "mixtures_acl_check",
        "mixtures_in_use_check",
        "jobs_of_one_user_check",
    }
)

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
_TOO_MANY: Final = "there are more requests than the database can take right now"
MOST_LATER_S: Final = 3
_OUTCOME_UNKNOWN: Final = (
    "the database went away while it stored the change, so it may be stored or not: look before you repeat it, "
    "or repeat it under the Idempotency-Key that it was sent with"
)
# The server has undone the whole transaction, because of others that ran beside it.
_CONTENDED_STATES: Final = frozenset({"40001", "40P01"})
# Not 22023: a client's values are no parameters, and a server whose settings cannot be read says that, too.
_UNREADABLE_STATES: Final = frozenset({"22P02", "22003", "22007", "22008", "22021", "22P05", "54000"})


def is_connection_loss(error: BaseException) -> bool:
    """Return whether the error says that this connection, not this statement, is at fault."""
    if not isinstance(error, psycopg.Error) or isinstance(error, _POOL_ERRORS):
        return False
    if error.sqlstate is None:
        # The library's own words; half an answer makes it doubt what it reads.
        return isinstance(error, psycopg.OperationalError) or type(error) is psycopg.DatabaseError
    return error.sqlstate.startswith("08") or error.sqlstate in _CONNECTION_STATES


def is_outage(error: BaseException) -> bool:
    """Return whether the error says that the database does not answer: what the breaker counts."""
    return is_connection_loss(error) or isinstance(error, PoolTimeout)


def translate(error: Exception) -> CryoProtectError | None:
    """Return the service's own error for a database error; None where it is a fault of ours."""
    if isinstance(error, _POOL_ERRORS) or is_connection_loss(error):
        return _translate_loss(error)
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return None
    state = error.sqlstate
    if state in _BUSY_STATES:
        kind = LostError if state in _CONTENDED_STATES else UnavailableError
        return kind(_BUSY_STATES[state], retry_after_s=1, code="database_busy")
    if state == "42501":
        return ForbiddenError("you may not do this", code="not_permitted")
    if state in _UNREADABLE_STATES:
        return InvalidError("a value cannot be stored", code="invalid_value")
    return _translate_constraint(state, error.diag.constraint_name or "")


def _translate_loss(error: Exception) -> UnavailableError:
    # Silence has cost seconds already, and a pool without connections was waited for.
    too_late = isinstance(error, _POOL_ERRORS) or isinstance(error.__cause__ or error, SilenceError)
    if isinstance(error, CommitLostError):
        kind: type[UnavailableError] = UnavailableError if too_late else OutcomeUnknownError
        return kind(_OUTCOME_UNKNOWN, retry_after_s=1, code="outcome_unknown")
    if isinstance(error, TooManyRequests):
        # Some later than others, so that they do not come back all at once.
        later_s = random.randint(1, MOST_LATER_S)  # noqa: S311 - no secret
        return UnavailableError(_TOO_MANY, retry_after_s=later_s, code="database_busy")
    kind = UnavailableError if too_late else LostError
    return kind("the database does not answer right now", retry_after_s=1, code="database_unavailable")


def _translate_constraint(state: str, name: str) -> CryoProtectError | None:
    if not state.startswith("23"):
        return None
    pointer, sentence = CONSTRAINTS.get(name, ("", "the change contradicts what is stored"))
    kind = ConflictError if state in {"23505", "23P01"} or name in _CONFLICTS else InvalidError
    # RESTRICT has a state of its own from PostgreSQL 18 on; older servers say 23503 at both ends of a foreign key.
    if state == "23001" or (state == "23503" and name not in CONSTRAINTS):
        kind, pointer, sentence = ConflictError, "", "other records still refer to this one"
    return kind(sentence, code="constraint", faults=[Fault(pointer, sentence)])
