"""Opens a dataset in DuckDB, pyarrow and Polars, and checks that the three read the same.

    pip install duckdb pyarrow polars
    python neuro-data/tests/open_dataset.py DATASET

Every table is read whole by each of them as it is, without help: rows, columns and the mean service time must agree. Ends with
an error where they do not.
"""

import math
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow.compute
import pyarrow.dataset

TABLES = ["requests", "counters", "runs", "tenants", "quantiles", "datapoints", "datapoints-reference"]
# A column of each table whose mean is compared.
MEAN = {"requests": "service_s", "counters": "time_s", "tenants": "mean_s", "datapoints": "rate", "datapoints-reference": "rate"}


def check(dataset: Path, table: str) -> None:
    files = f"{dataset / table}/**/*.parquet"
    arrow = pyarrow.dataset.dataset(dataset / table, format="parquet", partitioning="hive").to_table()
    frame = polars.read_parquet(files, hive_partitioning=True)
    relation = duckdb.sql(f"SELECT * FROM '{files}'")

    rows = {"pyarrow": arrow.num_rows, "polars": frame.height, "duckdb": relation.shape[0]}
    assert len(set(rows.values())) == 1, f"{table}: {rows}"
    assert arrow.column_names == frame.columns == relation.columns, f"{table}: {arrow.column_names} {frame.columns} {relation.columns}"
    for field in arrow.schema:
        if field.name == "server" and table in ("requests", "counters"):
            continue  # told by the partition's folder
        assert field.metadata and b"description" in field.metadata, f"{table}.{field.name} has no description"
    assert arrow.schema.metadata[b"neuro.schema"] == b"1", table

    if column := MEAN.get(table):
        values = [
            pyarrow.compute.mean(arrow[column]).as_py(),
            frame[column].mean(),
            duckdb.sql(f"SELECT avg({column}) FROM '{files}'").fetchall()[0][0],
        ]
        known = [value for value in values if value is not None]
        assert len(known) in (0, 3) and all(math.isclose(value, known[0], rel_tol=1e-9) for value in known), f"{table}: {values}"
    print(f"{table}: {arrow.num_rows} rows, {len(arrow.column_names)} columns")


def main(dataset: Path) -> None:
    for table in TABLES:
        if (dataset / table).exists():
            check(dataset, table)
    # A nested column, as each of them takes it apart.
    points = dataset / "datapoints"
    if points.exists():
        entries = duckdb.sql(f"SELECT count(*) FROM (SELECT unnest(context) FROM '{points}/*.parquet')").fetchall()[0][0]
        frame = polars.read_parquet(f"{points}/*.parquet")
        assert entries == frame["context"].list.len().sum(), "contexts differ"
        arrow = pyarrow.dataset.dataset(points, format="parquet").to_table(columns=["context"])
        assert entries == pyarrow.compute.sum(pyarrow.compute.list_value_length(arrow["context"])).as_py(), "contexts differ"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
