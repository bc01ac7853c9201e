"""What a run tells about itself: logs and traces."""
