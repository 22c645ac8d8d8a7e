"""A user's private world with a row in every table, and a public molecule for contrast.

A new table needs a row here, or the access matrix fails: an empty table keeps every secret.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from uuid import UUID, uuid4

import psycopg

from app.domain.callers import Caller
from tests import factories

ADD_PROFILE_SQL = "INSERT INTO public.user_profiles (id, display_name) VALUES (%(user)s, 'Private Person')"
ADD_WORLD_SQL = """
WITH team AS (
    INSERT INTO public.teams (id, name, created_by) VALUES (%(team)s, 'private team', NULL)
), member AS (
    INSERT INTO public.team_members (team_id, user_id, role) VALUES (%(team)s, %(user)s, 'owner')
), project AS (
    INSERT INTO public.projects (id, team_id, name, created_by)
    VALUES (%(project)s, %(team)s, 'private project', %(user)s)
), source AS (
    INSERT INTO public.data_sources (id, name) VALUES (%(source)s, %(source)s::text)
), run AS (
    INSERT INTO public.import_runs (id, data_source_id) VALUES (%(run)s, %(source)s)
), fault AS (
    INSERT INTO public.import_errors (import_run_id, record_index, reason) VALUES (%(run)s, 0, 'private reason')
), kept AS (
    INSERT INTO private.idempotency_keys (caller, key, request_hash, status, headers, body)
    VALUES (%(user)s::text, 'private key', '\\x00', 201, '{}', '\\x00')
), token AS (
    INSERT INTO private.service_tokens (jti, issued_at, expires_at)
    VALUES (%(source)s::text, now(), now() + interval '1 hour')
), revocation AS (
    INSERT INTO private.token_revocations (jti, expires_at) VALUES (%(source)s::text, now() + interval '1 hour')
), batch AS (
    INSERT INTO private.prediction_batches (role, created_by, question, mixture_ids)
    VALUES ('authenticated', %(user)s, '{}', ARRAY[%(source)s::uuid])
), searched AS (
    INSERT INTO private.optimizations (id, created_by, job_id, request, molecules)
    VALUES (%(source)s, %(user)s, 0, '{}', '[]')
), task AS (
    INSERT INTO private.maintenance_runs (task, error) VALUES (%(user)s::text, 'private error')
)
INSERT INTO public.molecules (
    id, name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, fingerprint,
    project_id, created_by
)
SELECT m.id, m.name, s.canonical_smiles, s.inchi, s.inchikey, s.inchikey, s.formula, s.molar_mass_g_mol,
    s.fingerprint::bit(2048), m.project_id, %(user)s
FROM (
    VALUES (%(own)s::uuid, 'private glycerol', NULL, %(glycerol)s::jsonb),
        (%(shared)s, 'project glycol', %(project)s::uuid, %(glycol)s::jsonb),
        (%(mixed)s, 'mixed diol', NULL, %(diol)s::jsonb)
) AS m (id, name, project_id, structure)
CROSS JOIN jsonb_to_record(m.structure) AS s (
    canonical_smiles text, inchi text, inchikey text, formula text, molar_mass_g_mol float8, fingerprint text
)
"""
ADD_PUBLIC_SQL = """
INSERT INTO public.molecules (
    id, name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public, project_id
)
SELECT %(id)s, %(name)s, s.canonical_smiles, s.inchi, s.inchikey, s.inchikey, s.formula, s.molar_mass_g_mol,
    true, %(project)s
FROM jsonb_to_record(%(structure)s::jsonb) AS s (
    canonical_smiles text, inchi text, inchikey text, formula text, molar_mass_g_mol float8
)
"""
ADD_PARTS_SQL = """
WITH named AS (
    INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id)
    SELECT id, 'cas', 'cas_number', '56-81-5' FROM unnest(%(molecules)s::uuid[]) AS id
)
INSERT INTO public.molecular_properties (molecule_id, property_type, numeric_value, unit)
SELECT id, 'density', 1261, 'kg/m3' FROM unnest(%(molecules)s::uuid[]) AS id
"""


# A second team that works on the project; one more molecule and a mixture of it, both shared with the project.
ADD_SHARES_SQL = """
WITH invited AS (
    INSERT INTO public.teams (id, name) VALUES (%(invited)s, 'invited team')
), member AS (
    INSERT INTO public.team_members (team_id, user_id, role) VALUES (%(invited)s, %(user)s, 'owner')
), invitation AS (
    INSERT INTO public.team_projects (team_id, project_id, role, created_by)
    VALUES (%(invited)s, %(project)s, 'viewer', %(user)s)
)
INSERT INTO public.project_molecules (project_id, molecule_id, created_by) VALUES (%(project)s, %(mixed)s, %(user)s)
"""
ADD_MIXTURE_SQL = """
INSERT INTO public.mixtures (id, name, is_public, created_by)
VALUES (%(mixture)s, 'mixture of ' || %(mixture)s, %(is_public)s, %(user)s)
"""
ADD_COMPONENT_SQL = """
INSERT INTO public.mixture_components (mixture_id, molecule_id, position, amount, unit)
VALUES (%(mixture)s, %(molecule)s, 0, 2.3, 'mol/L')
"""
SHARE_MIXTURE_SQL = """
INSERT INTO public.project_mixtures (project_id, mixture_id, created_by) VALUES (%(project)s, %(mixture)s, %(user)s)
"""
# What findings refer to and everybody reads: one of each for every caller of this file.
ADD_REFERENCES_SQL = """
WITH protein AS (
    INSERT INTO public.proteins (id, name) VALUES (%(protein)s, 'protein ' || %(protein)s)
), method AS (
    INSERT INTO public.calculation_methods (id, name, version, description)
    VALUES (%(method)s, 'model', %(method)s::text, 'a model')
), assay AS (
    INSERT INTO public.toxicity_assays (id, source, name) VALUES (%(assay)s, 'tox21', 'assay ' || %(assay)s)
), endpoint AS (
    INSERT INTO public.toxicity_endpoints (id, name, description)
    VALUES (%(endpoint)s, 'endpoint_' || replace(%(endpoint)s::text, '-', ''), 'an endpoint')
)
INSERT INTO public.assay_endpoints (assay_id, endpoint_id) VALUES (%(assay)s, %(endpoint)s)
"""
ADD_EXPERIMENT_SQL = """
INSERT INTO public.experiments (id, molecule_id, outcome, is_public, created_by)
VALUES (%(experiment)s, %(molecule)s, 'fail', %(is_public)s, %(user)s)
"""
ADD_FINDINGS_SQL = """
WITH result AS (
    INSERT INTO public.experiment_results (experiment_id, position, property_type, value, unit)
    VALUES (%(experiment)s, 0, 'post_thaw_viability', 0.1, '1')
), failure AS (
    INSERT INTO public.experiment_failures (experiment_id, reason, position) VALUES (%(experiment)s, 'private ice', 0)
), involved AS (
    INSERT INTO public.molecule_experiments (experiment_id, molecule_id) VALUES (%(experiment)s, %(molecule)s)
), binding AS (
    INSERT INTO public.molecule_proteins (molecule_id, protein_id, source)
    VALUES (%(molecule)s, %(protein)s, 'chembl')
), prediction AS (
    INSERT INTO public.predictions (
        molecule_id, property_type, method_id, value, unit, in_domain, inputs_hash, created_by
    )
    VALUES (%(molecule)s, 'freezing_point', %(method)s, 265.2, 'K', true, repeat('0', 64), %(user)s)
)
-- Its score comes with it.
INSERT INTO public.toxicity_results (molecule_id, assay_id, endpoint_id, hit_call, created_by)
VALUES (%(molecule)s, %(assay)s, %(endpoint)s, 'inactive', %(user)s)
"""


@dataclass(frozen=True, slots=True)
class World:
    """What belongs to one user: a molecule of its own, one of its team's project, a third that is in a mixture.

    The third has also been experimented on, so the first two can still be removed.
    """

    caller: Caller
    team: UUID
    project: UUID
    own: UUID
    shared: UUID
    mixed: UUID
    mixture: UUID
    experiment: UUID

    @property
    def molecules(self) -> set[UUID]:
        """All molecules that the user sees beside the public ones."""
        return {self.own, self.shared, self.mixed}


def add_world(admin: psycopg.Connection) -> World:
    """Store a user's private world and return it."""
    world = World(factories.user(), *(uuid4() for _ in range(7)))
    keys: dict[str, object] = {item.name: getattr(world, item.name) for item in fields(world)[1:]}
    others = {"user": world.caller.user_id, "source": uuid4(), "run": uuid4(), "invited": uuid4()}
    structures = {
        "glycerol": _structure("glycerol"),
        "glycol": _structure("propylene glycol"),
        "diol": _structure("propane-1,3-diol"),
    }
    admin.execute(ADD_PROFILE_SQL, others)
    # In one statement a foreign key is checked after all rows are there, whatever their order.
    admin.execute(ADD_WORLD_SQL, keys | others | structures)
    admin.execute(ADD_PARTS_SQL, {"molecules": list(world.molecules)})
    admin.execute(ADD_SHARES_SQL, keys | others)
    _add_mixture(admin, world.mixture, world.mixed, user=world.caller.user_id)
    admin.execute(SHARE_MIXTURE_SQL, keys | others)
    _add_findings(admin, world.experiment, world.mixed, user=world.caller.user_id)
    return world


def _add_findings(
    admin: psycopg.Connection, experiment: UUID, molecule: UUID, *, user: UUID | None, is_public: bool = False
) -> None:
    references = add_references(admin)
    keys: dict[str, object] = {"experiment": experiment, "molecule": molecule, "user": user, "is_public": is_public}
    with admin.transaction():
        admin.execute(ADD_EXPERIMENT_SQL, keys)
        admin.execute(ADD_FINDINGS_SQL, keys | references)


def add_references(admin: psycopg.Connection) -> dict[str, UUID]:
    """Store a protein, a calculation method, an assay and its endpoint, and return their ids by these names."""
    references = {name: uuid4() for name in ("protein", "method", "assay", "endpoint")}
    admin.execute(ADD_REFERENCES_SQL, references)
    return references


def _add_mixture(
    admin: psycopg.Connection, mixture: UUID, molecule: UUID, *, user: UUID | None, is_public: bool = False
) -> None:
    # Together: whether a mixture has a component is asked when the transaction ends.
    with admin.transaction():
        admin.execute(ADD_MIXTURE_SQL, {"mixture": mixture, "user": user, "is_public": is_public})
        admin.execute(ADD_COMPONENT_SQL, {"mixture": mixture, "molecule": molecule})


def add_public_molecule(admin: psycopg.Connection, name: str = "glycerol", project: UUID | None = None) -> UUID:
    """Store a public molecule with an identifier and a property, and return its id."""
    molecule_id = uuid4()
    parameters = {"id": molecule_id, "name": name, "project": project, "structure": _structure(name)}
    admin.execute(ADD_PUBLIC_SQL, parameters)
    admin.execute(ADD_PARTS_SQL, {"molecules": [molecule_id]})
    return molecule_id


def add_public_mixture(admin: psycopg.Connection, molecule: UUID) -> UUID:
    """Store a public mixture of one molecule, and return its id."""
    mixture_id = uuid4()
    _add_mixture(admin, mixture_id, molecule, user=None, is_public=True)
    return mixture_id


def add_public_findings(admin: psycopg.Connection, molecule: UUID) -> None:
    """Store a public experiment, and all else that can be found out, about a public molecule."""
    _add_findings(admin, uuid4(), molecule, user=None, is_public=True)


def _structure(name: str) -> str:
    return json.dumps(asdict(factories.known_structure(name)))
