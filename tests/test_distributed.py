from pathlib import Path

import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm

from eql_d2.distributed import end_process_group

THREADS = Path("/proc/self/task")


def run_rank(rank: int, directory: Path) -> None:
    init = f"file://{directory / 'init'}"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    comm.gather(rank)  # Detectron2 caches the group here
    end_process_group()
    names = [(task / "comm").read_text().strip() for task in THREADS.iterdir()]
    (directory / f"threads{rank}").write_text("\n".join(names))


@pytest.mark.slow
@pytest.mark.skipif(not THREADS.exists(), reason="needs Linux's list of threads")
def test_no_thread_of_the_process_group_outlives_it(tmp_path):
    """One that is busy while Python shuts down aborts the process."""
    mp.spawn(run_rank, (tmp_path,), nprocs=2)
    for rank in range(2):
        assert "gloo" not in (tmp_path / f"threads{rank}").read_text()
