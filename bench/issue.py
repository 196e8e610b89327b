#!/usr/bin/python3
"""User certificates per second and core (issue_bench) against the bar."""
import json
import subprocess
import sys
from pathlib import Path

BAR = 5000
binary = Path(__file__).resolve().parents[1] / "build" / "bin" / "issue_bench"
done = subprocess.run([binary, "--benchmark_format=json"], capture_output=True, text=True, check=True)
rate = json.loads(done.stdout[done.stdout.index("{"):])["benchmarks"][0]["per_cpu_second"]
print(f"user certificates per second and core: {rate:.0f} (bar: at least {BAR})")
sys.exit(rate < BAR)
