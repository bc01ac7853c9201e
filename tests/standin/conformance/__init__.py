"""What BigQuery's documentation promises, asked of the stand-in through the official client."""
