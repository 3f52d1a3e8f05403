"""The configuration: what composes, what is refused and with which words, what defines a run."""

import dataclasses

import pytest

from sanpose.config import deepspeed
from sanpose.config.compose import compose, from_plain, with_overrides
from sanpose.config.schema import LATER, NUISANCE, ModelConfig
from sanpose.errors import UserError
from sanpose.runs.identity import identity_of


def test_paper_preset_is_the_papers() -> None:
    train = compose(["preset=paper"]).train
    assert (train.epochs, train.batch_size, train.learning_rate) == (200, 32, 1e-4)
    assert (train.milestones, train.gamma) == ((170, 190), 0.1)


# cell -> (backbone, input, 2D sources, attention, flip test): Table 1 of the paper
TABLE1 = {
    "a": ("resnet50", (256, 256), [], "none", False),
    "b": ("resnet50", (256, 256), ["mpii"], "none", False),
    "c": ("resnet50", (256, 256), ["mpii"], "position", False),
    "d": ("resnet50", (256, 256), ["mpii", "coco"], "position", False),
    "e": ("resnet50", (288, 384), ["mpii", "coco"], "position", True),
    "f": ("resnet152", (288, 384), ["mpii", "coco"], "none", True),
    "g": ("resnet152", (288, 384), ["mpii", "coco"], "position", True),
}


@pytest.mark.parametrize("cell", TABLE1)
def test_the_cells_of_table_1(cell: str) -> None:
    c = compose(["preset=paper", f"ablation={cell}"])
    sources = [n for n in ("mpii", "coco") if getattr(c.data.sources, n).share > 0]
    size = (c.data.input_width, c.data.input_height)
    assert (c.model.backbone, size, sources, c.model.attention, c.eval.flip_test) == TABLE1[cell]


def test_quick_keeps_the_cells_differences() -> None:
    cells = {cell: compose(["preset=quick", f"ablation={cell}"]) for cell in TABLE1}
    assert cells["e"].data.input_height > cells["d"].data.input_height
    assert cells["g"].model.backbone > cells["e"].model.backbone
    assert len({str(identity_of(c, {})) for c in cells.values()}) == 7


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "did you mean 'train.epochs'"),
        ("preset=quik", "did you mean 'quick'"),
        ("ablation=h", "a, b, c, d, e, f, g"),
        ("data.input_width=100", "multiple of 32"),
        ("train.epochs=many", "int"),
        ("train.epochs=2.5", "int"),
        ("train.epochs", "key=value"),
        ("train.batch_size=7", "multiple of workers x accumulation"),
        ("train.learning_rate=-1", "between 0 and 1"),
        ("model.backbone=resnet51", "resnet50"),
        ("model.width=0.5", "ImageNet"),
        ("model.stride=4", "8, 16 or 32"),
        ("model.stride=8", "ImageNet"),
        ("eval.sets=[h36m,coco]", "union22"),
        ("eval.sets=[h37m]", "h36m"),
        ("+deepspeed.optimizer.type=SGD", "train.learning_rate"),
        ("+deepspeed.zero_optimization.foo.=", "cannot compose"),
        ("deepspeed.zero_optimization.stage=4", "0, 1, 2 or 3"),
        ("data.sources.h36m.share=0", "nothing to train on"),
        ("data.test_subjects=[1]", "different subjects"),
        ("data.augment.flip=2", "0 to 1"),
        ("train.gamma=-3", "at most 1"),
        ("model.delta_init=nan", "not a finite number"),
        ("+deepspeed.zero_optimization.offload_optimizer=cpu", "not a group of keys"),
        ("+deepspeed.zero_optimisation.stage=2", "did you mean 'zero_optimization'"),
        ("+deepspeed.zero_optimization.stge=2", "did you mean 'stage'"),
        ("~eval", "only before keys of deepspeed"),
        ("~train.epochs", "only before keys of deepspeed"),
    ],
)
def test_bad_overrides_are_named(override: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        compose([override, "train.workers=2"])
    assert said in str(error.value)


def test_the_keys_of_deepspeed_are_those_it_knows() -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    fields = DeepSpeedZeroConfig.model_fields
    assert sorted(deepspeed.ZERO_KEYS) == sorted(f.alias or name for name, f in fields.items())


@pytest.mark.parametrize("where", ["config", "device"])
def test_a_cpu_has_no_other_memory_to_offload_to(where: str) -> None:
    offload = "+deepspeed.zero_optimization.offload_optimizer.device=cpu"
    with pytest.raises(UserError, match="cannot offload from a CPU"):
        chosen = compose([offload, f"train.accelerator={'cpu' if where == 'config' else 'auto'}"])
        deepspeed.require_memory_to_offload_to(chosen, "cpu")
    none = compose([offload.replace("=cpu", "=none"), "train.accelerator=cpu"])
    deepspeed.require_memory_to_offload_to(none, "cpu")


def test_identity_leaves_out_the_machine_and_keeps_the_experiment() -> None:
    base = compose([])
    same = compose(["train.workers=4", "data.sources.h36m.file=elsewhere.h5", "data.loader_workers=1"])
    other = compose(["model.delta_init=0.1"])
    assert identity_of(base, {"h36m": "x"}) == identity_of(same, {"h36m": "x"})
    assert identity_of(base, {}) != identity_of(other, {})
    assert identity_of(base, {"h36m": "x"}) != identity_of(base, {"h36m": "y"})


def test_a_key_that_came_later_changes_no_id_at_its_default() -> None:
    plain = compose(["preset=quick"]).plain()
    assert "stride" not in plain["model"]
    assert from_plain(plain).model.stride == 32
    other = compose(["preset=quick", "model.stride=8"])
    assert other.plain()["model"]["stride"] == 8 and from_plain(other.plain()) == other
    recorded = with_overrides(from_plain(plain), ["model.stride=16"])
    assert recorded.model.stride == 16


def test_every_later_key_has_its_default_in_the_yaml_and_in_the_schema() -> None:
    for key, default in LATER.items():
        section, name = key.split(".")
        assert getattr(getattr(compose(["preset=quick"]), section), name) == default
        assert {f.name: f.default for f in dataclasses.fields(ModelConfig)}[name] == default


def test_every_nuisance_key_exists() -> None:
    plain = compose([]).plain()
    for dotted in NUISANCE:
        node = plain
        for part in dotted.split("."):
            assert part in node, dotted
            node = node[part]


def test_plain_round_trip() -> None:
    c = compose(["preset=quick", "ablation=g"])
    assert from_plain(c.plain()) == c


def test_overrides_of_a_recorded_configuration() -> None:
    c = compose(["preset=quick"])
    assert with_overrides(c, ["train.workers=2", "eval.sets=[h36m]"]).eval.sets == ("h36m",)
    for wrong, said in (
        ("train.worker=2", "did you mean"),
        ("deepspeed=zero1", "recorded run fixes"),
        ("preset=paper", "recorded run fixes"),
        ("eval.sets=[h36m", "cannot read an override"),
    ):
        with pytest.raises(UserError, match=said):
            with_overrides(c, [wrong])
