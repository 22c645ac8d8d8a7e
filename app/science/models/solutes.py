"""The solutes that models have parameters for, by the full InChIKey of the neutral molecule or salt."""

from __future__ import annotations

from typing import Final

DMSO: Final = "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"
GLYCEROL: Final = "PEDCQBHIVMGVHV-UHFFFAOYSA-N"
ETHYLENE_GLYCOL: Final = "LYCAIKOWRPUZTN-UHFFFAOYSA-N"
PROPYLENE_GLYCOL: Final = "DNIAPMSPPWPWGF-UHFFFAOYSA-N"
FORMAMIDE: Final = "ZHNUHDYFZUAESO-UHFFFAOYSA-N"
METHANOL: Final = "OKKJLVBELUTLKV-UHFFFAOYSA-N"
ETHANOL: Final = "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"
SUCROSE: Final = "CZMRCDWAGMRECN-UGDNZRGBSA-N"
TREHALOSE: Final = "HDTRYLNUVZCQOY-LIZSDCNHSA-N"
RAFFINOSE: Final = "MUPFEKGTMRGPLJ-ZQSKZDJDSA-N"
MALTOSE: Final = "GUBGYTABKSRVRQ-PICCSMPSSA-N"
GLUCOSE: Final = "WQZGKKKJIJFFOK-GASJEMHNSA-N"
MANNITOL: Final = "FBPFZTCFMRRESA-KVTDHHQDSA-N"
SORBITOL: Final = "FBPFZTCFMRRESA-JGWLITMVSA-N"
SODIUM_CHLORIDE: Final = "FAPWRFPIFSIZLT-UHFFFAOYSA-M"
POTASSIUM_CHLORIDE: Final = "WCUXLLCKKVVCTQ-UHFFFAOYSA-M"

NAMES: Final = {
    DMSO: "dimethyl sulfoxide",
    GLYCEROL: "glycerol",
    ETHYLENE_GLYCOL: "ethylene glycol",
    PROPYLENE_GLYCOL: "propylene glycol",
    FORMAMIDE: "formamide",
    METHANOL: "methanol",
    ETHANOL: "ethanol",
    SUCROSE: "sucrose",
    TREHALOSE: "trehalose",
    RAFFINOSE: "raffinose",
    MALTOSE: "maltose",
    GLUCOSE: "glucose",
    MANNITOL: "mannitol",
    SORBITOL: "sorbitol",
    SODIUM_CHLORIDE: "sodium chloride",
    POTASSIUM_CHLORIDE: "potassium chloride",
}
