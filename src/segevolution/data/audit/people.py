"""Check that a dataset's patients are plausible: not all cases of one person, not one person under several names."""

from collections import defaultdict
from collections.abc import Sequence

from ..sources.naming import image_stem
from ..sources.patients import SAID_BY_A_PERSON, group_patients
from .entries import AuditedCase
from .findings import Finding

_REMEDY = "If that is wrong, prepare again with --patient-from: a regular expression or a table of files and patients."
_SHOWN = 3


def check_people(everyone: Sequence[AuditedCase]) -> list[Finding]:
    """Findings on the patients of each dataset, from the names of the files that its cases came from.

    All files of one patient, and files that their names may give to fewer patients than the records do, are warnings.
    Where a person said who is who, by a table or an expression, names that only may be shared are none.
    """
    by_dataset: dict[str, list[AuditedCase]] = defaultdict(list)
    for entry in everyone:
        by_dataset[entry.record.dataset].append(entry)
    findings: list[Finding] = []
    for dataset, members in sorted(by_dataset.items()):
        patient_of = {_file(entry): entry.record.patient for entry in members}
        patients = set(patient_of.values())
        if len(patient_of) > 2 and len(patients) == 1:
            message = f"all {len(patient_of)} files of {dataset} are of one patient, {next(iter(patients))}."
            findings.append(Finding("patients", "warning", tuple(e.name for e in members), message, _REMEDY))
            continue
        findings += _shared_names(dataset, members, patient_of)
    return findings


def _shared_names(dataset: str, members: Sequence[AuditedCase], patient_of: dict[str, str]) -> list[Finding]:
    """Files that were taken for patients of their own although their names say, or may say, that they share one."""
    grouping = group_patients(sorted(patient_of))
    together: dict[str, set[str]] = defaultdict(set)
    for file, patient in grouping.patients.items():
        together[patient].add(patient_of[file])
    several = {patient: sorted(recorded) for patient, recorded in together.items() if len(recorded) > 1}
    each_its_own = len(set(patient_of.values())) == len(patient_of)
    if not several and (not grouping.doubt or not each_its_own or _said_by_a_person(dataset, members)):
        return []
    files = {file for file, patient in grouping.patients.items() if patient in several} or set(patient_of)
    cases = tuple(entry.name for entry in members if _file(entry) in files)
    if several:
        groups_text = "; ".join(f"{', '.join(names)} may be one person" for names in list(several.values())[:_SHOWN])
        message = f"the names of {dataset} speak of fewer patients than its records, by {grouping.rule}: {groups_text}."
    else:
        message = f"the names of {dataset} do not tell for certain who its patients are: {grouping.doubt}."
    return [Finding("patients", "warning", cases, message, _REMEDY)]


def _said_by_a_person(dataset: str, members: Sequence[AuditedCase]) -> bool:
    """Whether the store keeps that a table or an expression named the patients when it was prepared."""
    stores = {entry.store.path: entry.store for entry in members}.values()
    texts = [note.get("text", "") for store in stores for note in store.decisions.get(dataset, [])]
    return any(SAID_BY_A_PERSON in text for text in texts)


def _file(entry: AuditedCase) -> str:
    """The name of the file or folder that a case came from, without the number of a channel; else the case's own."""
    if entry.record.origin is None:
        return entry.record.name
    path = entry.record.origin.path
    stem = image_stem(path.name) or path.name
    channel = len(stem) > 5 and stem[-5] == "_" and stem[-4:].isdigit()
    return stem[:-5] if channel and any(character.isdigit() for character in stem[:-5]) else stem
