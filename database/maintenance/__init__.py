"""Work on the stored data as a whole, apart from requests: one module or package for each command."""
