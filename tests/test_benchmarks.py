"""The benchmark scripts run, at toy size, and count what they say they count. Nothing here looks at a clock."""

import argparse
import importlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from segevolution.data.store import Store
from segevolution.data.synthesis.patients import simulate_case
from segevolution.models.checkpoints import save_model
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.tiny import TinyBackbone, TinyConfig

pytestmark = pytest.mark.long

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SCRIPTS = (
    "encoder",
    "prompts",
    "decode",
    "windows",
    "sharing",
    "startup",
    "store",
    "adaptation",
    "augmentation",
    "several",
    "scale",
    "server_load",
    "networks",
    "page",
    "structures",
)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """Import a script as Python does when it runs it: with its folder on the path, and out of the way afterwards."""
    monkeypatch.syspath_prepend(str(FOLDER))
    names = (*SCRIPTS, "measuring")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_every_script_is_described_in_the_readme():
    said = (FOLDER / "README.md").read_text("utf-8")
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"measuring"}
    assert scripts == set(SCRIPTS)
    assert all(f"python benchmarks/{name}.py" in said for name in scripts)


def test_encoder_flop_is_that_of_the_published_network(benchmark):
    encoder = benchmark("encoder")
    assert encoder.encoder_flop(SegVolConfig.published()) / 1e9 == pytest.approx(505.7, abs=0.1)


def test_encoder_flop_agrees_with_what_torch_counts(benchmark):
    encoder, measuring = benchmark("encoder"), benchmark("measuring")
    model = measuring.network(toy=True)
    # Fused attention is not counted everywhere; in this form it is two products.
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        model.encode(measuring.random_image(model.config.window), [None])
    assert counter.get_total_flops() == encoder.encoder_flop(model.config)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_encoder_is_measured_against_products(benchmark, precision):
    encoder, measuring = benchmark("encoder"), benchmark("measuring")
    row = encoder.measure(measuring.network(toy=True), precision, rounds=2, square=64)
    best = max(row.square_rate, row.shaped_rate)
    assert row.percent == pytest.approx(100 * row.encoder_rate / best)
    assert row.encoder_rate == pytest.approx(row.gflop / row.seconds)


def test_works_take_turns_after_one_round_of_warming_up(benchmark):
    measuring = benchmark("measuring")
    order = []
    spent = measuring.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert [len(one) for one in spent.values()] == [2, 2]


def test_ratio_is_the_median_over_rounds(benchmark):
    measuring = benchmark("measuring")
    spent = [measuring.Spent(wall, 1.0) for wall in (2.0, 6.0, 40.0)]
    base = [measuring.Spent(wall, 2.0) for wall in (1.0, 2.0, 4.0)]
    assert measuring.ratio(spent, base) == 3.0
    assert measuring.ratio(spent, base, "cpu") == 0.5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_prompts_are_decoded_together_and_one_by_one(benchmark, precision):
    decode, measuring = benchmark("decode"), benchmark("measuring")
    model = measuring.network(toy=True)
    with torch.inference_mode():
        features = model.encode(measuring.random_image(model.config.window), [None])
    row = decode.measure(model, features, precision, 3, rounds=1)
    assert (row.work, row.prompts, row.baseline) == ("decode", 3, "one by one")
    assert row.seconds_a_prompt == pytest.approx(row.seconds / 3)


def test_plain_upscaling_gives_the_same_masks(benchmark):
    decode, measuring = benchmark("decode"), benchmark("measuring")
    model = measuring.network(toy=True)
    tokens, vectors = torch.randn(2, math.prod(model.config.grid), 48), torch.randn(2, 1, 6)
    with torch.inference_mode():
        ours, plain = (
            decode.masks(model.mask_decoder.output_upscaling, tokens, vectors, plain=plain) for plain in (False, True)
        )
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)
    row = decode.measure_upscaling(model, "bf16", 2, rounds=1)
    assert row.baseline == "nn.ConvTranspose3d"


def test_obedient_network_answers_the_inside_of_the_box(benchmark):
    prompts, measuring = benchmark("prompts"), benchmark("measuring")
    model = measuring.network(toy=True, kind=prompts.Obedient)
    image = prompts.volume(prompts.TOY_SHAPE)
    session = prompts.Session(model, image, windows="off")
    liver = prompts.organs(image.grid)[0]
    inside = np.argwhere(session.segment(liver).mask)
    assert liver.box is not None
    np.testing.assert_allclose(inside.min(axis=0), liver.box.low, atol=2)
    np.testing.assert_allclose(inside.max(axis=0), liver.box.high, atol=2)


def test_ways_differ_in_what_they_encode(benchmark):
    prompts = benchmark("prompts")
    rows = {way: prompts.measure(way, "fp32", toy=True) for way in prompts.WAYS}
    assert (rows["off"].first_encodings, rows["off"].more_encodings) == (1, 0)
    assert rows["roi"].first_encodings > 1
    assert rows["roi"].more_encodings >= 4
    assert rows["reference"].more_encodings > rows["roi"].more_encodings
    assert rows["lattice"].more_encodings < rows["roi"].more_encodings
    assert rows["central"].first_encodings < rows["lattice"].first_encodings
    assert [rows[way].clicks_encodings for way in ("off", "roi", "lattice", "central")] == [0, 0, 0, 0]
    assert math.isnan(rows["reference"].clicks_percent)


@pytest.mark.long
def test_ways_run_in_processes_of_their_own(benchmark, monkeypatch):
    prompts = benchmark("prompts")
    monkeypatch.setattr(prompts, "WAYS", ("reference", "off"))
    rows = prompts.measure_apart(argparse.Namespace(threads=1, toy=True), "bf16")
    assert [row.windows for row in rows] == ["reference", "off"]
    assert rows[0].ratio == 1.0
    assert rows[1].ratio == pytest.approx(rows[1].five_seconds / rows[0].five_seconds)
    assert all(row.peak_gigabytes > 0 and row.precision == "bf16" for row in rows)


def test_another_contrast_is_compared_with_a_step(benchmark):
    augmentation = benchmark("augmentation")
    rows = augmentation.measure(TinyBackbone(TinyConfig(window=(8, 16, 16))), rounds=1, precision="fp32", views=1)
    assert [row.way for row in rows] == list(augmentation.WAYS)
    assert all(row.milliseconds_a_view > 0 and row.ratio > 0 for row in rows)


def test_windows_are_compared_on_the_same_questions(benchmark, tmp_path):
    windows = benchmark("windows")
    case = simulate_case(3, spacing=(8, 8, 12))
    Store.create(tmp_path / "store").add(case)
    (found,) = windows.cases_of(tmp_path / "store", [])
    model = TinyBackbone(TinyConfig(window=(8, 16, 16))).eval()
    table = windows.answers(model, [found], ("text", "box"), ("liver", "spleen"))
    rows = windows.compare(table)
    ways = ("roi", "lattice", "central", "focus", "off")
    assert [(row.prompt, row.windows) for row in rows[:6]] == [*(("all", way) for way in ways), ("text", "roi")]
    everything = {row.windows: row for row in rows if row.prompt == "all"}
    assert {row.prompts for row in everything.values()} == {4}
    assert everything["off"].encodings == 1
    assert everything["roi"].further_percent > 0
    assert everything["roi"].encodings > 1
    assert everything["roi"].difference == 0
    mean = {way: table[table["method"] == way]["dice"].mean() for way in ("roi", "off")}
    assert everything["off"].difference == pytest.approx(mean["off"] - mean["roi"])


def test_what_prompts_share_is_counted_as_a_session_counts_it(benchmark):
    sharing = benchmark("sharing")
    case = simulate_case(3, spacing=(8, 8, 12))
    rows = {row.windows: row for row in sharing.measure(case, (8, 16, 16), sharing.Cost(1.0, 0.25))}
    assert list(rows) == list(sharing.WAYS)
    assert rows["roi"].ratio == 1
    assert rows["central"].all_encodings <= rows["lattice"].all_encodings
    for row in rows.values():
        further = row.prompts - 1
        assert row.all_encodings == pytest.approx(row.first_encodings + further * row.further_encodings)
        assert row.further_percent > 0
    assert rows["lattice"].further_encodings < rows["roi"].further_encodings


def test_windows_script_reads_a_model_folder_and_prints_json(tmp_path):
    save_model(TinyBackbone(TinyConfig()), tmp_path / "model")
    Store.create(tmp_path / "store").add(simulate_case(3, spacing=(8, 8, 12)))
    line = [sys.executable, FOLDER / "windows.py", "--model", tmp_path / "model", "--store", tmp_path / "store"]
    extra = ["--prompts", "box", "--structures", "liver", "--threads", "1", "--json"]
    said = subprocess.run([*line, *extra], check=True, capture_output=True, text=True).stdout
    assert {row["windows"] for row in json.loads(said)["rows"]} == {"roi", "lattice", "central", "focus", "off"}


def test_startup_runs_each_command_and_stops_at_one_that_fails(benchmark):
    startup = benchmark("startup")
    lines = {name: line for name, line in startup.commands().items() if "segment" not in name}
    rows = startup.measure(lines, rounds=1)
    assert next(row.command for row in rows) == startup.BASELINE
    assert rows[0].ratio == 1.0
    with pytest.raises(subprocess.CalledProcessError):
        startup.measure({startup.BASELINE: [sys.executable, "-c", "raise SystemExit(3)"]}, rounds=1)


def test_every_way_to_adapt_takes_steps_and_counts_what_learns(benchmark):
    adaptation = benchmark("adaptation")
    rows = {way: adaptation.measure(way, "fp32", rounds=1, toy=True) for way in adaptation.WAYS}
    assert rows["lora"].trained == rows["lora, recomputed"].trained
    assert rows["lora decoder"].trained < rows["lora"].trained < rows["prior"].trained
    assert rows["decoder"].trained < rows["full"].trained
    assert adaptation.measure("lora", "fp32", rounds=1, name="segvol-mini").trained > 0
    full = adaptation.Row("full", "fp32", 9, 4.0, 8.0, 3.0, 1.0)
    lora = adaptation.Row("lora", "fp32", 1, 1.0, 4.0, 1.5, 1.0)
    found = adaptation.compared(lora, full)
    assert (found.time_ratio, found.cpu_ratio, found.memory_ratio) == (0.25, 0.5, 0.25)


def test_both_layouts_hold_the_same_window(benchmark, tmp_path):
    store = benchmark("store")
    case = store.noisy_case((48, 40, 20), classes=13)
    assert np.unique(case.labels).size > 8
    kept = Store.create(tmp_path / "store")
    kept.add(case)
    folders = [store.write_m3d_seg(case, tmp_path / np.dtype(kind).name, kind) for kind in (np.int32, np.uint8)]
    start, stop = (5, 8, 2), (37, 24, 18)
    signal, labels = kept.read_window("noisy", start, stop)
    for folder, mapped in zip(folders, (False, True), strict=True):
        image, masks = store.read_m3d_seg(folder, start, stop, mapped=mapped)
        assert masks.dtype == folder.name
        scaled = image * np.ptp(case.volume.array) + case.volume.array.min()
        np.testing.assert_allclose(scaled, signal, atol=1e-2)
        np.testing.assert_array_equal((masks * np.arange(1, 14)[:, None, None, None]).sum(axis=0), labels)
    _, masks = store.read_masks(kept, "noisy", start, stop)
    there = [case.mask(name)[5:37, 8:24, 2:18] for name in kept.record("noisy").structures]
    np.testing.assert_array_equal(masks, there)


def test_real_ct_grows_by_mirrored_copies_and_keeps_its_largest_classes(benchmark, shared_data):
    case = benchmark("store").real_case(shared_data / "ct_abdomen_dicom", height=50, classes=5)
    assert case.volume.array.shape == case.labels.shape == (512, 512, 50)
    assert case.volume.array.dtype == np.int16
    assert np.unique(case.labels).tolist() == [0, 1, 2, 3, 4, 5]
    assert (np.diff(np.bincount(case.labels[..., :20].ravel())[1:]) <= 0).all()
    for array in (case.volume.array, case.labels):
        np.testing.assert_array_equal(array[..., 20:40], array[::-1, :, 19::-1])
        np.testing.assert_array_equal(array[..., 40:], array[..., :10])


def test_layouts_are_measured_against_m3d_seg(benchmark, tmp_path):
    store = benchmark("store")
    rows = store.measure(store.noisy_case((48, 40, 20)), tmp_path, (16, 16, 8), rounds=2)
    assert [row.layout for row in rows] == ["M3D-Seg", "M3D-Seg at best", "store", "store, 2 threads", "store, masks"]
    assert rows[0].faster == rows[0].at_best == rows[0].cpu_faster == rows[0].smaller == 1.0
    assert all(row.fastest <= row.milliseconds for row in rows)
    assert rows[2].smaller == pytest.approx(rows[0].megabytes / rows[2].megabytes)


def test_table_says_how_busy_the_machine_is(benchmark, capsys):
    store, measuring = benchmark("store"), benchmark("measuring")
    row = store.Row("store", 1.25, 1.0, 0.5, float("nan"), 250.0, 30.0, 4.0)
    measuring.show([row], as_json=False, title="A title")
    first, second, header, line = capsys.readouterr().out.splitlines()
    assert first == "A title"
    assert "threads" in second
    assert "load" in second
    assert header.split() == [
        "layout",
        "milliseconds",
        "fastest",
        "megabytes",
        "faster",
        "at",
        "best",
        "cpu",
        "faster",
        "smaller",
    ]
    assert line.split() == ["store", "1.25", "1", "0.5", "-", "250", "30", "4"]


def test_several_sessions_ask_together_and_alone_and_differ_in_nothing(benchmark):
    several = benchmark("several")
    row = several.measure("tiny", 2, 4)
    assert (row.answers, row.differences, row.distinct) == (8, 0, 8)


def test_training_at_scale_is_measured_both_ways_and_extrapolated_with_a_label(benchmark, tmp_path):
    scale = benchmark("scale")
    store = scale.make_store(tmp_path / "store", scale.noisy_case((24, 24, 8)), 3)
    rows = [scale.measure(way, store, steps=2, cache=1, workers=0) for way in scale.WAYS]
    assert [(row.cases, row.way) for row in rows] == [(3, "in memory"), (3, "streamed")]
    assert all(row.steps_a_second > 0 and row.start_seconds > 0 and row.measured for row in rows)
    base = scale.Row(10, "in memory", 8.0, 1.5, 0.5, 2.0)
    found = scale._median([scale.Row(10, "streamed", 6.0, 1.0, 0.5, 1.0)], [base])
    assert (found.speed_ratio, found.memory_ratio) == (0.75, 0.5)
    larger = [scale.Row(20, "in memory", 8.0, 2.5, 0.5, 4.0), scale.Row(20, "streamed", 6.0, 1.0, 0.5, 2.0)]
    memory, streamed = scale.extrapolated([base, found, *larger], [40])
    assert (memory.peak_gigabytes, memory.start_seconds, memory.measured) == (4.5, 8.0, False)
    assert (streamed.peak_gigabytes, streamed.memory_ratio, streamed.measured) == (1.0, 0.125, False)


@pytest.mark.long
def test_a_served_answer_is_the_one_that_is_given_alone(benchmark, tmp_path):
    pytest.importorskip("uvicorn", reason="the extra [server] is not installed")
    server_load = benchmark("server_load")
    save_model(TinyBackbone(TinyConfig()), tmp_path / "tiny")
    row = server_load.measure(str(tmp_path / "tiny"), 2, 6, spacing=server_load.TOY_SPACING)
    assert (row.prompts, row.errors, row.differences, row.sessions_left) == (12, 0, 0, 0)


def test_networks_are_measured_against_segvol(benchmark):
    networks = benchmark("networks")
    rows = networks.rows_of([networks.measure(name, toy=True) for name in ("segvol", "sam_med3d")])
    assert [row.network for row in rows] == ["segvol", "sam_med3d"]
    assert (rows[0].first_ratio, rows[0].next_ratio) == (1, 1)
    assert rows[1].first_ratio == rows[1].first_cpu / rows[0].first_cpu


def test_structures_are_measured_in_processes_of_their_own(benchmark):
    rows = benchmark("structures").measure((24, 24, 16), [1, 2], None)
    assert [row.structures for row in rows] == [1, 2]
    assert rows[0].ratio == 1
    assert rows[1].peak_gb > 0
