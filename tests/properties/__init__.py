"""Properties of the loading protocol: histories that hypothesis draws, held against a model."""
