"""One repository per resource; each works inside the session that it is given and never commits."""
