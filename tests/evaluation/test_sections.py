"""The sections of the experiments: from a made-up table to numbers that can be worked out by hand."""

import numpy as np
import pytest

from segevolution.evaluation.analysis import Analysis
from segevolution.evaluation.blocks import Picture, Table
from segevolution.evaluation.curves import PatientCurve, curve
from segevolution.evaluation.findings import findings
from segevolution.evaluation.intervals import interval_of, interval_of_share, seed_variance
from segevolution.evaluation.patient_values import PatientValues
from segevolution.evaluation.plots import rendering
from segevolution.evaluation.report import build
from segevolution.evaluation.sections import SECTIONS, sections
from segevolution.evaluation.sections.results import StudyResults
from segevolution.evaluation.statistics import difference, estimate

PEOPLE = [f"p{number}" for number in range(6)]


def table_of(blocks, number=0):
    return [block for block in blocks if isinstance(block, Table)][number]


def cells(table, *columns):
    places = [table.columns.index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in table.rows]


def test_a_plain_study_has_no_section_of_an_experiment(make_table):
    rows = [{"method": method, "patient": patient} for method in ("base", "lora") for patient in PEOPLE]
    assert sections(StudyResults(make_table(rows), "base")) == []
    assert len(SECTIONS) == len(set(SECTIONS))


def test_a_shift_has_its_area_the_strength_where_five_hundredths_are_lost_and_both_against_the_base(make_table):
    lost = {("base", 0.1): 0.1, ("base", 0.2): 0.3, ("lora", 0.1): 0.02, ("lora", 0.2): 0.04}
    rows = [
        {
            "method": method,
            "patient": patient,
            "shift": "noise" if at else "none",
            "strength": at,
            "unit": "SD" if at else "",
            "dice": 0.8 + 0.01 * number - lost.get((method, at), 0),
        }
        for method in ("base", "lora")
        for number, patient in enumerate(PEOPLE)
        for at in (0.0, 0.1, 0.2)
    ]
    blocks = sections(StudyResults(make_table(rows), "base"))
    found = cells(table_of(blocks), "method", "unchanged", "lost at", "area against", "fall against", "patients")
    assert found[0] == ("base", "0.825", "0.05", "–", "–", "6")
    # areas: base .825 - (.05 + .2) / 2, lora .825 - (.01 + .03) / 2
    assert found[1] == ("lora", "0.825", "never", "+0.105 [+0.105, +0.105]", "+0.260 [+0.260, +0.260]", "6")
    assert cells(table_of(blocks), "area")[0][0].startswith("0.700 [")
    assert cells(table_of(blocks), "strengths") == [("0.1, 0.2 SD",)] * 2
    assert [block.name for block in blocks if isinstance(block, Picture)] == ["shifts-chaos-MRI-text-known-0.0-0-"]


def test_the_curve_is_of_the_patients_that_every_place_has(make_table):
    few, all_of_them = (
        make_table([{"patient": patient, "dice": value} for patient in people])
        for people, value in ((PEOPLE[:4], 0.5), (PEOPLE, 0.7))
    )
    made = curve("base", [(1.0, few), (0.0, all_of_them)])
    assert (made.at, len(made.values), made.means) == ((0.0, 1.0), 4, [pytest.approx(0.7), pytest.approx(0.5)])
    assert curve("base", [(0.0, few), (1.0, all_of_them[all_of_them["patient"] == "p5"])]) is None


def test_training_seeds_widen_the_intervals_of_a_curve(make_table):
    def rows(spread):
        return make_table(
            [
                {"run": f"lora-s{seed}", "seed": seed, "patient": patient, "dice": 0.5 + 0.02 * number + spread * seed}
                for number, patient in enumerate(PEOPLE)
                for seed in (-1, 0, 1)
            ]
        )

    steady, varied = (curve("lora", [(1.0, rows(spread))]).intervals[0] for spread in (0.0, 0.1))
    assert steady.mean == pytest.approx(varied.mean)
    assert varied.high - varied.low > 2 * (steady.high - steady.low)


@pytest.mark.parametrize(("values", "place"), [([0.8, 0.76, 0.7], 1.1666667), ([0.8, 0.9, 0.79], np.inf)])
def test_the_place_of_a_loss_lies_on_the_line_between_two_places(values, place):
    places = tuple(PatientValues({("d", "p"): value}, 1, {}, {}) for value in values)
    assert PatientCurve("m", (0.0, 1.0, 2.0), places).place_of_loss(0.05) == pytest.approx(place)


def boxes(make_table, windows=("",)):
    """A voxel of error takes .01, a millimetre .02, a share a fifth of itself; a second look gains .1 when exact."""
    rows = []
    for method in ("base", "ellipsoid"):
        for patient in PEOPLE:
            for way in windows:
                for amount, unit in ((0, ""), (5, "voxel"), (10, "voxel"), (3, "mm"), (-0.5, "share"), (0.5, "share")):
                    loss = {"voxel": 0.01, "mm": 0.02, "share": 0.2, "": 0}[unit] * abs(amount)
                    gain = 0.1 if way == "focus" and not amount else 0.0
                    row = {"method": method, "patient": patient, "prompt": "box", "windows": way}
                    rows.append({**row, "jitter": float(amount), "jitter_unit": unit, "dice": 0.7 - loss + gain})
    return make_table(rows)


def test_errors_of_boxes_stand_by_their_units_with_both_directions_of_a_share(make_table):
    found = table_of(sections(StudyResults(boxes(make_table), "base")))
    assert cells(found, "unit", "method", "lost at")[:4] == [
        ("voxels", "base", "5"),
        ("voxels", "ellipsoid", "5"),
        ("mm", "base", "2.5"),
        ("mm", "ellipsoid", "2.5"),
    ]
    (shares,) = {row[2] for row in cells(found, "unit", "method", "lost at") if row[0].startswith("share")}
    assert shares == "-0.25 and 0.25"
    assert found.rows[0][2].startswith("0: 0.700 [0.700, 0.700]; 5: 0.650")


def test_a_second_look_that_lives_on_exact_boxes_is_found_out(make_table):
    found = table_of(sections(StudyResults(boxes(make_table, ("focus", "off")), "base")), -1)
    gains = {row[0]: row[1:] for row in cells(found, "data", "prompt", "gain", "against exact boxes")}
    lines = [row for row in cells(found, "method", "prompt", "gain", "against exact boxes") if row[0] == "base"]
    assert lines[0] == ("base", "box, exact boxes", "+0.100 [+0.100, +0.100]", "+0.000 [+0.000, +0.000]")
    assert {row[2:] for row in lines[1:]} == {("+0.000 [+0.000, +0.000]", "-0.100 [-0.100, -0.100]")}
    assert "box, boxes shrunk by 50%" in {row[1] for row in lines}
    assert set(gains) == {"MRI (chaos)"}


def test_clicks_until_good_count_those_that_never_are(make_table):
    ends = {"liver": [0.5, 0.85, 0.95], "spleen": [0.5, 0.6, 0.81], "pancreas": [0.1, 0.2, 0.3]}
    rows = [
        {"patient": patient, "structure": structure, "click": click, "dice": value, "seconds": 1.0 + click}
        for patient in PEOPLE
        for structure, values in ends.items()
        for click, value in enumerate(values)
    ]
    found = table_of(sections(StudyResults(make_table(rows), "base")))
    columns = ("first answer", "clicks to 0.80", "clicks to 0.90", "seconds a click", "patients")
    assert cells(found, *columns) == [
        ("0.367 [0.367, 0.367]", "2; 6 of 18 never", "more than 2; 12 of 18 never", "2.50", "6")
    ]


def test_numbers_of_points_average_prompt_seeds_and_tell_their_spread(make_table):
    rows = [
        {"patient": patient, "prompt": "point", "points": points, "prompt_seed": seed, "dice": value + 0.1 * seed}
        for patient in PEOPLE
        for points, value in ((1, 0.4), (5, 0.6))
        for seed in (0, 1)
    ]
    found = table_of(sections(StudyResults(make_table(rows), "base")))
    assert cells(found, "Dice at each number", "spread of seeds", "patients") == [
        ("1: 0.450 [0.450, 0.450]; 5: 0.650 [0.650, 0.650]", "1: 0.071; 5: 0.071", "6")
    ]


def test_false_alarms_are_shares_of_answers_above_a_millilitre_and_stay_out_of_every_mean_of_dice(make_table):
    nan = float("nan")
    rows = [{"patient": patient, "structure": "liver", "dice": 0.5} for patient in PEOPLE]
    for number, patient in enumerate(PEOPLE):
        for structure, size in (("cerebellum", 100.0), ("bladder", 2.0 if number < 3 else 0.0)):
            rows.append({"patient": patient, "structure": structure, "dice": nan, "voxels": 0, "predicted_ml": size})
    table = make_table(rows)
    found = table_of(sections(StudyResults(table, "base")))
    columns = ("asked for", "median ml", "largest ml", "answers", "patients")
    assert cells(found, *columns) == [
        ("all", "51.0", "100", "12", "6"),
        ("cerebellum", "100.0", "100", "6", "6"),
        ("bladder", "1.0", "2", "6", "6"),
    ]
    assert [row[0][:4] for row in cells(found, "alarms")] == ["0.75", "1.00", "0.50"]
    tables = [
        block
        for block in build(findings(table, Analysis("s", "base")), experiments=sections(StudyResults(table, "base")))
        if isinstance(block, Table)
    ]
    assert [row for one in tables for row in one.rows if "bladder" in row] == [found.rows[2]]
    assert tables[0].rows[0][3] == "1"  # structures


def test_a_learning_curve_puts_what_is_not_trained_beside_it(make_table):
    rows = [{"method": "base", "patient": patient, "dice": 0.4} for patient in PEOPLE]
    for shots, value in ((1, 0.5), (5, 0.7)):
        rows += [
            {
                "method": f"lora ({shots} shots)",
                "family": "lora",
                "trained_on": shots,
                "run": f"lora-{shots}-s{seed}",
                "seed": seed,
                "patient": patient,
                "dice": value,
            }
            for patient in PEOPLE
            for seed in (0, 1)
        ]
    found = table_of(sections(StudyResults(make_table(rows), "base")))
    assert cells(found, "method", "learned from", "against", "seeds") == [
        ("base", "–", "–", "1"),
        ("lora", "1", "+0.100 [+0.100, +0.100]", "2"),
        ("lora", "5", "+0.300 [+0.300, +0.300]", "2"),
    ]


def test_table_1_sets_external_data_apart_and_averages_only_what_all_were_asked(make_table):
    rows = []
    for dataset, external in (("chaos", False), ("promise12", True)):
        for patient in PEOPLE:
            for method, family, cohort in (
                ("base", "base", ""),
                ("lora (mri)", "lora", "mri"),
                ("lora (ct)", "lora", "ct"),
            ):
                value = {"": 0.3, "mri": 0.8, "ct": 0.5}[cohort] - 0.2 * external
                row = {"dataset": dataset, "patient": patient, "method": method, "family": family, "cohort": cohort}
                rows.append({**row, "dice": value, "trained_on": 3 * bool(cohort)})
                if cohort:  # the base does not know the name
                    rows.append({**row, "dice": 0.0, "structure": "prostate", "trained_on": 3})
    blocks = sections(StudyResults(make_table(rows), "base", frozenset({"promise12"})))
    found = table_of(blocks)
    assert [(*row[:3], row[3][:5], row[4]) for row in found.rows] == [
        ("MRI, held out", "base", "not trained", "0.300", "6"),
        ("MRI, held out", "lora", "mri", "0.800", "6"),
        ("MRI, held out", "lora", "ct", "0.500", "6"),
        ("MRI, external", "base", "not trained", "0.100", "6"),
        ("MRI, external", "lora", "mri", "0.600", "6"),
        ("MRI, external", "lora", "ct", "0.300", "6"),
    ]
    structures = table_of(blocks, 1)
    assert [(*row[:2], row[2][:5], row[4][:5], row[-1]) for row in structures.rows] == [
        ("MRI, held out", "liver", "0.300", "0.500", "6"),
        ("MRI, held out", "prostate", "–", "0.000", "6"),
        ("MRI, external", "liver", "0.100", "0.300", "6"),
        ("MRI, external", "prostate", "–", "0.000", "6"),
    ]


def cohorts(values, **more):
    """base at .3, and lora on the cohorts a and b: each with these (shots, Dice)."""
    rows = [{"patient": patient, "dice": 0.3, **more} for patient in PEOPLE]
    for cohort in "ab":
        for shots, value in values:
            name = f"lora ({cohort}, {shots} shots)"
            row = {"method": name, "family": "lora", "cohort": cohort, "trained_on": shots, "run": name, **more}
            rows += [{**row, "patient": patient, "dice": value} for patient in PEOPLE]
    return rows


def test_table_1_has_a_row_for_each_number_of_shots_and_a_column_for_each_context(make_table):
    rows = cohorts(((1, 0.2), (5, 0.8)))
    rows += cohorts(((1, 0.1), (5, 0.7)), context="withheld")
    found = table_of(sections(StudyResults(make_table(rows), "base")))
    wanted = {
        "a, 1 patient": ("0.200", "0.100"),
        "a, 5 patients": ("0.800", "0.700"),
        "not trained": ("0.300", "0.300"),
    }
    columns = ("trained on", "text, context known", "text, context withheld")
    shown = {trained_on: (known[:5], withheld[:5]) for trained_on, known, withheld in cells(found, *columns)}
    assert len(found.rows) == len(shown) == 5
    assert wanted.items() <= shown.items()


def test_table_2_compares_methods_over_the_same_patients_in_a_row(make_table):
    rows = []
    for number in range(16):
        for method, cohort in (("base", ""), ("lora (a)", "a"), ("lora (b)", "b")):
            if method != "lora (b)" or number < 8:  # who answers the easy half alone is not the better for it
                row = {"method": method, "family": method[:4], "cohort": cohort, "patient": f"p{number}"}
                rows.append({**row, "dice": (0.9 if number < 8 else 0.3) + 0.01 * bool(cohort)})
    found = table_of(sections(StudyResults(make_table(rows), "base")), 1)
    assert [(row[1], *(cell[:5] for cell in row[2:5]), row[5]) for row in found.rows] == [
        ("liver", "0.900", "0.910", "0.910", "8"),
        ("liver, all but lora (b)", "0.300", "0.310", "–", "8"),
    ]


def runs_apart(**more):
    """base, and lora .05 above it in the mean over three seeds that lie .2 apart."""
    rng, rows = np.random.default_rng(1), []
    for patient in [*PEOPLE, "p6", "p7"]:
        level = 0.5 + 0.01 * rng.normal()
        rows.append({"patient": patient, "dice": level, **more})
        for seed, step in enumerate((-0.2, 0.0, 0.2)):
            run = {"method": "lora", "run": f"lora-s{seed}", "seed": seed, **more}
            rows.append({**run, "patient": patient, "dice": level + 0.05 + step + 0.01 * rng.normal()})
    return rows


def bounds_of(cell):
    return cell.low, cell.high


def test_every_section_has_the_interval_of_a_difference_that_the_comparison_has(make_table):
    rows = []
    for shots in (1, 5):
        for row in runs_apart():
            taught = {"method": f"lora ({shots})", "family": "lora", "cohort": "a", "trained_on": shots}
            rows += [{**row, **taught}] if "method" in row else [row] if shots == 1 else []
    rows += [{**row, "method": f"{row['method']}, b", "cohort": "b"} for row in rows if row.get("cohort")]
    table = make_table(rows)
    blocks = sections(StudyResults(table, "base"))
    wanted = difference(table, "lora (1)", "base").estimate
    level = estimate(table[table["method"] == "lora (1)"])
    assert wanted.high - wanted.low > 0.4
    (learned,) = [row for row in table_of(blocks, 2).rows if row[2:4] == ("lora (a)", "1")]
    assert bounds_of(learned[5]) == pytest.approx((wanted.low, wanted.high))
    assert bounds_of(learned[4]) == pytest.approx((level.low, level.high))
    first, second = table_of(blocks, 0), table_of(blocks, 1)
    (line,) = [row for row in first.rows if row[1:3] == ("lora", "a, 1 patient")]
    assert bounds_of(line[3]) == bounds_of(second.rows[0][3]) == pytest.approx((level.low, level.high))


def test_the_area_and_the_fall_of_a_shift_hold_the_training_seeds(make_table):
    shifted = {"shift": "noise", "strength": 0.1, "unit": "SD"}
    table = make_table([*runs_apart(), *runs_apart(**shifted)])
    found = table_of(sections(StudyResults(table, "base")))
    (line,) = [row for row in found.rows if row[3] == "lora"]
    unchanged = difference(table[table["shift"] == "none"], "lora", "base").estimate
    assert found.columns[5] == "area"
    assert bounds_of(line[7]) == pytest.approx((unchanged.low, unchanged.high))  # the scans are alike, so is the area
    assert line[5].high - line[5].low > 0.4
    assert str(line[8]) == "+0.000 [+0.000, +0.000]"


def test_a_shift_is_compared_over_the_questions_that_both_answered(make_table):
    shifts = ({}, {"shift": "noise", "strength": 0.1, "unit": "SD"})
    rows = [{**runs, **shift} for shift in shifts for runs in runs_apart()]
    easy = [{**row, "structure": "spleen", "dice": 1.0} for row in rows if "method" in row]  # the base knows none
    plain, more = (table_of(sections(StudyResults(make_table(part), "base"))) for part in (rows, rows + easy))
    assert cells(plain, "area against") == cells(more, "area against")


def test_a_gain_by_windows_holds_the_training_seeds(make_table):
    rows = [
        {
            "method": "lora",
            "run": f"lora-s{seed}",
            "seed": seed,
            "patient": patient,
            "windows": windows,
            "dice": 0.5 + 0.01 * number + (0.1 + 0.08 * seed) * (windows == "focus"),
        }
        for number, patient in enumerate(PEOPLE)
        for seed in (-1, 0, 1)
        for windows in ("off", "focus")
    ]
    (line,) = table_of(sections(StudyResults(make_table(rows), "lora"))).rows
    added = seed_variance([0.02, 0.1, 0.18])
    wanted = interval_of([0.1] * 6, [added])
    assert bounds_of(line[6]) == pytest.approx((wanted.low, wanted.high))


def test_a_share_of_false_alarms_is_no_surer_than_its_trainings_are_alike(make_table):
    def alarms(sizes):
        rows = [
            {"method": "lora", "run": f"lora-s{seed}", "seed": seed, "patient": f"p{number}", "structure": "bladder"}
            | {"voxels": 0, "predicted_ml": size, "dice": float("nan")}
            for number in range(20)
            for seed, size in enumerate(sizes)
        ]
        return table_of(sections(StudyResults(make_table(rows), "lora"))).rows[0][3]

    exact, apart = alarms((0.0, 0.0, 0.0)), alarms((100.0, 0.0, 0.0))
    assert bounds_of(exact) == pytest.approx((0.0, interval_of_share([0.0] * 20, ()).high))
    assert bounds_of(apart) == pytest.approx((0.0, 1.0))  # one training alarms at each scan, two never


@pytest.mark.parametrize("split", ["seed", "run"])
def test_seeds_or_folds_with_other_numbers_of_patients_are_no_learning_curve(make_table, split):
    rows = [{"patient": patient, "dice": 0.3} for patient in PEOPLE]
    for number, patient in enumerate(PEOPLE):
        seeds = range(3) if split == "seed" else [number % 2]
        run = {"method": "lora", "patient": patient}
        rows += [{**run, "seed": seed, "run": f"lora-{seed}", "trained_on": 1 + seed} for seed in seeds]
    assert sections(StudyResults(make_table(rows), "base")) == []


def test_folds_of_unequal_size_are_one_point_of_a_learning_curve(make_table):
    rows = [{"patient": patient, "dice": 0.3} for patient in PEOPLE]
    for number, patient in enumerate(PEOPLE):
        for name, learned, value in (("1 shot", 1, 0.5), ("all shots", 3 + number % 2, 0.6)):
            run = {"method": f"lora ({name})", "family": "lora", "run": f"{name}-f{number % 2}"}
            rows.append({**run, "patient": patient, "dice": value, "trained_on": learned})
    blocks = sections(StudyResults(make_table(rows), "base"))
    found = cells(table_of(blocks), "method", "learned from", "against", "patients")
    assert found == [
        ("base", "–", "–", "6"),
        ("lora", "1", "+0.200 [+0.200, +0.200]", "6"),
        ("lora", "3 to 4", "+0.300 [+0.300, +0.300]", "6"),
    ]
    (picture,) = [block for block in blocks if isinstance(block, Picture)]
    assert ">3.5</text>" in rendering.render(picture.draw).svg.decode()


def test_curves_are_drawn_a_panel_a_unit_with_a_line_a_method(make_table):
    blocks = sections(StudyResults(boxes(make_table), "base"))
    (picture,) = [block for block in blocks if isinstance(block, Picture)]
    svg = rendering.render(picture.draw).svg.decode()
    assert all(f">{text}</text>" in svg for text in ("voxels", "mm", "share of the sides", "base", "ellipsoid"))


def test_boxes_of_the_same_error_in_two_units_stand_apart_below_a_shift(make_table):
    shifts = ({}, {"shift": "noise", "strength": 0.1, "unit": "SD"})
    rows = [
        {"patient": patient, "prompt": "box", "jitter": 5.0, "jitter_unit": unit, "dice": value, **shift}
        for patient in PEOPLE
        for unit, value in (("voxel", 0.6), ("mm", 0.4))
        for shift in shifts
    ]
    found = table_of(sections(StudyResults(make_table(rows), "base")))
    assert cells(found, "prompt", "unchanged") == [("box, jitter in voxel", "0.600"), ("box, jitter in mm", "0.400")]
