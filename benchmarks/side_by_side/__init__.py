"""The loader and its peers on the same file, on the same machine, in the same run.

python -m benchmarks.side_by_side --help
"""
