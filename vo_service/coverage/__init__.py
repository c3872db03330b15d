"""Where on the sky, when, and at which energies a published table has rows: measured, kept, and served as MOCs."""
