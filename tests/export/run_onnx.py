"""Checks ONNX models and runs them in ONNX Runtime: run_onnx.py JOBS.json

A job has a model, a file of float32 values with their shape for its input, and a file for its output.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

for job in json.load(open(sys.argv[1])):
    onnx.checker.check_model(job["model"], full_check=True)
    onnx.shape_inference.infer_shapes(onnx.load(job["model"]), check_type=True, strict_mode=True, data_prop=True)
    session = onnxruntime.InferenceSession(job["model"], providers=["CPUExecutionProvider"])
    frames = np.fromfile(job["input"], dtype="<f4").reshape(job["shape"])
    (logits,) = session.run(["logits"], {"input": frames})
    assert logits.dtype == np.float32 and logits.shape[0] == frames.shape[0], logits.shape
    logits.tofile(job["output"])
