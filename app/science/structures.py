"""Standardization: from what was submitted to the one form that is stored.

The stored form is the one submitted, cleaned but whole: water of hydration, counter-ions, isotopes and net charge
stay, for they decide the molar mass and with it every concentration. What groups salts, ions, hydrates and labelled
forms of one compound is `parent_inchikey`, which ChEMBL's pipeline finds.

The pipeline is slow (half a millisecond, its search for the parent not counted) and most structures come as it would
leave them. A few patterns tell those apart; a test compares both ways over thousands of real structures.
"""

from __future__ import annotations

from typing import Final

from chembl_structure_pipeline import standardizer
from chembl_structure_pipeline.exclude_flag import exclude_flag
from rdkit import Chem
from rdkit.Chem import rdinchi, rdMolDescriptors, rdqueries

from app.domain.molecules import Notation, Structure
from app.errors import StructureError
from app.science.descriptors import descriptors, fingerprint, formula, molar_mass_g_mol
from app.science.parents import chembl_parent, uncharged
from app.science.reading import inchi_of, rdkit_log, read_structure
from app.science.sulfoxides import neutral_sulfoxides

_MAX_ROUNDS: Final = 9
_NUMBERED: Final = rdqueries.HasPropQueryAtom("molAtomMapNumber")
_CARBON: Final = Chem.MolFromSmarts("[#6]")
# Isotopes, metals, and hydrogens kept as atoms.
_NEEDS_PARENT: Final = Chem.MolFromSmarts("[!0*,!#5&!#6&!#7&!#8&!#9&!#14&!#15&!#16&!#17&!#34&!#35&!#53]")
_NEEDS_CLEANING: Final = tuple(
    Chem.MolFromSmarts(smarts)
    for smarts in (
        "[!+0;!$([N+](=O)[O-]);!$([O-][N+]=O)]",  # charges, but for the nitro group's own
        "[X0;F,Cl,Br,I]",  # bare halogens
        "O=[S;D2]-[#6]",  # sulfur of odd valence
        "[OH1;D1]C=;!@[NH1,NH0]",  # amides in their imidic acid form
    )
)


def standardize(notation: Notation, text: str) -> Structure:
    """Return the structure that the text describes, in the form that is stored, with all that follows from it.

    Raises:
        StructureError: RDKit or a limit refuses the text; the detail says why.
    """
    with rdkit_log():
        molecule = read_structure(notation, text)
        try:
            return _structure(molecule, text)
        except (ValueError, RuntimeError) as error:
            msg = f"RDKit cannot standardize this structure: {error}"
            raise StructureError(msg) from error


def _structure(submitted: Chem.Mol, text: str) -> Structure:
    molecule, smiles = _settled(submitted, text)
    inchi = inchi_of(molecule)
    inchikey = rdinchi.InchiToInchiKey(inchi)
    return Structure(
        canonical_smiles=smiles,
        inchi=inchi,
        inchikey=inchikey,
        parent_inchikey=_parent_inchikey(molecule, inchi, inchikey),
        formula=formula(molecule),
        molar_mass_g_mol=molar_mass_g_mol(molecule),
        descriptors=descriptors(molecule),
        fingerprint=fingerprint(molecule),
    )


def is_its_own_parent(molecule: Chem.Mol) -> bool:
    """Return whether there is nothing to strip: one component, no net charge, no isotopes, no metal."""
    if len(Chem.GetMolFrags(molecule)) > 1 or Chem.GetFormalCharge(molecule):
        return False
    return not molecule.HasSubstructMatch(_NEEDS_PARENT)


def is_standard(molecule: Chem.Mol) -> bool:
    """Return whether ChEMBL's pipeline would draw the molecule as it is, but for its sulfoxides."""
    return is_its_own_parent(molecule) and not any(map(molecule.HasSubstructMatch, _NEEDS_CLEANING))


def cleaned(molecule: Chem.Mol) -> Chem.Mol:
    """Return the molecule with charges, nitro groups and amides drawn as ChEMBL draws them, sulfoxides neutral."""
    return neutral_sulfoxides(molecule if is_standard(molecule) else piped(molecule))


def piped(molecule: Chem.Mol) -> Chem.Mol:
    """Return the molecule after the steps of ChEMBL's standardizer, all but the one that flattens tartaric acid.

    Protons may move within the molecule. A step that changes more is left out: taking the charge from an ion that
    was submitted as an ion, making HI of an iodine atom or a cation of CH3-SH=O gives another compound.
    """
    if exclude_flag(molecule, includeRDKitSanitization=False):
        return molecule
    for step in (_normalized, uncharged):
        result = step(molecule)
        if _is_sane(result) and _composition(result) == _composition(molecule):
            molecule = result
    return molecule


def _normalized(molecule: Chem.Mol) -> Chem.Mol:
    result = standardizer.update_mol_valences(molecule)
    result = standardizer.remove_sgroups_from_mol(result)
    result = standardizer.kekulize_mol(result)
    result = standardizer.remove_hs_from_mol(result)
    normalized: Chem.Mol = standardizer.normalize_mol(result)
    return normalized


def _composition(molecule: Chem.Mol) -> str:
    """Return the atoms, with their isotopes, and the net charge."""
    return rdMolDescriptors.CalcMolFormula(molecule, separateIsotopes=True)


def _settled(molecule: Chem.Mol, text: str) -> tuple[Chem.Mol, str]:
    """Return the cleaned molecule as its canonical SMILES says it, and that SMILES.

    Reading the SMILES and cleaning it once more must change nothing; what does not settle is refused. A text that is
    its own canonical SMILES has been read that way already.
    """
    smiles = text
    reread: Chem.Mol | None = _without_atom_numbers(molecule)
    for _ in range(_MAX_ROUNDS):
        if reread is None:
            break
        molecule = cleaned(reread)
        before, smiles = smiles, Chem.MolToSmiles(molecule)
        if smiles == before:
            return molecule, smiles
        reread = Chem.MolFromSmiles(smiles)
    raise StructureError("The structure has no stable canonical SMILES.")


def _parent_inchikey(molecule: Chem.Mol, own_inchi: str, own_inchikey: str) -> str:
    parent = molecule if is_its_own_parent(molecule) else _parent(molecule)
    inchi = own_inchi if parent is molecule else inchi_of(parent)
    if "/p" in inchi and len(Chem.GetMolFrags(parent)) == 1:
        # Betaine hydrochloride's parent is a cation: nothing in the pipeline takes a proton from beside a
        # quaternary nitrogen. Without the layer of added protons its InChI is betaine's own.
        inchi = "/".join(layer for layer in inchi.split("/") if not layer.startswith("p"))
    if inchi == own_inchi:
        return own_inchikey
    # A bare proton is nothing but what was left out: it is its own parent.
    return rdinchi.InchiToInchiKey(inchi) or own_inchikey


def _parent(molecule: Chem.Mol) -> Chem.Mol:
    """Return ChEMBL's parent, a single organic component wherever one can be had.

    DMSO is on ChEMBL's list of solvents, in its neutral spelling. That takes it from a drug's solvate; where it is
    the compound itself (DMSO hydrochloride, DMSO hydrate), the other spelling keeps it.
    """
    parent = _stripped(molecule)
    if not _is_one_organic(parent):
        respelled = _stripped(piped(molecule))
        parent = respelled if _is_one_organic(respelled) else parent
    # Methanol is a solvent, too: without this, sodium methoxide's parent would be the bare ion.
    return molecule if _has_carbon(molecule) and not _has_carbon(parent) else parent


def _stripped(molecule: Chem.Mol) -> Chem.Mol:
    parent = chembl_parent(molecule)
    return parent if _is_sane(parent) else molecule


def _is_one_organic(molecule: Chem.Mol) -> bool:
    return _has_carbon(molecule) and len(Chem.GetMolFrags(molecule)) == 1


def _is_sane(molecule: Chem.Mol) -> bool:
    """Sanitize the molecule in place; tell whether that went well."""
    # Taking its charge from hexafluorophosphate gives phosphorus a seventh bond.
    return Chem.SanitizeMol(molecule, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE


def _without_atom_numbers(molecule: Chem.Mol) -> Chem.Mol:
    for atom in molecule.GetAtomsMatchingQuery(_NUMBERED):
        atom.SetAtomMapNum(0)
    return molecule


def _has_carbon(molecule: Chem.Mol) -> bool:
    return molecule.HasSubstructMatch(_CARBON)
