"""What a network, a server and a slow sink can do to a load."""
