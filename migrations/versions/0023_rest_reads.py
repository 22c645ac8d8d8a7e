"""Records as Supabase's REST interface gives them, for the time while the service cannot reach the database itself.

`rpc/get_<resource>` answers with what the service's own statement for the same question gives: one record, or a page in
an order. Each record is the text of its JSON, so that not a digit of it changes on the way. One JSON value holds a
whole page, because the interface cuts rows off at a limit of its own and says nothing.

The functions run with the rights of whoever calls: row-level security decides what they see.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0023_rest_reads"
down_revision = "0022_merged_molecules"

UPGRADE_SQL: Final = """
-- The text of the statement that reads a record or a page, with $1 for the sort values that the page starts behind and
-- $2 for the record's id. Of what is given from outside only names of the list `sorts` become part of it.
CREATE FUNCTION private.records_sql(
    document text, version text, source text, sorts jsonb, record_id uuid, order_by text[], after text[], page_limit int
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    records text := format(
        'SELECT (SELECT row_to_json(d) FROM (SELECT %s) AS d)::text AS document, %s AS version FROM %s WHERE ',
        document, version, source
    );
    answer text := 'SELECT json_build_object(''records'', coalesce(json_agg(r), ''[]'')) FROM (%s) AS r';
    sort jsonb;
    name text;
    names text[] := '{}';
    is_down boolean;
    value text;
    strictly text;
    -- What the columns before are equal to, the ways to be behind the given values, and the order itself.
    equal text[] := '{}';
    ways text[] := '{}';
    ordering text[] := '{}';
    first jsonb;
    behind text := 'true';
    rest text;
BEGIN
    IF record_id IS NOT NULL THEN
        RETURN format(answer, records || format('%s = $2', sorts -> 'id' ->> 'column'));
    END IF;
    IF page_limit IS NULL OR page_limit NOT BETWEEN 1 AND 1001 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'page_limit is a number from 1 to 1001';
    END IF;
    IF coalesce(cardinality(order_by), 0) = 0 OR cardinality(after) <> cardinality(order_by) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'order_by has a name, and after a value for each';
    END IF;
    FOR i IN 1 .. cardinality(order_by) LOOP
        is_down := order_by[i] LIKE '-%';
        name := substr(order_by[i], CASE WHEN is_down THEN 2 ELSE 1 END);
        sort := sorts -> name;
        -- The statement grows with the square of the names: to plan one of a thousand would take all memory.
        IF sort IS NULL OR name = ANY (names) THEN
            RAISE invalid_parameter_value USING MESSAGE = 'order_by names fields that records are sorted by, each once';
        END IF;
        names := names || name;
        value := format('$1[%s]::%s', i, sort ->> 'type');
        strictly := format('%s %s %s', sort ->> 'column', CASE WHEN is_down THEN '<' ELSE '>' END, value);
        IF i = 1 THEN
            first := sort;
            IF after[1] IS NOT NULL THEN
                -- What an index of the first column can begin with.
                behind := format('%s %s %s', sort ->> 'column', CASE WHEN is_down THEN '<=' ELSE '>=' END, value);
            END IF;
        ELSIF sort ? 'nullable' THEN
            strictly := format('(%s OR %s IS NULL)', strictly, sort ->> 'column');
        END IF;
        IF after[i] IS NOT NULL THEN
            ways := ways || array_to_string(equal || strictly, ' AND ');
        END IF;
        equal := equal || format(
            CASE WHEN after[i] IS NULL THEN '%s IS NULL' ELSE '%s = %s' END, sort ->> 'column', value
        );
        ordering := ordering || concat(
            sort ->> 'column',
            CASE WHEN is_down THEN ' DESC' END,
            CASE WHEN i > 1 AND sort ? 'nullable' THEN ' NULLS LAST' END
        );
    END LOOP;
    IF after IS NOT NULL THEN
        behind := format('%s AND (%s)', behind, coalesce(nullif(array_to_string(ways, ' OR '), ''), 'false'));
    END IF;
    rest := format(' ORDER BY %s LIMIT %s', array_to_string(ordering, ', '), page_limit);
    IF NOT first ? 'nullable' THEN
        RETURN format(answer, records || behind || rest);
    END IF;
    -- Nulls come last, as a branch of their own, so that each branch is read from an index in order.
    IF after IS NOT NULL AND after[1] IS NULL THEN
        RETURN format(answer, records || format('%s IS NULL AND %s', first ->> 'column', behind) || rest);
    END IF;
    RETURN format(answer, format(
        '(%s) UNION ALL (%s) LIMIT %s',
        records || format('%s IS NOT NULL AND %s', first ->> 'column', behind) || rest,
        records || format('%s IS NULL', first ->> 'column') || rest,
        page_limit
    ));
END
$$;

CREATE FUNCTION public.get_molecules(
    record_id uuid DEFAULT NULL, order_by text[] DEFAULT '{-created_at,-id}', after text[] DEFAULT NULL,
    page_limit int DEFAULT 50
) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    answer json;
BEGIN
    EXECUTE private.records_sql(
        $document$
            m.id AS "id", m.name AS "name", m.kind AS "kind", m.canonical_smiles AS "canonical_smiles",
            m.inchi AS "inchi", m.inchikey AS "inchikey", m.parent_inchikey AS "parent_inchikey",
            m.formula AS "formula", m.molar_mass_g_mol AS "molar_mass_g_mol", m.descriptors AS "descriptors",
            m.is_public AS "is_public", m.project_id AS "project_id", m.created_by AS "created_by",
            m.version AS "version",
            to_char(m.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "created_at",
            to_char(m.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "updated_at"
        $document$,
        'm.version',
        $source$
            public.molecules AS m
        $source$,
        $sorts${
            "id": {"column": "m.id", "type": "uuid"},
            "name": {"column": "m.name", "type": "text"},
            "inchikey": {"column": "m.inchikey", "type": "text", "nullable": true},
            "formula": {"column": "m.formula", "type": "text", "nullable": true},
            "molar_mass_g_mol": {"column": "m.molar_mass_g_mol", "type": "float8", "nullable": true},
            "created_at": {"column": "m.created_at", "type": "timestamptz"},
            "updated_at": {"column": "m.updated_at", "type": "timestamptz"}
        }$sorts$,
        record_id, order_by, after, page_limit
    ) INTO answer USING after, record_id;
    RETURN answer;
END
$$;

CREATE FUNCTION public.get_mixtures(
    record_id uuid DEFAULT NULL, order_by text[] DEFAULT '{-created_at,-id}', after text[] DEFAULT NULL,
    page_limit int DEFAULT 50
) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    answer json;
BEGIN
    EXECUTE private.records_sql(
        $document$
            x.id AS "id", x.name AS "name", x.description AS "description", x.solvent AS "solvent",
            x.reference AS "reference", x.purpose AS "purpose", x.certainty AS "certainty",
            x.verified AS "verified", x.is_public AS "is_public", x.project_id AS "project_id",
            x.created_by AS "created_by", x.version AS "version",
            to_char(x.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "created_at",
            to_char(x.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "updated_at",
            (
                SELECT coalesce(json_agg(row_to_json(y)), '[]')
                FROM (
                    SELECT c.molecule_id, m.name, m.inchikey, c.amount, c.unit
                    FROM public.mixture_components AS c
                    LEFT JOIN public.molecules AS m ON m.id = c.molecule_id
                    WHERE c.mixture_id = x.id
                    ORDER BY c.position
                ) AS y
            ) AS "components"
        $document$,
        'x.version',
        $source$
            public.mixtures AS x
        $source$,
        $sorts${
            "id": {"column": "x.id", "type": "uuid"},
            "name": {"column": "x.name", "type": "text"},
            "created_at": {"column": "x.created_at", "type": "timestamptz"},
            "updated_at": {"column": "x.updated_at", "type": "timestamptz"}
        }$sorts$,
        record_id, order_by, after, page_limit
    ) INTO answer USING after, record_id;
    RETURN answer;
END
$$;

CREATE FUNCTION public.get_predictions(
    record_id uuid DEFAULT NULL, order_by text[] DEFAULT '{-created_at,-id}', after text[] DEFAULT NULL,
    page_limit int DEFAULT 50
) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    answer json;
BEGIN
    EXECUTE private.records_sql(
        $document$
            x.id AS "id", x.mixture_id AS "mixture_id", x.molecule_id AS "molecule_id",
            x.property_type AS "property_type", x.value AS "value", x.unit AS "unit",
            x.standard_uncertainty AS "standard_uncertainty", k.name AS "model", k.version AS "version",
            x.in_domain AS "in_domain", x.reason AS "reason", x.reference AS "reference",
            x.conditions AS "conditions", x.inputs_hash AS "inputs_hash", x.created_by AS "created_by",
            to_char(x.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "created_at"
        $document$,
        '1',
        $source$
            public.predictions AS x
            JOIN public.calculation_methods AS k ON k.id = x.method_id
        $source$,
        $sorts${
            "id": {"column": "x.id", "type": "uuid"},
            "property_type": {"column": "x.property_type", "type": "text"},
            "value": {"column": "x.value", "type": "float8", "nullable": true},
            "created_at": {"column": "x.created_at", "type": "timestamptz"}
        }$sorts$,
        record_id, order_by, after, page_limit
    ) INTO answer USING after, record_id;
    RETURN answer;
END
$$;

CREATE FUNCTION public.get_experiments(
    record_id uuid DEFAULT NULL, order_by text[] DEFAULT '{-created_at,-id}', after text[] DEFAULT NULL,
    page_limit int DEFAULT 50
) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    answer json;
BEGIN
    EXECUTE private.records_sql(
        $document$
            e.id AS "id", e.name AS "name", e.mixture_id AS "mixture_id", e.molecule_id AS "molecule_id",
            e.outcome AS "outcome",
            to_char(e.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "started_at",
            to_char(e.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "completed_at",
            e.protocol AS "protocol", e.conditions AS "conditions", e.reference AS "reference",
            e.notes AS "notes", e.verified AS "verified", e.certainty AS "certainty", e.is_public AS "is_public",
            e.project_id AS "project_id", e.created_by AS "created_by", e.version AS "version",
            to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "created_at",
            to_char(e.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "updated_at",
            (
                SELECT coalesce(json_agg(f.reason ORDER BY f.position), '[]')
                FROM public.experiment_failures AS f
                WHERE f.experiment_id = e.id
            ) AS "failure_reasons",
            (
                SELECT coalesce(json_agg(row_to_json(x)), '[]')
                FROM (
                    SELECT r.property_type, r.relation, r.value, r.unit, r.standard_deviation, r.replicates
                    FROM public.experiment_results AS r
                    WHERE r.experiment_id = e.id
                    ORDER BY r.position
                ) AS x
            ) AS "results"
        $document$,
        'e.version',
        $source$
            public.experiments AS e
        $source$,
        $sorts${
            "id": {"column": "e.id", "type": "uuid"},
            "started_at": {"column": "e.started_at", "type": "timestamptz", "nullable": true},
            "created_at": {"column": "e.created_at", "type": "timestamptz"},
            "updated_at": {"column": "e.updated_at", "type": "timestamptz"}
        }$sorts$,
        record_id, order_by, after, page_limit
    ) INTO answer USING after, record_id;
    RETURN answer;
END
$$;

CREATE FUNCTION public.get_toxicity(
    record_id uuid DEFAULT NULL, order_by text[] DEFAULT '{-created_at,-id}', after text[] DEFAULT NULL,
    page_limit int DEFAULT 50
) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = '' AS $$
DECLARE
    answer json;
BEGIN
    EXECUTE private.records_sql(
        $document$
            r.id AS "id", r.molecule_id AS "molecule_id", r.assay_id AS "assay_id", a.source AS "source",
            a.name AS "assay", e.name AS "endpoint", r.hit_call AS "hit_call",
            r.continuous_hit_call AS "continuous_hit_call", r.potency_type AS "potency_type",
            r.potency_relation AS "potency_relation", r.potency AS "potency", r.potency_unit AS "potency_unit",
            r.concentration_min AS "concentration_min", r.concentration_max AS "concentration_max",
            r.concentration_unit AS "concentration_unit", coalesce(r.cell_type, a.cell_type) AS "cell_type",
            r.reference AS "reference", r.source_record AS "source_record", r.import_run_id AS "import_run_id",
            r.created_by AS "created_by",
            to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "created_at",
            (SELECT to_json(r.flags)) AS "flags"
        $document$,
        '1',
        $source$
            public.toxicity_results AS r
            JOIN public.toxicity_assays AS a ON a.id = r.assay_id
            JOIN public.toxicity_endpoints AS e ON e.id = r.endpoint_id
        $source$,
        $sorts${
            "id": {"column": "r.id", "type": "uuid"},
            "potency": {"column": "r.potency", "type": "float8", "nullable": true},
            "created_at": {"column": "r.created_at", "type": "timestamptz"}
        }$sorts$,
        record_id, order_by, after, page_limit
    ) INTO answer USING after, record_id;
    RETURN answer;
END
$$;

REVOKE ALL ON FUNCTION
    private.records_sql(text, text, text, jsonb, uuid, text[], text[], int),
    public.get_molecules(uuid, text[], text[], int),
    public.get_mixtures(uuid, text[], text[], int),
    public.get_predictions(uuid, text[], text[], int),
    public.get_experiments(uuid, text[], text[], int),
    public.get_toxicity(uuid, text[], text[], int)
FROM PUBLIC, anon, authenticated, service_role;
-- Not to the service role: whoever configures its key in the public key's place shows nobody a private record.
GRANT EXECUTE ON FUNCTION
    private.records_sql(text, text, text, jsonb, uuid, text[], text[], int),
    public.get_molecules(uuid, text[], text[], int),
    public.get_mixtures(uuid, text[], text[], int),
    public.get_predictions(uuid, text[], text[], int),
    public.get_experiments(uuid, text[], text[], int),
    public.get_toxicity(uuid, text[], text[], int)
TO anon, authenticated;
"""

DOWNGRADE_SQL: Final = """
DROP FUNCTION public.get_toxicity(uuid, text[], text[], int);
DROP FUNCTION public.get_experiments(uuid, text[], text[], int);
DROP FUNCTION public.get_predictions(uuid, text[], text[], int);
DROP FUNCTION public.get_mixtures(uuid, text[], text[], int);
DROP FUNCTION public.get_molecules(uuid, text[], text[], int);
DROP FUNCTION private.records_sql(text, text, text, jsonb, uuid, text[], text[], int);
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
