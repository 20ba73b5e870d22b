"""The structure that the codes of a DICOM data set stand for (PS3.3, 8.8 and 10.5)."""

from typing import Any

from ..snomed import CodedTerm, structure_of


def coded_structure(kind: Any, region: Any = None) -> str | None:
    """The structure by the code sequences of what it is and where; None where they say none that is known.

    The side stands with either, as a modifier.
    """
    term = _coded_term(kind)
    if term is None:
        return None
    side = _coded_term(kind[0].get("SegmentedPropertyTypeModifierCodeSequence"))
    if side is None and region:
        side = _coded_term(region[0].get("AnatomicRegionModifierSequence"))
    return structure_of(term, side, _coded_term(region))


def _coded_term(sequence: Any) -> CodedTerm | None:
    """The first code of a sequence; None where there is none, or no whole one."""
    if not sequence:
        return None
    code = sequence[0]
    value, scheme = code.get("CodeValue"), code.get("CodingSchemeDesignator")
    return CodedTerm(str(value), str(code.get("CodeMeaning", "")), str(scheme)) if value and scheme else None
