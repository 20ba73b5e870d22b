"""Codes of structures, held against the table of DICOM's own codes that pydicom brings along."""

import pytest
from pydicom.sr._concepts_dict import concepts

from segevolution.imaging.snomed import PRIVATE_SCHEME, CodedTerm, structure_code
from segevolution.vocabulary import STRUCTURES

_LISTED = {value for meanings in concepts["SCT"].values() for value in meanings}


def _terms(name: str) -> list[CodedTerm]:
    code = structure_code(name)
    return [term for term in (code.category, code.kind, code.side, code.region) if term is not None]


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_code_is_one_that_dicom_lists_or_private(name: str) -> None:
    for term in _terms(name):
        assert term.scheme == PRIVATE_SCHEME or term.value in _LISTED
        assert 0 < len(term.value) <= 16
        assert 0 < len(term.meaning) <= 64


def test_no_two_structures_share_their_codes() -> None:
    codes = [structure_code(name) for name in STRUCTURES]
    assert len(set(codes)) == len(codes)
    assert sum(code.kind.scheme == "SCT" for code in codes) >= 60


def test_sides_are_codes_of_their_own_and_names_may_vary() -> None:
    left = structure_code("Kidney_Left")
    assert left == structure_code("left kidney")
    assert left.side is not None
    assert (left.kind, left.side.value) == (structure_code("kidney").kind, "7771000")
    assert structure_code("left ventricle").side is None
