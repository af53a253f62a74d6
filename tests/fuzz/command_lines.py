"""Command lines: misspelt, misplaced and missing words, and values of a LazyConfig."""

import functools
import random
from collections.abc import Callable, Iterator

from tests.fuzz.tiny_runs import data_options, run, workspace

_ORDER = ("--dataset", "a", "b.json", "c")
# Words after --config-file X
_YAML_WORDS = (
    ("SOLVER.MAX_ITER",),
    ("SOLVER.MAX_ITER", "1", "SEED"),
    ("SOLVER.MAX_ITER=1",),
    ("SOLVER.MAX_ITER", "=", "1"),
    ("MAX_ITER", "1"),
    ("solver.max_iter", "1"),
    ("SOLVER", "1"),
    ("SOLVER.MAX_ITER.A", "1"),
    ("SOLVER..MAX_ITER", "1"),
    ("", "1"),
    (".", "1"),
    ("SOLVER.MAX_ITER", "1", *_ORDER),
    ("SOLVER.MAX_ITER", *_ORDER),
    ("SOLVER.MAX_ITER", "1", "--resume"),
    ("SOLVER.MAX_ITER", "1", "--eval-only"),
    ("SOLVER.MAX_ITER", "1", "--help"),
    ("_BASE_", "twostage.yaml"),
    ("SOLVER.MAX_ITER", "((" * 500),
    ("SOLVER.MAX_ITER", "{[]: 1}"),
    ("SOLVER.MAX_ITER", "9" * 5000),
    ("SOLVER.MAX_ITER", "1\x00"),
    ("SOLVER.MAX_ITER", "__import__('os')"),
    ("SOLVER.BASE_LR", "1"),
    ("SOLVER.BASE_LR", "1e999"),
    ("SOLVER.STEPS", "1"),
    ("SOLVER.STEPS", "(1)"),
    ("SOLVER.STEPS", "(1,)"),
    ("DATASETS.TRAIN", "fuzz_train"),
    ("DATASETS.TRAIN", "()"),
    ("DATASETS.TRAIN", "('fuzz_train'"),
    ("DATASETS.TRAIN", "('fuzz_train')"),
    ("MODEL.MASK_ON", "true"),
    ("MODEL.DEVICE", "cuda:99"),
    ("MODEL.DEVICE", "cpux"),
    ("MODEL.EQL.FREQUENCY_THRESHOLDS", "(10,)"),
    ("OUTPUT_DIR", "2024"),
    ("OUTPUT_DIR", "/dev/null/x"),
    ("SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM", "35"),
    ("SOLVER.MAX_ITER", "x", "SOLVER.BASE_LR", "y", "SOLVER.FOO", "z"),
    ("GLOBAL.HACK", "2.0"),
    ("SOLVER.MAX_ITER", "1"),
)
_LAZY_WORDS = (
    ("train.max_iter",),
    ("train.max_iter", "1"),
    ("train.max_iter=",),
    ("=1",),
    ("train.max_iter=x",),
    ("train.max_iter=0",),
    ("train.max_iter=1.5",),
    ("train.max_iter=[1",),
    ("train.max_itr=1",),
    ("trian.max_iter=1",),
    ("max_iter=1",),
    ("SOLVER.MAX_ITER", "1"),
    ("train.max_iter.a=1",),
    ("train=1",),
    ("model=1",),
    ("model=null",),
    ("optimizer=null",),
    ("~train.max_iter",),
    ("++train.max_iter=1",),
    ("train.checkpointer.period=0",),
    ("train.checkpointer.periode=5",),
    ("train.checkpointer.max_to_keep=0",),
    ("train.checkpointer=5",),
    ("train.ddp.find_unused=true",),
    ("train.ddp=null",),
    ("train.eval_period=-1",),
    ("train.log_period=0",),
    ("train.eql.log_period=-1",),
    ("train.eql.log_perod=1",),
    ("train.eql.frequency_thresholds=[10]",),
    ("train.eql.frequency_thresholds=10",),
    ("train.eql.sem_seg_groups=[x,[]]",),
    ("train.eql=3",),
    ("train.epochs=-1",),
    ("train.seed=x",),
    ("train.device=gpu",),
    ("train.device=7",),
    ("train.output_dir=/dev/null/x",),
    ("train.output_dir=null",),
    ("train.init_checkpoint=nowhere.pth",),
    ("train.init_checkpoint=3",),
    ("train.amp.enabled=maybe",),
    ("optimizer.lr=-1",),
    ("optimizer.lr=nan",),
    ("optimizer.lr=x",),
    ("optimizer.momentum=2",),
    ("optimizer.learning_rate=1",),
    ("optimizer._target_=torch.optim.Nothing",),
    ("optimizer.params=null",),
    ("lr_multiplier.warmup_length=x",),
    ("lr_multiplier.warmup_length=-1",),
    ("lr_multiplier.warmup_method=x",),
    ("lr_multiplier.scheduler=null",),
    ("dataloader.train.total_batch_size=0",),
    ("dataloader.train.total_batch_size=x",),
    ("dataloader.train.num_workers=-1",),
    ("dataloader.train.num_worker=1",),
    ("dataloader.train.dataset.names=nothing",),
    ("dataloader.train.dataset.names=[]",),
    ("dataloader.train.dataset.names=null",),
    ("dataloader.train.dataset.names=lvis_v1_train",),
    ("dataloader.test.dataset.names=fuzz_vall",),
    ("dataloader.test.mapper.augmentations.5.max_size=3",),
    ("dataloader.tset.num_workers=0",),
    ("dataloader.train.mapper.augmentations.0.sample_style=x",),
    ("model.roi_heads.num_classes=0",),
    ("model.roi_heads.num_classes=x",),
    ("model.roi_heads.num_clases=5",),
    ("model.roi_heads.box_predictor.loss_cls.gamma=-1",),
    ("model.roi_heads.box_predictor.loss_cls.gamma=x",),
    ("model.roi_heads.box_predictor.loss_cls.mu=nan",),
    ("model.roi_heads.box_predictor.loss_cls.foo=1",),
    ("model.backbone.bottom_up.stages.depth=51",),
    ("model.proposal_generator.anchor_generator.sizes=[]",),
    ("train.max_iter=1", *_ORDER),
    ("train.max_iter=1", "--eval-only"),
    ("train.max_iter=1",),
)
# Whole command lines
_COMMANDS = (
    (),
    ("--config-file",),
    ("--config-file", ""),
    ("--config-file", "nowhere.yaml"),
    ("--config-file", "nowhere.py"),
    ("--config-file", "/dev/null"),
    ("--config-file", "/"),
    ("--config-file", "{folder}/train.json"),
    ("--config-file", "{folder}/train/1.png"),
    ("--nonsense",),
    ("--num-gpus", "x"),
    ("--dataset", "a", "b"),
    ("--config-file", "{folder}/twostage.yaml", "--dataset", "a", "nowhere.json", "nowhere"),
    (
        "--config-file",
        "{folder}/twostage.yaml",
        "--dataset",
        "fuzz_train",
        "{folder}/train.json",
        "x",
    ),
    ("--config-file", "{folder}/twostage.yaml", "--class-folder", "a", "nowhere"),
    ("--config-file", "{folder}/twostage.yaml", "--long-tail-folder", "a", "nowhere", "x", "y"),
    ("--config-file", "{folder}/twostage.yaml", "--mask-folder", "a", "b", "c", "d"),
    ("--config-file", "{folder}/twostage.yaml", "--eval-only", "MODEL.WEIGHTS", "nowhere.pth"),
    ("--config-file", "{folder}/twostage.yaml", "--eval-only", "DATASETS.TEST", "()"),
    ("--config-file", "{folder}/twostage.yaml", "--eval-only", "SOLVER.MAX_ITER", "0"),
    ("--config-file", "{folder}/twostage.yaml", "--resume"),
)


def cases(seed: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """All cases, and then any two together without end: (name, function that runs it)."""
    rng = random.Random(seed)
    made = [
        *((f"yaml: {_short(w)}", functools.partial(_yaml_words, w)) for w in _YAML_WORDS),
        *((f"lazy: {_short(w)}", functools.partial(_lazy_words, w)) for w in _LAZY_WORDS),
        *((_short(w), functools.partial(_command, w)) for w in _COMMANDS),
    ]
    rng.shuffle(made)
    yield from made
    while True:
        kind, run_words, lines = rng.choice(
            [("yaml", _yaml_words, _YAML_WORDS), ("lazy", _lazy_words, _LAZY_WORDS)]
        )
        words = (*rng.choice(lines), *rng.choice(lines))
        yield f"{kind}: {_short(words)}", functools.partial(run_words, words)


def _short(words: tuple[str, ...]) -> str:
    return " ".join(words)[:80]


def _yaml_words(words: tuple[str, ...]) -> None:
    run("--config-file", str(workspace() / "twostage.yaml"), *words)


def _lazy_words(words: tuple[str, ...]) -> None:
    run("--config-file", str(workspace() / "lazy.py"), *data_options(), *words)


def _command(words: tuple[str, ...]) -> None:
    run(*(word.format(folder=workspace()) for word in words))
