"""All that is wrong in a study is said in one line, before anything runs."""

import sys
from pathlib import Path

import pytest
import yaml

from eql_d2 import InputError
from eql_d2.engine import get_parser
from eql_d2.study.data import GENERATED, OPTIONS, generated_options
from eql_d2.study.plan import TRAIN_NET, make_study, read_study

from .conftest import CONFIG

ROOT = Path(__file__).parents[2]


def changed(content, **changes):
    """The content with other values; None removes one."""
    merged = {**content, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def parsed(trial):
    """Arguments of ``train_net.py`` in a trial's command."""
    return get_parser().parse_args(trial.command[3 + len(TRAIN_NET) :])


def test_trials_are_commands_of_train_net_all_runs_of_a_seed_together(content, tmp_path):
    data = ["--class-folder", "my_train", str(tmp_path)]
    study = make_study(changed(content, data={"options": data}), "name")
    assert [trial.name for trial in study.trials[:3]] == ["a/seed1", "b/seed1", "a/seed2"]
    trial = study.trials[3]
    assert trial.command[:5] == (sys.executable, "-W", "ignore", "-m", "eql_d2.engine")
    args = parsed(trial)
    assert args.config_file == content["config"] and not args.eval_only
    assert args.class_folder == [["my_train", str(tmp_path)]]
    folder = f"{content['output']}/b/seed2"
    settings = ["SOLVER.MAX_ITER", "2", "SOLVER.BASE_LR", "0.5"]
    assert args.opts == [*settings, "OUTPUT_DIR", folder, "SEED", "2"]
    assert (study.baseline, study.runs, trial.max_iter) == ("a", ("a", "b"), 2)


def test_a_module_is_started_in_the_place_of_train_net(content):
    plain = make_study(content, "name").trials[0]
    trial = make_study(changed(content, module="eql_d2.demo.lvis_shaped"), "name").trials[0]
    assert trial.command[3:5] == ("-m", "eql_d2.demo.lvis_shaped")
    assert trial.command[5:] == plain.command[5:] and trial.fingerprint != plain.fingerprint


def test_weights_of_evaluates_the_same_model_of_the_same_seed(content):
    runs = {
        "scores": {"weights_of": "b", "overrides": {"TEST.DETECTIONS_PER_IMAGE": 7}},
        **content["runs"],
    }
    study = make_study(changed(content, runs=runs), "name")
    trial = study.trials[3]
    assert trial.name == "scores/seed2" and trial.source is study.trials[5]
    args = parsed(trial)
    assert args.eval_only and trial.max_iter == 0
    settings = dict(zip(args.opts[::2], args.opts[1::2]))
    assert settings["MODEL.WEIGHTS"] == f"{content['output']}/b/seed2/model_final.pth"
    assert settings["SOLVER.BASE_LR"] == "0.5" and settings["TEST.DETECTIONS_PER_IMAGE"] == "7"


def test_a_run_with_a_config_of_its_own_takes_only_the_weights(content):
    own = {"weights_of": "b", "config": content["config"]}
    study = make_study(changed(content, runs={**content["runs"], "scores": own}), "name")
    assert "SOLVER.BASE_LR" not in study.trials[2].command


@pytest.mark.parametrize(
    "value, word",
    [(0.03, "0.03"), ([[30]], "[[30]]"), (True, "True"), ("('x',)", "('x',)")],
)
def test_values_of_yaml_reach_train_net_as_the_words_that_it_reads(content, value, word):
    key = {
        float: "SOLVER.BASE_LR",
        bool: "MODEL.MASK_ON",
        list: "MODEL.ANCHOR_GENERATOR.SIZES",
    }.get(type(value), "DATASETS.TRAIN")
    study = make_study(changed(content, overrides={key: value}), "name")
    assert study.trials[0].command[-6:-4] == (key, word)


WRONG = {
    "unknown key": ({"sedes": [1]}, "unknown key 'sedes': it may have output, jobs"),
    "unknown key of a run": ({"runs": {"a": {"cfg": "x"}}}, "runs.a has the unknown key 'cfg'"),
    "unknown key of the data": ({"data": {"generated": "x"}}, "data has the unknown key"),
    "no runs": ({"runs": {}}, "there are no runs: give"),
    "runs are a list": ({"runs": ["a"]}, "runs is .*: give a mapping"),
    "baseline": ({"baseline": "c"}, "baseline 'c' is not among the runs: give one of a, b"),
    "no seeds": ({"seeds": None}, "seeds is None: give a list"),
    "empty seeds": ({"seeds": []}, "seeds is empty: give one"),
    "seed twice": ({"seeds": [1, 2, 1]}, "seed 1 is there twice in seeds: give each once"),
    "random seed": ({"seeds": [-1]}, "seed -1 is none: give an integer from 0"),
    "seed is no number": ({"seeds": [True]}, "seed True is none"),
    "jobs": ({"jobs": 0}, "jobs is 0: give an integer of 1 or more"),
    "output": ({"output": 3}, "output is 3: give a folder"),
    "path": ({"runs": {"../a": {}}}, "run name '../a' cannot name a folder"),
    "hidden": ({"runs": {".a": {}}}, "run name '.a' cannot name a folder"),
    "number": ({"runs": {0.1: {}}}, "run name 0.1 cannot name a folder .* quoted"),
    "own file": ({"runs": {"figures": {}}}, "run name 'figures' .* none of lock, figures"),
    "config": ({"runs": {"a": {"config": "no.yaml"}}}, "runs.a: config 'no.yaml' does not exist"),
    "no config": ({"config": None}, "runs.a has no config: give it one"),
    "module": ({"module": "eql_d2.no"}, "module 'eql_d2.no' cannot be imported .* give one"),
    "module is no name": ({"module": 3}, "module 3 cannot be imported"),
    "module that only trains": (
        {"module": "eql_d2.demo.lvis_shaped", "runs": {"a": {}, "b": {"weights_of": "a"}}},
        "runs.b has weights_of, but eql_d2.demo.lvis_shaped only trains: leave out one",
    ),
    "LazyConfig": (
        {"config": "configs/quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py"},
        "is a LazyConfig: give its .yaml twin",
    ),
    "generated": ({"data": {"generate": "letters"}}, "data.generate is 'letters': give one of"),
    "data": (
        {"data": {"options": ["--dataset", "a", "no.json", "no"]}},
        "data.options: --dataset 'no.json' does not exist: give",
    ),
    "option": ({"data": {"options": ["--resume"]}}, "data.options has '--resume' for an option"),
    "short": ({"data": {"options": ["--dataset", "a", "b"]}}, "--dataset needs 3 words"),
    "weights of none": ({"runs": {"a": {}, "b": {"weights_of": "c"}}}, "weights_of 'c' is not a"),
    "weights of itself": ({"runs": {"a": {}, "b": {"weights_of": "b"}}}, "'b' is not a run that"),
    "two weights": (
        {"runs": {"a": {}, "b": {"weights_of": "a", "overrides": {"MODEL.WEIGHTS": "x"}}}},
        "runs.b has weights_of and MODEL.WEIGHTS: remove one",
    ),
    "epochs": ({"overrides": {"SOLVER.EPOCHS": 3}}, "SOLVER.EPOCHS of .* is 3, but a study counts"),
    "seed override": ({"overrides": {"SEED": 3}}, "override SEED is set by the study"),
    "unknown override": (
        {"overrides": {"SOLVER.MAX": 3}},
        "runs.a: SOLVER.MAX is unknown: did you mean",
    ),
    "override of a kind": (
        {"overrides": {"SOLVER.MAX_ITER": [1]}},
        r"MAX_ITER is '\[1\]': give a whole",
    ),
    "a value that train_net refuses": (
        {"overrides": {"SOLVER.BASE_LR": -1.0}},
        "runs.a: SOLVER.BASE_LR is -1.0: give",
    ),
    "a loss that is none": (
        {"overrides": {"MODEL.EQL.LOSS": "EQLv3"}},
        "runs.a: MODEL.EQL.LOSS is 'EQLv3'",
    ),
    "a loss that nothing reads": (
        {"overrides": {"MODEL.EQL.LOSS": "EQLv2"}},
        "runs.a: MODEL.EQL.LOSS is 'EQLv2', but MODEL.ROI_HEADS.NAME Res5ROIHeads trains",
    ),
    "no such data": ({"overrides": {"DATASETS.TRAIN": "('y',)"}}, "names 'y', which is no data"),
    "nested": ({"overrides": {"SOLVER": {"MAX_ITER": 1}}}, "SOLVER is not a dotted key"),
    "list": ({"overrides": ["SOLVER.MAX_ITER", 3]}, "overrides is .*: give a mapping"),
}


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_one_line_with_file_and_fix(content, tmp_path, changes, message):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.dump(changed(content, **changes)))
    with pytest.raises(InputError, match=message) as raised:
        read_study(path)
    text = str(raised.value)
    assert text.startswith(f"study {path}: ") and "\n" not in text
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("runs: {a: {}, a: {}}", "'a' is there twice in the mapping of line 1: keep one"),
        ("runs: [", "is not valid YAML: "),
        ("- runs", "the file is .*: give a mapping"),
    ],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        read_study(path)
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_study(tmp_path / "none.yaml")


def test_a_config_that_is_damaged_or_of_something_else_is_one_line(content, tmp_path):
    for text in ("MODEL: [", "NO_SUCH_KEY: 1\nVERSION: 2", "_BASE_: none.yaml"):
        (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(InputError, match="runs.a: config .*/config.yaml'") as raised:
            make_study(content, "name")
        assert "\n" not in str(raised.value)


def test_the_fingerprint_changes_with_what_decides_the_numbers_alone(content, tmp_path):
    runs = {"a": {}, "e": {"weights_of": "a", "config": content["config"]}}
    content = changed(content, runs=runs, seeds=[1])

    def fingerprints(**changes):
        study = make_study(changed(content, **changes), "name")
        return [trial.fingerprint for trial in study.trials]

    first = fingerprints()
    assert fingerprints(output=str(tmp_path / "moved"), jobs=1, baseline="e") == first
    # Weights of another training are other weights, whatever the evaluation has
    of_a = {"a": {"overrides": {"SOLVER.BASE_LR": 0.5}}, "e": runs["e"]}
    assert all(x != y for x, y in zip(fingerprints(runs=of_a), first))
    (tmp_path / "config.yaml").write_text(f"{CONFIG}# a comment\n")
    assert fingerprints() == first
    (tmp_path / "config.yaml").write_text(f"{CONFIG}SOLVER: {{BASE_LR: 0.5}}\n")
    assert all(x != y for x, y in zip(fingerprints(), first))


def test_a_config_is_found_here_or_among_those_that_come_along(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, data = "configs/Demo/glyphs_focal.yaml", {"generate": "glyphs"}
    runs = {"a": {"config": "config.yaml"}, "b": {"config": name}}
    content = changed(content, runs=runs, data=data)
    del content["output"]
    study = make_study(content, "name")
    configs = [parsed(trial).config_file for trial in study.trials[:2]]
    assert configs == [content["config"], str(ROOT / name)]
    assert study.output == tmp_path / "output/study/name"


def test_data_options_are_those_of_train_net():
    actions = get_parser()._option_string_actions
    assert {option: actions[option].nargs for option in OPTIONS} == {
        option: size for option, (size, _) in OPTIONS.items()
    }
    of_data = ("-folder", "-tail", "--dataset")
    assert {option for option in actions if option.endswith(of_data)} == {*OPTIONS}
    for name in GENERATED:
        args = get_parser().parse_args(generated_options(name))
        entries = args.dataset + args.class_folder + args.mask_folder
        assert [entry[0] for entry in entries] == [f"{name}_train", f"{name}_val"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/Study/*.yaml")), ids=lambda p: p.stem)
def test_the_studies_that_come_along_are_valid(path):
    study = read_study(path)
    assert study.output == Path.cwd() / "output/study" / path.stem
    others = {
        "pretraining": "other_glyphs",
        "classification": "glyph_crops",
        "segmentation": "glyph_maps",
        "lvis_shaped": None,
    }
    assert study.generated == others.get(path.stem, "glyphs")
