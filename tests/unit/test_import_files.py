"""Files of every form and in every bad state: what is good in them comes through, what is not is named."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from app.domain.molecules import Identifier
from app.errors import InvalidError
from app.importers.file_bytes import CHUNK_BYTES, MAX_LINE_BYTES, DamagedFileError, lines
from app.importers.files import FileSource, Layout, file_sha256, layout_of
from app.importers.records import ParsedRecord
from app.importers.sources import Page

_T = TypeVar("_T")
DATA: Final = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
MOLFILE: Final = """ethanol
  made by hand

  3  2  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 C   0  0
    1.0000    0.0000    0.0000 C   0  0
    2.0000    0.0000    0.0000 O   0  0
  1  2  1  0
  2  3  1  0
M  END
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def made(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return made


def pages(path: Path, checkpoint: Any = None, *, size: int = 2, columns: Any = None) -> list[Page]:
    parameters = {"path": str(path), "columns": columns or {}}
    return list(FileSource(size).pages(parameters, checkpoint, None))


def read(path: Path, **kwargs: Any) -> list[ParsedRecord]:
    return [record for page in pages(path, **kwargs) for record in page.records]


def keep_all(items: Iterator[_T], kept: list[_T]) -> None:
    """Keep the items one by one, so that those before an error are kept, too."""
    for item in items:
        kept.append(item)  # noqa: PERF402 - `extend` promises nothing of the kind


def structures(records: list[ParsedRecord]) -> list[tuple[int, str | None]]:
    return [(record.index, record.structure_text) for record in records]


def test_a_list_of_smiles_gives_structures_names_and_register_numbers(write: Any):
    path = write("a.smi", b"SMILES Name\nCCO ethanol, the spirit\n\n# a note\nCC\tCHEMBL135626\nCCC CID6334\nC\n")

    ethanol, ethane, propane, methane = read(path)

    assert (ethanol.index, ethanol.structure_text, ethanol.name) == (2, "CCO", "ethanol, the spirit")
    assert ethanol.identifiers == (Identifier("name", "synonym", "ethanol, the spirit"),)
    assert ethane.identifiers == (Identifier("chembl", "chembl_id", "CHEMBL135626"),)
    assert ethane.source_record == "CHEMBL135626"
    assert propane.identifiers == (Identifier("pubchem", "cid", "6334"),)
    assert (methane.structure_text, methane.name, methane.identifiers) == ("C", None, ())


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [b"", b"end"])
def test_lines_end_as_they_like(write: Any, end: bytes, last: bytes):
    content = end.join([b"CC a", b"CCC b", b"", b"C c"]) + (end if last else b"")

    assert structures(read(write("a.smi", content))) == [(1, "CC"), (2, "CCC"), (4, "C")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_are_the_same_however_the_bytes_are_cut(end: bytes):
    content = end.join([b"CC", b"", b"CCC", b"C"])
    whole = list(lines(iter([content])))

    for cut in range(1, 4):
        parts = (content[start : start + cut] for start in range(0, len(content), cut))
        assert list(lines(parts)) == whole
    assert [line for _, line in whole] == [b"CC", b"", b"CCC", b"C"]
    assert whole[-1][0] == len(content)


def test_a_table_is_read_by_the_names_of_its_columns(write: Any):
    content = (
        b"\xef\xbb\xbfID,Canonical SMILES,Preferred-Name,InChIKey,CASRN\n"
        b'CHEMBL545,CCO,"ethanol ""absolute"", dry",LFQSCWFLJHTTHZ-UHFFFAOYSA-N,64-17-5\n'
    )
    (record,) = read(write("a.csv", content))

    assert record.name == 'ethanol "absolute", dry'
    assert (record.structure_text, record.notation) == ("CCO", "smiles")
    assert record.stated_inchikey == "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
    assert {(item.source, item.external_id) for item in record.identifiers} == {
        ("chembl", "CHEMBL545"),
        ("cas", "64-17-5"),
        ("name", record.name),
    }


def test_columns_may_be_named_by_hand(write: Any):
    path = write("a.csv", b"what;drawn\nethanol;CCO\n")
    columns = {"smiles": "drawn", "name": "what"}

    with pytest.raises(InvalidError, match=r"no column .* It has: what, drawn"):
        read(path)
    (record,) = read(path, columns=columns)

    assert (record.structure_text, record.name) == ("CCO", "ethanol")


def test_a_quote_that_is_not_closed_takes_no_good_record_with_it(write: Any):
    rows = [b"smiles,name", b'CC,"a name', b'of two lines"', b'CCC,"stray', *[b"C,x"] * 300]

    records = read(write("a.csv", b"\n".join(rows)), size=1000)

    assert records[0].name == "a name of two lines"
    assert (records[1].index, records[1].refusal) == (4, "a quote in this line is not closed")
    assert structures(records[2:]) == [(5 + n, "C") for n in range(300)]


def test_a_line_that_is_too_short_is_refused(write: Any):
    first, second = read(write("a.tsv", b"id\tsmiles\tname\nA\nB\tCC\n"), columns={"smiles": "smiles", "id": "id"})

    assert first.refusal == "the line has 1 of 3 columns"
    assert second.refusal == "the line has 2 of 3 columns"


def test_text_that_is_not_utf8_is_latin1(write: Any):
    (record,) = read(write("a.smi", "CCO Äthanol\n".encode("latin-1")))

    assert record.name == "Äthanol"


def test_utf16_is_refused_with_a_word_on_what_to_do(write: Any):
    with pytest.raises(InvalidError, match="save it as UTF-8"):
        read(write("a.csv", "smiles,name\nCC,a\n".encode("utf-16")))


def test_an_sd_file_gives_molfiles_and_fields(write: Any):
    fields = b"> <PUBCHEM_COMPOUND_CID>\n702\n\n> 25 <CASRN> (1)\n64-17-5\n\n$$$$\n"
    damaged = b"no end\n\n\n  1  0\n$$$$\n"
    path = write("a.sdf", MOLFILE.encode() + fields + damaged + MOLFILE.encode())

    first, second, third = read(path)

    assert (first.index, first.notation, first.structure_text) == (1, "molfile", MOLFILE)
    assert {(item.source, item.external_id) for item in first.identifiers} == {
        ("pubchem", "702"),
        ("cas", "64-17-5"),
        ("name", "ethanol"),
    }
    assert (second.index, second.refusal) == (18, "the record has no molfile with its end, M  END")
    assert (third.index, third.structure_text) == (23, MOLFILE)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", MOLFILE.encode(), "sdf"),
        ("a.smi", b"id\tsmiles\nA\tCC\n", "delimited"),
        ("a.csv", b"smiles\nCC\n", "delimited"),
        ("a", b"CC a\nC b\n", "smiles"),
        ("a.sdf", b"", "sdf"),
    ],
)
def test_the_content_says_what_a_file_is_before_its_name_does(write: Any, name: str, content: bytes, expected: str):
    assert layout_of(write(name, content), {}).format == expected
    assert layout_of(write(f"{name}.gz", gzip.compress(content)), {}).format == expected


def test_an_empty_file_has_no_records(write: Any):
    assert pages(write("a.smi", b"")) == []
    assert layout_of(write("b.smi", b""), {}) == Layout("smiles")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.sdf"])
def test_reading_goes_on_behind_every_checkpoint(write: Any, name: str, packed: bool):  # noqa: FBT001
    content = {
        "a.smi": b"C a\nCC b\r\n\nCCC c\nCCCC d\rCCCCC e",
        "a.csv": b'smiles,name\nC,a\nCC,"b\nb"\n\nCCC,"stray\nCCCC,d\nCCCCC,e\n',
        "a.sdf": b"$$$$\n".join([MOLFILE.encode()] * 5),
    }[name]
    path = write(name, gzip.compress(content) if packed else content)
    whole = pages(path, size=1)
    assert len(whole) >= 5

    for position, page in enumerate(whole):
        rest = pages(path, page.checkpoint, size=1)
        assert [p.records for p in rest] == [p.records for p in whole[position + 1 :]]
        assert [p.checkpoint for p in rest] == [p.checkpoint for p in whole[position + 1 :]]


def test_a_gzip_file_of_several_members_is_one_file(write: Any):
    path = write("a.smi.gz", gzip.compress(b"CC a\n") + gzip.compress(b"C b\n") + b"\0" * 100)

    assert structures(read(path)) == [(1, "CC"), (2, "C")]


def _many(count: int) -> bytes:
    # Names that do not pack well, so that the packed file is long.
    return b"".join(b"C%s %x\n" % (b"C" * (n % 7), hash(("salt", n)) & 0xFFFFFFFFFFFF) for n in range(count))


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_damaged_gzip_file_gives_what_is_good_and_then_says_so(write: Any, harm: str):
    content = _many(20_000)
    packed = bytearray(gzip.compress(content))
    middle = len(packed) // 2
    harmed = packed[:middle] if harm == "cut" else packed[:middle] + b"\xff" * 64 + packed[middle + 64 :]
    path = write("a.smi.gz", bytes(harmed))
    found: list[Page] = []

    with pytest.raises(DamagedFileError, match="what follows line"):
        keep_all(FileSource(1000).pages({"path": str(path)}, None, None), found)

    records = [record for page in found for record in page.records]
    good = [record for record in records if record.refusal is None]
    expected = content.decode().splitlines()
    assert len(good) > 5_000
    # Whatever was unpacked after the damage is not to be trusted; up to there each line is right.
    assert [f"{r.structure_text} {r.name}" for r in good[:5_000]] == expected[:5_000]
    assert records[-1].refusal
    assert "damaged" in records[-1].refusal or "cut off" in records[-1].refusal
    with pytest.raises(DamagedFileError):
        list(FileSource().pages({"path": str(path)}, found[-1].checkpoint, None))


def test_half_a_line_before_the_damage_is_no_record(write: Any):
    content = b"CCCCCC a\n" * 3 + b"CCCCCCCC"

    def broken() -> Iterator[bytes]:
        yield content
        raise DamagedFileError("cut off")

    read_lines, found = lines(broken()), list[tuple[int, bytes | None]]()
    with pytest.raises(DamagedFileError):
        keep_all(read_lines, found)

    assert [line for _, line in found] == [b"CCCCCC a"] * 3


@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.sdf"])
def test_a_record_of_a_hundred_megabytes_is_refused_in_little_memory(tmp_path: Path, name: str):
    path = tmp_path / name
    good = {"a.smi": b"CC a\n", "a.csv": b"CC,a\n", "a.sdf": MOLFILE.encode() + b"$$$$\n"}[name]
    with path.open("wb") as file:
        file.write(b"smiles,name\n" if name == "a.csv" else b"")
        file.write(good)
        for _ in range(100):
            file.write(b"C" * 1024 * 1024 if name != "a.sdf" else b"C" * 1024 * 1023 + b"\n")
        file.write(b"\n$$$$\n" if name == "a.sdf" else b"\n")
        file.write(good)

    tracemalloc.start()
    first, huge, last = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert first.refusal is last.refusal is None
    assert huge.refusal
    assert "longer than" in huge.refusal
    assert peak < 16 * MAX_LINE_BYTES


def test_memory_does_not_grow_with_the_file(write: Any):
    path = write("a.smi", _many(100_000))
    assert path.stat().st_size > 6 * CHUNK_BYTES

    tracemalloc.start()
    count = sum(len(page.records) for page in FileSource(1000).pages({"path": str(path)}, None, None))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 100_000
    assert peak < 4_000_000


def test_ten_thousand_bad_rows_in_a_row_are_ten_thousand_refusals(write: Any):
    path = write("a.tsv", b"smiles\tname\nCC\ta\n" + b"\tempty\n" * 10_000 + b"C\tb\n")

    records = read(path, size=500)

    assert [record.refusal for record in records[1:-1]] == ["the record has no structure"] * 10_000
    assert structures([records[0], records[-1]]) == [(2, "CC"), (10_003, "C")]


def test_another_file_in_the_same_place_is_refused(write: Any):
    path = write("a.smi", b"CC\n")
    sha256 = file_sha256(path)
    parameters = {"path": str(path)}
    assert len(list(FileSource().pages(parameters, None, sha256))) == 1

    path.write_bytes(b"CCC\n")

    with pytest.raises(InvalidError, match="not the file that this import began with"):
        list(FileSource().pages(parameters, None, sha256))
    with pytest.raises(InvalidError, match="there is no file"):
        list(FileSource().pages({"path": f"{path}.gone"}, None, sha256))


REAL: Final = {
    "scale/fasmifra_CHEMBL_100k.smi.gz": (1000, "chembl"),
    "scale/combined_unique_825k.tsv.gz": (1000, "chembl"),
    "scale/deepchem_muv_with_pubchem_cid.csv.gz": (1000, "pubchem"),
    "toxcast/deepchem_casn_to_smiles.csv.gz": (1000, "dsstox"),
    "chembl/patwalters_chembl_drugs.smi": (1000, "chembl"),
    "chembl/cdk_chemblApiExamples.sdf": (1, "chembl"),
    "pubchem/sdf/rdkit_pubchem-hard-set.sdf.gz": (400, "pubchem"),
}


@pytest.mark.skipif(not DATA.is_dir(), reason="the collected real files are not beside this checkout")
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_without_a_word(name: str):
    least, register = REAL[name]

    found = [record for page in itertools.islice(_real(name), 3) for record in page.records]

    assert len(found) >= least
    assert sum(record.structure_text is not None for record in found) >= 0.97 * len(found)
    assert sum(any(i.source == register for i in record.identifiers) for record in found) >= 0.5 * len(found)


def _real(name: str) -> Iterator[Page]:
    return FileSource(1000).pages({"path": str(DATA / name)}, None, None)
