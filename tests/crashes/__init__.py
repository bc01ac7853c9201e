"""Crashes at every place: runs that are killed, paused and replaced, and what is there after."""
