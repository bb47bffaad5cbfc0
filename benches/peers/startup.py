"""How long a command takes from its start to its end: prints one JSON object.

    python startup.py --repeats 3 -- python -c pass

A repeat is the mean of ten starts, after three that warm up.
"""

import argparse
import json
import os
import subprocess
import time

STARTS = 10


def once(command):
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    for _ in range(3):
        once(args.command)
    repeats = [[once(args.command) for _ in range(STARTS)] for _ in range(args.repeats)]
    mean = lambda place: [sum(run[place] for run in runs) / STARTS for runs in repeats]
    print(json.dumps({"seconds": mean(0), "processor_seconds": mean(1)}))


main()
