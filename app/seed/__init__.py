"""The project's own starting data: 60 cryoprotectants, what is known of them, and from where."""
