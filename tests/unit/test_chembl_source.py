"""ChEMBL as a source: windows of numbers, pages that break, and the release that all of it is of."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.errors import InvalidError, UnavailableError
from app.importers.chembl_source import ChEMBLSource, options
from app.importers.records import ParsedRecord
from app.importers.sources import Page, ReleasedSource
from tests.plugins.upstream import ADDRESS, Played

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "chembl"
STATUS = f"{ADDRESS}/status.json"
LIST = f"{ADDRESS}/molecule.json"
ALL = re.compile(rf"{ADDRESS}/molecule(/CHEMBL\d+)?\.json", re.IGNORECASE)
NOT_FOUND: dict[str, Any] = {"status_code": 404, "text": "", "headers": {"Content-Type": "text/html; charset=utf-8"}}
HTML_500: dict[str, Any] = {"status_code": 500, "text": "<html>Server Error</html>"}

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the collected real files are not beside this checkout")


def molecule(number: int) -> dict[str, Any]:
    return {
        "molecule_chembl_id": f"CHEMBL{number}",
        "molecule_structures": {"canonical_smiles": "C" * (number % 7 + 1)},
        "molecule_properties": None,
    }


def page_of(numbers: list[int], total: int | None = None) -> dict[str, Any]:
    meta = {"limit": 100, "offset": 0, "next": None, "total_count": len(numbers) if total is None else total}
    return {"molecules": [molecule(number) for number in numbers], "page_meta": meta}


def asked_of(request: Any) -> list[int]:
    if request.path != "/molecule.json":
        return [int(request.path.removeprefix("/molecule/chembl").removesuffix(".json"))]
    return [
        int(word.removeprefix("chembl")) for word in parse_qs(request.query)["molecule_chembl_id__in"][0].split(",")
    ]


@pytest.fixture
def chembl(played: Played) -> Played:
    """Give a ChEMBL that has all molecules but those with a 4 at the end."""
    played.answers.get(STATUS, json={"chembl_db_version": "ChEMBL_37", "status": "UP"})

    def answer(request: Any, context: Any) -> dict[str, Any] | None:
        there = [number for number in asked_of(request) if number % 10 != 4]
        if request.path == "/molecule.json":
            return page_of(there)
        context.status_code = 200 if there else 404
        return molecule(there[0]) if there else None

    played.answers.get(ALL, json=answer)
    return played


def pages(played: Played, ids: str, checkpoint: dict[str, Any] | None = None, release: str = "") -> list[Page]:
    return list(ChEMBLSource(played.upstream).pages({"ids": ids, "release": release}, checkpoint, None))


def found(played: Played, ids: str) -> list[ParsedRecord]:
    return [record for page in pages(played, ids) for record in page.records]


def refusals(records: list[ParsedRecord]) -> dict[int, str]:
    return {record.index: record.refusal for record in records if record.refusal}


def lists(played: Played) -> list[list[int]]:
    return [asked_of(request) for request in played.answers.request_history if request.path != "/status.json"]


def test_numbers_are_asked_for_in_windows_and_never_by_offset(chembl: Played) -> None:
    read = pages(chembl, "CHEMBL1-CHEMBL250")

    assert lists(chembl) == [list(range(1, 101)), list(range(101, 201)), list(range(201, 251))]
    assert all("offset" not in request.query for request in chembl.answers.request_history)
    assert [page.checkpoint for page in read] == [{"after": after, "release": "ChEMBL_37"} for after in (100, 200, 250)]
    assert [page.done_fraction for page in read] == [0.4, 0.8, 1.0]


def test_gaps_in_a_range_say_nothing_and_what_is_named_and_missing_is_refused(chembl: Played) -> None:
    records = found(chembl, "CHEMBL1-CHEMBL20,CHEMBL24,CHEMBL34,CHEMBL35")

    assert [record.index for record in records if not record.refusal] == [n for n in [*range(1, 21), 35] if n % 10 != 4]
    assert refusals(records) == {
        24: "ChEMBL has no molecule CHEMBL24.",
        34: "ChEMBL has no molecule CHEMBL34.",
    }


def test_404_with_an_empty_body_and_text_html_means_that_there_is_none(chembl: Played) -> None:
    chembl.answers.get(f"{ADDRESS}/molecule/CHEMBL999999999.json", **NOT_FOUND)

    assert refusals(found(chembl, "CHEMBL999999999")) == {999999999: "ChEMBL has no molecule CHEMBL999999999."}


def test_404_for_a_list_is_a_broken_page_and_no_list_of_nothing(chembl: Played) -> None:
    chembl.answers.get(LIST, **NOT_FOUND)

    records = found(chembl, "CHEMBL1-CHEMBL4")

    assert [record.index for record in records] == [1, 2, 3]


@pytest.mark.parametrize(
    "poison",
    [
        HTML_500,
        {"text": "<html>Sorry</html>"},
        {"text": '{"molecules": [{"molecule_chembl_id": "CHEMB'},
        {"text": json.dumps({"error_message": "Something went wrong"})},
        {"text": json.dumps(page_of([7], total=2))},
        {"text": json.dumps(page_of([999]))},
    ],
    ids=["html 500", "html 200", "truncated", "error message", "page cut short", "wrong id"],
)
def test_a_page_that_breaks_shrinks_down_to_the_record_that_is_left_out(chembl: Played, poison: dict[str, Any]) -> None:
    def answer(request: Any, context: Any) -> str:
        numbers = asked_of(request)
        if 13 in numbers:
            context.status_code = poison.get("status_code", 200)
            return str(poison["text"])
        return json.dumps(page_of(numbers) if request.path == "/molecule.json" else molecule(numbers[0]))

    chembl.answers.get(ALL, text=answer)

    records = found(chembl, "CHEMBL1-CHEMBL40")

    assert [record.index for record in records] == list(range(1, 41))
    assert list(refusals(records)) == [13]


def test_a_page_that_breaks_once_is_not_shrunk(chembl: Played) -> None:
    chembl.answers.get(LIST, [HTML_500, HTML_500, {"json": page_of([1, 2])}])

    assert refusals(found(chembl, "CHEMBL1-CHEMBL2")) == {}
    assert lists(chembl) == [[1, 2]] * 3


def test_nothing_is_given_up_while_chembl_answers_everything_with_html_500(chembl: Played) -> None:
    chembl.answers.get(LIST, **HTML_500)
    source = ChEMBLSource(chembl.upstream).pages({"ids": "1-40"}, None, None)
    chembl.answers.get(STATUS, [{"json": {"chembl_db_version": "ChEMBL_37"}}, HTML_500])

    with pytest.raises(UnavailableError):
        next(source)


# --- the release


def test_the_release_is_what_status_says(chembl: Played) -> None:
    source = ChEMBLSource(chembl.upstream)

    assert isinstance(source, ReleasedSource)
    assert source.release({"ids": "1"}, None) == "ChEMBL_37"


def test_a_release_that_chembl_does_not_serve_is_refused(chembl: Played) -> None:
    with pytest.raises(InvalidError, match="ChEMBL serves ChEMBL_37 now, and this import is of ChEMBL_36"):
        pages(chembl, "1", release="ChEMBL_36")


def test_a_run_does_not_mix_two_releases(chembl: Played) -> None:
    with pytest.raises(InvalidError, match="start a new one"):
        pages(chembl, "1-200", {"after": 100, "release": "ChEMBL_36"})


def test_a_release_that_changes_while_a_run_goes_on_ends_it(chembl: Played) -> None:
    old, new = ({"json": {"chembl_db_version": f"ChEMBL_{number}"}} for number in (37, 38))
    chembl.answers.get(STATUS, [old, new])
    read = ChEMBLSource(chembl.upstream).pages({"ids": "1-100000"}, None, None)

    for _ in range(50):
        next(read)
    with pytest.raises(InvalidError, match="ChEMBL serves ChEMBL_38 now"):
        next(read)


@pytest.mark.parametrize(
    "answer", [{"json": {}}, {"json": []}, {"text": "<html>"}, NOT_FOUND, {"json": {"chembl_db_version": 37}}]
)
def test_a_status_without_a_release_is_no_beginning(played: Played, answer: dict[str, Any]) -> None:
    played.answers.get(STATUS, **answer)

    with pytest.raises(UnavailableError):
        pages(played, "1")


# --- what may be asked


@pytest.mark.parametrize(
    "given",
    [{}, {"ids": ""}, {"ids": "CHEMBLx"}, {"ids": "5-1"}, {"ids": None}, {"ids": "1", "offset": 5}, {"ids": [[]]}],
)
def test_an_import_that_numbers_no_molecules_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        options(given)


def test_options_have_one_form() -> None:
    assert options({"ids": "CHEMBL25,CHEMBL1-CHEMBL3"}) == {"ids": "1-3,25"}


# --- real bodies


def captured(name: str) -> dict[str, Any]:
    """Return a captured answer as requests-mock plays it: with its status, its type and its body."""
    capture = json.loads((DATA / "m37_captures_chembl37" / name).read_text(encoding="utf-8"))
    return {"status_code": capture["status"], "headers": capture["headers"], "text": capture["text"]}


@needs_data
def test_captured_answers_are_imported_or_refused_under_their_ids(played: Played) -> None:
    played.answers.get(STATUS, **captured("status.json"))
    for name in (
        "molecule_CHEMBL1200912_salt",
        "molecule_CHEMBL2108184_null_structure",
        "molecule_CHEMBL999999999_404",
    ):
        number = name.split("_")[1]
        played.answers.get(f"{ADDRESS}/molecule/{number}.json", **captured(f"{name}.json"))

    records = [found(played, str(number))[0] for number in (1200912, 2108184, 999999999)]

    assert pages(played, "CHEMBL1200912")[0].checkpoint["release"] == "ChEMBL_37"
    assert (records[0].refusal, records[0].structure_text) == (None, "CC(C)(N)Cc1ccccc1.Cl")
    assert "ChEMBL holds no structure" in str(records[1].refusal)
    assert records[2].refusal == "ChEMBL has no molecule CHEMBL999999999."


@needs_data
def test_a_real_page_is_imported_where_all_of_it_was_asked_for(played: Played) -> None:
    played.answers.get(STATUS, **captured("status.json"))
    page = json.loads((DATA / "glados" / "SimilarityResultsSampleResponsePage1.json").read_text(encoding="utf-8"))
    ids = [row["molecule_chembl_id"] for row in page["molecules"]]
    page["page_meta"]["total_count"] = len(ids)
    played.answers.get(LIST, json=page)

    records = found(played, ",".join(ids))

    assert len(records) == len(ids) == 20
    assert not refusals(records)
    assert all(record.source_record == f"CHEMBL{record.index}" for record in records)
