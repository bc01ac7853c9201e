"""A simulated catalogue of products behind a REST API, as slow and as unreliable as asked for."""
