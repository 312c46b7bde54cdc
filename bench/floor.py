"""The floor: prints the CPU seconds of `orjson.loads` over the lines of a file, and of nothing else."""

import sys
import time
from pathlib import Path

import orjson

if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_bytes().splitlines()
    loads = orjson.loads
    started = time.process_time()
    for line in lines:
        loads(line)
    print(time.process_time() - started)
