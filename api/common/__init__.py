"""What every resource's views share; each file a single idea."""
