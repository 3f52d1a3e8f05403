"""How many trials a cluster has room for, machine by machine, and what it never could place."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import ray

from sanpose.config.compose import compose
from sanpose.config.schema import Config
from sanpose.errors import UserError
from sanpose.training.resources import ALLOCATOR, environment, trial_resources
from sanpose.tuning import elasticity


def cluster(monkeypatch: pytest.MonkeyPatch, *machines: tuple[float, float]) -> None:
    """A Ray whose machines have these CPUs and GPUs, and another one that has died."""
    nodes = [{"CPU": cpus} | ({"GPU": gpus} if gpus else {}) for cpus, gpus in machines]
    dead = {"Alive": False, "Resources": {"CPU": 999.0, "GPU": 999.0}}
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": one} for one in nodes] + [dead])
    total: Counter[str] = Counter()
    for one in nodes:
        total.update(one)
    monkeypatch.setattr(ray, "cluster_resources", lambda: dict(total))


def config(threads: int, workers: int = 1) -> Config:
    plain = compose()
    return replace(plain, train=replace(plain.train, threads=threads, workers=workers))


@pytest.mark.parametrize(
    ("machines", "threads", "workers", "places"),
    [
        ([(64, 8)], 0, 1, 8),
        ([(64, 8)], 8, 1, 8),
        ([(64, 8)], 16, 1, 4),  # eight GPUs, and CPUs for four of them
        ([(4, 8)], 0, 1, 4),  # with 0 a worker still takes one core
        ([(16, 4), (16, 4)], 6, 1, 4),  # two on each: what is left over on both does not make a fifth
        ([(128, 0), (8, 2)], 8, 1, 1),  # the CPUs of a machine without GPUs help nobody
        ([(16, 4), (16, 4)], 4, 2, 4),
        ([(16, 2)], 4, 2, 1),
    ],
)
def test_a_gpu_is_a_place_where_its_machine_has_the_cpus_too(
    monkeypatch: pytest.MonkeyPatch, machines: list[tuple[float, float]], threads: int, workers: int, places: int
) -> None:
    cluster(monkeypatch, *machines)
    held, found = trial_resources(config(threads, workers), cuda=True)
    assert found == places
    if workers == 1:
        assert held == {"GPU": 1.0, "CPU": max(1.0, threads)}
    else:
        assert "GPU" not in held and held["CPU"] == 0


@pytest.mark.parametrize(
    ("machines", "threads", "workers", "places"),
    [
        ([(8, 0)], 2, 1, 4),
        ([(7, 0), (7, 0)], 4, 1, 2),
        ([(8, 0), (4, 0)], 0, 1, 3),
        ([(8, 0)], 2, 2, 2),
        ([(8, 0)], 0, 2, 1),
        ([(2, 0)], 2, 2, 1),
    ],
)
def test_places_on_cpus(
    monkeypatch: pytest.MonkeyPatch, machines: list[tuple[float, float]], threads: int, workers: int, places: int
) -> None:
    cluster(monkeypatch, *machines)
    assert trial_resources(config(threads, workers), cuda=False)[1] == places


@pytest.mark.parametrize(
    ("machines", "threads", "workers", "cuda", "said"),
    [
        ([(128, 0), (4, 1)], 8, 1, True, r"train.threads=8 needs 8 CPUs .* largest machine with a GPU has 4"),
        ([(0, 2)], 0, 1, True, "needs 1 CPUs .* largest machine with a GPU has 0"),
        ([(16, 2)], 1, 4, True, "needs as many GPUs, and Ray has 2"),
        ([(4, 0), (2, 0)], 8, 1, False, "largest machine has 4"),
        ([(2, 0)], 0, 3, False, "needs as many CPUs, and Ray has 2"),
    ],
)
def test_what_could_never_be_placed_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    machines: list[tuple[float, float]],
    threads: int,
    workers: int,
    cuda: bool,
    said: str,
) -> None:
    cluster(monkeypatch, *machines)
    with pytest.raises(UserError, match=said):
        trial_resources(config(threads, workers), cuda)


@pytest.mark.parametrize(
    ("resources", "most", "trials"),
    [({"CPU": 1.0}, 0, 2), ({"CPU": 1.0}, 2, 5), ({"CPU": 2.0}, 2, 2), ({"CPU": 1.0, "GPU": 1.0}, 2, 2)],
)
def test_as_many_trials_side_by_side_as_there_will_be_places(
    resources: dict[str, float], most: int, trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head has one CPU, a node that is lent two and a GPU."""
    nodes = [{"CPU": 1.0, "node:__internal_head__": 1.0}, {"CPU": 2.0, "GPU": 1.0}]
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": has} for has in nodes])
    monkeypatch.setenv("SANPOSE_MAX_NODES", str(most))
    assert elasticity.concurrent(2 if most == 0 else 1, resources) == trials


@pytest.mark.parametrize("mine", ["", "glibc.malloc.arena_max=2"])
def test_whoever_has_set_the_allocator_keeps_it(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert environment("cpu")["GLIBC_TUNABLES"] == ALLOCATOR
    monkeypatch.setenv("GLIBC_TUNABLES", mine)
    assert environment("cpu")["GLIBC_TUNABLES"] == mine
