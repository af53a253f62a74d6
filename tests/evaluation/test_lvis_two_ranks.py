import json
import logging
from pathlib import Path

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from eql_d2.distributed import end_process_group
from eql_d2.evaluation import LVISEvaluator
from eql_d2.exceptions import InputError

from .federated_data import (
    evaluate,
    make_inputs,
    make_outputs,
    make_truth,
    registered,
    without_masks,
)


def run_rank(rank: int, directory: Path) -> None:
    """Evaluate a share of the images: twice in one directory, then in one that is not shared."""
    logging.disable(logging.WARNING)
    init = f"file://{directory / 'init'}"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    truth = make_truth(0)
    inputs, outputs = make_inputs(truth), without_masks(make_outputs(truth, 0))
    share = slice(0, 25) if rank == 0 else slice(25, 60)
    with registered("federated", directory / f"truth{rank}.json", truth) as name:
        if rank == 1:  # only the main process may need the ground truth
            (directory / "truth1.json").unlink()
        for attempt, output_dir in enumerate(("out", "out", f"out{rank}")):
            evaluator = LVISEvaluator(name, output_dir=directory / output_dir, fixed_ap=True)
            evaluator.reset()
            evaluator.process(inputs[share], outputs[share])
            dist.barrier()
            if attempt == 2 and rank == 0:  # as the main process would see another machine's file
                (directory / "out1" / "lvis_bbox_rank1.jsonl").unlink()
            try:
                results = evaluator.evaluate()
            except InputError as error:
                results = str(error)
            (directory / f"results_{attempt}_{rank}.json").write_text(json.dumps(results))
    end_process_group()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ranks")
    mp.spawn(run_rank, (directory,), nprocs=2)
    return directory


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.slow
def test_two_ranks_give_what_one_gives(directory, tmp_path, attempt):
    truth = make_truth(0)
    with registered("federated", tmp_path / "truth.json", truth) as name:
        evaluator = LVISEvaluator(name, output_dir=tmp_path / "one", fixed_ap=True)
        expected = evaluate(evaluator, truth, without_masks(make_outputs(truth, 0)))
    assert json.loads((directory / f"results_{attempt}_0.json").read_text()) == expected
    assert json.loads((directory / f"results_{attempt}_1.json").read_text()) == {}
    files = {path.name: path.read_bytes() for path in (directory / "out").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}


@pytest.mark.slow
def test_ranks_that_do_not_share_the_directory_are_told(directory):
    message = json.loads((directory / "results_2_0.json").read_text())
    assert "output_dir on a file system all ranks share" in message
    assert json.loads((directory / "results_2_1.json").read_text()) == {}
