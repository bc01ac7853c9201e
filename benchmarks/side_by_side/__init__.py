"""The loader and its peers on the same file, machine and day, for docs/performance.md."""
