"""What `neuro ingest` is compared with: the same tree of the prototype's runs into Parquet, with pandas, on one core.

    taskset -c 0 python benches/ingest_pandas.py TREE OUT [snappy|zstd]

For each run: `read_csv` of every tenant, mean, p75 and p95 of its service times, and `to_parquet` of the run's requests, with snappy
as pandas itself chooses or with zstd as `neuro ingest` does.
Prints one JSON object with rows, wall and CPU seconds and peak memory.
"""

import json
import resource
import sys
import time
from pathlib import Path

import pandas as pd


def main(tree: Path, out: Path, compression: str) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    (out / "requests").mkdir(parents=True, exist_ok=True)
    rows, tenants = 0, []
    for manifest in sorted(tree.rglob("tenant_requests.json")):
        run = manifest.parent
        run_id = "_".join(run.relative_to(tree).parts) or "run"
        frames = []
        for tenant in json.loads(manifest.read_text())["tenant_requests"]:
            frame = pd.read_csv(run / f"tenant-{tenant['id']}.csv", index_col=0)
            times = frame["service_times"]
            p75, p95 = times.quantile([0.75, 0.95])
            summary = {"run_id": run_id, "tenant_id": tenant["id"], "app": tenant["application"]}
            tenants.append(summary | {"mean_s": times.mean(), "p75_s": p75, "p95_s": p95})
            frame.insert(0, "run_id", run_id)
            frame.insert(1, "tenant_id", str(tenant["id"]))
            frame.insert(2, "app", tenant["application"])
            frames.append(frame)
        requests = pd.concat(frames, ignore_index=True)
        rows += len(requests)
        requests.to_parquet(out / "requests" / f"{run_id}.parquet", compression=compression)
    pd.DataFrame(tenants).to_parquet(out / "tenants.parquet", compression=compression)
    report = {
        "rows": rows,
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(sys.argv[3:] or ["snappy"]))
