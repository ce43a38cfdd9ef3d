"""SavedModels that this project did not train, made with TensorFlow's own API: `python raw_models.py FOLDER`.

linear   TensorFlow 1 style, session and builder: predict (x to y = x / 2 + 2), classify and regress over tf.Examples
mixed    two inputs and two outputs, integers, an output without dimensions, an identity for floats that are no numbers
text     strings in and out, and bytes
models.config, monitoring.config   serve all of them, with metrics
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

v1 = tf.compat.v1


def traced(function: Callable[..., Any], *inputs: Any) -> Any:
    """A function of the graph with these inputs."""
    return tf.function(function, input_signature=inputs)


def save(folder: Path, functions: dict[str, Any]) -> None:
    """Write functions as signatures."""
    module = tf.Module()
    module.functions = list(functions.values())
    tf.saved_model.save(module, str(folder), signatures=functions)


def linear(folder: Path) -> None:
    """Half plus two, with a variable each, through a session."""
    with v1.Graph().as_default(), v1.Session() as session:
        half = v1.get_variable("half", initializer=0.5)
        two = v1.get_variable("two", initializer=2.0)
        serialized = v1.placeholder(tf.string, name="tf_example")
        features = {"x": v1.FixedLenFeature([1], tf.float32), "x2": v1.FixedLenFeature([1], tf.float32, [0.0])}
        parsed = v1.parse_example(serialized, features)
        x = tf.identity(parsed["x"], name="x")
        y = tf.add(half * x, two, name="y")
        y2 = tf.add(half * parsed["x2"], two, name="y2")
        labels = tf.tile(tf.constant([["high"]]), [tf.shape(y)[0], 1])
        session.run(v1.global_variables_initializer())
        describe = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def
        examples = {"inputs": describe(serialized)}
        signatures = {
            "serving_default": signature({"x": describe(x)}, {"y": describe(y)}, "tensorflow/serving/predict"),
            "regress_x_to_y": signature(examples, {"outputs": describe(y)}, "tensorflow/serving/regress"),
            "regress_x2_to_y2": signature(examples, {"outputs": describe(y2)}, "tensorflow/serving/regress"),
            "classify_x_to_y": signature(
                examples, {"scores": describe(y), "classes": describe(labels)}, "tensorflow/serving/classify"
            ),
            "classify_scores": signature(examples, {"scores": describe(y)}, "tensorflow/serving/classify"),
        }
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


def mixed(folder: Path) -> None:
    """Several inputs, outputs and types."""

    def combine(a: tf.Tensor, b: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": a + b, "total": tf.reduce_sum(a, axis=1)}

    def scalar(n: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(n)}

    def double(n: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"doubled": 2 * n, "even": tf.equal(n % 2, 0)}

    def same(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"same": tf.identity(x)}

    def slow(turns: tf.Tensor) -> dict[str, tf.Tensor]:
        def turn(left: tf.Tensor, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return left - 1, tf.sin(value)

        start = (tf.reduce_max(turns), tf.cast(turns, tf.float32))
        return {"value": tf.while_loop(lambda left, _: left > 0, turn, start)[1]}

    numbers = tf.TensorSpec([None], tf.int32, name="n")
    functions = {
        "serving_default": traced(combine, tf.TensorSpec([None, 2], name="a"), tf.TensorSpec([None, 1], name="b")),
        "scalar": traced(scalar, numbers),
        "double": traced(double, tf.TensorSpec([None], tf.int64, name="n")),
        "same": traced(same, tf.TensorSpec([None], name="x")),
        "slow": traced(slow, tf.TensorSpec([None], tf.int32, name="turns")),
    }
    save(folder, functions)


def text(folder: Path) -> None:
    """Strings."""

    def upper(words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"upper": tf.strings.upper(words), "joined_bytes": words + b"\xff"}

    def echo(words: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"words": tf.identity(words)}

    words = tf.TensorSpec([None], tf.string, name="words")
    save(folder, {"serving_default": traced(upper, words), "echo": traced(echo, words)})


MAKERS = {"linear": linear, "mixed": mixed, "text": text}


def make(folder: Path) -> None:
    """Write every model as its version 1, and a configuration that serves them from /models/raw."""
    for name, maker in MAKERS.items():
        maker(folder / name / "1")
    models = "".join(
        f'  config {{ name: "{name}" base_path: "/models/raw/{name}" model_platform: "tensorflow" }}\n'
        for name in MAKERS
    )
    (folder / "monitoring.config").write_text(
        'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'
    )
    (folder / "models.config").write_text(f"model_config_list {{\n{models}}}\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]))
