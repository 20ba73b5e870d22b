"""SAML: every site is found whatever its capitals, and 1 and 2 are one prostate."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.sources import SOURCES, open_source
from segevolution.data.sources.saml import SITES, SAMLSource
from segevolution.errors import SegevolutionError, StoreError
from segevolution.vocabulary import Modality

AFFINE = np.array([[-0.4, 0, 0.3, 60], [0, -0.4, 0, 55], [0.03, 0, 3.0, -20], [0, 0, 0, 1.0]])


def case(miniature: Any, site: Path, number: int, values: tuple[int, ...] = (1, 2), seed: int = 0) -> None:
    """CaseXX with its mask, whose name begins with a capital letter in BMC."""
    ending = "Segmentation" if site.name == "BMC" else "segmentation"
    miniature.image(site / f"Case{number:02d}.nii.gz", seed, affine=AFFINE)
    miniature.labels(site / f"Case{number:02d}_{ending}.nii.gz", values, affine=AFFINE)


@pytest.fixture
def folder(miniature: Any, tmp_path: Path) -> Path:
    """The same number at all six sites."""
    for seed, site in enumerate(SITES):
        case(miniature, tmp_path / "Processed_data_nii" / site, 29, (1,) if site == "RUNMC" else (1, 2), seed)
    return tmp_path


@pytest.mark.parametrize("below", ["", "Processed_data_nii"])
def test_all_six_sites_are_found_and_stay_apart(folder: Path, below: str) -> None:
    source = open_source("auto", folder / below)
    assert isinstance(source, SAMLSource)
    assert source.index() == tuple(sorted(f"{site}_Case29" for site in SITES))
    cases = [source.read(name) for name in source.index()]
    assert {found.site for found in cases} == set(SITES)
    assert len({found.patient for found in cases}) == 6
    assert all(found.site is not None and found.site in found.patient for found in cases)
    assert {(c.dataset, c.sequence, c.volume.modality, c.part) for c in cases} == {("saml", "T2", Modality.MRI, None)}


def test_both_labels_are_prostate_at_their_place_and_no_zones(folder: Path) -> None:
    found = SAMLSource(folder).read("BMC_Case29")
    assert found.structures == {"prostate": (1, 2)}
    written = nib.load(folder / "Processed_data_nii" / "BMC" / "Case29_Segmentation.nii.gz")
    expected = nib.affines.apply_affine(AFFINE, np.argwhere(np.asanyarray(written.dataobj) > 0))
    np.testing.assert_allclose(found.volume.grid.to_mm(np.argwhere(found.mask("prostate"))), expected, atol=1e-5)
    assert len(expected) == 24
    image = nib.load(folder / "Processed_data_nii" / "BMC" / "Case29.nii.gz")
    np.testing.assert_array_equal(found.volume.array, np.asanyarray(image.dataobj))
    assert SAMLSource(folder).read("RUNMC_Case29").mask("prostate").sum() == 12


def test_capitals_count_at_no_site(folder: Path) -> None:
    for site, ending in (("BMC", "segmentation"), ("UCL", "SEGMENTATION")):
        mask = next((folder / "Processed_data_nii" / site).glob("Case29_*"))
        mask.rename(mask.with_name(f"Case29_{ending}.nii.gz"))
    source = SAMLSource(folder)
    assert len(source.index()) == 6
    assert source.read("BMC_Case29").mask("prostate").any()
    assert source.read("UCL_Case29").mask("prostate").any()


def test_leftovers_of_archives_are_no_cases(folder: Path, miniature: Any) -> None:
    (folder / "Processed_data_nii" / "HK" / "._Case00.nii.gz").write_bytes(b"\x00\x05\x16\x07")
    case(miniature, folder / "__MACOSX" / "HK", 3)
    assert len(SAMLSource(folder).index()) == 6


def test_faults_are_one_sentence_about_one_case(folder: Path, miniature: Any) -> None:
    data = folder / "Processed_data_nii"
    (data / "HK" / "Case29.nii.gz").unlink()
    (data / "BMC" / "Case29_Segmentation.nii.gz").unlink()
    miniature.labels(data / "UCL" / "Case29_segmentation.nii.gz", (1, 3), affine=AFFINE)
    reasons = {}
    source = SAMLSource(folder)
    for name in source.index():
        try:
            source.read(name)
        except SegevolutionError as error:
            reasons[name] = str(error)
    assert reasons.keys() == {"HK_Case29", "BMC_Case29", "UCL_Case29"}
    assert "HK_Case29 has no image" in reasons["HK_Case29"]
    assert "BMC_Case29 has no label" in reasons["BMC_Case29"]
    assert "holds the label 3" in reasons["UCL_Case29"]


def test_the_list_of_sources_says_whose_patients_they_are() -> None:
    assert "PROMISE12" in SOURCES["saml"].provenance.obtain


def test_other_folders_are_refused(tmp_path: Path, miniature: Any) -> None:
    miniature.image(tmp_path / "BMC" / "Case00.nii.gz")
    assert not SAMLSource.recognises(tmp_path)
    with pytest.raises(StoreError, match=r"not in SAML's layout: it holds none of the folders RUNMC, BMC"):
        SAMLSource(tmp_path)


def test_a_case_that_is_there_twice_is_told(miniature: Any, tmp_path: Path) -> None:
    case(miniature, tmp_path / "RUNMC", 1)
    case(miniature, tmp_path / "sub" / "RUNMC", 1, seed=1)
    with pytest.raises(StoreError, match=r"RUNMC_Case01 is in .*RUNMC and in .*sub.RUNMC; keep one of the two"):
        SAMLSource(tmp_path).index()
    miniature.image(tmp_path / "RUNMC" / "case01.nii.gz", affine=AFFINE)
    if len(list((tmp_path / "RUNMC").iterdir())) == 3:  # a disk that tells capitals
        with pytest.raises(StoreError, match=r"Case01.nii.gz and .*case01.nii.gz have one name"):
            SAMLSource(tmp_path).index()
