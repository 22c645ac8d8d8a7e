"""What was changed of a record, and by whom."""
