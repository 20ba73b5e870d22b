"""What a person types for a DICOMweb service, and what it means."""

import pytest

from segevolution.errors import FormatError
from segevolution.inference import dicomweb_address
from segevolution.inference.dicomweb_address import DicomwebAddress, is_dicomweb, require_dicomweb


@pytest.mark.parametrize(
    ("text", "service", "private"),
    [
        ("dicomweb://pacs.example/rs", "https://pacs.example/rs", True),
        ("dicomweb://pacs.example:8443", "https://pacs.example:8443", True),
        ("dicomweb://localhost:8042/dicom-web/", "http://localhost:8042/dicom-web", True),
        ("dicomweb://[::1]:8042/a/b", "http://[::1]:8042/a/b", True),
        ("dicomweb+https://localhost/rs", "https://localhost/rs", True),
        ("dicomweb+http://pacs.example/rs", "http://pacs.example/rs", False),
    ],
)
def test_an_address_is_https_but_on_this_machine_unless_it_insists(text: str, service: str, private: bool) -> None:
    address = DicomwebAddress.parse(text)
    assert (address.service, address.study, address.series) == (service, None, None)
    assert address.is_private is private


def test_study_and_series_are_read_off_the_end() -> None:
    address = DicomwebAddress.parse("dicomweb://h:1/a/studies/1.2.3/series/1.2.4/")
    assert (address.service, address.study, address.series) == ("https://h:1/a", "1.2.3", "1.2.4")
    assert address.resource == "https://h:1/a/studies/1.2.3/series/1.2.4"
    assert DicomwebAddress.parse("dicomweb://h/studies/1.2").series is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dicomweb://", "no address of a DICOMweb service"),
        ("dicomweb:/h/a", "no address of a DICOMweb service"),
        ("dicomweb://h:99999999/a", "no address of a DICOMweb service"),
        ("dicomweb://h/a/studies/x/series/1", "no address of a DICOMweb service"),
        ("dicomweb://h/a/studies/1.2/series/1.3/instances/1.4", "no address of a DICOMweb service"),
        ("dicomweb://h/a?x=1", "no address of a DICOMweb service"),
        ("dicomweb+ftp://h/a", "no address of a DICOMweb service"),
        ("dicomweb://h/studies/" + "1" * 65, "more than 64 characters"),
    ],
)
def test_what_is_no_address_is_refused(text: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        DicomwebAddress.parse(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(FormatError, match="must not hold a name or password") as refusal:
        DicomwebAddress.parse("dicomweb://me:hush@h/a")
    assert "hush" not in str(refusal.value)


def test_files_are_no_addresses() -> None:
    assert is_dicomweb("dicomweb://h/a")
    assert is_dicomweb("dicomweb+http://h/a")
    assert not is_dicomweb("dicomweb.nii.gz")
    assert not is_dicomweb("folder/dicomweb:x")


def test_without_the_extra_a_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb_address, "find_spec", lambda name: None)
    with pytest.raises(FormatError, match=r'pip install "segevolution\[dicom\]"'):
        require_dicomweb()
