"""Trainings that are asked to end: whole processes, real signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from detectron2.engine import HookBase, SimpleTrainer
from torch import nn
from torch.utils.data import DataLoader

from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.engine.shielded_workers import shield_workers
from eql_d2.engine.signals import EXIT_CODE, StopHook, Stopped, StopSignals, stop_signals
from tests.study.test_processes import PATIENCE, is_alive, wait_for
from tests.test_train_net import ROOT, arguments, config  # noqa: F401


@pytest.fixture
def start(config, data):  # noqa: F811
    """Start ``train_net.py``; its folder is ``data / "output"``."""
    started = []

    def start(*options, opts=(), launcher=()):
        command = [sys.executable, *launcher, str(ROOT / "train_net.py")]
        command += arguments(config, data, *options, opts=opts)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        log = open(data / "log", "w")
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=data, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def log(data):
    return (data / "log").read_text()


def metrics(data):
    path = data / "output/metrics.json"
    return [json.loads(line) for line in path.open()] if path.exists() else []


def children(pid):
    found = subprocess.run(["ps", "-wwo", "pid=,args=", "--ppid", str(pid)], capture_output=True)
    lines = [line.split(None, 1) for line in found.stdout.decode().splitlines()]
    return [int(pid) for pid, args in lines if "train_net" in args or "spawn_main" in args]


def stopped_by(process, name, data):
    assert process.wait(timeout=PATIENCE) == EXIT_CODE, log(data)
    assert "Traceback" not in log(data)
    (line,) = [line for line in log(data).splitlines() if "Stopped by" in line]
    assert f"Stopped by {name}" in line
    return line


LONG = ("SOLVER.MAX_ITER", "90", "SOLVER.BASE_LR", "1e-4", "DATASETS.TEST", "()")


def is_whole(path):
    command = ["sha256sum", "-c", "--status", f"{path.name}.sha256"]
    return subprocess.run(command, cwd=path.parent).returncode == 0


@pytest.mark.slow
def test_a_signal_to_all_processes_saves_the_step_and_a_kill_loses_nothing_saved(start, data):
    """As SLURM sends SIGTERM: to the workers of the data loader, too. Then SIGKILL."""
    process = start(opts=(*LONG, "DATALOADER.NUM_WORKERS", "1"))
    wait_for(lambda: metrics(data))
    (worker,) = children(process.pid)
    for pid in (worker, process.pid):
        os.kill(pid, signal.SIGTERM)
    line = stopped_by(process, "SIGTERM", data)
    (path,) = (data / "output").glob("*.pth")
    iteration = torch.load(path, weights_only=True)["iteration"]
    assert path.name == f"model_{iteration:07d}.pth" and is_whole(path)
    assert f"after iteration {iteration + 1} of 90, which is saved" in line

    process = start("--resume", opts=(*LONG, "SOLVER.CHECKPOINT_PERIOD", "1"))
    wait_for(lambda: log(data).count("Saving checkpoint") > 2)
    process.kill()
    process.wait()
    assert f"Starting training from iteration {iteration + 1}\n" in log(data)
    assert (data / "output/last_checkpoint").read_text() > path.name
    files = list((data / "output").glob("*.pth"))
    assert len(files) > 2 and sum(not is_whole(path) for path in files) <= 1  # one without checksum
    for file in files:
        torch.load(file, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_two_processes_stop_after_the_same_step(start, data, number):
    """SIGTERM to one of them, SIGKILL to their launcher."""
    process = start("--num-gpus", "2", "--dist-url", "auto", opts=LONG)
    wait_for(lambda: metrics(data))
    ranks = children(process.pid)
    assert len(ranks) == 2
    os.kill(process.pid if number == signal.SIGKILL else ranks[1], number)
    if number == signal.SIGTERM:
        stopped_by(process, "SIGTERM", data)
    wait_for(lambda: not any(map(is_alive, ranks)))
    assert "which is saved" in log(data)
    (path,) = (data / "output").glob("*.pth")
    assert is_whole(path)


class Model(nn.Linear):
    def forward(self, data):
        return {"loss": super().forward(torch.ones(1, 1)).sum()}


class Evaluation(HookBase):
    """Ends at iteration 3 by what ``end`` does."""

    def __init__(self, end):
        self.end, self.steps = end, []

    def after_step(self):
        self.steps.append(self.trainer.iter)
        if self.trainer.iter == 3:
            self.end()


def train(folder, end, stop_last):
    """Train 6 steps; the iterations that were evaluated, and what was saved."""
    trainer = SimpleTrainer(
        model := Model(1, 1), DataLoader(range(100)), torch.optim.SGD(model.parameters(), 0.1)
    )
    stop = StopHook(EQLCheckpointer(model, str(folder), trainer=trainer))
    evaluation = Evaluation(end)
    trainer.register_hooks([evaluation, stop] if stop_last else [stop, evaluation])
    with stop_signals.handled():
        try:
            trainer.train(0, 6)
        except (Stopped, ZeroDivisionError) as error:
            message = str(getattr(error, "message", error))
        else:
            message = ""
        # a signal that was caught here would be raised again
        stop_signals._caught = True
    saved = [torch.load(path, weights_only=True)["iteration"] for path in folder.glob("*.pth")]
    return evaluation.steps, saved, message


def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)


def interrupt_evaluation():
    with stop_signals.interruptible():
        interrupt()
        time.sleep(10)


def test_a_signal_in_a_step_saves_it(tmp_path):
    steps, saved, message = train(tmp_path, interrupt, stop_last=True)
    assert steps == [0, 1, 2, 3] and saved == [3]
    assert message == (
        "Stopped by SIGTERM after iteration 4 of 6, which is saved: start again with --resume"
    )


def test_a_signal_between_steps_saves_the_next(tmp_path):
    assert train(tmp_path, interrupt, stop_last=False)[:2] == ([0, 1, 2, 3], [4])


def test_a_signal_in_an_evaluation_saves_the_step_before_it(tmp_path):
    steps, saved, message = train(tmp_path, interrupt_evaluation, stop_last=False)
    assert steps == [0, 1, 2, 3] and saved == [3]
    assert "Stopped by SIGTERM outside of the steps" in message


def test_an_evaluation_that_fails_loses_no_step(tmp_path):
    assert train(tmp_path, lambda: 1 / 0, stop_last=False)[:2] == ([0, 1, 2, 3], [3])


def test_a_step_that_fails_is_not_saved(tmp_path):
    assert train(tmp_path, lambda: 1 / 0, stop_last=True)[:2] == ([0, 1, 2, 3], [])


def test_without_a_signal_nothing_is_saved_twice(tmp_path):
    steps, saved, _ = train(tmp_path, lambda: None, stop_last=False)
    assert steps == [*range(6)] and saved == [5]


@pytest.fixture(autouse=True)
def interruptions():
    """Not ignored, as a shell has it for what it runs in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def signals():
    own = StopSignals()
    with own.handled():
        yield own


def test_a_signal_ends_the_start_and_not_a_step():
    signals = StopSignals()
    with pytest.raises(Stopped, match="75") as error, signals.handled():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert error.value.code == EXIT_CODE and signals.received == "SIGTERM"


def test_a_signal_in_a_step_waits_for_its_end(signals):
    signals.wait_for_step()
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert signals.received == "SIGUSR1"
    with pytest.raises(Stopped, match="75"), signals.interruptible():
        raise AssertionError("the evaluation began")


def test_an_evaluation_is_ended_at_once_and_what_follows_is_not(signals):
    signals.wait_for_step()
    with pytest.raises(Stopped), signals.interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.6)  # by then what was lost would be raised again


def test_an_end_that_is_lost_in_a_callback_is_raised_again():
    class Lost:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)

    with pytest.raises(Stopped), StopSignals().handled():
        Lost()
        time.sleep(10)


def test_a_second_interruption_ends_at_once(signals):
    signals.wait_for_step()
    assert signal.getsignal(signal.SIGINT) != signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)
    assert signals.received == "SIGINT" and signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_an_ignored_signal_stays_ignored():
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with StopSignals().handled():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0)
    finally:
        signal.signal(signal.SIGUSR1, previous)


class Pids:
    def __len__(self):
        return 100

    def __getitem__(self, index):
        time.sleep(0.05)
        return os.getpid()


@pytest.mark.parametrize(
    ("is_shielded", "start"), [(True, "fork"), (True, "forkserver"), (False, "fork")]
)
def test_workers_of_the_loader_outlive_a_signal_that_is_not_from_their_parent(is_shielded, start):
    with stop_signals.handled():
        loader = DataLoader(Pids(), num_workers=1, multiprocessing_context=start)
        if is_shielded:
            shield_workers(loader)
        batches = iter(loader)
        worker = int(next(batches))
        command = f"kill -TERM {worker}; kill -INT {worker}; kill -USR1 {worker}"
        subprocess.run(["sh", "-c", command], check=True)
        if is_shielded:
            assert [int(next(batches)) for _ in range(20)] == [worker] * 20
            process = batches._workers[0]
            process.terminate()
            process.join(PATIENCE)
            assert not process.is_alive()
        else:
            with pytest.raises(RuntimeError, match="DataLoader worker"):
                list(batches)
        del batches
    assert stop_signals.received is None and threading.current_thread().name == "MainThread"
