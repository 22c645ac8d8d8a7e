"""Chemists' own formats of a list of molecules: SDF, SMILES, and Parquet for exports."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, Final

import orjson

from api.common.context import services
from api.common.formats import TABLE_FORMATS, Chunks, Format, shown_fields
from database.listing import Kind, Listing, Shape

SDF_TYPE: Final = "chemical/x-mdl-sdfile"
SMILES_TYPE: Final = "chemical/x-daylight-smiles"
PARQUET_TYPE: Final = "application/vnd.apache.parquet"
_READ_BYTES: Final = 256 * 1024
_DRAWN: Final = ("canonical_smiles", "name")


def _smiles(_listing: Listing, _shape: Shape, chunks: Chunks) -> Iterator[bytes]:
    for documents in chunks:
        records = [orjson.loads(document) for document in documents]
        lines = [
            f"{record['canonical_smiles']} {_one_line(record['name'])}\n"
            for record in records
            if record.get("canonical_smiles")
        ]
        yield "".join(lines).encode()


def _sdf(listing: Listing, shape: Shape, chunks: Chunks) -> Iterator[bytes]:
    chemistry = services().chemistry
    return _sdf_records(chemistry, shown_fields(listing, shape), chunks)


def _sdf_records(chemistry: Any, names: list[str], chunks: Chunks) -> Iterator[bytes]:  # noqa: ANN401
    for documents in chunks:
        records = [record for record in map(orjson.loads, documents) if record.get("canonical_smiles")]
        blocks = chemistry.molblocks([(record["canonical_smiles"], _sdf_line(record["name"])) for record in records])
        for block, record in zip(blocks, records, strict=True):
            yield (block + _tags(record, names) + "$$$$\n").encode()


def _tags(record: dict[str, Any], names: list[str]) -> str:
    tags = [(name, record[name]) for name in names if record.get(name) is not None]
    return "".join(f">  <{name}>\n{_tag_text(value)}\n\n" for name, value in tags)


def _tag_text(value: object) -> str:
    if isinstance(value, str):
        return _sdf_line(value)
    return orjson.dumps(value).decode()


def _sdf_line(text: str) -> str:
    line = _one_line(text)
    # At the start of a line these end a record, or begin another field.
    return f" {line}" if line.startswith(("$$$$", ">")) else line


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _parquet(listing: Listing, shape: Shape, chunks: Chunks) -> Iterator[bytes]:
    import pyarrow as pa  # noqa: PLC0415 - 80 MB of memory that only exports need
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {Kind.FLOAT: pa.float64(), Kind.INTEGER: pa.int64(), Kind.BOOLEAN: pa.bool_()}
    kinds = {item.name: types.get(item.kind, pa.string()) for item in listing.fields}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in shown_fields(listing, shape)])
    # A Parquet file ends with its index, so it is written whole before it is sent; the disk holds it.
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for documents in chunks:
                records = [orjson.loads(document) for document in documents]
                columns = {name: [_flat(record[name]) for record in records] for name in schema.names}
                writer.write_table(pa.table(columns, schema=schema))
        file.seek(0)
        while block := file.read(_READ_BYTES):
            yield block


def _flat(value: object) -> object:
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else value


MOLECULE_FORMATS: Final = {
    **TABLE_FORMATS,
    "sdf": Format("sdf", SDF_TYPE, "sdf", _sdf, _DRAWN),
    "smiles": Format("smiles", SMILES_TYPE, "smi", _smiles, _DRAWN),
    "parquet": Format("parquet", PARQUET_TYPE, "parquet", _parquet),
}
