"""Trivial trials with Optuna on SQLite: `python optuna_trials.py WORKERS TRIALS FOLDER` prints seconds a trial as JSON.

Workers are processes that share the study's database, as Optuna's documentation has it.
"""

import json
import multiprocessing
import sys
import time
from pathlib import Path

import optuna


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1.0, 1.0)
    y = trial.suggest_float("y", -1.0, 1.0)
    return x * x + y * y


def work(storage: str, trials: int, begin: float) -> None:
    optuna.logging.disable_default_handler()
    study = optuna.load_study(study_name="s", storage=storage, sampler=optuna.samplers.RandomSampler())
    time.sleep(max(0.0, begin - time.time()))
    study.optimize(objective, n_trials=trials)


def main() -> None:
    workers, trials, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    optuna.logging.disable_default_handler()
    storage = f"sqlite:///{folder / 'study.db'}"
    optuna.create_study(study_name="s", storage=storage)
    begin = time.time() + 5  # all of them have started by then
    processes = [
        multiprocessing.get_context("spawn").Process(target=work, args=(storage, trials // workers, begin))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    seconds = time.time() - begin
    assert len(optuna.load_study(study_name="s", storage=storage).trials) == trials // workers * workers
    print(json.dumps({"trial": seconds / trials}))


if __name__ == "__main__":
    main()
