"""The command line. Command functions import what they need when they run: help stays quick."""
