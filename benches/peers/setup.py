"""Frames and model files of the peers.

Frames are those of a clip, fitted by plain resizing, or of the labelled set, in the model's own layout and numbers, f32
(integer models: their integer type), shape [frames, 1, ...].
"""
import os
import pathlib
import subprocess

import numpy as np
import onnx
import onnx.version_converter

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = pathlib.Path(os.environ.get("QUIESCENT_ASSETS", ROOT.parent / "shared/assets"))
FRAMES = 16

# Clip, colour order, and (pixel * scale - mean) / deviation.
CLIPS = {
    "ultraface_rfb_320": ("webcam_signer_a_static", "rgb", 1, 127, 128),
    "fastestdet_352": ("pets_pedestrians_static", "bgr", 1 / 255, 0, 1),
    "yolox_nano_416": ("pets_pedestrians_static", "bgr", 1, 0, 1),
    "mp_face_full": ("webcam_signer_a_static", "rgb", 1, 127.5, 127.5),
    "mp_face_full_sparse": ("webcam_signer_a_static", "rgb", 1, 127.5, 127.5),
    "mobilenet_v1_0.25_128_float": ("pets_pedestrians_static", "rgb", 1, 0, 1),
    "mobilenet_v1_0.25_128_qdq": ("pets_pedestrians_static", "rgb", 1, 0, 1),
    "selfie_segmentation_256": ("webcam_signer_a_static", "rgb", 1 / 255, 0, 1),
    "deeplab_v3_mnv2_257": ("webcam_signer_a_static", "rgb", 1, 127.5, 127.5),
    "espcn_x3_224": ("pets_pedestrians_static", "grey", 1 / 255, 0, 1),
    "mlperf_vww01_mobilenet_fp32": ("webcam_signer_a_static", "rgb", 1 / 255, 0, 1),
    "mlperf_vww01_mobilenet_int8": ("webcam_signer_a_static", "rgb", 1, 128, 1),
}
MODELS = [*CLIPS, "resnet20_cifar10", "mnist_cntk_opt"] + [
    f"mlperf_{name}_{kind}" for name in ("ic01_resnet8", "kws01_dscnn", "ad01_autoencoder") for kind in ("fp32", "int8")
]
TYPES = {onnx.TensorProto.FLOAT: np.float32, onnx.TensorProto.UINT8: np.uint8, onnx.TensorProto.INT8: np.int8}


def model_input(model):
    value = free_input(onnx.load(ASSETS / f"models/{model}.onnx").graph)
    tensor = value.type.tensor_type
    return value.name, [d.dim_value or 1 for d in tensor.shape.dim], TYPES[tensor.elem_type]


def free_input(graph):
    """The input that is not a weight."""
    constants = {i.name for i in graph.initializer}
    return next(i for i in graph.input if i.name not in constants)


def channels_last(shape):
    return len(shape) == 4 and shape[3] in (1, 3)


def convert(command, folder):
    """Runs a converter in a folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def frames(model):
    """[frames, *input shape], and where they come from."""
    _, shape, kind = model_input(model)
    if model in CLIPS:
        return clip_frames(*CLIPS[model], shape, kind), CLIPS[model][0]
    sets = ASSETS / "datasets"
    if model in ("resnet20_cifar10", "mlperf_ic01_resnet8_fp32", "mlperf_ic01_resnet8_int8"):
        records = np.fromfile(sets / "cifar10_test_dev.bin", np.uint8).reshape(-1, 3073)[:FRAMES, 1:]
        x = records.reshape(-1, 1, 3, 32, 32).astype(np.float32)
        if model == "resnet20_cifar10":
            mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
            x = (x / 255 - mean.reshape(1, 1, 3, 1, 1)) / deviation.reshape(1, 1, 3, 1, 1)
        else:
            x = x.transpose(0, 1, 3, 4, 2) - (128 if kind == np.int8 else 0)
        return np.ascontiguousarray(x.astype(kind)), "CIFAR-10"
    if model == "mnist_cntk_opt":
        x = np.fromfile(sets / "t10k_dev-images-idx3-ubyte", np.uint8, offset=16)[: FRAMES * 784]
        return x.reshape(-1, 1, 1, 28, 28).astype(np.float32), "MNIST"
    if "kws01" in model:
        x = np.fromfile(sets / "kws01_dev.bin", np.int8)[: FRAMES * 490].reshape(-1, 1, 49, 10, 1)
        return (x if kind == np.int8 else (x.astype(np.float32) - 83) * np.float32(0.58470291)), "keywords"
    golden = np.load(ASSETS / f"models/golden/{model}/in0.npy")
    return golden[None].astype(kind), "golden"


def clip_frames(clip, order, scale, mean, deviation, shape, kind):
    import cv2

    last = channels_last(shape)
    height, width = (shape[1], shape[2]) if last else (shape[2], shape[3])
    capture = cv2.VideoCapture(str(ASSETS / f"video/{clip}.mp4"))
    out = []
    while len(out) < FRAMES:
        ok, picture = capture.read()
        if not ok:
            break
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        if order == "rgb":
            picture = picture[..., ::-1]
        elif order == "grey":
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None]
        x = (picture.astype(np.float32) * np.float32(scale) - np.float32(mean)) / np.float32(deviation)
        out.append((x if last else x.transpose(2, 0, 1))[None])
    return np.ascontiguousarray(np.stack(out).astype(kind))


def npy(model, frames, cache):
    """The frames in a file, as the programs `steps` and `tract` read them: integers travel as they are."""
    file = cache / f"{model}.npy"
    np.save(file, frames.reshape((-1,) + frames.shape[2:]) if frames.shape[1] == 1 else frames)
    return file


def models(model, data, cache):
    """The float file, the int8 file, and whether the model comes quantised."""
    source = ASSETS / f"models/{model}.onnx"
    name, _, kind = model_input(model)
    if kind != np.float32:
        return None, source, True
    ready, quantised = cache / f"{model}.f32.onnx", cache / f"{model}.int8.onnx"
    if not ready.exists():
        proto = onnx.load(source)
        # Weights listed as graph inputs stop the engines' constant folding; per-channel QDQ nodes need opset 13.
        constants = {i.name for i in proto.graph.initializer}
        for i in [i for i in proto.graph.input if i.name in constants]:
            proto.graph.input.remove(i)
        # Batches of unknown size stop tract and onnx2tf.
        for d in free_input(proto.graph).type.tensor_type.shape.dim:
            d.dim_value = d.dim_value or 1
        del proto.graph.value_info[:]
        if max(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")) < 13:
            try:
                proto = onnx.version_converter.convert_version(proto, 13)
            except Exception as error:  # The f32 peers still run it.
                print(f"- {model}: stays at its opset: {str(error)[:80]}")
        onnx.save(proto, ready)
    if not quantised.exists():
        try:
            quantise(ready, quantised, name, data)
        except Exception as error:
            print(f"- {model}: cannot be quantised by onnxruntime: {type(error).__name__}: {str(error)[:100]}")
            return ready, None, False
    return ready, quantised, False


def quantise(source, target, name, data):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(data)

        def get_next(self):
            frame = next(self.rest, None)
            return None if frame is None else {name: frame}

    clean = target.with_suffix(".clean.onnx")
    try:
        quant_pre_process(str(source), str(clean), skip_symbolic_shape=True)
    except Exception:
        clean = source
    quantize_static(
        str(clean), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
