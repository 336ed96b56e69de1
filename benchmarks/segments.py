"""A million customers of 256 numbers into 50 segments, beside scikit-learn: `python benchmarks/segments.py`.

The vectors are drawn around 50 centres of unequal size with noise that falls off from direction to direction, and have
length one, as embeddings do; groups overlap. They lie in a file that each process reads into memory before anything is
measured. Each way runs in a process of its own, in turn; extra memory is the peak beyond what was there before. Inertia
is the sum of squared distances in all 256 numbers to the mean of the own segment, computed the same way for all. The
best of twenty restarts is scikit-learn's on 50,000 of the customers, run to its end on all of them.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np

from harness import folder, run_child, save

START = """
import json, os, resource, sys, time
import numpy as np

path, count, extra = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
vectors = np.load(path)

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)

def blocks(size=16384):
    return [slice(at, at + size) for at in range(0, len(vectors), size)]

def inertia_of(labels):
    sizes = np.bincount(labels, minlength=count)
    sums, squares = np.zeros((count, vectors.shape[1])), 0.0
    for rows in blocks():
        block, mine = vectors[rows], labels[rows]
        members = np.zeros((count, len(block)), np.float32)
        members[mine, np.arange(len(block))] = 1
        sums += members @ block
        squares += float(np.einsum("ij,ij->", block, block, dtype=np.float64))
    return squares - float((sums**2 / np.maximum(sizes, 1)[:, None]).sum())

def measure(work):
    before, cpu, wall = peak_mib(), time.process_time(), time.perf_counter()
    labels = work()
    cpu, wall, more = time.process_time() - cpu, time.perf_counter() - wall, peak_mib() - before
    print(json.dumps({"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "extra_mib": round(more),
                      "inertia": round(inertia_of(labels), 1)}))
"""

PENSTOCK = (
    START
    + """
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.model import find_segments

keys = [f"customer-{at}" for at in range(len(vectors))]
measure(lambda: find_segments(Customers(vectors, "embedder", keys), count).places.segments)
"""
)

REFRESH = (
    START
    + """
from penstock.features.clustering.customers import Customers
from penstock.features.clustering.model import find_segments, refresh

before = find_segments(Customers(vectors[: len(vectors) * 4 // 5], "embedder"), count)
kept = []
def work():
    after = refresh(before.segmentation, Customers(vectors, "embedder")).places.segments
    kept.append(float((after[: len(before.places.segments)] == before.places.segments).mean()))
    return after
measure(work)
print(json.dumps({"kept": kept[0]}))
"""
)

SCIKIT = (
    START
    + """
from sklearn.cluster import KMeans

measure(lambda: KMeans(count, n_init=1, random_state=7).fit(vectors).labels_)
"""
)

MINIBATCH = (
    START
    + """
from sklearn.cluster import MiniBatchKMeans

measure(lambda: MiniBatchKMeans(count, n_init=3, random_state=7).fit(vectors).labels_)
"""
)

BEST = (
    START
    + """
from sklearn.cluster import KMeans

def work():
    some = vectors[np.random.default_rng(1).choice(len(vectors), min(50_000, len(vectors)), replace=False)]
    best = KMeans(count, n_init=extra, random_state=7).fit(some)
    return KMeans(count, init=best.cluster_centers_, n_init=1).fit(vectors).labels_

measure(work)
"""
)


def write_vectors(path: str, customers: int, width: int, groups: int) -> None:
    chance = np.random.default_rng(1)
    fall = (1 / np.sqrt(1 + np.arange(width))).astype(np.float32)
    centres = chance.standard_normal((groups, width), dtype=np.float32) * fall
    truth = chance.choice(groups, customers, p=chance.dirichlet(np.full(groups, 2.0)))
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (customers, width))
    for at in range(0, customers, 50_000):
        block = centres[truth[at : at + 50_000]]
        block += chance.standard_normal(block.shape, dtype=np.float32) * fall
        vectors[at : at + 50_000] = block / np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--segments", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=20)
    given = parser.parse_args()
    with folder() as place:
        path = str(place / "vectors.npy")
        write_vectors(path, given.customers, given.width, given.segments)
        arguments = (path, str(given.segments), str(given.restarts))
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(run_child(PENSTOCK, *arguments))
            print(ours[-1], flush=True)
            theirs.append(run_child(SCIKIT, *arguments))
            print(theirs[-1], flush=True)
        parts = {"scikit_learn_minibatch": MINIBATCH, "best_of_restarts": BEST}
        others = {name: run_child(script, *arguments) for name, script in parts.items()}
        kept = float(run_child(REFRESH, *arguments)["kept"])

    def middle(found: list[dict[str, float]], name: str) -> float:
        return statistics.median(one[name] for one in found)

    save(
        "segments",
        {
            "what": f"{given.customers:,} vectors of {given.width} numbers into {given.segments} segments",
            "times_faster": round(middle(theirs, "seconds") / middle(ours, "seconds"), 1),
            "times_less_cpu": round(middle(theirs, "cpu_seconds") / middle(ours, "cpu_seconds"), 1),
            "extra_memory_part": round(middle(ours, "extra_mib") / middle(theirs, "extra_mib"), 3),
            "inertia_over_scikit_learn": round(middle(ours, "inertia") / middle(theirs, "inertia") - 1, 4),
            "inertia_over_best_of_restarts": round(
                middle(ours, "inertia") / float(others["best_of_restarts"]["inertia"]) - 1, 4
            ),
            "kept_after_a_quarter_more": round(kept, 4),
            "penstock": ours,
            "scikit_learn": theirs,
            **others,
        },
    )


if __name__ == "__main__":
    main()
