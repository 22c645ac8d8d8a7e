"""Work on the stored data as a whole, apart from requests; each module is one command's."""
