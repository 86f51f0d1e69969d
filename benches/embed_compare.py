"""Optimises over the same ReLU networks with neuro, OMLT + CBC and PySCIPOpt-ML, each solve in a process of its own.

    pip install omlt pyomo pyscipopt pyscipopt-ml torch numpy      # and CBC's program: apt-get install coinor-cbc
    cargo build -p neuro-examples --example embed_relu
    python benches/embed_compare.py --results results.jsonl [--sizes 16-16,24-24] [--methods neuro,omlt-cbc] [--limit 60]
    python benches/embed_compare.py --results results.jsonl --table

Networks: five inputs, the length of the context in the published profiler, for every size; weights N(0, 2/inputs of the layer),
biases N(0, 0.01), inputs in [-1, 1] with sum(x) <= inputs/4, one output, maximised. Seeds 101, 102, ... .
Seconds are CPU seconds: of the whole process for neuro, of CBC's process for OMLT, of the call to optimize for SCIP. A solve that
reaches the limit (of CPU time for CBC and SCIP, of wall-clock time for neuro) counts as the limit, and the table gives the gap that
was left. Objectives must agree to 1e-5. A run may be made in parts: results are added to a file, and what is there is not run again.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHODS = ["neuro", "neuro-cbc", "omlt-cbc", "scip-ml-sos", "scip-ml-bigm"]
FIRST_SEED = 101


def problem(sizes, inputs, seed):
    random = numpy.random.default_rng(seed)
    widths = [inputs, *sizes, 1]
    layers = []
    for index, (before, after) in enumerate(zip(widths, widths[1:])):
        weights = random.normal(size=(after, before)) * numpy.sqrt(2 / before)
        bias = random.normal(size=after) * 0.1
        layers.append({"W": weights.tolist(), "b": bias.tolist(), "relu": index < len(sizes)})
    box = {"lb": [-1.0] * inputs, "ub": [1.0] * inputs}
    return {"layers": layers, **box, "a": [1.0] * inputs, "b": inputs / 4, "c": [1.0], "sense": "max"}


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def relative(objective, bound):
    """The gap; None where there is no solution or no bound."""
    known = objective is not None and bound is not None and abs(bound) < 1e19
    return abs(bound - objective) / abs(objective) if known and objective else None


def neuro(path, limit, solver):
    command = [ROOT / "target/debug/examples/embed_relu", path, "--json", "--time-limit", f"{limit}s", "--solver", solver]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    gap = relative(answer["objective"], answer["bound"])
    return answer["objective"], answer["termination"] == "optimal", cpu(resource.RUSAGE_CHILDREN), gap


def omlt_cbc(path, limit):
    import pyomo.environ as pyo
    from omlt import OmltBlock
    from omlt.neuralnet import NetworkDefinition, ReluBigMFormulation
    from omlt.neuralnet.layer import DenseLayer, InputLayer

    data = json.loads(pathlib.Path(path).read_text())
    inputs = range(len(data["lb"]))
    network = NetworkDefinition(scaled_input_bounds={i: (data["lb"][i], data["ub"][i]) for i in inputs})
    before = InputLayer([len(inputs)])
    network.add_layer(before)
    for layer in data["layers"]:
        weights, bias = numpy.array(layer["W"]).T, numpy.array(layer["b"])
        activation = "relu" if layer["relu"] else "linear"
        dense = DenseLayer([weights.shape[0]], [weights.shape[1]], weights=weights, biases=bias, activation=activation)
        network.add_layer(dense)
        network.add_edge(before, dense)
        before = dense
    model = pyo.ConcreteModel()
    model.network = OmltBlock()
    model.network.build_formulation(ReluBigMFormulation(network))
    model.row = pyo.Constraint(expr=sum(data["a"][i] * model.network.inputs[i] for i in inputs) <= data["b"])
    model.value = pyo.Objective(expr=model.network.outputs[0], sense=pyo.maximize)
    solver = pyo.SolverFactory("cbc")
    solver.options["sec"] = limit
    before = cpu(resource.RUSAGE_CHILDREN)
    result = solver.solve(model)
    seconds = cpu(resource.RUSAGE_CHILDREN) - before
    solved = str(result.solver.termination_condition) == "optimal"
    # Pyomo's reader of CBC's log gives both, with signs of its own when maximising.
    problem = result.problem
    gap = None if solved else relative(abs(float(problem.lower_bound)), abs(float(problem.upper_bound)))
    return (pyo.value(model.value) if solved else None), solved, seconds, gap


def scip(path, limit, formulation):
    import torch
    from pyscipopt import Model
    from pyscipopt_ml.add_predictor import add_predictor_constr

    data = json.loads(pathlib.Path(path).read_text())
    modules = []
    for layer in data["layers"]:
        linear = torch.nn.Linear(len(layer["W"][0]), len(layer["W"])).double()
        linear.weight.data, linear.bias.data = torch.tensor(layer["W"]).double(), torch.tensor(layer["b"]).double()
        modules += [linear, torch.nn.ReLU()] if layer["relu"] else [linear]
    model = Model()
    model.hideOutput()
    x = numpy.array([[model.addVar(f"x{i}", lb=l, ub=u) for i, (l, u) in enumerate(zip(data["lb"], data["ub"]))]])
    y = numpy.array([[model.addVar("y", lb=None, ub=None)]])
    add_predictor_constr(model, torch.nn.Sequential(*modules), x, y, unique_naming_prefix="n_", formulation=formulation)
    model.addCons(sum(a * x[0][i] for i, a in enumerate(data["a"])) <= data["b"])
    model.setObjective(y[0][0], sense="maximize")
    model.setParam("limits/time", limit)
    model.setParam("timing/clocktype", 1)
    before = cpu(resource.RUSAGE_SELF)
    model.optimize()
    seconds = cpu(resource.RUSAGE_SELF) - before
    solved = model.getStatus() == "optimal"
    held = model.getObjVal() if model.getNSols() else None
    return (held if solved else None), solved, seconds, relative(held, model.getDualbound())


def one(method, path, limit):
    if method.startswith("neuro"):
        return neuro(path, limit, "cbc" if method == "neuro-cbc" else "search")
    if method == "omlt-cbc":
        return omlt_cbc(path, limit)
    return scip(path, limit, method.removeprefix("scip-ml-"))


def table(results):
    """Medians and ranges by size and method, and how many times faster neuro is in the geometric mean over seeds."""
    seconds = {}
    for line in results:
        used = line["seconds"] if line["solved"] else line["limit"]
        seconds.setdefault((line["size"], line["method"]), {})[line["seed"]] = (used, line["solved"], line["gap"])
    print(f"{'size':8} {'method':14} {'median':>9} {'least':>9} {'most':>9}  solved  {'of neuro':>9}  gaps left")
    for (size, method), by_seed in sorted(seconds.items()):
        figures = [used for used, _, _ in by_seed.values()]
        own = seconds.get((size, "neuro"), {})
        shared = [seed for seed in by_seed if seed in own]
        ratio = statistics.geometric_mean(by_seed[s][0] / own[s][0] for s in shared) if shared else float("nan")
        # One that was not solved would have taken longer.
        sign = ">=" if any(not by_seed[s][1] for s in shared) else "  "
        left = ["?" if gap is None else f"{100 * gap:.1f} %" for _, solved, gap in by_seed.values() if not solved]
        row = " ".join(f"{figure:9.3f}" for figure in (statistics.median(figures), min(figures), max(figures)))
        solved = f"{sum(solved for _, solved, _ in by_seed.values())}/{len(by_seed)}"
        print(f"{size:8} {method:14} {row}  {solved:6}  {sign}{ratio:7.2f}  {', '.join(left)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=pathlib.Path, help="JSON lines, one a solve")
    parser.add_argument("--table", action="store_true", help="print what the results say")
    parser.add_argument("--sizes", default="16-16,24-24,32-32,50-25")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=5)
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one, args.limit)))
        return
    if args.results is None:
        parser.error("--results is needed")
    text = args.results.read_text() if args.results.exists() else ""
    results = [json.loads(line) for line in text.splitlines()]
    if args.table:
        table(results)
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    done = {(line["size"], line["method"], line["seed"]) for line in results}
    objectives = {(line["size"], line["seed"]): line["objective"] for line in results if line["solved"]}
    for size in args.sizes.split(","):
        for seed in range(FIRST_SEED, FIRST_SEED + args.seeds):
            path = folder / f"{size}-{seed}.json"
            path.write_text(json.dumps(problem([int(w) for w in size.split("-")], args.inputs, seed)))
            for method in args.methods.split(","):
                if (size, method, seed) in done:
                    continue
                command = [sys.executable, __file__, "--limit", str(args.limit), "--one", method, str(path)]
                run = subprocess.run(command, capture_output=True, text=True)
                if run.returncode:
                    sys.exit(f"{method} on {path}:\n{run.stderr}")
                objective, solved, used, gap = json.loads(run.stdout.splitlines()[-1])
                known = objectives.get((size, seed))
                if solved and known is not None and abs(known - objective) > 1e-5 * max(1, abs(objective)):
                    sys.exit(f"{method} on {path}: {objective} instead of {known}")
                if solved:
                    objectives[size, seed] = objective
                line = dict(size=size, inputs=args.inputs, seed=seed, method=method, limit=args.limit)
                line |= dict(objective=objective, solved=solved, seconds=used, gap=gap)
                with args.results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
