"""Files in, files out: read an image, segment what is asked, judge the answers, write masks, a key and a preview."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
from scipy import special

from ..adapters.shipped import ShippedExpert
from ..errors import PromptError
from ..files import replacing_together, write_json
from ..imaging.formats import check_mask_output, write_mask, write_volume
from ..imaging.formats.label_tables import write_itk_snap_table
from ..imaging.grid import Array
from ..imaging.legend import Label, legend
from ..imaging.prompts import Prompt
from ..imaging.signal_checks import signal_warnings
from ..imaging.usable_signal import usable_signal
from ..imaging.volume import Volume
from ..vocabulary import pairs_by_side
from .calibration import Calibration
from .cleaning import cleaned, largest_piece
from .confidence import Confidence, judge
from .labelmap import LabelMapBuilder, LabelMasks
from .networks import Networks, answering
from .question_digest import question_digest
from .request import SegmentRequest
from .segment_report import PURPOSE, SegmentReport, StructureResult, as_plain, key_of, measure, notes_of
from .segmentation import Segmentation
from .session import Session
from .signs import Surroundings
from .test_time import EntropyDescent

__all__ = ["Progress", "SegmentReport", "StructureResult", "as_plain", "predict"]

Progress = Callable[[str, int, int], None]

_FOLDED = np.ones((1, 1, 1), np.bool_)  # in place of a mask that is not empty and stands in the label map
_EMPTY = np.zeros((1, 1, 1), np.bool_)
_OUTSIDE = -20.0  # logit of what lies outside the network's view


def predict(
    request: SegmentRequest, progress: Progress | None = None, networks: Networks | None = None
) -> SegmentReport:
    """Carry out a request; nothing is written unless everything was segmented.

    Args:
        request: what to segment and where to write it.
        progress: told (what is being done, structures done, structures in all).
        networks: those that are loaded already, for calls in a row; None loads what is needed.

    Raises:
        SegevolutionError: the sentence says what is wrong with the image, the prompt, the model or the output.
    """
    tell = progress or (lambda what, done, total: None)
    tell("reading the image", 0, len(request.names))
    volume = request.read_image()
    if request.output is not None and not request.split:
        check_mask_output(request.output, volume)
    networks = networks or Networks(request.device)
    answerer, is_expert = answering(request.model, request.adapter, volume.modality)
    question = question_digest(request)
    asked_for_every = request.every
    if asked_for_every:
        request = _of_every_structure(request, networks, answerer, volume)
    prompts = request.prompts(volume.grid)
    request.outputs.check(request.inputs, force=True)  # a place that can never be written is said at once
    tell(f"loading {answerer}" if answerer not in networks else request.names[0], 0, len(request.names))
    backbone, calibration = networks.get(answerer)
    session = Session(
        backbone,
        volume,
        windows=request.windows,
        max_gigabytes=request.max_gigabytes,
        test_time=EntropyDescent(request.test_time_steps) if request.test_time_steps else None,
        second_opinion=request.second_opinion,
        drop_islands=request.drop_islands,
    )
    session.check(prompts)
    # Only now: what exists already is said of input that could be answered, and before any work of the network.
    request.check_outputs()
    usable = usable_signal(volume.array, volume.modality)
    surroundings, signal_sentences = Surroundings.of(volume, usable), signal_warnings(volume, usable)
    del usable  # may hold a copy of the image
    answers, judged, joined = _answered(
        request, session, prompts, surroundings, calibration, tell, believed_only=asked_for_every
    )
    remarks: tuple[str, ...] = ()
    if asked_for_every:
        request, answers, judged, remarks = _believed(request, answers, judged)
    tell("writing", len(request.names), len(request.names))
    outputs = request.outputs
    superseded = outputs.superseded()
    if superseded:
        remarks = (*remarks, f"removed with the answer before: {', '.join(path.name for path in superseded)}")
    new_files = [path.absolute() for path in outputs.files]
    with replacing_together(
        new_files, force=request.force, removed=[path.absolute() for path in superseded]
    ) as temporary:
        places = dict(zip(outputs.files, temporary, strict=True))
        names = request.names * (len(answers) if request.candidates else 1)
        labels = legend(request.names)
        masks = _write_masks(request, [places[path] for path in outputs.masks], session, answers, labels, joined)
        values = [1 if request.candidates else label.value for label in labels] * (len(names) // len(labels))
        results = measure(names, values, outputs, volume, masks, answers, judged)
        doubts = tuple(
            f"{result.name}{f', alternative {number}' if request.candidates else ''}: {clause}"
            for number, result in enumerate(results, start=1)
            for clause in result.warnings
        )
        warnings = (*volume.unstated, *volume.remarks, *signal_sentences, *doubts)
        notes = (
            *warnings,
            *_routed(volume, request.model, answerer, is_expert),
            *remarks,
            *notes_of(request, volume, results, answers),
        )
        for path, answer in zip(outputs.probabilities, answers, strict=False):
            _write_probability(places[path], session, answer, percent=request.probabilities == "percent")
        if outputs.colours is not None:
            write_itk_snap_table(places[outputs.colours], labels)
        write_json(places[outputs.key], key_of(request, outputs, volume, results, notes, answerer, question))
        if outputs.preview is not None:
            _draw(places[outputs.preview], request, volume, results, masks, answers, answerer)
    counts = session.counts
    return SegmentReport(results, outputs.files, notes, counts.encodings, counts.decodings, warnings)


def _of_every_structure(
    request: SegmentRequest, networks: Networks, answerer: ShippedExpert, volume: Volume
) -> SegmentRequest:
    """The request with the name of each structure that the network knows and that can be told in this volume."""
    spec = networks.get(answerer)[0].spec
    if not spec.structures:
        raise PromptError(
            f"{answerer} has no list of structures, so --all has nothing to ask for; name some with --text."
        )
    sided = volume.orientation_stated
    names = [name for name in spec.structures if sided or not {"left", "right"} & set(name.split())]
    return request.of_structures(pairs_by_side(names))


def _answered(
    request: SegmentRequest,
    session: Session,
    prompts: Sequence[Prompt],
    surroundings: Surroundings,
    calibration: Calibration,
    tell: Progress,
    *,
    believed_only: bool,
) -> tuple[list[Segmentation], list[Confidence], LabelMapBuilder | None]:
    """The answers, cleaned as was asked, each with what is thought of it, and the label map that they are folded into.

    Answers that are in the label map hold neither mask nor logits any more; with `believed_only`, those that are empty
    or doubted are left out of it.
    """
    builder = None if request.split or request.candidates else LabelMapBuilder(session.frame, len(prompts))
    answers: list[Segmentation] = []
    judged: list[Confidence] = []
    for number, (name, prompt) in enumerate(zip(request.names, prompts, strict=True)):
        tell(name, number, len(prompts))
        if request.candidates:
            candidates = session.candidates(prompt, keep_logits=True)
        else:
            candidates = [session.segment(prompt, keep_logits=True)]
        for answer in candidates:
            # An alternative is not what the moved prompt would be answered by, so it is not asked again.
            asking = session if request.check and not request.candidates else None
            judged.append(judge(answer, surroundings, calibration, frame=session.frame, session=asking))
            answer = cleaned(answer, smooth_mm=request.smooth, largest=request.largest)
            if builder is not None:
                if not believed_only or _is_believed(answer, judged[-1]):
                    builder.add(answer)
                answer = replace(answer, mask=_FOLDED if answer.mask.any() else _EMPTY)
            answers.append(answer if request.probabilities is not None else replace(answer, logits=None))
        del candidates, answer  # their logits, before the next structure is asked for
    if request.candidates:
        order = _best_first(judged)
        answers, judged = [answers[place] for place in order], [judged[place] for place in order]
    return answers, judged, builder


def _best_first(judged: Sequence[Confidence]) -> list[int]:
    """Places of alternatives by their expected overlap; as they came, by the network's own, where one has none."""
    expected = [each.expected_overlap for each in judged]
    places = list(range(len(judged)))
    return places if None in expected else sorted(places, key=lambda place: -(expected[place] or 0.0))


def _is_believed(answer: Segmentation, confidence: Confidence) -> bool:
    return bool(answer.mask.any()) and not confidence.warnings


def _believed(
    request: SegmentRequest, answers: Sequence[Segmentation], judged: Sequence[Confidence]
) -> tuple[SegmentRequest, list[Segmentation], list[Confidence], tuple[str, ...]]:
    """What is kept where all structures were asked for, and what is said of the rest.

    Raises:
        PromptError: nothing is left.
    """
    empty = [name for name, answer in zip(request.names, answers, strict=True) if not answer.mask.any()]
    doubted = [
        name
        for name, answer, confidence in zip(request.names, answers, judged, strict=True)
        if confidence.warnings and answer.mask.any()
    ]
    places = [place for place, name in enumerate(request.names) if name not in {*empty, *doubted}]
    if not places:
        raise PromptError(
            f"none of the {len(answers)} structures that the model knows was found and believed in {request.image}; "
            "name one with --text to get its answer all the same."
        )
    remarks = []
    if empty:
        remarks.append(f"not found and left out: {', '.join(empty)}")
    if doubted:
        remarks.append(f"doubted and left out, name them with --text to get them: {', '.join(doubted)}")
    believed_request = request.of_structures([request.names[place] for place in places])
    return believed_request, [answers[place] for place in places], [judged[place] for place in places], tuple(remarks)


def _write_masks(
    request: SegmentRequest,
    paths: Sequence[Path],
    session: Session,
    answers: Sequence[Segmentation],
    labels: Sequence[Label],
    joined: LabelMapBuilder | None,
) -> Sequence[Array]:
    """Write the masks; each as it is in its file, one an answer."""
    volume = session.volume
    if request.candidates:
        for path, answer in zip(paths, answers, strict=True):
            write_mask(answer.mask, volume, path, labels=labels)
        return [answer.mask for answer in answers]
    if request.split:
        for path, answer, label in zip(paths, answers, labels, strict=True):
            value = np.min_scalar_type(label.value).type(label.value)
            write_mask(answer.mask * value, volume, path, labels=[label])
        return [answer.mask for answer in answers]
    assert joined is not None
    array = joined.labels({place: label.value for place, label in enumerate(labels, start=1)})
    if request.largest and len(labels) > 1:  # another structure may have cut one in two
        for label in labels:
            mask = array == label.value
            array[mask & ~largest_piece(mask)] = 0
    write_mask(array, volume, paths[0], labels=labels)
    return LabelMasks(array, [label.value for label in labels])


def _write_probability(path: Path, session: Session, answer: Segmentation, *, percent: bool) -> None:
    """Write the network's probability of one structure on the image's grid, before any cleaning."""
    assert answer.logits is not None
    logits = session.frame.restore(session.frame.on_crop(answer.logits.astype(np.float32)), _OUTSIDE)
    share = special.expit(logits)
    array = np.rint(100 * share).astype(np.uint8) if percent else share.astype(np.float32)
    write_volume(replace(session.volume, array=array), path)


def _routed(volume: Volume, model: str, answerer: ShippedExpert, is_expert: bool) -> list[str]:
    if not is_expert:
        return []
    if answerer.adapter is None:
        return [f"{volume.modality} is answered by {answerer}; --adapter none asks {model} itself"]
    return [f"{volume.modality} is answered by the expert, {answerer}; --adapter none leaves it out"]


def _draw(
    path: Path,
    request: SegmentRequest,
    volume: Volume,
    results: Sequence[StructureResult],
    masks: Sequence[Array],
    answers: Sequence[Segmentation],
    answerer: ShippedExpert,
) -> None:
    """Draw the preview."""
    # Imported when it is asked for: matplotlib takes a quarter of the time of a first answer.
    preview = import_module(".preview", __package__)
    panels = []
    for number, (result, mask, answer) in enumerate(zip(results, masks, answers, strict=True), start=1):
        name = f"{result.name}, alternative {number}" if request.candidates else result.name
        panels.append(preview.PreviewRow(name, mask, answer.prompt, result.expected_overlap, result.warnings))
    title = f"{volume.name} ({volume.modality or 'modality not said'}), {Path(answerer.model).name}; {PURPOSE}"
    preview.write_preview(path, volume, panels, title=title)
