"""What torch finds in checkpoints: read_pth.py FILE... prints for each file, as JSON, its keys and for each tensor of the
state dictionary name, type, shape and the SHA-256 of its values."""

import hashlib
import json
import sys

import torch


def described(name, tensor):
    values = tensor.contiguous().numpy().tobytes()
    return [name, str(tensor.dtype), list(tensor.shape), hashlib.sha256(values).hexdigest()]


for path in sys.argv[1:]:
    checkpoint = torch.load(path, weights_only=True)
    torch.load(path, weights_only=True, mmap=True)
    state = checkpoint.get("state_dict", checkpoint)
    rest = {key: value for key, value in checkpoint.items() if "state_dict" in checkpoint and key != "state_dict"}
    print(json.dumps({"rest": rest, "tensors": [described(*item) for item in state.items()]}))
