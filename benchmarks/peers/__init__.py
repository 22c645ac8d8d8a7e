"""What the service is compared with: a strong peer, and the naive way."""
