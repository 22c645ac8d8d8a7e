"""Several records of one molecule: which of them stays, and how it takes the others' place.

Records are the same molecule within one scope of visibility only: public ones with public ones, a project's with that
project's, an owner's with that owner's. A private record beside a public one is somebody's own and is left alone, and
so are records of one owner that are shared with different projects: joined, either's guests would see the other's data.

The molecule that is its own parent stays before its salts; then the one with more verified facts, the one with more
facts, the newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from database.maintenance.deduplicate.references import FIND_CLASHES_SQL, REFERENCES
from database.maintenance.deduplicate.work import Conflict, Group, Tally, Work
from database.session import WriteSession

UNITS_CLASH: Final = "a mixture states them in units that cannot be added up, or by the mass or volume of another form"

COUNT_MOLECULES_SQL: Final = "SELECT count(*) FROM public.molecules"
FIND_MOLECULES_SQL: Final = """
WITH listed AS (
    SELECT m.id, m.is_public, m.acl, CASE WHEN NOT m.is_public THEN coalesce(m.project_id, m.created_by) END AS owner,
        CASE WHEN %(by_parent)s THEN m.parent_inchikey ELSE m.inchikey END AS structure
    FROM public.molecules AS m
    WHERE m.inchikey IS NOT NULL
        AND (%(ids)s::uuid[] IS NULL OR m.id = ANY (%(ids)s::uuid[]))
        AND (%(parents)s::text[] IS NULL OR m.parent_inchikey = ANY (%(parents)s::text[]))
), doubled AS (
    SELECT l.structure, array_agg(l.id) AS ids, NOT l.is_public AND count(DISTINCT l.acl) > 1 AS shared_differently
    FROM listed AS l
    GROUP BY l.structure, l.is_public, l.owner
    HAVING count(*) > 1
), ranked AS (
    SELECT d.structure, d.shared_differently, array_agg(
        m.id ORDER BY m.inchikey = m.parent_inchikey DESC, facts.verified DESC, facts.stated DESC, m.created_at DESC,
            m.id DESC
    ) AS ids
    FROM doubled AS d
    JOIN public.molecules AS m ON m.id = ANY (d.ids)
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE f.verified) AS verified, count(*) AS stated
        FROM (
            SELECT i.verified FROM public.molecule_identifiers AS i WHERE i.molecule_id = m.id
            UNION ALL
            SELECT v.verified FROM public.molecular_properties AS v WHERE v.molecule_id = m.id
        ) AS f
    ) AS facts
    GROUP BY d.structure, d.shared_differently, d.ids
)
SELECT r.ids[1], r.ids[2:], r.structure,
    CASE WHEN r.shared_differently THEN 'they are shared with different projects' END
FROM ranked AS r
WHERE r.ids[1] > %(after)s
ORDER BY r.ids[1]
LIMIT %(limit)s
"""

# In the order in which writers take them: experiments, then mixtures, then molecules, each by their ids.
LOCK_EXPERIMENTS_SQL: Final = """
SELECT e.id
FROM public.experiments AS e
WHERE e.id = ANY (ARRAY(
    SELECT x.id FROM public.experiments AS x WHERE x.molecule_id = ANY (%(ids)s::uuid[])
    UNION
    SELECT l.experiment_id FROM public.molecule_experiments AS l WHERE l.molecule_id = ANY (%(ids)s::uuid[])
))
ORDER BY e.id
FOR NO KEY UPDATE
"""
LOCK_MIXTURES_SQL: Final = """
SELECT x.id
FROM public.mixtures AS x
WHERE x.id = ANY (ARRAY(
    SELECT c.mixture_id FROM public.mixture_components AS c WHERE c.molecule_id = ANY (%(ids)s::uuid[])
))
ORDER BY x.id
FOR NO KEY UPDATE
"""
LOCK_MOLECULES_SQL: Final = """
SELECT m.id FROM public.molecules AS m WHERE m.id = ANY (%(ids)s::uuid[]) ORDER BY m.id FOR UPDATE
"""

# Whoever knew the molecule by the name of the record that goes finds it by that.
KEEP_NAMES_SQL: Final = """
WITH named AS (
    INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id)
    SELECT DISTINCT p.kept, 'name', 'synonym', old.name
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    JOIN public.molecules AS old ON old.id = p.removed
    JOIN public.molecules AS new ON new.id = p.kept
    WHERE lower(old.name) <> lower(new.name)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT count(*) FROM named
"""
REMOVE_MOLECULES_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecules WHERE id = ANY (%(removed)s::uuid[]) RETURNING 1
)
SELECT count(*) FROM gone
"""
TOUCH_MOLECULES_SQL: Final = """
WITH touched AS (
    UPDATE public.molecules SET updated_at = clock_timestamp() WHERE id = ANY (%(kept)s::uuid[]) RETURNING 1
)
SELECT count(*) FROM touched
"""


def merge(session: WriteSession, groups: Sequence[Group]) -> Tally:
    """Put the kept record of each group in the place of the others and return what was done."""
    clashes: dict[object, object] = {row[0]: row[1] for row in session.rows(FIND_CLASHES_SQL, _pairs(groups))}
    tally = Tally()
    for group in groups:
        if group.kept in clashes:
            reason = f"{UNITS_CLASH}: {clashes[group.kept]}"
            tally.conflicts.append(Conflict("molecules", group.label, group.ids, reason))
    merged = [group for group in groups if group.kept not in clashes]
    if merged:
        pairs = _pairs(merged)
        _move(session, pairs, tally)
        session.rows(KEEP_NAMES_SQL, pairs)
        session.rows(TOUCH_MOLECULES_SQL, pairs)
        tally.removed["molecules"] += _count(session, REMOVE_MOLECULES_SQL, pairs)
    return tally


def _move(session: WriteSession, pairs: dict[str, object], tally: Tally) -> None:
    for (table, _), reference in REFERENCES.items():
        if reference.touch is not None:
            session.rows(reference.touch, pairs)
        if reference.drop is not None:
            tally.removed[table.removeprefix("public.")] += _count(session, reference.drop, pairs)
        tally.moved += _count(session, reference.move, pairs)


def _count(session: WriteSession, statement: str, pairs: dict[str, object]) -> int:
    return int(session.rows(statement, pairs)[0][0])


def _pairs(groups: Sequence[Group]) -> dict[str, object]:
    pairs = [(removed, group.kept) for group in groups for removed in group.removed]
    return {"removed": [removed for removed, _ in pairs], "kept": [kept for _, kept in pairs]}


MOLECULES: Final = Work(
    "molecules",
    count=COUNT_MOLECULES_SQL,
    find=FIND_MOLECULES_SQL,
    locks=(LOCK_EXPERIMENTS_SQL, LOCK_MIXTURES_SQL, LOCK_MOLECULES_SQL),
    settle=merge,
    page_size=100,
)
