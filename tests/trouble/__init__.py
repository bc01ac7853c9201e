"""What the warehouse can do to a run, by way of the stand-in's faults."""
