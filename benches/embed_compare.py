"""Optimises over the same ReLU networks with neuro, OMLT + CBC and PySCIPOpt-ML, each solve in a process of its own.

    pip install omlt pyomo pyscipopt pyscipopt-ml torch numpy      # and CBC's program: apt-get install coinor-cbc
    cargo build --example embed_relu
    python benches/embed_compare.py [--sizes 16-16,24-24] [--seeds 5] [--inputs 10] [--limit 60]

Networks: weights N(0, 2/inputs of the layer), biases N(0, 0.01), inputs in [-1, 1] with sum(x) <= inputs/4, one output, maximised.
Seconds are CPU seconds: of the whole process for neuro, of CBC's process for OMLT, of the call to optimize for SCIP. A solve that
reaches the limit counts as the limit; the table says how many were solved. Objectives must agree to 1e-5.
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
METHODS = ["neuro", "omlt-cbc", "scip-ml-sos", "scip-ml-bigm"]


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


def neuro(path, limit):
    command = [ROOT / "target/debug/examples/embed_relu", path, "--json", "--time-limit", f"{limit}s"]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return answer["objective"], answer["termination"] == "optimal", cpu(resource.RUSAGE_CHILDREN), answer["nodes"]


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
    return (pyo.value(model.value) if solved else None), solved, seconds, None


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
    return (model.getObjVal() if solved else None), solved, seconds, model.getNTotalNodes()


def one(method, path, limit):
    if method == "neuro":
        return neuro(path, limit)
    if method == "omlt-cbc":
        return omlt_cbc(path, limit)
    return scip(path, limit, method.removeprefix("scip-ml-"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="16-16,24-24,32-32,50-25")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=10)
    parser.add_argument("--limit", type=float, default=60)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one, args.limit)))
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    print(f"{'size':8} {'method':14} {'median':>9} {'least':>9} {'most':>9}  solved")
    for size in args.sizes.split(","):
        for method in args.methods.split(","):
            seconds, solved_count = [], 0
            for seed in range(args.seeds):
                path = folder / f"{size}-{seed}.json"
                path.write_text(json.dumps(problem([int(w) for w in size.split("-")], args.inputs, seed)))
                command = [sys.executable, __file__, "--limit", str(args.limit), "--one", method, str(path)]
                run = subprocess.run(command, capture_output=True, text=True)
                if run.returncode:
                    sys.exit(f"{method} on {path}:\n{run.stderr}")
                objective, solved, used, _ = json.loads(run.stdout.splitlines()[-1])
                key = path.with_suffix(".objective")
                if solved:
                    solved_count += 1
                    if key.exists() and abs(float(key.read_text()) - objective) > 1e-5 * max(1, abs(objective)):
                        sys.exit(f"{method} on {path}: {objective} instead of {key.read_text()}")
                    key.write_text(repr(objective))
                seconds.append(used if solved else args.limit)
            row = (statistics.median(seconds), min(seconds), max(seconds))
            figures = " ".join(f"{figure:9.3f}" for figure in row)
            print(f"{size:8} {method:14} {figures}  {solved_count}/{args.seeds}", flush=True)


if __name__ == "__main__":
    main()
