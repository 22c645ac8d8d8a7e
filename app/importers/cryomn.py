"""Reads the raw table of ML-for-CryoMN: freezing media as papers word them, and how many cells survived.

The recipes are free text. One is read only if every word of it is understood: a molecule of the seed with its amount,
a carrier, or what belongs to a carrier (serum, albumin, inhibitors); an amount without a unit, a name that means two
things, a concentrate, a product by its brand name leave the whole recipe unread, with the words that did it. Of the
table's other columns none corrects the recipe: its column of DMSO contradicts some of them.

A bare percentage of a liquid is taken as v/v and of a solid as w/v, as is usual for freezing media. What follows a
viability as plus-minus is not said to be a standard deviation, and stays text.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.domain.mixtures import WHOLES, AmountUnit

_RECIPE: Final = "All ingredients in cryoprotective solution"
_DOI: Final = "Source (DOI link)"
_CELLS: Final = "Protective protein type"
"""Where the table holds text, it is the cells: the heading is another one's."""
_COLUMNS: Final = (_RECIPE, "DMSO usage", "Cooling rate", "Viability", _DOI)

_LIQUIDS: Final = {
    "dmso": "Dimethyl sulfoxide",
    "me2so": "Dimethyl sulfoxide",
    "dimethyl sulfoxide": "Dimethyl sulfoxide",
    "eg": "Ethylene glycol",
    "ethylene glycol": "Ethylene glycol",
    "glycerol": "Glycerol",
    "proh": "Propylene glycol",
    "propylene glycol": "Propylene glycol",
    "1,2-propanediol": "Propylene glycol",
}
_SOLIDS: Final = {
    "acetamide": "Acetamide",
    "betaine": "Glycine betaine",
    "bsa": "Bovine serum albumin",
    "creatine": "Creatine",
    "dextran-40": "Dextran 40",
    "ectoin": "Ectoine",
    "ectoine": "Ectoine",
    "ficoll 70": "Ficoll PM-70",
    "glucose": "D-Glucose",
    "hes": "Hydroxyethyl starch",
    "hes450": "Hydroxyethyl starch",
    "hydroxyethyl starch": "Hydroxyethyl starch",
    "maltose": "Maltose",
    "mannitol": "D-Mannitol",
    "mc": "Methylcellulose",
    "methylcellulose": "Methylcellulose",
    "peg": "Poly(ethylene glycol)",
    "proline": "L-Proline",
    "raffinose": "Raffinose",
    "sucrose": "Sucrose",
    "taurine": "Taurine",
    "trehalose": "D-Trehalose",
}
_PEG_GRADE: Final = re.compile(r"peg \d+(?:\.\d)?k?")
_UNITS: Final = {
    "m": (AmountUnit.MOLARITY, 1.0),
    "mol/l": (AmountUnit.MOLARITY, 1.0),
    "mm": (AmountUnit.MOLARITY, 1e-3),
    "mmol/l": (AmountUnit.MOLARITY, 1e-3),
    "mg/ml": (AmountUnit.GRAMS_PER_LITRE, 1.0),
    "wt%": (AmountUnit.MASS_PERCENT, 1.0),
}
_WHOLE: Final = WHOLES[AmountUnit.MASS_PERCENT]
_NUMBER: Final = r"(?P<number>\d+(?:\.\d+)?)"
_UNIT: Final = r"(?P<unit>wt%|%|(?:mol/l|mmol/l|mg/ml|mm|m)(?![a-z]))"
_BEFORE: Final = re.compile(rf"{_NUMBER}\s*{_UNIT}\s*(?P<name>\S.*)")
_AFTER: Final = re.compile(rf"(?P<name>[a-z][a-z0-9 .,-]*?)\s+\(?{_NUMBER}\s*{_UNIT}")
# Serum, albumin and what protects cells otherwise: they belong to what the cells are frozen in.
_ADDITIVE: Final = re.compile(
    rf"""(?:{_NUMBER}\s*(?:%|[µμu]m|mg/ml)\s*)?
    (?:fbs|fcs|hs|hsa|human\ serum|human\ albumin|fetal\ (?:bovine|calf)\ serum
    |knockout\ serum\ replacement|rock\ inhibitor|caspase\ inhibitor\ z-vad-fmk|autologous\ plasma|s1p|accutase)
    """,
    re.VERBOSE,
)
_CARRIER: Final = re.compile(
    rf"""(?:{_NUMBER}\s*%\s*)?(?:complete\ )?
    (?:a-?dmem|dmem(?:/(?:ham(?:'s)?\ )?f-?12)?|pbs|dpbs|phosphate\ buffer\ saline|saline|\u03b1-mem|a-mem
    |mem|medium\ 199|e8|l-15|mesencult\ complete|culture|minimum\ essential\ medium
    |dulbecco's\ modified\ eagle\ medium|lactated\ ringer\ solution|ppp|pm-1|knockout\ dmem|electroporation\ buffer
    |culture\ medium\ \(knockout\ dmem)
    (?:\ (?:medium|media))?
    """,
    re.VERBOSE,
)
# What stands in brackets and says nothing of the amounts; a buffer's salts are part of the buffer.
_SAID_ASIDE: Final = re.compile(
    r"""\((?:eg|pbs|dpbs|fbs|hs|mem|control|positive\ control|negative\ control|cocktail\ solution
    |sega\ 10°c|1,2\ propane\ diol;\ pg|sgc(?:-[ab])?|ggc|\(s1p→c\ \)|culture\ medium\ with\ 10%\ (?:pl|fs)
    |10\ ?mm\ k2hpo4,\ 10\ ?mm\ kh2po4,\ 1\ ?mm\ mgcl2)\)""",
    re.VERBOSE,
)
_LABEL: Final = re.compile(r"^(?:\d+\)\s*)?(?:(?:mscs|vitrification solution|[a-z]+\d+):\s*)?")
# A concentrate, or a step before the freezing, is not what the cells were frozen in.
_DILUTED: Final = re.compile(r"\bfinal\b|\bdilut|\bsuspension\b|\bequilibration\b|\d:\d")
# "1,2-propanediol" is one word.
_SEPARATOR: Final = re.compile(
    r"\s*\+\s*|,(?!\d-)\s*(?:and\s+|in\s+|supplemented\s+with\s+)?|\s+(?:and|with|in)\s+(?:in\s+)?|(?<=mem)\s+(?=\d)"
)

_PERCENT: Final = re.compile(
    r"""\(?(?P<relation>[<>~])?\s*(?P<value>\d{1,3}(?:\.\d+)?)\s*%?\s*
    (?:\(?±\s*(?P<spread>\d+(?:\.\d+)?)\s*\)?)?\s*(?P<percent>%)?\s*\)?\s*%?(?:\s*at\ day\ (?P<day>\d+))?""",
    re.VERBOSE,
)
_RATE: Final = re.compile(r"(?P<about>~|approx\.\s*)?-?\s*(?P<value>\d+(?:\.\d+)?)\s*(?:°\s*c|degree)\s*/\s*min")
_PER_MINUTE: Final = re.compile(r"/\s*min")
# 10^5 that lost its superscript reads as 105.
_LOST_EXPONENT: Final = re.compile(r"10[1-9]")
_DOI_FORM: Final = re.compile(r"10\.\d{4,9}/\S+")
_DOI_COUNTED: Final = re.compile(r"(?P<stem>.*?)(?P<last>\d+)")
_CHARACTERS: Final = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u2019": "'",
        "\u25e6": "°",
        "\u02da": "°",
        "\u237a": "\u03b1",
        "\uff09": ")",
        "\xa0": " ",
        "\u2103": "°C",
        "\n": " ",
    }
)


@dataclass(frozen=True, slots=True)
class Part:
    """A molecule of the seed in a recipe."""

    molecule: str
    amount: float
    unit: AmountUnit


@dataclass(frozen=True, slots=True)
class Recipe:
    """What of a recipe's words is understood, and what is not."""

    parts: tuple[Part, ...] = ()
    carriers: tuple[str, ...] = ()
    additives: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Viability:
    """Cells alive after thawing, in percent."""

    percent: float
    relation: str = "="
    spread: str | None = None
    """What stands after plus-minus; whether deviation or error is not said."""
    assessed_after_days: int | None = None


@dataclass(frozen=True, slots=True)
class CryomnRow:
    """One row of the table; what could not be read is None, and `faults` says what."""

    index: int
    key: str
    """Of what the row says, so that the same row of another version of the table is the same record."""
    text: str
    recipe: Recipe
    viability: Viability | None
    viability_text: str
    cooling_rate_k_min: float | None
    cooling_text: str
    cell_type: str | None
    doi: str | None
    faults: tuple[str, ...]

    @property
    def is_read(self) -> bool:
        """Whether the row is a mixture and a measurement on it."""
        return not self.faults


def parse(content: str) -> list[CryomnRow]:
    """Return the table's rows in their order.

    Raises:
        ValueError: This is another table.
    """
    reader = csv.DictReader(io.StringIO(content.removeprefix("\ufeff"), newline=""))
    absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if absent:
        msg = f"this is not the raw table of ML-for-CryoMN: it has no column {', '.join(absent)}"
        raise ValueError(msg)
    return list(_rows([{name: value or "" for name, value in row.items() if name} for row in reader]))


def recipe_of(text: str) -> Recipe:
    """Return what a recipe's words mean."""
    shown, plain = _shown(text), _plain(text)
    if _DILUTED.search(plain):
        return Recipe(unread=(text.strip(),))
    words = _SAID_ASIDE.sub(" ", _LABEL.sub("", plain))
    parts: list[Part] = []
    carriers: list[str] = []
    additives: list[str] = []
    unread: list[str] = []
    for word in filter(None, (" ".join(item.split()).strip(" .,)") for item in _SEPARATOR.split(words))):
        if part := _part(word):
            parts += [part] if part.amount else []
        elif _ADDITIVE.fullmatch(word):
            additives.append(_as_worded(word, shown))
        elif _CARRIER.fullmatch(word):
            carriers.append(_as_worded(word, shown))
        else:
            unread.append(word)
    return Recipe(tuple(parts), tuple(carriers), tuple(additives), (*unread, *_impossible(parts)))


def viability_of(text: str) -> Viability | None:
    """Return a viability that is stated as one percentage."""
    found = _PERCENT.fullmatch(_plain(text))
    if found is None or not ("%" in text or found["spread"]) or float(found["value"]) > _WHOLE:
        return None
    return Viability(
        float(found["value"]), found["relation"] or "=", found["spread"], int(found["day"]) if found["day"] else None
    )


def cooling_rate_of(text: str) -> float | None:
    """Return the rate in K/min where the text states exactly one, and states it as what was done."""
    plain = _plain(text)
    found = _RATE.findall(plain)
    if len(found) != 1 or len(_PER_MINUTE.findall(plain)) != 1 or "optimal" in plain or "assume" in plain:
        return None
    value = found[0][1]
    return None if _LOST_EXPONENT.fullmatch(value) else float(value)


def doi_of(text: str) -> str | None:
    """Return the DOI in a link or after a prefix."""
    # One slash of the table is an equals sign.
    found = _DOI_FORM.search(text.strip().replace("=", "/"))
    return found[0].rstrip(".,;").lower() if found else None


def _rows(rows: list[dict[str, str]]) -> Iterator[CryomnRow]:
    cells = _cell_types(rows)
    seen: Counter[str] = Counter()
    above: str | None = None
    for index, row in enumerate(rows):
        digest = hashlib.sha256("\x1f".join(row[name].strip() for name in _COLUMNS).encode()).hexdigest()[:16]
        seen[digest] += 1
        read = _row(index, f"{digest}-{seen[digest]}", row, above, cells)
        yield read
        above = read.doi


def _row(index: int, key: str, row: Mapping[str, str], above: str | None, cells: Mapping[str, str]) -> CryomnRow:
    text, stated, cooling = row[_RECIPE], row["Viability"], row["Cooling rate"]
    recipe, viability, doi = recipe_of(text), viability_of(stated), doi_of(row[_DOI])
    return CryomnRow(
        index=index,
        key=key,
        text=" ".join(text.split()),
        recipe=recipe,
        viability=viability,
        viability_text=" ".join(stated.split()),
        cooling_rate_k_min=cooling_rate_of(cooling),
        cooling_text=" ".join(cooling.split()),
        cell_type=cells.get(doi or ""),
        doi=doi,
        faults=tuple(_faults(recipe, viability, doi, above)),
    )


def _faults(recipe: Recipe, viability: Viability | None, doi: str | None, above: str | None) -> Iterator[str]:
    if recipe.unread:
        yield f"recipe not understood: {'; '.join(recipe.unread)}"
    elif not recipe.parts:
        yield "recipe without a cryoprotectant"
    if viability is None:
        yield "no single viability in percent"
    if doi is None:
        yield "no DOI"
    elif _counts_on(doi, above):
        yield f"the DOI {doi} only counts on from the row above: a spreadsheet filled it in"


def _counts_on(doi: str, above: str | None) -> bool:
    mine, other = _DOI_COUNTED.fullmatch(doi), _DOI_COUNTED.fullmatch(above or "")
    return bool(mine and other and mine["stem"] == other["stem"] and int(mine["last"]) == int(other["last"]) + 1)


def _cell_types(rows: list[dict[str, str]]) -> dict[str, str]:
    """Return the cells of each paper whose rows name them once and no others."""
    found: dict[str, set[str]] = {}
    for row in rows:
        text = " ".join(row.get(_CELLS, "").split())
        doi = doi_of(row[_DOI])
        if doi and re.search(r"\bcells?\b|DPSC", text) and "culture" not in text:
            found.setdefault(doi, set()).add(text)
    return {doi: names.pop() for doi, names in found.items() if len(names) == 1}


def _part(word: str) -> Part | None:
    found = _BEFORE.fullmatch(word) or _AFTER.fullmatch(word.rstrip(" )"))
    if found is None:
        return None
    name, unit = found["name"].strip(" ()"), found["unit"]
    name = "peg" if _PEG_GRADE.fullmatch(name) else name
    molecule = _LIQUIDS.get(name) or _SOLIDS.get(name)
    if molecule is None:
        return None
    bare = AmountUnit.VOLUME_PERCENT if name in _LIQUIDS else AmountUnit.MASS_VOLUME_PERCENT
    kept, factor = (bare, 1.0) if unit == "%" else _UNITS[unit]
    return Part(molecule, float(f"{float(found['number']) * factor:.12g}"), kept)


def _impossible(parts: list[Part]) -> Iterator[str]:
    for name, count in Counter(part.molecule for part in parts).items():
        if count > 1:
            yield f"{name} twice"
    for unit in (AmountUnit.VOLUME_PERCENT, AmountUnit.MASS_VOLUME_PERCENT, AmountUnit.MASS_PERCENT):
        if sum(part.amount for part in parts if part.unit is unit) > _WHOLE:
            yield f"more than 100 {unit}"


def _shown(text: str) -> str:
    return " ".join(text.translate(_CHARACTERS).split())


def _plain(text: str) -> str:
    return _shown(text).lower()


def _as_worded(word: str, shown: str) -> str:
    start = shown.lower().find(word)
    return word if start < 0 else shown[start : start + len(word)]
