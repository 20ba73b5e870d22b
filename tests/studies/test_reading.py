import pytest
import yaml

from segevolution.errors import RecipeError
from segevolution.models.tiny import TinyBackbone
from segevolution.recipes.reading import shipped
from segevolution.studies.facts import BaseFacts
from segevolution.studies.questions import known_structures
from segevolution.studies.reading import STUDIES, load_recipe


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        values = {
            "name": "mine",
            "data": [{"name": "mri", "path": "mri", "train": 2}],
            "methods": [{"name": "base"}, {"name": "lora"}],
            **changes,
        }
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(values))
        return str(path)

    return write


def test_shipped_recipes_are_valid_and_say_what_they_are_about():
    names = shipped(STUDIES)
    assert {"demo", "ct_to_mri"} <= names.keys()
    for name, about in names.items():
        assert load_recipe(name).name == name
        assert about


def test_the_demo_needs_nothing_that_it_does_not_make_itself():
    recipe = load_recipe("demo")
    assert all(dataset.simulate is not None for dataset in recipe.data)
    assert {str(dataset.simulate.modality) for dataset in recipe.data} == {"CT", "MRI"}
    assert recipe.base == "segvol-mini-2"
    assert {method.start for method in recipe.methods} == {None, "segvol-mini-mri"}  # they ship


def test_a_recipe_states_only_what_differs(write):
    recipe = load_recipe(write())
    assert recipe.base == "segvol-mini"
    assert recipe.seeds == [0]
    assert recipe.fit_of(recipe.methods[1]).settings.steps == 300


def test_values_can_be_changed_by_their_dotted_path(write):
    changes = [
        "seeds=[0, 1]",
        "data.mri.train=5",
        "methods.lora.fit.steps=7",
        "methods.1.settings.rank=4",
        "fit.replay=0.5",
    ]
    recipe = load_recipe(write(), changes)
    fit = recipe.fit_of(recipe.methods[1])
    assert (recipe.seeds, recipe.data[0].train) == ([0, 1], 5)
    assert (fit.settings.steps, fit.replay, recipe.methods[1].settings) == (7, 0.5, {"rank": 4})


def test_off_is_a_word_though_yaml_reads_it_as_false(write):
    assert load_recipe(write(), ["windows=off"]).windows == "off"
    assert load_recipe(write(windows="lattice")).windows == "lattice"


def test_a_methods_fit_changes_the_studys(write):
    recipe = load_recipe(
        write(
            fit={"steps": 50, "sample": {"views": 1}},
            methods=[{"name": "base"}, {"name": "lora", "fit": {"sample": {"prompts": 3}}}, {"name": "full"}],
        )
    )
    lora, full = (recipe.fit_of(method).settings for method in recipe.methods[1:])
    assert (lora.steps, lora.sample.views, lora.sample.prompts) == (50, 1, 3)
    assert (full.steps, full.sample.views, full.sample.prompts) == (50, 1, 2)


def test_a_method_may_have_a_name_of_its_own(write):
    recipe = load_recipe(
        write(methods=[{"name": "base"}, {"name": "lora r2", "kind": "lora", "settings": {"rank": 2}}])
    )
    assert recipe.methods[1].trained_as == "lora"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["promts=[text]"], '"promts" is no key here; did you mean "prompts"?'),
        (["data.mri.tran=3"], 'data.mri: "tran" is no key here; did you mean "train"?'),
        (["methods.lora.fitt=3"], 'methods.lora: "fitt" is no key here; did you mean "fit"?'),
        (["fit.stepz=3"], 'fit of lora: "stepz" is no key here; did you mean "steps"?'),
        (["fit.sample.view=3"], 'fit of lora: "sample.view" is no key here; did you mean "views"?'),
        (["fit.steps=many"], "fit of lora: steps: Input should be a valid integer"),
        (["fit.steps=0"], "fit.steps of lora is 0; give at least 1."),
        (["fit.replay=-1"], "fit.replay of lora is -1"),
        (["fit.seed=3"], "the study's seeds say"),
        (["methods.lora.kind=lorra"], '"lorra" is no kind of method; did you mean "lora"?'),
        (["methods.lora.settings.rnk=3"], '"rnk" is not a setting of this adapter; did you mean "rank"?'),
        (["methods.lora.settings.rank=0"], "rank 0 is not possible"),
        (["prompts=[text, mask]"], "prompts.1"),
        (["seeds=[]"], "seeds: "),
        (["name="], "name: "),
        (["data.mri.test=-1"], "data.mri: test is -1"),
        (["data.mri.modality=MRX"], '"MRX" is not a modality'),
        (["data.mri.train=rest"], "only one role can take the rest, these do: train, test"),
        (["data.mri.path=null"], "give either simulate, or the path"),
        (["data.mri.train=0"], "no patient has the role train, but lora would need some"),
        (["data.mri.folds=2", "data.mri.test=3"], "with folds every patient is tested once"),
        (["reference=full"], 'reference is "full", which is not among the methods'),
        (["pictures=box", "prompts=[text]"], 'pictures are of "box", which is not among the prompts'),
        (["methods.lora.name=base"], "methods holds base twice"),
        (["data.chaos.train=3"], '"data.chaos.train=3": there is no "chaos" in that list; there are mri.'),
        (["base.size=3"], "base holds a single value"),
        (["seeds"], '"seeds" changes nothing; write key=value'),
    ],
)
def test_what_cannot_be_is_one_sentence_that_names_the_place(write, changes, sentence):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(base="segvol-mini"), changes)
    text = str(caught.value)
    assert sentence in text
    assert "\n" not in text
    assert text[-1] in ".?"


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "short.yaml"
    path.write_text("name: short\n")
    with pytest.raises(RecipeError, match=r"short\.yaml: data is missing\."):
        load_recipe(str(path))


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match='neither a shipped recipe nor a file; did you mean "demo"'):
        load_recipe("dmo")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("name: [", "is not valid YAML at line"), ("just words", "holds no keys"), ("", "holds no keys")],
)
def test_a_file_that_is_no_recipe_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(str(path))


def bases():
    return {"segvol-mini": BaseFacts("segvol-mini", "", TinyBackbone().spec)}


def test_structures_are_joined_by_synonym_and_must_be_known_to_the_base(write):
    known = bases()
    assert known_structures(load_recipe(write(structures=["arota", "Liver"])), known) == ("aorta", "liver")
    assert known_structures(load_recipe(write()), known) == TinyBackbone().spec.structures
    with pytest.raises(RecipeError, match='holds "livr", which segvol-mini does not know; did you mean "liver"'):
        known_structures(load_recipe(write(structures=["livr"])), known)


def test_a_structure_new_to_the_base_can_be_named_where_a_dataset_labels_it(write):
    known = bases()
    recipe = load_recipe(write(structures=["liver", "meniscus"]))
    assert known_structures(recipe, known, {"meniscus"}) == ("liver", "meniscus")
    with pytest.raises(RecipeError, match="meniscus"):
        known_structures(recipe, known)
