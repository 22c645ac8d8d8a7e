"""Predictions with the models that made them, inside the caller's session."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import orjson

from app.errors import UnavailableError
from app.science.models.model import Prediction
from database.exchange import Row
from database.listing import Detail, Field, Filter, Kind, Listing, ListRequest, Related, Scope, compose_page
from database.repositories.base import ReadRepository, RecordRepository

PREDICTIONS: Final = Listing(
    name="predictions",
    source="public.predictions AS x JOIN public.calculation_methods AS k ON k.id = x.method_id",
    fields=(
        Field("id", Kind.UUID, "x.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("mixture_id", Kind.UUID, "x.mixture_id", Detail.MINIMAL, nullable=True, description="Its mixture."),
        Field("molecule_id", Kind.UUID, "x.molecule_id", Detail.MINIMAL, nullable=True, description="Its molecule."),
        Field(
            "property_type",
            Kind.TEXT,
            "x.property_type",
            Detail.MINIMAL,
            sortable=True,
            description="What is predicted.",
        ),
        Field(
            "value",
            Kind.FLOAT,
            "x.value",
            Detail.MINIMAL,
            sortable=True,
            nullable=True,
            description="Null outside the model's range.",
        ),
        Field("unit", Kind.TEXT, "x.unit", Detail.MINIMAL, description="Unit of the value."),
        Field(
            "standard_uncertainty",
            Kind.FLOAT,
            "x.standard_uncertainty",
            Detail.MINIMAL,
            nullable=True,
            description="Of a new measured value, in the same unit.",
        ),
        Field("model", Kind.TEXT, "k.name", Detail.MINIMAL, description="Name of the model."),
        Field("version", Kind.TEXT, "k.version", Detail.MINIMAL, description="Version of the model."),
        Field("in_domain", Kind.BOOLEAN, "x.in_domain", description="Whether the model holds for these inputs."),
        Field("reason", Kind.TEXT, "x.reason", nullable=True, description="Why it does not, or a reservation."),
        Field("reference", Kind.TEXT, "x.reference", nullable=True, description="Where the model is published."),
        Field("conditions", Kind.JSON, "x.conditions", filterable=False, description="What it holds under."),
        Field("inputs_hash", Kind.TEXT, "x.inputs_hash", description="SHA-256 of composition and conditions."),
        Field("created_by", Kind.UUID, "x.created_by", nullable=True, description="Who made it; null for the service."),
        Field("created_at", Kind.TIMESTAMP, "x.created_at", sortable=True, description="Time of creation, UTC."),
    ),
    related=(
        Related(
            "method",
            """
            SELECT row_to_json(y) FROM (SELECT k.description, k.equation, k.parameters) AS y
            """,
            description="The model as it was when it was put into the database.",
        ),
    ),
    # Never changed.
    record_version="1",
)

PREDICTIONS_OF_MIXTURE: Final = Scope(
    parent="mixture",
    condition="x.mixture_id = %(parent)s",
    find="SELECT id FROM public.mixtures WHERE id = %(parent)s",
)
PREDICTIONS_OF_MOLECULE: Final = Scope(
    parent="molecule",
    condition="""
        x.id IN (
            SELECT p.id FROM public.predictions AS p WHERE p.molecule_id = %(parent)s
            UNION ALL
            SELECT p.id
            FROM public.mixture_components AS c
            JOIN public.predictions AS p ON p.mixture_id = c.mixture_id
            WHERE c.molecule_id = %(parent)s
        )
    """,
    find="SELECT id FROM public.molecules WHERE id = %(parent)s",
)

# The mixtures are held by then: nobody else adds predictions of them between the two looks at them.
ADD_PREDICTIONS_SQL: Final = """
WITH stated AS (
    SELECT r.*, k.id AS method_id, private.uuid_v7() AS new_id
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
        position int, mixture_id uuid, inputs_hash text, property_type text, model text, version text, value float8,
        unit text, standard_uncertainty float8, in_domain boolean, reason text, reference text
    )
    JOIN public.calculation_methods AS k ON k.name = r.model AND k.version = r.version
), added AS (
    INSERT INTO public.predictions (
        id, mixture_id, property_type, method_id, conditions, value, unit, standard_uncertainty, in_domain, reason,
        reference, inputs_hash, created_by
    )
    SELECT s.new_id, s.mixture_id, s.property_type, s.method_id, %(conditions)s::jsonb, s.value, s.unit,
        s.standard_uncertainty, s.in_domain, s.reason, s.reference, s.inputs_hash, %(created_by)s::uuid
    FROM stated AS s
    ORDER BY s.position
    ON CONFLICT DO NOTHING
    RETURNING id
)
-- The planner expects a single row, and would look through all that is added for each: IN it looks up.
SELECT coalesce(p.id, s.new_id), s.new_id IN (SELECT a.id FROM added AS a)
FROM stated AS s
LEFT JOIN public.predictions AS p
    ON p.mixture_id = s.mixture_id AND p.property_type = s.property_type AND p.method_id = s.method_id
    AND p.inputs_hash = s.inputs_hash
ORDER BY s.position
"""

REMOVE_PREDICTION_SQL: Final = """
DELETE FROM public.predictions
WHERE id = %(id)s AND (%(version)s::int IS NULL OR %(version)s = 1)
RETURNING id
"""
PREDICTION_VERSION_SQL: Final = "SELECT 1 FROM public.predictions WHERE id = %(id)s"


@dataclass(frozen=True, slots=True)
class NewPredictions:
    """What models say of one mixture under the same conditions."""

    mixture_id: UUID
    conditions: Mapping[str, float | str]
    inputs_hash: str
    predictions: Sequence[Prediction]


@dataclass(frozen=True, slots=True)
class Stored:
    """Predictions as they are kept, each as the JSON that clients receive, and how many of them are new."""

    documents: list[bytes]
    added: int


@dataclass(frozen=True, slots=True)
class Added:
    """How many predictions of one mixture are new, and how many were there already."""

    added: int
    existing: int


class PredictionReader(ReadRepository):
    """Finds predictions with the caller's eyes."""

    listing = PREDICTIONS
    noun = "prediction"


class PredictionRepository(RecordRepository):
    """Keeps and removes predictions inside the caller's transaction."""

    listing = PREDICTIONS
    noun = "prediction"
    version_sql = PREDICTION_VERSION_SQL
    remove_sql = REMOVE_PREDICTION_SQL

    def add(self, new: NewPredictions) -> Stored:
        """Keep the predictions that are not there yet, and return all of them; the mixture has to be held.

        Raises:
            ForbiddenError: The caller may not change the mixture.
            UnavailableError: The database does not know a model.
        """
        kept = self._keep([new])
        return Stored(self._documents(kept), sum(is_new for _, is_new in kept))

    def add_many(self, news: Sequence[NewPredictions]) -> list[Added]:
        """Keep predictions of several mixtures under the same conditions in one statement; they have to be held.

        Raises:
            ForbiddenError: The caller may not change one of the mixtures.
            UnavailableError: The database does not know a model.
        """
        flags = iter([is_new for _, is_new in self._keep(news)])
        counts = []
        for new in news:
            added = sum(itertools.islice(flags, len(new.predictions)))
            counts.append(Added(added, len(new.predictions) - added))
        return counts

    def _keep(self, news: Sequence[NewPredictions]) -> list[Row]:
        """Return the key of each prediction, in their order, and whether it is new."""
        stated = [(new, item) for new in news for item in new.predictions]
        if not stated:
            return []
        rows = [
            asdict(item) | {"position": position, "mixture_id": new.mixture_id, "inputs_hash": new.inputs_hash}
            for position, (new, item) in enumerate(stated)
        ]
        parameters = {
            "conditions": orjson.dumps(news[0].conditions).decode(),
            "created_by": self._caller.user_id,
            "rows": orjson.dumps(rows).decode(),
        }
        kept = self._session.rows(ADD_PREDICTIONS_SQL, parameters)
        if len(kept) < len(rows):
            msg = "the database does not know all models yet: `cryoprotect seed` puts them in"
            raise UnavailableError(msg, code="models_missing")
        return kept

    def _documents(self, kept: Sequence[Row]) -> list[bytes]:
        if not kept:
            return []
        ids = [str(row[0]) for row in kept]
        plan = compose_page(self.listing, ListRequest(filters=(Filter("id", "in", ids),), limit=len(ids)))
        found = {orjson.loads(row[0])["id"]: row[0] for row in self._session.rows(plan.statement, plan.parameters)}
        return [found[prediction_id] for prediction_id in ids]
