"""One-line faults put into the code on purpose, to see whether a test notices each.

Not part of `make test`, since it takes minutes:

    python tests/mutations.py              all of them
    python tests/mutations.py objective    those whose name or file holds a word
    python tests/mutations.py --list       what there is

Each mutation replaces one text, which must stand exactly once in `src`, in a copy of the code; then the tests that
matter run against the copy. A survivor is a fault that no test notices. Exit status 0: none survived.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 300  # seconds; a test that hangs under a mutation has noticed it


@dataclass(frozen=True)
class Mutation:
    """A fault.

    Attributes:
        name: what goes wrong.
        file: where, below src/segevolution.
        old, new: the text and what it becomes.
        tests: files or folders below `tests` that should notice.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str


ZOOM, STRATEGIES, STRATEGY_TESTS = "inference/strategies/zoom.py", "inference/strategies/", "inference/strategies"
OBJECTIVE, OBJECTIVE_TESTS = "training/objective.py", "training/test_objective.py"

MUTATIONS = (
    # Intensities that are matched to CT, and what follows from them.
    Mutation(
        "an MRI is matched by the percentiles of its air, too",
        "imaging/intensity_matching.py",
        "if inside.any() else signal",
        "if False else signal",
        "imaging/test_intensity_matching.py",
    ),
    Mutation(
        "a match reads its curve at twice the signal",
        "imaging/intensity_matching.py",
        "return own[rising], target[rising]",
        "return own[rising] * 2, target[rising]",
        "imaging/test_intensity_matching.py",
    ),
    Mutation(
        "a scan without a modality is never taken for CT where intensities are matched",
        "imaging/intensity.py",
        "if self.profile is None or _likely_modality(volume.modality, volume.array) is",
        "if self.profile is None or volume.modality is",
        "imaging/test_intensity_matching.py",
    ),
    Mutation(
        "networks of one set of weights and two profiles have one fingerprint",
        "models/checkpoints.py",
        "if normaliser is not None and normaliser.profile is not None:",
        "if False:",
        "models/test_checkpoints.py",
    ),
    Mutation(
        "a view in another contrast keeps no percentiles",
        "data/contrast.py",
        "if settings.matched else",
        "if False else",
        "data/test_contrast.py",
    ),
    Mutation(
        "bfloat16 is trained in without its instructions",
        "training/fit.py",
        'settings.precision != "bf16-mixed" or has_bfloat16',
        "True or has_bfloat16",
        "training/test_fit.py",
    ),
    # The faults that no test noticed in the first round.
    Mutation(
        "the worst of three alternatives is trained", OBJECTIVE, ".min(1).values", ".max(1).values", OBJECTIVE_TESTS
    ),
    Mutation(
        "an absent structure pays Dice",
        OBJECTIVE,
        "+ present * overlap_loss(flat_logits",
        "+ overlap_loss(flat_logits",
        OBJECTIVE_TESTS,
    ),
    Mutation("the loss of the overlap is not weighted", OBJECTIVE, "settings.iou * error", "error", OBJECTIVE_TESTS),
    Mutation(
        "the foreground's weight is never annealed",
        OBJECTIVE,
        "max(0.0, 1 - progress / max(settings.anneal, 1e-6))",
        "1.0",
        OBJECTIVE_TESTS,
    ),
    Mutation(
        "absent structures are never asked for",
        "training/batches.py",
        "rng.random() < self.sample.absent",
        "rng.random() < 0",
        OBJECTIVE_TESTS,
    ),
    Mutation(
        "DICOM's intercept is dropped with a fractional slope",
        "imaging/formats/base.py",
        ".astype(np.float64) * slope + intercept",
        ".astype(np.float64) * slope",
        "imaging/formats/test_dicom.py",
    ),
    Mutation(
        "ten times the shear is let pass",
        "imaging/formats/dicom_geometry.py",
        "_SHEAR = 0.01",
        "_SHEAR = 0.1",
        "imaging/formats/test_dicom.py",
    ),
    Mutation(
        "MR is cut at its second percentile",
        "imaging/intensity.py",
        "np.percentile(sample, (0.5, 99.5))",
        "np.percentile(sample, (2, 99.5))",
        "imaging/test_framing.py",
    ),
    Mutation(
        "registration believes a gain of .005",
        "data/audit/registration.py",
        "_GAIN = 0.045",
        "_GAIN = 0.005",
        "data/test_audit_registration.py",
    ),
    Mutation(
        "the additive prototype's scale is ignored",
        "adapters/prior/prototypes.py",
        "self.scale * values.unflatten",
        "values.unflatten",
        "adapters/test_formulas.py",
    ),
    Mutation(
        "the gate never loses the modality",
        "adapters/mixture/decision.py",
        "None if chance < config.modality_dropout else name",
        "name",
        "adapters/test_formulas.py",
    ),
    Mutation(
        "the average has no ramp",
        "training/module.py",
        "min(self.settings.ema_decay, (1 + self.global_step) / (10 + self.global_step))",
        "self.settings.ema_decay",
        "training/test_average.py",
    ),
    # What a stranger's file may not do.
    Mutation(
        "weights are taken whatever they hold",
        "models/tensor_files.py",
        "if not (low >= -LARGEST_WEIGHT and high <= LARGEST_WEIGHT):",
        "if False:",
        "models/test_tensor_files.py adapters/test_unfit_adapters.py",
    ),
    Mutation(
        "a damaged checkpoint is trained on",
        "training/checkpoint_file.py",
        'if _checksum(metadata["state"], tensors) != metadata.get("crc32"):',
        "if False:",
        "training/test_checkpoint_file.py",
    ),
    # The objective's other terms.
    Mutation(
        "the background is weighted instead", OBJECTIVE, "(1 - share) / share", "share / (1 - share)", OBJECTIVE_TESTS
    ),
    Mutation(
        "the decoder's resolution is always taken",
        OBJECTIVE,
        'settings.resolution == "window"',
        "False",
        OBJECTIVE_TESTS,
    ),
    Mutation(
        "what is retained is not weighted",
        OBJECTIVE,
        "(weights * (apart + 1 - overlap)",
        "((apart + 1 - overlap)",
        OBJECTIVE_TESTS,
    ),
    Mutation("what is retained loses no overlap", OBJECTIVE, "apart + 1 - overlap", "apart", OBJECTIVE_TESTS),
    Mutation(
        "the semantic head learns what nobody labelled",
        OBJECTIVE,
        "logits.float()[batch.labelled]",
        "logits.float()[batch.labelled | True]",
        OBJECTIVE_TESTS,
    ),
    Mutation(
        "empty answers to empty truths overlap by nought",
        OBJECTIVE,
        "torch.ones_like(intersection, dtype=torch.float)",
        "torch.zeros_like(intersection, dtype=torch.float)",
        OBJECTIVE_TESTS,
    ),
    Mutation("Dice is halved", "training/losses.py", "1 - 2 * overlap", "1 - overlap", "training/test_losses.py"),
    Mutation(
        "a weighted cross-entropy is a sum",
        "training/losses.py",
        "/ weight.sum(1)",
        "",
        "training/test_losses.py training/test_objective.py",
    ),
    # Geometry.
    Mutation(
        "a flipped axis is off by one",
        "imaging/grid.py",
        "np.float64)[list(self.axes)] - 1",
        "np.float64)[list(self.axes)]",
        "imaging",
    ),
    Mutation(
        "a mask returns unflipped",
        "imaging/grid.py",
        "np.transpose(_flip(array, self.flips), np.argsort(self.axes))",
        "np.transpose(array, np.argsort(self.axes))",
        "imaging",
    ),
    Mutation("grids of any place are close", "imaging/grid.py", ".max() <= tolerance)", ".max() <= 1e9)", "imaging"),
    Mutation(
        "voxels round away from nothing", "imaging/grid.py", "(places >= -close)", "(places >= -1 - close)", "imaging"
    ),
    Mutation(
        "the crop's start is forgotten on the way back",
        "imaging/framing.py",
        "self.turn.undo_indices((frame_voxels + self.start)[:, ::-1])",
        "self.turn.undo_indices(frame_voxels[:, ::-1])",
        "imaging inference",
    ),
    Mutation(
        "nearest is not exact",
        "imaging/framing.py",
        "np.float32(0.5 if exact else 0)",
        "np.float32(0)",
        "imaging inference/test_frame_prompt.py",
    ),
    # Metrics.
    Mutation(
        "two empty masks agree",
        "metrics/overlap.py",
        "part / whole if whole else math.nan",
        "part / whole if whole else 1.0",
        "metrics",
    ),
    Mutation(
        "sensitivity is precision",
        "metrics/overlap.py",
        "_share(_count(predicted_mask & true_mask), _count(true_mask))",
        "_share(_count(predicted_mask & true_mask), _count(predicted_mask))",
        "metrics",
    ),
    Mutation(
        "volumes are in cubic centimetres times ten",
        "metrics/overlap.py",
        "CUBIC_MM_PER_ML = 1000.0",
        "CUBIC_MM_PER_ML = 100.0",
        "metrics",
    ),
    Mutation(
        "HD95 takes the nearer direction",
        "metrics/surface.py",
        "        return max(\n            _percentile",
        "        return min(\n            _percentile",
        "metrics",
    ),
    Mutation(
        "a missing surface is near",
        "metrics/surface.py",
        "np.full(len(areas), math.inf)",
        "np.full(len(areas), 0.0)",
        "metrics",
    ),
    Mutation(
        "distances ignore the spacing",
        "metrics/surface.py",
        "distance_transform_edt(to == 0, sampling=steps)",
        "distance_transform_edt(to == 0)",
        "metrics",
    ),
    # Adapters.
    Mutation(
        "a LoRA merges without its scale",
        "adapters/lora.py",
        "dims=1) * layer.scaling[NAME]",
        "dims=1)",
        "adapters/test_lora.py",
    ),
    Mutation(
        "a LoRA's bias settings change the base",
        "adapters/lora.py",
        "self.backbone.set_submodule(name, original)\n        self._in_place.restore()",
        "self.backbone.set_submodule(name, original)",
        "adapters/test_lora.py",
    ),
    Mutation(
        "rank-stabilised scaling is off",
        "adapters/lora.py",
        "use_rslora=config.rank_stabilised",
        "use_rslora=False",
        "adapters/test_lora.py",
    ),
    Mutation(
        "an unsure gate answers all the same",
        "adapters/mixture/decision.py",
        "abstained = confidence < config.confidence",
        "abstained = confidence < 0",
        "adapters/test_mixture.py",
    ),
    Mutation(
        "a learned gate draws no noise",
        "adapters/mixture/decision.py",
        "noisy = scores.clean + torch.randn_like(scores.clean) * scores.spread",
        "noisy = scores.clean",
        "adapters/test_mixture.py",
    ),
    Mutation(
        "a mixture answers in the order of its groups",
        "adapters/mixture/routing.py",
        "sorted(range(len(rows)), key=rows.__getitem__)",
        "list(range(len(rows)))",
        "adapters/test_mixture.py",
    ),
    Mutation(
        "top two weigh the same as their scores",
        "adapters/mixture/gates.py",
        "best.values.softmax(dim=1)",
        "best.values",
        "adapters/test_mixture.py",
    ),
    Mutation(
        "a modality that is not known is taught",
        "adapters/prior/prototypes.py",
        "is_labelled = truth >= 0",
        "is_labelled = truth >= -1",
        "adapters/test_context_prior.py training/test_context_prior_training.py",
    ),
    Mutation(
        "prototypes start as something",
        "adapters/prior/prototypes.py",
        "self.outer = zero_linear(hidden, sizes.masks * sizes.width)",
        "self.outer = nn.Linear(hidden, sizes.masks * sizes.width)",
        "adapters/test_context_prior.py",
    ),
    # Training.
    Mutation(
        "matrices are not decayed",
        "training/module.py",
        '"weight_decay": settings.weight_decay, **rate',
        '"weight_decay": 0.0, **rate',
        "training",
    ),
    Mutation(
        "warm-up begins at the full rate",
        "training/module.py",
        "return (step + 1) / settings.warmup",
        "return 1.0",
        "training/test_economy.py",
    ),
    Mutation(
        "the cosine ends at nought",
        "training/module.py",
        "settings.final_lr_fraction + (1 - settings.final_lr_fraction) * 0.5",
        "0.5",
        "training/test_economy.py",
    ),
    Mutation(
        "a case is drawn without its group's weight", "training/batches.py", "p=self._chances", "p=None", "training"
    ),
    Mutation(
        "large structures are asked for as often as small ones",
        "training/batches.py",
        "** self.sample.size_power",
        "** 0",
        "training",
    ),
    # Views and data.
    Mutation(
        "columns are not moved to the middle",
        "data/windows.py",
        "columns = np.rint(centre[2]",
        "columns = np.rint(centre[1]",
        "data/test_windows.py",
    ),
    Mutation(
        "what lies outside shows the border",
        "data/windows.py",
        "    image[outside] = case.pad\n    labels",
        "    labels",
        "data/test_windows.py",
    ),
    Mutation(
        "sides are mirrored",
        "data/windows.py",
        '("left ", "right ")',
        '("port ", "starboard ")',
        "data/test_windows.py",
    ),
    Mutation(
        "zero strength still inverts",
        "data/augment.py",
        "if not settings.inversion or rng.random() >= settings.inversion",
        "if rng.random() >= settings.inversion + 0.5",
        "data/test_augment.py training/test_batches.py",
    ),
    Mutation("padding is augmented", "data/augment.py", "    changed[outside] = 0\n", "", "data/test_augment.py"),
    # Intensity.
    Mutation(
        "foreground is every voxel",
        "imaging/intensity.py",
        "sample[sample > sample.mean()]",
        "sample[sample >= sample.min()]",
        "imaging models",
    ),
    Mutation(
        "the window of CT is that of bone",
        "imaging/intensity.py",
        "SOFT_TISSUE_WINDOW = (-125.0, 275.0)",
        "SOFT_TISSUE_WINDOW = (-125.0, 1275.0)",
        "imaging",
    ),
    # Inference.
    Mutation(
        "a point outside a window is told to it",
        "inference/frame_prompt.py",
        "if all(low - 0.5 <= value < high - 0.5",
        "if any(low - 0.5 <= value < high - 0.5",
        "inference",
    ),
    Mutation(
        "a window with nothing to say says nothing",
        "inference/frame_prompt.py",
        "labels=(PADDING,)",
        "labels=(0,)",
        "inference",
    ),
    Mutation(
        "a resized point is half a voxel off",
        "inference/frame_prompt.py",
        "(value + 0.5) * scale - 0.5",
        "value * scale",
        "inference",
    ),
    Mutation(
        "zoom windows are summed",
        ZOOM,
        "total[there] /= count[there].clamp_(min=1)",
        "total[there] /= 1",
        "inference/strategies/test_zoom_arithmetic.py",
    ),
    Mutation(
        "the predicted overlap is not weighted",
        ZOOM,
        "overlap += float(estimate) * max(look.weight, 1)\n            weights += max(look.weight, 1)",
        "overlap += float(estimate)\n            weights += 1",
        "inference/strategies/test_zoom_arithmetic.py",
    ),
    Mutation(
        "specks are kept",
        ZOOM,
        "(sizes * 10 >= sizes.max())",
        "(sizes >= 0)",
        "inference/strategies/test_zoom_arithmetic.py",
    ),
    Mutation(
        "a rotated view is sheared",
        "data/windows.py",
        "np.cos(angle) * h[:, None] - np.sin(angle)",
        "np.cos(angle) * h[:, None] + np.sin(angle)",
        "data/test_windows.py",
    ),
    Mutation(
        "the native share is not drawn",
        "data/windows.py",
        "0.0 if draw < settings.whole + settings.native else",
        "0.0 if draw < settings.whole else",
        "data/test_windows.py",
    ),
    # Strategies.
    Mutation(
        "sliding windows count alike", STRATEGIES + "sliding.py", "SIGMA = 0.125", "SIGMA = 100.0", STRATEGY_TESTS
    ),
    Mutation("sliding windows are summed", STRATEGIES + "sliding.py", "    total /= weight\n", "", STRATEGY_TESTS),
    Mutation(
        "a click's window never moves on",
        STRATEGIES + "click.py",
        "            if self._moves_on(prompt):",
        "            if False:",
        STRATEGY_TESTS,
    ),
    Mutation(
        "a click's window moves on for ever",
        STRATEGIES + "click.py",
        "while views and len(looks) < limit",
        "while views",
        STRATEGY_TESTS,
    ),
    Mutation(
        "a click's windows are summed",
        STRATEGIES + "click.py",
        "mean = self._total / self._count.clamp(min=1)",
        "mean = self._total",
        STRATEGY_TESTS,
    ),
    Mutation(
        "an earlier answer's window is forgotten",
        STRATEGIES + "click.py",
        "if previous.view.shape == window and",
        "if False and",
        STRATEGY_TESTS,
    ),
    Mutation(
        "beyond the image lies the mean",
        "inference/encodings.py",
        "entry.cut(self.image, self.pad)",
        "entry.cut(self.image)",
        STRATEGY_TESTS,
    ),
    Mutation(
        "a box is answered outside its slices",
        STRATEGIES + "slices.py",
        "range(prompt.box.start[0], prompt.box.stop[0])",
        "range(self._shape[0])",
        STRATEGY_TESTS,
    ),
    Mutation(
        "a walk does not mind a jump",
        STRATEGIES + "slices.py",
        "JUMP = 4.0",
        "JUMP = 1e9",
        STRATEGY_TESTS,
    ),
    Mutation(
        "slices lie across the thinnest voxels",
        STRATEGIES + "slices.py",
        "thickest = max(range(3)",
        "thickest = min(range(3)",
        STRATEGY_TESTS,
    ),
    Mutation(
        "rows and columns are not those of radiology",
        STRATEGIES + "slices.py",
        '"z": "LPS"',
        '"z": "RAS"',
        STRATEGY_TESTS,
    ),
    Mutation(
        "an earlier answer loses its place",
        "inference/previous_answer.py",
        "places = start + (",
        "places = self.view.start[axis] + (",
        "inference/test_previous_answer.py",
    ),
    Mutation(
        "a spacing is obeyed the wrong way round",
        "imaging/framing.py",
        "ordered.grid.spacing[::-1], target_spacing[::-1]",
        "ordered.grid.spacing[::-1], target_spacing",
        "imaging/test_resampling.py",
    ),
    Mutation(
        "a resampled point is half a voxel off",
        "imaging/resampling.py",
        "(indices + 0.5 - self.start) / self.step - 0.5",
        "(indices - self.start) / self.step",
        "imaging/test_resampling.py",
    ),
    Mutation(
        "a mask comes back shifted",
        "imaging/resampling.py",
        "(np.arange(side) + 0.5 - start) / pace - 0.5",
        "(np.arange(side) + 0.5 - start) / (pace + 0.01) - 0.5",
        "imaging/test_resampling.py inference/strategies/test_every_strategy.py",
    ),
    Mutation("windows do not overlap", "inference/windows.py", "OVERLAP = 0.5", "OVERLAP = 0.0", "inference"),
    Mutation(
        "the last window hangs over",
        "inference/windows.py",
        "min(number * step, length - side)",
        "number * step",
        "inference",
    ),
    # Network.
    Mutation(
        "a filler point is seen",
        "models/tiny.py",
        "(prompts.labels == POSITIVE).any(dim=1)",
        "(prompts.labels != 0).any(dim=1)",
        "models inference",
    ),
    Mutation(
        "the tiny network forgets negative points",
        "models/tiny.py",
        "positive.to(closeness.dtype) - negative.to(closeness.dtype)",
        "positive.to(closeness.dtype)",
        "models inference",
    ),
    # Results.
    Mutation(
        "a part of another key counts as done",
        "evaluation/results.py",
        "return stored.get(_KEY) == part.key.encode()",
        "return _KEY in stored",
        "evaluation studies/test_run.py",
    ),
    # Studies: what is planned, measured and averaged.
    Mutation(
        "a study validates on the training set",
        "studies/methods.py",
        "validation=_groups(stores, job.validation, backbone.spec)",
        "validation=_groups(stores, job.train, backbone.spec)",
        "studies/test_run.py",
    ),
    Mutation(
        "answers of several strengths are averaged",
        "evaluation/coordinates.py",
        "    if several:",
        "    if False:",
        "evaluation/test_coordinates.py",
    ),
    Mutation(
        "answers of several strengths are paired with each other",
        "evaluation/coordinates.py",
        '"context", *PLAIN, "prompt_seed")',
        '"context", "prompt_seed")',
        "evaluation/test_coordinates.py",
    ),
    Mutation(
        "a study's shift is the same for every case",
        "evaluation/evaluate.py",
        'f"{case.dataset}|{case.name}".encode()',
        'f"{case.dataset}".encode()',
        "evaluation/test_evaluate.py",
    ),
    Mutation(
        "an evaluation forgets how far a box had moved",
        "evaluation/questions.py",
        "first = BoxError(self.box_jitter, self.box_jitter_unit)",
        "first = BoxError(0.0, self.box_jitter_unit)",
        "evaluation/test_evaluate.py",
    ),
    Mutation(
        "a study's picture is of the last click",
        "evaluation/evaluate.py",
        "(NO_SHIFT, 0, first.coordinates(kind))",
        "(NO_SHIFT, click, first.coordinates(kind))",
        "evaluation/test_evaluate.py",
    ),
    Mutation(
        "millimetres are measured where an evaluation has none",
        "evaluation/evaluate.py",
        "if in_mm or not metric.needs_mm else",
        "if True else",
        "evaluation/test_evaluate.py",
    ),
    Mutation(
        "rows of an earlier study have jitter without a box",
        "evaluation/results.py",
        "value if box else LATER[field.name]",
        "value",
        "evaluation/test_results.py",
    ),
    Mutation(
        "a study's shifted scan counts as the unchanged one",
        "studies/plan.py",
        "digest(made_of if shift == PartName.shift else [*made_of, shift, strength])",
        "digest(made_of)",
        "studies/test_plan.py",
    ),
    Mutation(
        "every method of a study has the study's base",
        "studies/recipe.py",
        "return method.base or self.base",
        "return self.base",
        "studies/test_plan.py",
    ),
    Mutation(
        "a study asks a base what it does not take",
        "studies/questions.py",
        "if base.takes(kinds_in(prompt))",
        "if kinds_in(prompt)",
        "studies/test_plan.py",
    ),
    Mutation(
        "every part of a study does everything",
        "studies/run.py",
        "ranked[self.number - 1 :: self.count]",
        "ranked",
        "studies/test_parts.py",
    ),
    Mutation(
        "a study takes a training away from a living process",
        "recipes/claims.py",
        "return has_ended(holder) or",
        "return True or",
        "studies/test_parts.py",
    ),
    Mutation(
        "a name in a study's recipe leads anywhere",
        "recipes/parts.py",
        'return safe_name(name, "a part of a recipe", error=RecipeError)',
        "return name",
        "studies/test_plan.py",
    ),
    Mutation(
        "a study replays with the weight of what is learned",
        "studies/methods.py",
        "*_groups(stores, job.replay, backbone.spec, job.replay_weight)",
        "*_groups(stores, job.replay, backbone.spec)",
        "studies/test_run.py",
    ),
    # Prompts and those who give them.
    Mutation(
        "the prompt seed ignores dataset and case",
        "imaging/simulated_prompts/generator.py",
        "[str(seed), dataset, case, structure,",
        "[str(seed), structure,",
        "imaging/simulated_prompts training/test_draws.py",
    ),
    Mutation(
        "validation asks every dataset's cases the same points",
        "training/validation.py",
        "prompt_generator(self._seed, case.dataset, case.name, name)",
        'prompt_generator(self._seed, "", case.name, name)',
        "training/test_validation.py",
    ),
    Mutation(
        "the click lies in the smaller error",
        "imaging/simulated_prompts/clicks.py",
        "error_region = errors[0] if sizes[0] >= sizes[1] else errors[1]",
        "error_region = errors[1] if sizes[0] >= sizes[1] else errors[0]",
        "imaging/simulated_prompts",
    ),
    Mutation(
        "the click of too much is positive",
        "imaging/simulated_prompts/clicks.py",
        "positive=sizes[0] >= sizes[1])",
        "positive=True)",
        "imaging/simulated_prompts",
    ),
    Mutation(
        "depth is in voxels",
        "imaging/depth.py",
        "sampling=tuple(spacing)",
        "sampling=(1, 1, 1)",
        "imaging",
    ),
    Mutation(
        "the image's border is no border of a mask",
        "imaging/depth.py",
        "else (1, 1) for side",
        "else (0, 0) for side",
        "imaging",
    ),
    Mutation(
        "later rounds of clicks count nothing",
        "training/clicks.py",
        "value + later[name] for",
        "value * (rounds + 1) for",
        "training/test_clicks.py",
    ),
    Mutation(
        "the network is not previous_logits its answer with the next click",
        "training/clicks.py",
        "previous_logits = None if previous is None else",
        "previous_logits = None if True else",
        "training/test_clicks.py",
    ),
    Mutation(
        "clicks of training forget the earlier points",
        "training/clicks.py",
        "return click if earlier is None else",
        "return click if True else",
        "training/test_clicks.py",
    ),
    Mutation(
        "a session does not tell a network its last answer",
        "inference/opened_volume.py",
        "if earlier is not None and PromptKind.MASK",
        "if False and PromptKind.MASK",
        "inference/test_dialogue.py evaluation/test_evaluate.py",
    ),
    Mutation(
        "a high face between voxels belongs to the outer one",
        "imaging/boxes.py",
        "np.ceil(high - 0.5 - _CLOSE)",
        "np.floor(high + 0.5 + _CLOSE)",
        "imaging/test_boxes.py",
    ),
    Mutation(
        "a box cut at the border is not said",
        "imaging/boxes.py",
        "if beyond.max() <= _SAID:",
        "if True:",
        "imaging/test_boxes.py",
    ),
    Mutation(
        "the earlier of two contradicting strokes counts",
        "imaging/regions.py",
        "np.concatenate([later.voxels, self.voxels])",
        "np.concatenate([self.voxels, later.voxels])",
        "imaging/test_regions.py",
    ),
    Mutation(
        "a mask's box replaces a person's",
        "imaging/prompt_conversion.py",
        "return prompt if prompt.box is not None else replace",
        "return replace",
        "imaging/test_prompt_conversion.py",
    ),
    Mutation(
        "history never forgets",
        "inference/history.py",
        "> self.memory:",
        "> self.memory + 10**9:",
        "inference/test_dialogue.py",
    ),
    Mutation(
        "what was undone can be brought again after an addition",
        "inference/history.py",
        "self._undone.clear()\n        self._done.append(entry)",
        "self._done.append(entry)",
        "inference/test_dialogue.py",
    ),
    Mutation(
        "an answer says nothing of what changed",
        "inference/segmentation.py",
        "mask if before is None else mask ^ before",
        "mask",
        "inference/test_dialogue.py",
    ),
    Mutation(
        "a lasso strays nowhere",
        "imaging/simulated_prompts/strokes.py",
        "LOOSE = 0.25",
        "LOOSE = 0.0",
        "imaging/simulated_prompts",
    ),
    Mutation(
        "a scribble runs along the border",
        "imaging/simulated_prompts/strokes.py",
        "(1 / depth.flat[starts[both_inside]] + 1 / depth.flat[ends[both_inside]]) ** 2",
        "(depth.flat[starts[both_inside]] + depth.flat[ends[both_inside]]) ** 2",
        "imaging/simulated_prompts",
    ),
)


def main() -> int:
    """Run the mutations that were asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutations whose name or file holds one of these")
    parser.add_argument("--list", action="store_true")
    chosen = parser.parse_args()
    mutations = [
        one for one in MUTATIONS if not chosen.words or any(word in f"{one.name} {one.file}" for word in chosen.words)
    ]
    if chosen.list:
        for one in mutations:
            print(f"{one.file}: {one.name}")
        return 0
    lost = misplaced(mutations)
    for one in lost:
        print(f'MISPLACED  {one.file}: "{one.old}" does not stand exactly once ({one.name})')
    survivors = [one for one in mutations if one not in lost and survives(one)]
    print(f"{len(mutations) - len(lost)} mutations, {len(survivors)} survivors, {len(lost)} misplaced")
    return 1 if survivors or lost else 0


def misplaced(mutations: Iterable[Mutation]) -> list[Mutation]:
    """Mutations whose text does not stand exactly once in their file, or would change nothing."""
    return [
        one
        for one in mutations
        if not (path := ROOT / "src" / "segevolution" / one.file).is_file()
        or path.read_text(encoding="utf-8").count(one.old) != 1
        or one.old == one.new
    ]


def survives(mutation: Mutation) -> bool:
    """Whether the tests pass on a copy of the code with the fault in it; prints a line."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        path = source / "segevolution" / mutation.file
        path.write_text(path.read_text(encoding="utf-8").replace(mutation.old, mutation.new), encoding="utf-8")
        tests = [str(ROOT / "tests" / test) for test in mutation.tests.split()]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        started = time.monotonic()
        try:
            status = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, timeout=LONGEST, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = 1
    if status not in (0, 1):
        print(f"BROKEN     {mutation.file}: {mutation.name} (pytest ended with {status})")
        return True
    word = "SURVIVED" if status == 0 else "noticed"
    print(f"{word:10} {mutation.file}: {mutation.name} ({time.monotonic() - started:.0f} s)", flush=True)
    return status == 0


if __name__ == "__main__":
    sys.exit(main())
