"""Whether a case of a store was made from the image that a source has under its name, so that none replaces another."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from .images import ImageIdentity, image_identity
from .record import CaseRecord
from .sources import Source
from .sources.collection import datasets_of, identity_of, series_of
from .store import Store


def stored_names(source: Source, store: Store, cases: Sequence[str], prefix: str) -> dict[str, str]:
    """Case -> its name in the store.

    What the store has of the same dataset keeps its name: a series whatever lies beside it now, and an image whatever
    prefix it was prepared with.
    """
    records = store.select(datasets=datasets_of(source))
    series_by_case = {case: series_of(source, case) for case in cases}
    name_by_series: dict[str, str] = {}
    if any(series_by_case.values()):
        for record in records:
            image = _image_of(record)
            if image is not None and image.is_series:
                name_by_series.setdefault(image.content, record.name)
    index = source.index()
    stored, by_ending = {record.name for record in records}, _by_ending(records, frozenset(cases))
    own_names = {*index, *(prefix + case for case in index)}
    names = {}
    for case, series in series_by_case.items():
        name = name_by_series.get(series or "", prefix + case)
        if name not in stored and series is None and case in by_ending:
            image = identity_of(source, case)
            names_of_image = (
                record.name
                for record in by_ending[case]
                if (record.name == case or record.name not in own_names) and _is_of(record, image)
            )
            name = next(names_of_image, name)
        names[case] = name
    return names


def _by_ending(records: Sequence[CaseRecord], cases: Collection[str]) -> dict[str, list[CaseRecord]]:
    """Case -> the cases of the store whose names end so, whatever their prefix; none where there are none."""
    by_ending: dict[str, list[CaseRecord]] = defaultdict(list)
    for record in records:
        for start in range(len(record.name)):
            if (ending := record.name[start:]) in cases:
                by_ending[ending].append(record)
    return dict(by_ending)


def _is_of(record: CaseRecord, image: ImageIdentity | None) -> bool:
    """Whether a case of the store was certainly made from this image."""
    stored_image = _image_of(record)
    return image is not None and stored_image is not None and stored_image.is_same(image)


def another_image(record: CaseRecord, image: ImageIdentity | None) -> str | None:
    """A sentence where a case of the store was certainly made from another image than the source's of its name."""
    stored_image = _image_of(record)
    if image is None or stored_image is None or not stored_image.is_another(image):
        return None
    stored, new = (
        f"series {one.content} in {one.path}" if one.is_series else one.path for one in (stored_image, image)
    )
    return (
        f"the store's case of this name is of another image ({stored}), so this one ({new}) is not taken; prepare "
        "other patients with --prefix and --dataset; if it is the same one, delete its folder in the store first."
    )


def changed_image(record: CaseRecord, image: ImageIdentity | None) -> str:
    """A sentence where the image of a case was changed in its place since; "" where it was not."""
    if image is None or record.image is None or not record.image.is_changed(image):
        return ""
    return f"{image.path} has changed since the case was made of it; prepare with --update."


def _image_of(record: CaseRecord) -> ImageIdentity | None:
    """The image of a case; in a store of an earlier version that of the file that it came from, if that is there."""
    origin = record.origin
    return record.image or (image_identity(origin.path, origin.series) if origin is not None else None)
