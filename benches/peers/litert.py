"""LiteRT, the interpreter of ai-edge-litert with its default delegate, XNNPACK, for one thread.

onnx2tf makes the files, once: f32, and int8 by TensorFlow's full-integer quantisation, per channel, calibrated on the frames
all peers get. Inputs and outputs stay f32. Its maps have channels last; frames are turned before the clock starts.
"""
import numpy as np
import onnx

import setup


def files(path, frames, cache):
    """The f32 and the int8 file of an f32 ONNX file."""
    folder = cache / f"{path.stem}.litert"
    made = [folder / f"{path.stem}_{kind}.tflite" for kind in ("float32", "integer_quant")]
    if not all(file.exists() for file in made):
        folder.mkdir(exist_ok=True)
        name, frame = setup.free_input(onnx.load(path).graph).name, frames[0]
        np.save(folder / "frames.npy", np.concatenate([turned(frame) for frame in frames]))
        # onnx2tf fetches this file where it is missing, to try layers with; what it holds does not reach what it writes.
        np.save(folder / "calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), np.float32))
        keep = ["-kat", name] if turned(frame) is frame else []
        quantise = ["-oiqt", "-iqd", "float32", "-oqd", "float32", "-cind", name, "frames.npy", "[0.0]", "[1.0]"]
        setup.convert(["onnx2tf", "-i", str(path.resolve()), "-o", ".", "-n", *keep, *quantise], folder)
    return made


def turned(frame):
    return frame if frame.ndim != 4 or setup.channels_last(frame.shape) else np.ascontiguousarray(frame.transpose(0, 2, 3, 1))


def runner(path, frames, cache, int8):
    """A function of one turned frame."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(files(path, frames, cache)[int8]), num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    outputs = [o["index"] for o in interpreter.get_output_details()]

    def run(frame):
        interpreter.set_tensor(place, frame)
        interpreter.invoke()
        return [interpreter.get_tensor(o) for o in outputs]

    return run
