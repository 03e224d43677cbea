"""Converts a network from ONNX, OpenVINO IR, Keras or SavedModel to .tflite files: float32, float16 and full 8-bit integers.

Reports for each file how large it is, how near its answers are to the original's, and, for an embedder, how well the program
distinguishes people with it and how long it takes in the program.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
import faces
import openvino_ir
from eight_bits import eight_bits


class Source:
    """The network to convert, with its converter and its own answers."""

    def __init__(self, file, work):
        self.file = file
        kind = file.suffix.lower()
        if kind == ".xml":
            function, shape = openvino_ir.read(file)
            run = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)]).get_concrete_function()
            self.converter = lambda: tf.lite.TFLiteConverter.from_concrete_functions([run])
            self.answer = lambda x: np.ravel(run(tf.constant(x))[0])
        elif kind == ".onnx":
            saved = from_onnx(file, work)
            self.converter = lambda: tf.lite.TFLiteConverter.from_saved_model(str(saved))
            import onnxruntime

            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            self.answer = lambda x: np.ravel(session.run(None, {name: x.transpose(0, 3, 1, 2)})[0])
        elif kind in (".keras", ".h5"):
            import keras

            model = keras.models.load_model(file)
            self.converter = lambda: tf.lite.TFLiteConverter.from_keras_model(model)
            self.answer = lambda x: np.ravel(model(x))
        elif (file / "saved_model.pb").exists():
            self.converter = lambda: tf.lite.TFLiteConverter.from_saved_model(str(file))
            run = tf.saved_model.load(str(file)).signatures["serving_default"]
            self.answer = lambda x: np.ravel(next(iter(run(tf.constant(x)).values())))
        else:
            raise SystemExit(f"convert: {file}: is no .onnx, .xml, .keras or .h5 file and no SavedModel folder")


def from_onnx(file, work):
    """Makes a SavedModel with onnx2tf."""
    # onnx2tf downloads pictures to compare answers on, unless they are in its working directory. Our own comparison is below.
    np.save(work / "calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), np.float32))
    command = ["onnx2tf", "-i", str(file.resolve()), "-o", "saved", "-n", "-osd"]
    done = subprocess.run([Path(sys.executable).parent / command[0], *command[1:]], cwd=work, capture_output=True, text=True)
    if done.returncode or not (work / "saved/saved_model.pb").exists():
        raise SystemExit(f"convert: {file}: onnx2tf cannot read it: {(done.stderr or done.stdout).strip()[-600:]}")
    return work / "saved"


class Network:
    """A .tflite file that is run on float inputs."""

    def __init__(self, content):
        self.net = Interpreter(model_content=content, num_threads=2)
        self.net.allocate_tensors()
        self.input, self.output = self.net.get_input_details()[0], self.net.get_output_details()[0]
        self.shape = tuple(self.input["shape"])

    def __call__(self, x):
        if self.input["dtype"] != np.float32:
            scale, zero = self.input["quantization"]
            x = np.clip(np.round(x / scale + zero), -128, 127).astype(self.input["dtype"])
        self.net.set_tensor(self.input["index"], x)
        self.net.invoke()
        y = np.ravel(self.net.get_tensor(self.output["index"])).astype(np.float32)
        if self.output["dtype"] != np.float32:
            scale, zero = self.output["quantization"]
            y = (y - zero) * scale
        return y


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-12))


class Role:
    """The embedder of a manifest that the network will replace."""

    def __init__(self, root, selection):
        name, _, self.name = selection.partition(":")
        self.file = Path(name) if name.endswith(".toml") else root / "models" / f"{name}.toml"
        if not self.file.exists():
            raise SystemExit(f"convert: {self.file}: there is no such manifest; --as takes SET:EMBEDDER or FILE.toml:EMBEDDER")
        self.manifest = self.file.read_text()
        tables = tomllib.loads(self.manifest)
        self.name = self.name or tables["embedder"]
        if self.name not in tables["embedders"]:
            raise SystemExit(f"convert: {self.file}: embedder {self.name!r} is none of {', '.join(tables['embedders'])}")
        self.input = tables["embedders"][self.name]["input"]
        self.template = np.float32(tables["embedders"][self.name]["template"])

    def input_of(self, path, points):
        """The face of a photo in the form that the network takes."""
        side = self.input["width"]
        crop = faces.align(cv2.imread(path), points, self.template * side, side)
        if self.input["channels"] == "rgb":
            crop = crop[:, :, ::-1]
        if self.input["channels"] in ("grey", "luma"):
            crop = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None]
        n = crop.shape[2]
        return ((crop - np.float32(self.input["mean"][:n])) * np.float32(self.input["scale"][:n]))[None].astype(np.float32)

    def with_file(self, file, to):
        """Writes the manifest with `file` as this embedder to `to`."""
        begin = self.manifest.index(f"[embedders.{self.name}]")
        end = self.manifest.find("\n[", begin + 1)
        end = len(self.manifest) if end < 0 else end
        sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        changed = {"file": str(file.resolve()), "sha256": sha256}
        lines = [
            f'{key} = "{changed[key]}"' if (key := line.split(" = ")[0]) in changed else line
            for line in self.manifest[begin:end].splitlines()
        ]
        to.write_text(self.manifest[:begin] + "\n".join(lines) + self.manifest[end:])
        return f"{to}:{self.name}"


def in_the_program(args, models, photo):
    """The program's reports on a model set, from `eval pairs` and from `bench` with `photo`."""
    program = [args.latchkey, "--board", "host", "--models", models, "--model-files", str(Path(args.shared) / "models")]
    lfw = Path(args.shared) / "faces/lfw-dev"
    report = lambda *a: json.loads(subprocess.run([*program, *a, "--json"], stdout=subprocess.PIPE, check=True).stdout)
    pairs = report("eval", "pairs", "--pairs", str(lfw / "pairs.txt"), "--images", str(lfw / "images"))
    bench = report("bench", photo, "--frames", "200")
    return pairs, bench


def arguments():
    a = argparse.ArgumentParser(prog="scripts/convert", description=__doc__)
    a.add_argument("model", type=Path, help="model.onnx, model.xml (with model.bin), model.keras, model.h5 or a SavedModel folder")
    a.add_argument("--out", type=Path, required=True, help="folder for NAME_float32.tflite, NAME_float16.tflite, NAME_int8.tflite")
    a.add_argument("--name", help="NAME; by default that of the model's file")
    a.add_argument("--as", dest="role", metavar="SET:EMBEDDER", help="the embedder that it replaces: it is calibrated on photos "
                   "aligned for that embedder, and the program measures how well it distinguishes people")  # fmt: skip
    a.add_argument("--inputs", type=Path, help="inputs to calibrate on, as the network takes them: FILE.npy, [n, h, w, c]")
    a.add_argument("--samples", type=int, default=200, help="photos to calibrate on")
    a.add_argument("--like", type=Path, help="a .tflite file that should give the same answers")
    a.add_argument("--shared", required=True, help=argparse.SUPPRESS)
    a.add_argument("--cache", required=True, help=argparse.SUPPRESS)
    a.add_argument("--latchkey", required=True, help=argparse.SUPPRESS)
    return a.parse_args()


def main():
    args = arguments()
    say = lambda text: print(f"convert: {text}", flush=True)
    name = args.name or args.model.stem
    args.out.mkdir(parents=True, exist_ok=True)
    role = Role(Path(__file__).parents[2], args.role) if args.role else None
    photos = []
    if role:
        photos = faces.found(args.shared, args.cache, args.latchkey)
        # The photos of fold 5 are for the comparison, the others for calibration.
        fold = faces.folds(args.shared)
        order = np.random.default_rng(1).permutation(len(photos))
        inputs = lambda kept: (role.input_of(photos[i][0], photos[i][3]) for i in order if (fold[photos[i][1]] == 5) == kept)
        learnt = [x for x, _ in zip(inputs(False), range(args.samples))]
        compared = [x for x, _ in zip(inputs(True), range(50))]
    elif args.inputs:
        given = np.load(args.inputs).astype(np.float32)
        learnt, compared = [x[None] for x in given[: -len(given) // 5]], [x[None] for x in given[-len(given) // 5 :]]
    else:
        raise SystemExit("convert: needs inputs to calibrate on: give --as SET:EMBEDDER (photos) or --inputs FILE.npy")

    say(f"reading {args.model}")
    with tempfile.TemporaryDirectory() as work:
        source = Source(args.model, Path(work))
        say("float32")
        made = {"float32": source.converter().convert()}
        say("float16")
        half = source.converter()
        half.optimizations, half.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
        made["float16"] = half.convert()
    if Network(made["float32"]).shape != compared[0].shape:
        raise SystemExit(f"convert: {args.model}: takes {Network(made['float32']).shape}, not {compared[0].shape}: is this its --as or --inputs?")
    say(f"int8, calibrated on {len(learnt)} inputs")
    made["int8"] = eight_bits(made["float32"], learnt, say)

    truth = [source.answer(x) for x in compared]
    report = {"model": args.model.name, "networks": {}}
    if args.like:
        like = Network(args.like.read_bytes())
        answers = [cosine(like(x), y) for x, y in zip(compared, map(Network(made["float32"]), compared))]
        report["like"] = {"file": args.like.name, "least cosine": min(answers)}
    for kind, content in made.items():
        file = args.out / f"{name}_{kind}.tflite"
        part = file.with_suffix(".part")
        part.write_bytes(content)
        part.rename(file)
        cosines = [cosine(y, z) for y, z in zip(truth, map(Network(content), compared))]
        row = {"bytes": len(content), "mean cosine": float(np.mean(cosines)), "least cosine": min(cosines)}
        if role:
            say(f"{kind}: measuring how well the program distinguishes people with it")
            with tempfile.TemporaryDirectory() as work:
                models = role.with_file(file, Path(work) / "set.toml")
                row["pairs"], row["bench"] = in_the_program(args, models, photos[0][0])
        report["networks"][kind] = row
    (args.out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
    print(table(report))


def table(report):
    lines = [f"{report['model']}: cosine to the original's answers, on inputs that were not used to calibrate"]
    if "like" in report:
        lines.append(f"float32 against {report['like']['file']}: least cosine {report['like']['least cosine']:.6f}")
    lines.append(f"{'':8} {'bytes':>9}  {'mean cosine':>11}  {'least':>9}  {'pairs right':>25}  {'ms':>6}")
    for kind, row in report["networks"].items():
        line = f"{kind:8} {row['bytes']:9}  {row['mean cosine']:11.6f}  {row['least cosine']:9.6f}"
        if "pairs" in row:
            low, high = row["pairs"]["ci95"]
            line += f"  {100 * row['pairs']['accuracy']:6.2f} % ({100 * low:.2f} to {100 * high:.2f})"
            embedder = next(n for n in row["bench"]["bare_networks"] if n["name"] == "embedder")
            line += f"  {embedder['p50_us'] / 1000:6.2f}"
        lines.append(line)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
