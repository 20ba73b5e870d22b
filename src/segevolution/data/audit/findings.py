"""A finding of a check: its severity, the cases it is about, and what to do."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

# So many cases of one dataset with the same finding are told in one.
_MANY = 4


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, odd, or worth knowing.

    Attributes:
        check: which check found it, such as "duplicates".
        severity: "error": results from these data cannot be trusted; "warning": probably wrong, a person must look;
            "note": right as it is, but to be known.
        cases: "store/case" of every case it is about; empty where it is about none.
        message: one sentence that says what is wrong.
        remedy: one sentence that says what to do.
    """

    check: str
    severity: Severity
    cases: tuple[str, ...]
    message: str
    remedy: str


def gathered(findings: Iterable[Finding], dataset_of: Mapping[str, str]) -> tuple[Finding, ...]:
    """Join findings on single cases that many cases of a dataset share, and sort by severity, check and case.

    Args:
        dataset_of: "store/case" -> its dataset. Findings on several cases, or on a case not in here, stay as they are.
    """
    alike: dict[tuple[str, Severity, str, str], list[Finding]] = defaultdict(list)
    gathered_findings = []
    for finding in findings:
        dataset = dataset_of.get(finding.cases[0]) if len(finding.cases) == 1 else None
        if dataset is None:
            gathered_findings.append(finding)
        else:
            alike[finding.check, finding.severity, dataset, finding.remedy].append(finding)
    sizes: dict[str, int] = defaultdict(int)
    for dataset in dataset_of.values():
        sizes[dataset] += 1
    for (check, severity, dataset, remedy), members in alike.items():
        cases = tuple(dict.fromkeys(member.cases[0] for member in members))
        if len(cases) < _MANY:
            gathered_findings += members
        else:
            first = members[0]
            message = f"{len(cases)} of {sizes[dataset]} cases of {dataset}, for example {first.message}"
            gathered_findings.append(Finding(check, severity, cases, message, remedy))
    return tuple(sorted(gathered_findings, key=_order))


def counts(findings: Sequence[Finding]) -> dict[Severity, int]:
    """How many findings there are of each severity."""
    return {severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES}


def _order(finding: Finding) -> tuple[int, str, tuple[str, ...], str]:
    return SEVERITIES.index(finding.severity), finding.check, finding.cases, finding.message
