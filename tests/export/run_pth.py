"""Loads a checkpoint as the official code does and computes in float64: run_pth.py JOBS.json

The network is golden/pytorch/networks.py inside torch's DataParallel; every name must fit.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "golden" / "pytorch"))
from networks import Network

for job in json.load(open(sys.argv[1])):
    net = Network(job["arch"], job["classes"], job["branches"], job["flexible"])
    parallel = torch.nn.DataParallel(net)
    parallel.load_state_dict(torch.load(job["checkpoint"])["state_dict"], strict=True)
    net.double().eval()
    for run in job["runs"]:
        x = torch.from_numpy(np.fromfile(run["input"], dtype="<f4").reshape(run["shape"])).double()
        with torch.no_grad():
            net(x, x.shape[1], x.shape[1]).float().numpy().tofile(run["output"])
